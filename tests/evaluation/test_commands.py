"""`lossheads evaluate` and `lossheads compare` as people call them."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import lossheads as lh
from calling import lossheads, refusal
from evaluation.making import C, N, classes, npz, softmax, tags

LOGITS, LABELS = classes()
SAID = ["--link", "softmax", "--given", "probabilities", "--outcome", "one_of"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of one model, and two finished runs that kept their predictions."""
    made = tmp_path_factory.mktemp("own")
    names = ["=1+1", "<b>", "elk", "fox"]
    table = {f"prob_{name}": softmax(LOGITS)[:, k] for k, name in enumerate(names)}
    frame = pd.DataFrame({**table, "label": np.array(names)[LABELS]})
    frame.to_csv(made / "own.csv", index=False)
    npz(made, "a.npz", logits=LOGITS, labels=LABELS, patient=np.arange(N) // 3)
    npz(made, "b.npz", logits=LOGITS + np.random.default_rng(5).normal(size=(N, C)), labels=LABELS)
    npz(made, "tags.npz", logits=tags()[0], labels=tags()[1])
    tiny = ["dataset=digits", "model.hidden=[16]", "training.steps=20", "device.threads=1"]
    tiny += ["recording.tensorboard=false", "recording.predictions=true"]
    done = lossheads("train", *tiny, "-m", "head=softmax_cce,sigmoid_bce", "seed=0,1", cwd=made)
    assert done.returncode == 0, done.stderr
    return made


def test_evaluate_prints_metrics_frameworks_classes_and_answers(folder: Path) -> None:
    done = lossheads("evaluate", "own.csv", *SAID, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = lh.evaluate(folder / "own.csv", link="softmax", given="probabilities", outcome="one_of")
    for name in ("accuracy_score", "nll_loss"):
        metric = found[name]
        numbers = [f"{v:.4f}" for v in (metric.value, metric.low, metric.high, metric.baseline)]
        line = next(row for row in done.stdout.splitlines() if row.startswith(f"│ {name} "))
        assert all(number in line for number in numbers), line
    for word in ("Keras", "torchmetrics", "fastai", "HF evaluate", "Lightning", "elk"):
        assert word in done.stdout
    assert f"n = {N}" in done.stdout
    assert "nothing of another training run" in " ".join(done.stdout.split())


def test_json_holds_all_and_is_json(folder: Path) -> None:
    done = lossheads("evaluate", "own.csv", *SAID, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout, parse_constant=lambda word: pytest.fail(word))
    assert data["n"] == N
    assert data["metrics"]["accuracy_score"]["value"] == (LOGITS.argmax(1) == LABELS).mean()
    assert data["class_names"] == ["=1+1", "<b>", "elk", "fox"]
    assert len(data["per_class"]["recall_score"]) == C
    assert {answer["title"] for answer in data["answers"]} == {"Calibration", "Means of batches"}


def test_csv_is_a_table_that_no_spreadsheet_runs(folder: Path) -> None:
    done = lossheads("evaluate", "own.csv", *SAID, "--csv", cwd=folder)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    values = {row["name"]: row for row in rows if row["table"] == "metric"}
    assert float(values["accuracy_score"]["value"]) == (LOGITS.argmax(1) == LABELS).mean()
    assert {row["class"] for row in rows if row["table"] == "class"} == {
        "'=1+1",
        "<b>",
        "elk",
        "fox",
    }


def test_the_page_is_one_file_and_runs_nothing(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = lossheads("evaluate", "own.csv", *SAID, "--html", str(page), cwd=folder)
    assert done.returncode == 0, done.stderr
    text = page.read_text(encoding="utf-8")
    assert "<b>" not in text
    assert "&lt;b&gt;" in text
    assert not re.search(r"<script|https?://(?!www\.w3\.org)", text)
    assert text.count("<section") == 5
    assert "accuracy_<wbr>score" in text


def test_a_run_folder_says_itself_what_its_numbers_are(folder: Path) -> None:
    for run in sorted((folder / "outputs" / "runs").iterdir()):
        done = lossheads("evaluate", str(run), "--json", cwd=folder)
        assert done.returncode == 0, done.stderr
        data = json.loads(done.stdout)
        recorded = json.loads((run / "result.json").read_text())["history"][-1]["test"]
        for name, value in recorded["metrics"].items():
            if value is not None and name in data["metrics"]:
                assert data["metrics"][name]["value"] == pytest.approx(value, rel=1e-6), name


def test_compare_says_what_holds_here_and_what_for_new_examples(folder: Path) -> None:
    done = lossheads("compare", "A=a.npz", "B=b.npz", "--head", "softmax_cce", cwd=folder)
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    found = lh.compare(folder / "a.npz", folder / "b.npz", head="softmax_cce")
    verdict = found.pairs[0].verdict
    assert "On this test set B has" in text
    assert verdict.conclusion in ("better", "worse")
    assert f"On new examples B is {verdict.conclusion} than A" in text
    assert f"{verdict.low:+.4f} to {verdict.high:+.4f}" in text
    assert "another seed" in text
    data = json.loads(
        lossheads(
            "compare", "A=a.npz", "B=b.npz", "--head", "softmax_cce", "--json", cwd=folder
        ).stdout
    )
    assert data["pairs"][0]["verdict"]["conclusion"] == verdict.conclusion
    assert len(data["pairs"][0]["only_first"]) == len(found.pairs[0].only_first)


def test_runs_of_several_seeds_are_compared_as_recipes(folder: Path) -> None:
    runs = sorted((folder / "outputs" / "runs").iterdir())
    by_head: dict[str, list[str]] = {}
    for run in runs:
        head = json.loads((run / "result.json").read_text())["config"]["choices"]["head"]
        by_head.setdefault(head, []).append(str(run))
    words = [f"{head}={','.join(paths)}" for head, paths in by_head.items()]
    done = lossheads("compare", *words, "--metric", "nll_loss", "--csv", cwd=folder)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert {row["first"] for row in rows} == {next(iter(by_head))}
    (row,) = [row for row in rows if row["metric"] == "nll_loss"]
    assert row["conclusion"] in ("better", "worse", "undecided")


MISTAKES: list[tuple[list[str], list[str]]] = [
    (["evaluate", "own.csv"], ["--link softmax --given probabilities --outcome one_of"]),
    (["evaluate", "own.csv", "--head", "softmx_cce"], ["did you mean softmax_cce"]),
    (["evaluate", "nothing.npz", "--head", "softmax_cce"], ["nothing.npz"]),
    (["evaluate", "outputs"], ["no finished run in outputs"]),
    (["evaluate", "a.npz", "--head", "softmax_cce", "--cluster", "patients"], ["patient"]),
    (["evaluate", "a.npz", "--json", "--csv"], ["--json and --csv"]),
    (["evaluate", "a.npz", "--reject-recall", "most"], ["reject-recall"]),
    (["evaluate", "a.npz", "--pos-weight", "a,b"], ["pos-weight", "a,b"]),
    (
        ["evaluate", "a.npz", "--head", "softmax_cce", "--prevalence", "0.4,0.2,0.2,0.2"],
        ["prevalence", "--train-prevalence"],
    ),
    (["evaluate"], ["file"]),
    (["evaluate", "a.npz", "--head", "softmax_cce", "--html", "a.npz/page.html"], ["page.html"]),
    (["compare", "a.npz"], ["at least 2"]),
    (["compare", "a.npz", "tags.npz", "--head", "softmax_cce,sigmoid_bce"], ["OneOf", "AnyOf"]),
    (["compare", "a.npz", "b.npz", "--margin", "wide"], ["margin"]),
    (["compare", "a.npz", "b.npz", "--head", "softmax_cce", "--margin", "5"], ["margin", "5", "1"]),
    (["compare", "A=", "b.npz"], ["A="]),
    (["compar", "a.npz", "b.npz"], ["did you mean compare"]),
]


@pytest.mark.parametrize(("words", "named"), MISTAKES, ids=[" ".join(m[0]) for m in MISTAKES])
def test_a_mistake_is_one_sentence_and_status_2(
    words: list[str], named: list[str], folder: Path
) -> None:
    message = refusal(*words, cwd=folder)
    assert all(name in message for name in named), message


def test_clusters_widen_the_intervals(folder: Path) -> None:
    def width(*more: str) -> float:
        done = lossheads("evaluate", "a.npz", "--head", "softmax_cce", "--json", *more, cwd=folder)
        metric: dict[str, Any] = json.loads(done.stdout)["metrics"]["accuracy_score"]
        return float(metric["high"] - metric["low"])

    assert width("--cluster", "patient") != width()


@pytest.mark.parametrize("kind", [object, complex])
@pytest.mark.parametrize("name", ["own.npz", "own.npy"])
def test_arrays_that_are_no_numbers_are_refused_at_once(
    name: str, kind: type, tmp_path: Path
) -> None:
    logits = LOGITS.astype(kind)
    if name.endswith("z"):
        np.savez(tmp_path / name, logits=logits, labels=LABELS)
    else:
        np.save(tmp_path / name, logits, allow_pickle=True)
        np.save(tmp_path / "labels.npy", LABELS)
    words = [name, *SAID, *(["--labels", "labels.npy"] if name.endswith("y") else [])]
    message = refusal("evaluate", *words, cwd=tmp_path)
    assert name in message
    assert "number" in message
