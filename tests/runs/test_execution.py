"""Run folders: found again by their key, whole or absent, the same bits in any company."""

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from lossheads.errors import HeadMismatch, UserError
from lossheads.loggers.progress import CohortProgress
from lossheads.records import Result, read_result, read_results, run_key, select
from lossheads.runs import cohort_run
from lossheads.runs.config import compose
from lossheads.runs.execute import execute
from lossheads.runs.folder import RunFolder, run_path

Composer = Callable[..., dict[str, Any]]

CNN = [
    "dataset=digits",
    "device=cpu",
    "model=cnn",
    "model.channels=[4]",
    "model.dense=8",
    "training.steps=5",
    "recording.tensorboard=false",
]


def numbers(result: Result) -> str:
    """Everything measured, as text: NaN equals itself there."""
    return repr((result.history, result.first_step))


def folders(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "outputs" / "runs").iterdir())


def test_folder_holds_the_run_and_nothing_else(tiny: Composer, tmp_path: Path) -> None:
    config = tiny("seed=3", "recording.tensorboard=true", "recording.weights=true")
    (result,) = execute([config])
    (folder,) = folders(tmp_path)
    assert folder.name == f"digits-softmax_cce-s3-{run_key(config)}" == result.name
    names = {path.name.split(".1")[0] for path in folder.iterdir()}
    assert names == {
        ".lock",
        "config.yaml",
        "environment.json",
        "status.json",
        "metrics.jsonl",
        "result.json",
        "weights.pt",
        "events.out.tfevents",
    }
    assert yaml.safe_load((folder / "config.yaml").read_text())["seed"] == 3
    assert json.loads((folder / "status.json").read_text())["status"] == "finished"
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["packages"]["torch"].startswith("2.")
    history = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [validation["step"] for validation in history] == [
        validation.step for validation in result.history
    ]
    assert history[-1]["test/accuracy_score"] == result.test.metrics["accuracy_score"]


def test_result_reads_back_as_written(tiny: Composer, tmp_path: Path) -> None:
    (result,) = execute([tiny()])
    back = read_result(folders(tmp_path)[0])
    assert back is not None
    assert repr(back) == repr(result)
    assert [found.key for _, found in read_results(tmp_path / "outputs" / "runs")] == [result.key]
    assert select([back], head___target_=back.config["head"]["_target_"], seed=0) == [back]
    assert select([back], seed=1) == []


def test_finished_run_is_not_trained_again_unless_forced(tiny: Composer, tmp_path: Path) -> None:
    (first,) = execute([tiny()])
    written = (folders(tmp_path)[0] / "result.json").stat().st_mtime_ns
    (again,) = execute([tiny("device.threads=1", "recording.weights=true")])
    assert (folders(tmp_path)[0] / "result.json").stat().st_mtime_ns == written
    assert repr(again) == repr(first)
    (forced,) = execute([tiny("force=true")])
    assert (folders(tmp_path)[0] / "result.json").stat().st_mtime_ns > written
    assert numbers(forced) == numbers(first)


def test_a_run_gives_the_same_numbers_alone_and_in_a_cohort(tiny: Composer, tmp_path: Path) -> None:
    heads = ("softmax_cce", "sigmoid_bce", "softmax_bce")
    words = [(f"head={head}", f"seed={seed}") for head in heads for seed in range(4)]
    together = execute([tiny(*pair, "cohort.max_members=8") for pair in words])
    assert len({result.key for result in together}) == 12
    for pair, result in zip(words, together, strict=True):
        (alone,) = execute([tiny(*pair, f"output_dir={tmp_path}/alone")])
        assert numbers(alone) == numbers(result)


@pytest.mark.parametrize("words", [("device.threads=1",), ("cohort.max_members=1",)])
def test_neither_threads_nor_the_size_of_cohorts_change_a_number(
    tiny: Composer, tmp_path: Path, words: tuple[str, ...]
) -> None:
    heads = ("softmax_cce", "sigmoid_bce", "sigmoid_bce_mean")
    pairs = [(f"head={head}", f"seed={seed}") for head in heads for seed in range(3)]
    usual = execute([tiny(*pair) for pair in pairs])
    other = execute([tiny(*pair, *words, f"output_dir={tmp_path}/other") for pair in pairs])
    assert [numbers(result) for result in usual] == [numbers(result) for result in other]


def test_runs_on_several_datasets_train_at_the_same_time(tiny: Composer, tmp_path: Path) -> None:
    words = [(f"dataset.classes={c}", f"seed={seed}") for c in (3, 5, 7) for seed in (0, 1)]
    together = execute([tiny(*pair) for pair in words])
    for pair, result in zip(words, together, strict=True):
        (alone,) = execute([tiny(*pair, f"output_dir={tmp_path}/alone")])
        assert numbers(alone) == numbers(result)


