"""The command line as people meet it: one sentence per mistake, exit status, nothing written."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.object_type import ObjectType

from calling import lossheads, refusal
from lossheads.runs.config import cache_group_listing, config_folder

TINY = ["dataset=digits", "model.hidden=[16]", "training.steps=20", "recording.tensorboard=false"]


def test_help_names_every_command_and_is_quick(tmp_path: Path) -> None:
    done = lossheads("--help", cwd=tmp_path)
    assert done.returncode == 0
    for command in ("train", "claim", "heads", "metrics", "board", "report"):
        assert f"lossheads {command}" in done.stdout
    code = (
        "import sys; from lossheads.cli import main; main.run(['--help']);"
        " sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_train_prints_metrics_with_baselines(tmp_path: Path) -> None:
    done = lossheads("train", *TINY, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "accuracy_score" in done.stdout
    assert "baseline" in done.stdout
    assert "outputs/runs/digits-softmax_cce-s0-" in done.stdout
    assert "step     20" in done.stderr
    assert sorted(path.name for path in (tmp_path / "outputs").iterdir()) == ["runs"]


def test_sweep_is_one_cohort_and_needs_no_word_train(tmp_path: Path) -> None:
    words = ["head=softmax_cce,sigmoid_bce", "seed=0,1"]
    done = lossheads(*TINY, "-m", *words, "device.threads=1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "softmax_cce (n = 2)" in done.stdout
    assert done.stderr.count("training digits") == 1
    assert "4 member(s)" in done.stderr
    assert len(list((tmp_path / "outputs" / "runs").iterdir())) == 4


def test_a_sweep_counts_what_it_asks_twice_once(tmp_path: Path) -> None:
    done = lossheads(*TINY, "-m", "optimizer.lr=0.1,0.1,0.2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 runs in outputs/runs" in done.stdout
    done = lossheads(*TINY, "-m", "optimizer.lr=0.1,0.1", cwd=tmp_path)
    assert "1 run in outputs/runs/digits-softmax_cce-s0-" in done.stdout


def test_basic_launcher_gives_the_same_results(tmp_path: Path) -> None:
    words = [*TINY, "-m", "head=softmax_cce,sigmoid_bce"]
    assert lossheads(*words, "output_dir=a", cwd=tmp_path).returncode == 0
    done = lossheads(*words, "output_dir=b", "hydra/launcher=basic", cwd=tmp_path)
    assert done.returncode == 0, done.stderr

    def history(outputs: str) -> dict[str, object]:
        found = (tmp_path / outputs / "runs").glob("*/result.json")
        return {path.parent.name: json.loads(path.read_text())["history"] for path in found}

    assert history("a") == history("b")
    assert len(history("a")) == 2


MISTAKES = [
    (["train", "head=softmax_ce"], "did you mean softmax_cce"),
    (["train", "heda=softmax_cce"], "did you mean head"),
    (["train", "dataset=fashion"], "did you mean fashion_mnist"),
    (["train", "training.epoch=3"], "did you mean epochs"),
    (["train", "optimizer.lrr=3"], "did you mean lr"),
    (["train", "training.epochs=abc"], "training.epochs"),
    (["train", "seed=1,2"], "add -m"),
    (["train", "word"], "settings are KEY=VALUE"),
    (["train", "head=single_logit_bce"], "can represent two classes only"),
    (["-m", "head=softmax_cce,softmax_ce"], "did you mean softmax_cce"),
    (["-m", "head=softmax_cce,single_logit_bce"], "can represent two classes only"),
    (["train", "head._target_=os.system"], "head._target_ must be in lossheads.heads"),
    pytest.param(
        ["train", "device=cuda"],
        "finds no CUDA device",
        marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is one"),
    ),
    (["trian"], "did you mean train"),
    (["claim", "run", "bce-97"], "did you mean bce-97-vs-cce-90"),
    (["claim", "run", "bce-97-vs-cce-90", "head=softmax_cce"], "a claim's settings are fixed"),
    (["claim", "run", "bce-97-vs-cce-90", "seeds=1"], "seeds must be at least 2"),
    (["claim"], "required"),
    (["heads", "softmax"], "did you mean"),
    (["metrics", "acuracy_score"], "did you mean accuracy_score"),
    (["metrics", "--outcome", "OnOf"], "metrics knows no outcome 'OnOf'; did you mean OneOf"),
    (["metrics", "ranking_loss", "--outcome", "OneOf"], "only for AnyOf"),
    (["metrics", "OneOf"], "write --outcome OneOf"),
    (["metrics", "one_of"], "write --outcome one_of"),
    (["metrics", "ranking_loss", "--outcome", "one_of"], "only for AnyOf"),
    (["metrics", "--outcome"], "expected one argument; see lossheads metrics --help"),
    (["board", "nowhere"], "found no folder nowhere"),
    (["report", "nowhere"], "finds no finished run"),
    (["report", "a", "b"], "unrecognized arguments: b"),
    (["heads", "--nope"], "unrecognized arguments: --nope"),
    (["claim", "run", "prior-bias", "--config-dir", "nowhere"], "finds no folder 'nowhere'"),
    (["claim", "list", "--claims", "nowhere"], "finds no folder nowhere"),
    (["train", "+trainng.steps=3"], "did you mean training"),
    (["train", "optimizer.lr=inf"], "optimizer.lr must be finite"),
    (["train", "claim=bce-97-vs-cce-90"], "use lossheads claim run bce-97-vs-cce-90"),
    (["claim=prior-bias", "--help"], "use lossheads claim run prior-bias"),
    (["train", "+claim=prior-bias"], "use lossheads claim run prior-bias"),
    (["train", "-m", "claim=prior-bias,double-sigmoid"], "use lossheads claim run NAME"),
    (["train", "claim.says=x"], "use lossheads claim run NAME"),
    (["train", "~claim"], "use lossheads claim run NAME"),
    (
        ["train", "dataset=files", "dataset.path=7"],
        "files: path must be the name of a file or folder, got 7",
    ),
]


@pytest.mark.parametrize(("words", "said"), MISTAKES)
def test_a_mistake_is_one_sentence_with_status_two(
    words: list[str], said: str, tmp_path: Path
) -> None:
    assert said in refusal(*words, cwd=tmp_path)


def test_a_mistake_ends_a_process_of_its_own_like_that_too(tmp_path: Path) -> None:
    call = [sys.executable, "-m", "lossheads", "train", "head=softmax_ce"]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == refusal("train", "head=softmax_ce", cwd=tmp_path)


def test_debug_brings_the_traceback_back(tmp_path: Path) -> None:
    done = lossheads("train", "head=softmax_ce", "--debug", cwd=tmp_path)
    assert "Traceback" in done.stderr
    assert done.returncode != 0


def test_divergence_ends_with_status_one_and_says_where(tmp_path: Path) -> None:
    words = ["optimizer=sgd", "head=sigmoid_bce", "optimizer.lr=1e38"]
    done = lossheads("train", *TINY, *words, cwd=tmp_path)
    assert done.returncode == 1
    assert "diverged" in done.stderr
    assert "learning rate 1e+38" in done.stderr
    (result,) = (tmp_path / "outputs" / "runs").glob("*/result.json")
    assert json.loads(result.read_text())["status"] == "diverged"


def test_a_head_of_ones_own_needs_no_edit_of_ours(tmp_path: Path) -> None:
    (tmp_path / "my_heads.py").write_text(
        "from dataclasses import dataclass\n"
        "from lossheads.heads import SoftmaxCCE\n\n"
        "@dataclass(frozen=True)\n"
        "class Doubled(SoftmaxCCE):\n"
        "    def loss(self, logits, target):\n"
        "        return 2 * super().loss(logits, target)\n"
    )
    (tmp_path / "mine" / "head").mkdir(parents=True)
    (tmp_path / "mine" / "head" / "doubled.yaml").write_text(
        "_target_: my_heads.Doubled\n_partial_: true\n"
    )
    words = ["train", "--config-dir", "mine", "head=doubled", *TINY]
    refused = lossheads(*words, cwd=tmp_path)
    assert refused.returncode == 2
    assert "--trust my_heads" in refused.stderr
    done = lossheads(*words, "trust=[my_heads]", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "digits-doubled-s0" in done.stdout


def test_completion_completes_groups_after_the_command(tmp_path: Path) -> None:
    def complete(line: str) -> list[str]:
        env = {"COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_CWORD": "1"}
        return lossheads("-sc", "query=bash", cwd=tmp_path, env=env).stdout.split()

    assert complete("lossheads train head=soft") == complete("lossheads head=soft")
    assert "head=softmax_cce" in complete("lossheads train head=soft")
    assert complete("lossheads train cla") == []
    assert complete("lossheads train sched") == ["schedule.", "schedule="]


def test_report_reads_finished_runs(tmp_path: Path) -> None:
    assert lossheads(*TINY, "-m", "seed=0,1", cwd=tmp_path).returncode == 0
    shown = lossheads("report", cwd=tmp_path)
    assert "softmax_cce (n = 2)" in shown.stdout
    folder = tmp_path / "outputs" / "runs" / "torn"
    folder.mkdir()
    (folder / "result.json").write_text("{")
    done = lossheads("report", "--csv", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("run,dataset,head,seed,")
    assert "runs/torn/result.json is damaged" in done.stderr
    assert "1 run of" in done.stderr


def test_heads_are_explained_with_numbers(tmp_path: Path) -> None:
    done = lossheads("heads", "softmax_cce", "single_logit_bce", cwd=tmp_path)
    assert done.returncode == 0
    # -ln softmax(2, -1, .5)[0] and -ln sigmoid(.8), by pencil
    assert "0.2413" in done.stdout
    assert "0.3711" in done.stdout


def test_a_recorded_sweep_gets_an_overview_of_named_lines(tmp_path: Path) -> None:
    words = [word for word in TINY if not word.startswith("recording")]
    assert lossheads(*words, "-m", "head=softmax_cce,sigmoid_bce", cwd=tmp_path).returncode == 0
    (overview,) = (tmp_path / "outputs/_overview").glob("sweep-digits-*")
    lines = sorted(path.name for path in (overview / "puzzle").iterdir())
    assert len(lines) == 5
    assert lines[0] == "baseline of cells"
    assert "softmax_cce · cells" in lines
    pages = {path.name for path in overview.iterdir()}
    assert pages == {"puzzle", "bands", "classes", "confusions", "runs", "overview.png"}


def test_help_of_train_lists_groups_and_values(tmp_path: Path) -> None:
    done = lossheads("train", "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for words in ("softmax_cce", "fashion_mnist", "batch_size: 128", 'eval "$(lossheads'):
        assert words in done.stdout


def test_help_of_train_lists_no_claims_and_the_groups_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine" / "head").mkdir(parents=True)
    (tmp_path / "mine" / "head" / "own.yaml").write_text("_target_: my.Own\n")
    done = lossheads("train", "--config-dir", "mine", "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    listed = done.stdout.split("Values, set with")[0]
    assert "own" in listed
    assert "claim" not in listed
    assert "prior-bias" not in listed


def test_groups_are_listed_from_one_copy_of_the_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    hydra = ConfigLoaderImpl.get_group_options
    monkeypatch.setattr(ConfigLoaderImpl, "get_group_options", hydra)  # put back afterwards
    path = create_config_search_path(str(config_folder()))
    loader = ConfigLoaderImpl(config_search_path=path)
    expected = {group: hydra(loader, group) for group in ("head", "dataset", "debug")}
    groups = hydra(loader, "", ObjectType.GROUP)
    copies = []
    copied = ConfigLoaderImpl._parse_overrides_and_create_caching_repo
    monkeypatch.setattr(
        ConfigLoaderImpl,
        "_parse_overrides_and_create_caching_repo",
        lambda *words: copies.append(words) or copied(*words),
    )
    cache_group_listing()
    assert {group: loader.get_group_options(group) for group in expected} == expected
    assert loader.list_groups("") == groups
    assert len(copies) == 1


def test_settings_may_follow_flags(tmp_path: Path) -> None:
    words = ["claim", "run", "softmax-cannot-see-a-shift", "--reference", "none", "output_dir=o6"]
    done = lossheads(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "o6/claims/softmax-cannot-see-a-shift/verdict.md").is_file()


def test_a_claim_says_whether_its_verdict_is_the_committed_one(tmp_path: Path) -> None:
    words = ["claim", "run", "softmax-cannot-see-a-shift", "output_dir=o", "--reference", "kept"]
    assert "the verdict in" not in lossheads(*words, cwd=tmp_path).stdout
    assert lossheads(*words, "--save-reference", cwd=tmp_path).returncode == 0
    same = lossheads(*words, cwd=tmp_path)
    assert same.returncode == 0
    assert "This is the verdict in kept/softmax-cannot-see-a-shift." in same.stdout
    kept = tmp_path / "kept/softmax-cannot-see-a-shift/verdict.json"
    kept.write_text(kept.read_text().replace('"reproduced"', '"refuted"'))
    changed = lossheads(*words, cwd=tmp_path)
    assert changed.returncode == 3
    assert "This is not the verdict in kept/softmax-cannot-see-a-shift." in changed.stdout


@pytest.mark.parametrize("place", ["taken", "/proc/nowhere"])
def test_a_reference_that_cannot_be_saved_is_refused_before_the_work(
    tmp_path: Path, place: str
) -> None:
    (tmp_path / "taken").write_text("a file")
    words = ["claim", "run", "worked-numbers", "--save-reference", "--reference", place]
    said = refusal(*words, cwd=tmp_path)
    assert "--reference" in said
    assert place in said


def test_a_sweep_of_several_labels_prints_its_table(tmp_path: Path) -> None:
    """Metrics measured on test only (thresholds) must not stop the table; twice a seed is once."""
    words = [
        "dataset=synthetic_multilabel",
        "head=sigmoid_bce",
        *TINY[2:],
        "-m",
        "seed=0,0,1",
        "--all",
    ]
    done = lossheads(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "sigmoid_bce (n = 2)" in done.stdout
    assert "tuned/macro_f1_score" in done.stdout


def test_moved_outputs_are_named_where_they_are(tmp_path: Path) -> None:
    assert lossheads(*TINY, "output_dir=a", cwd=tmp_path).returncode == 0
    (tmp_path / "a").rename(tmp_path / "b")
    assert "1 run in b/runs/" in lossheads(*TINY, "output_dir=b", cwd=tmp_path).stdout


def test_claim_run_tells_its_verdict_before_its_tables_or_for_programs(tmp_path: Path) -> None:
    words = ["claim", "run", "softmax-cannot-see-a-shift", "output_dir=o", "--reference", "none"]
    shown = lossheads(*words, cwd=tmp_path).stdout
    assert 0 < shown.index("Verdict: reproduced") < shown.index("Stated and computed")
    told = lossheads(*words, "--quiet", cwd=tmp_path)
    assert (told.stdout, told.stderr) == ("softmax-cannot-see-a-shift: reproduced\n", "")
    done = lossheads(*words, "--json", cwd=tmp_path)
    kept = tmp_path / "o/claims/softmax-cannot-see-a-shift/verdict.json"
    assert json.loads(done.stdout) == json.loads(kept.read_text())
    assert "takes no --all" in lossheads(*words, "--all", cwd=tmp_path).stderr