@pytest.mark.parametrize(
    ("words", "members"),
    [(CNN, 3), ([*CNN, "optimizer.fused=false"], 1)],
    ids=["one cohort on all threads", "processes of one thread"],
)
def test_convolutions_have_the_numbers_of_a_run_on_one_thread(
    words: list[str], members: int, tmp_path: Path
) -> None:
    many = [*words, f"output_dir={tmp_path}/many"]
    together = execute([compose([*many, f"seed={seed}"]) for seed in range(3)])
    assert [result.config["seed"] for result in together] == [0, 1, 2]
    for seed, result in enumerate(together):
        assert (result.environment["threads"], result.environment["members"]) == (1, members)
        alone = [*words, f"output_dir={tmp_path}/alone", f"seed={seed}", "device.threads=1"]
        assert numbers(execute([compose(alone)])[0]) == numbers(result)


def test_asked_twice_is_trained_once_and_answered_twice(tiny: Composer, tmp_path: Path) -> None:
    one, other, again = execute([tiny(), tiny("seed=1"), tiny()])
    assert repr(one) == repr(again)
    assert other.config["seed"] == 1
    assert len(folders(tmp_path)) == 2


def test_key_names_what_is_computed_and_nothing_else(tiny: Composer) -> None:
    base = run_key(tiny())
    for word in ("output_dir=elsewhere", "force=true", "device.threads=1", "cohort.max_members=2"):
        assert run_key(tiny(word)) == base, word
    for word in (
        "seed=1",
        "data_seed=1",
        "optimizer.lr=0.1",
        "head=sigmoid_bce",
        "training.steps=9",
    ):
        assert run_key(tiny(word)) != base, word


def test_data_seed_follows_the_seed_unless_it_is_given(tiny: Composer) -> None:
    assert tiny("seed=7")["data_seed"] == 7
    assert tiny("seed=7", "data_seed=1")["data_seed"] == 1


@pytest.mark.parametrize(
    ("words", "steps"),
    [
        # digits are nine steps of 128 an epoch
        ("training.validations_per_epoch=1", [0, 9, 18]),
        ("training.validations_per_epoch=2", [0, 5, 9, 14, 18]),
        ("training.validations_per_epoch=5", [0, 2, 4, 5, 7, 9, 11, 13, 14, 16, 18]),
        ("training.validations_per_epoch=100", list(range(19))),
        ("training.validations_per_epoch=2 training.epochs=1.2", [0, 5, 9, 11]),
        ("training.validations_per_epoch=2 training.steps=4", [0, 4]),
        ("training.validations_per_epoch=2 training.steps=5", [0, 5]),
        ("training.validations_per_epoch=2 training.steps=0", [0]),
    ],
)
def test_validations_are_counted_by_the_epoch(tiny: Composer, words: str, steps: list[int]) -> None:
    (result,) = execute([tiny("training.steps=null", "training.epochs=2", *words.split())])
    assert [validation.step for validation in result.history] == steps


def test_unfit_pair_is_refused_before_anything_is_written(tiny: Composer, tmp_path: Path) -> None:
    with pytest.raises(HeadMismatch, match="can represent two classes only"):
        execute([tiny(), tiny("head=single_logit_bce")])
    assert not (tmp_path / "outputs").exists()


def test_interrupted_run_says_so_and_starts_clean(
    tiny: Composer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(CohortProgress, "on_validation", interrupt)
        with pytest.raises(KeyboardInterrupt):
            execute([tiny()])
    (folder,) = folders(tmp_path)
    assert json.loads((folder / "status.json").read_text())["status"] == "interrupted"
    assert not (folder / "result.json").exists()
    (folder / "left.over").write_text("from before")
    (result,) = execute([tiny()])
    assert result.status == "finished"
    assert not (folder / "left.over").exists()


def test_failing_cohort_leaves_the_finished_ones(
    tiny: Composer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = cohort_run.train

    def fail_for_sigmoid(cohort: Any, *rest: Any, **named: Any) -> Any:
        if "Sigmoid" in type(cohort.members[0].head).__name__:
            raise RuntimeError("broken on purpose")
        return real(cohort, *rest, **named)

    monkeypatch.setattr(cohort_run, "train", fail_for_sigmoid)
    configs = [
        tiny(f"head={head}", "cohort.max_members=1") for head in ("sigmoid_bce", "softmax_cce")
    ]
    with pytest.raises(RuntimeError, match="broken on purpose"):
        execute(configs)
    said = {
        folder.name.split("-")[1]: json.loads((folder / "status.json").read_text())
        for folder in folders(tmp_path)
    }
    assert said["sigmoid_bce"]["status"] == "failed"
    assert "broken on purpose" in said["sigmoid_bce"]["why"]
    assert said["softmax_cce"]["status"] == "finished"


def test_diverged_run_has_a_result_that_says_where(tiny: Composer) -> None:
    words = ("optimizer=sgd", "head=sigmoid_bce")
    sane, wild = execute([tiny(*words), tiny(*words, "optimizer.lr=1e38")])
    assert (sane.status, wild.status) == ("finished", "diverged")
    assert wild.diverged_at is not None
    assert wild.diverged_at["learning_rate"] == 1e38
    assert wild.diverged_at["step"] <= 2
    assert wild.history[-1].test is None


def test_outputs_that_cannot_be_written_are_one_sentence(tiny: Composer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="outputs cannot be written"):
        execute([tiny(f"output_dir={tmp_path}/file/below")])


@pytest.mark.parametrize("words", [(), ("force=true",)], ids=["new", "forced"])
def test_two_processes_do_not_train_one_run(
    words: tuple[str, ...], tiny: Composer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny()
    if words:
        execute([config])
    held = RunFolder(run_path(config))
    held.open(config, {}, force=bool(words))
    if words:
        assert execute([config])[0].status == "finished"  # the earlier result stands meanwhile
    letting_go = threading.Timer(1.0, held.abandon, ["interrupted", "let go"])
    letting_go.start()
    assert execute([tiny(*words)])[0].status == "finished"
    assert "trained by another process" in capsys.readouterr().err
    letting_go.join()


def test_prior_bias_starts_every_head_at_the_base_rates(tiny: Composer) -> None:
    words = ("output_layer.prior_bias=true", "training.steps=0")
    plain, biased = execute(
        [tiny("training.steps=0", "head=sigmoid_bce"), tiny(*words, "head=sigmoid_bce")]
    )
    # ten classes of nearly equal share: 10 ln 2 without, 3.25 with (claims.md, section 1)
    assert plain.first_step["loss"] == pytest.approx(6.93, abs=0.35)
    assert biased.first_step["loss"] == pytest.approx(3.25, abs=0.35)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("training.batch_size=0", "training.batch_size must be at least 1, got 0"),
        ("training.monitor=accuracy", "did you mean accuracy_score"),
        ("output_layer.cosine_temperature=0", "cosine_temperature must be above 0, got 0.0"),
        ("output_layer.cosine_temperature=cold", "must be a number or null, got cold"),
        ("head.label_smoothing=2", "label_smoothing must be at least 0 and below 1, got 2"),
        ("optimizer.lr=-1", "optimizer.lr must be at least 0, got -1"),
        ("device.threads=4096", "cores of this machine"),
        ("device.precision=tf32", "needs device=cuda"),
        ("device.graph=true", "needs device=cuda"),
        ("model.hidden=[]", "hidden must be a list of widths of at least 1"),
        ("model.hidden=[a]", "hidden must be a list of widths of at least 1"),
        ("model.hidden=16", "hidden must be a list of widths of at least 1"),
        ("optimizer.lr=inf", "optimizer.lr must be finite, got inf"),
        ("training.epochs=nan", "training.epochs must be finite, got nan"),
        ("optimizer.betas=[0.9]", "optimizer.betas must be a list of 2 numbers"),
        ("optimizer.betas=[0.9,1]", "optimizer.betas must be at least 0 and below 1, got [0.9, 1]"),
        ("optimizer.amsgrad=1", "optimizer.amsgrad must be true or false"),
        ("optimizer=sgd optimizer.momentum=-0.1", "optimizer.momentum must be at least 0"),
        ("optimizer=sgd optimizer.dampening=2", "optimizer.dampening must be at most 1, got 2"),
        ("optimizer=sgd optimizer.momentum=half", "optimizer.momentum must be a number"),
        ("optimizer=sgd optimizer.nesterov=true", "needs optimizer.momentum above 0"),
        (
            "optimizer=sgd optimizer.nesterov=true optimizer.momentum=0.9 optimizer.dampening=0.1",
            "optimizer.dampening=0, got momentum=0.9 and dampening=0.1",
        ),
        ("training.monitor=fitted_temperature", "no better direction"),
        ("training.monitor=3", "no metric '3'"),
        ("training.monitor=hamming_loss", "it is not defined for OneOf(n=10)"),
        ("training.monitor=recall_score", "it has one value per class"),
        ("training.monitor=posterior_kl_loss", "true posterior, which is not known for digits"),
        (
            "training.monitor=posterior_kl_loss training.patience=2",
            "true posterior, which is not known for digits; use nll_loss",
        ),
        ("seed=-1", "seed must be at least 0, got -1"),
        ("data_seed=-1", "data_seed must be at least 0, got -1"),
        ("+trainng.steps=3", "did you mean training"),
        ("+training.stepz=3", "did you mean steps"),
        ("+foo=1", "a run has no key 'foo'"),
        ("cohort.max_members=0", "cohort.max_members must be at least 1, got 0"),
        ("training.epochs=-1", "training.epochs must be at least 0, got -1"),
    ],
)
def test_nonsense_is_one_sentence_and_leaves_no_run(
    tiny: Composer, tmp_path: Path, words: str, said: str
) -> None:
    with pytest.raises(UserError, match=re.escape(said)) as caught:
        execute([tiny(*words.split())])
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "outputs" / "runs").exists()


@pytest.mark.parametrize("word", ["fitted_temperature", "kl_loss"])
def test_what_the_data_may_not_know_is_not_recommended(tiny: Composer, word: str) -> None:
    with pytest.raises(UserError) as caught:
        execute([tiny(f"training.monitor={word}")])
    assert "posterior_kl_loss" not in str(caught.value)


def test_every_cheap_metric_of_the_outcome_can_be_watched(tiny: Composer) -> None:
    words = ("training.monitor=fastai_accuracy_multi", "training.patience=1", "training.steps=3")
    (result,) = execute([tiny(*words)])
    assert result.status == "finished"


def test_distance_to_a_known_posterior_is_watched(tiny: Composer) -> None:
    words = ("training.monitor=posterior_kl_loss", "training.patience=1", "training.steps=3")
    few = ("dataset.train=200", "dataset.val=50", "dataset.test=50")
    (result,) = execute([tiny("dataset=synthetic_blobs", *few, *words)])
    assert result.val.metrics["posterior_kl_loss"] > 0


def test_a_model_that_cannot_be_built_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cnn: .* got .* dense=a"):
        execute([compose([*CNN, f"output_dir={tmp_path}", "model.dense=a"])])
    assert not (tmp_path / "runs").exists()


def test_a_torn_result_is_named(tiny: Composer, tmp_path: Path) -> None:
    execute([tiny()])
    (folder,) = folders(tmp_path)
    (folder / "result.json").write_text('{"key": "ab')
    with pytest.raises(UserError, match=r"result\.json is damaged.* delete the folder"):
        execute([tiny()])


def test_weights_of_a_finished_run_are_not_promised_in_silence(
    tiny: Composer, capfd: pytest.CaptureFixture[str]
) -> None:
    execute([tiny()])
    execute([tiny("recording.weights=true")])
    assert "weights were not saved; force=true trains it again" in capfd.readouterr().err


def test_an_edited_file_is_another_run(tmp_path: Path) -> None:
    """The same path with other contents must not be answered with the old result."""
    draw = np.random.default_rng(0)
    labels = np.arange(60) % 2
    words = ["dataset=files", f"dataset.path={tmp_path}/mine.npz", "head=two_logit_cce"]
    words += ["device=cpu", "training.steps=3", "recording.tensorboard=false"]
    keys = []
    for shift in (0.0, 1.0):
        inputs = draw.normal(size=(60, 4)).astype("float32") + shift
        np.savez(tmp_path / "mine.npz", inputs=inputs, labels=labels)
        (result,) = execute([compose([*words, f"output_dir={tmp_path}/outputs"])])
        keys.append(result.key)
    assert keys[0] != keys[1]
    assert len(folders(tmp_path)) == 2


def test_classes_that_a_split_lacks_are_told_once_and_kept(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    labels = np.arange(1200) % 60
    inputs = np.random.default_rng(0).normal(size=(1200, 4)).astype("float32")
    np.savez(tmp_path / "mine.npz", inputs=inputs, labels=labels)
    words = ["dataset=files", f"dataset.path={tmp_path}/mine.npz", f"output_dir={tmp_path}/outputs"]
    words += ["device=cpu", "training.steps=2", "recording.tensorboard=false", "model=linear"]
    few = [compose([*words, "cohort.max_members=1", f"seed={seed}"]) for seed in (0, 1, 2)]
    first, *_, last = execute(few)
    said = (
        r"no example of \d+ of 60 classes \((\d+, ){4}\d+ …\) is among the 120 of the val split, "
    )
    assert re.match(said, first.notes[0])
    assert last.notes == first.notes
    printed = capfd.readouterr().err
    assert [printed.count(f"files: {note}") for note in first.notes] == [1, 1]  # val, test
