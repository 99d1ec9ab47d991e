"""What test examples move the metrics of a run: from its predictions, and only if they are its."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

import lossheads as lh
from lossheads.analysis.estimates import examples_of
from lossheads.evaluation.of_runs import influences
from lossheads.metrics.evaluate import measure
from lossheads.predictions import predict
from lossheads.predictions_file import read_predictions, write_predictions
from lossheads.records import Result, run_key
from lossheads.runs.config import compose
from lossheads.runs.executors.settings import placed
from lossheads.runs.folder import run_path

NAMES = (
    "accuracy_score",
    "macro_f1_score",
    "nll_loss",
    "macro_roc_auc_score",
    "fitted_temperature",
)
WORDS = [
    "dataset=digits",
    "head=sigmoid_bce",
    "model=linear",
    "training.epochs=10",
    "optimizer.lr=0.01",
    "recording.tensorboard=false",
    "recording.predictions=true",
    "device=cpu",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    words = [*WORDS, f"output_dir={tmp_path_factory.mktemp('out')}"]
    return compose(words), lh.train(words)


def folder_of(config):
    return run_path(placed(config))


def test_every_metric_asked_for_has_what_each_example_moves(trained):
    config, run = trained
    found = influences(config, run, NAMES)
    assert sorted(found) == sorted(NAMES)
    for name in NAMES:
        assert found[name].values.shape == (run.test.n,)
        assert found[name].values.sum() == pytest.approx(0, abs=1e-5)
    assert found["accuracy_score"].edge == run.test.n
    assert found["nll_loss"].edge == np.inf  # no share
    right = np.unpackbits(np.frombuffer(run.test.correct.packed, np.uint8))[: run.test.n]
    moved = (right - right.mean()) / run.test.n
    assert found["accuracy_score"].values == pytest.approx(moved, abs=1e-9)


def test_the_variance_is_that_of_test_sets_drawn_again(trained):
    """A bootstrap over the examples, of all metrics at once: another way to the same number."""
    config, run = trained
    saved = read_predictions(folder_of(config))
    head = lh.SigmoidBCE(lh.OneOf(10))
    logits, labels = torch.from_numpy(saved.logits), torch.from_numpy(saved.labels)
    generator = np.random.default_rng(0)
    seen = []
    for _ in range(200):
        rows = torch.from_numpy(generator.integers(0, len(labels), len(labels)))
        metrics = measure(predict(head, logits[rows], labels[rows]), full=True).metrics
        seen.append([metrics[name] for name in NAMES])
    found = influences(config, run, NAMES)
    for name, column in zip(NAMES, np.array(seen).T, strict=True):
        values = found[name].values.astype(float)
        variance = examples_of([values, values]).variance
        assert variance**0.5 == pytest.approx(column.std(), rel=0.25), name


def test_predictions_that_are_not_the_runs_are_not_used(trained, tmp_path):
    config, run = trained
    folder = folder_of(config)
    saved = read_predictions(folder)
    try:
        write_predictions(folder, replace(saved, examples_digest="of other examples"))
        assert influences(config, run, NAMES) == {}
        write_predictions(folder, replace(saved, logits=saved.logits[:, ::-1].copy()))
        assert influences(config, run, NAMES) == {}
        (folder / "predictions.npz").write_bytes(b"damaged")
        assert influences(config, run, NAMES) == {}
        (folder / "predictions.npz").unlink()
        assert influences(config, run, NAMES) == {}
    finally:
        write_predictions(folder, saved)
    assert influences(config, run, ["no_such_metric", "outliers/x/energy_auroc_score"]) == {}
    without = replace(run.kept, test=replace(run.test, correct=None))
    old: Result = replace(run, history=[*run.history[:-1], without])
    assert influences(config, old, NAMES) == {}


def test_a_run_with_a_class_of_the_users_own_is_found_by_its_own_key(trained, tmp_path):
    """Its key holds a digest of the class's file, which a claim's configuration does not know."""
    config, run = trained
    own = {**run.config, "content": {"head": "0123456789abcdef"}}
    shutil.copytree(folder_of(config), tmp_path / "runs" / f"digits-mine-s0-{run_key(own)}")
    found = influences({**config, "output_dir": str(tmp_path)}, replace(run, config=own), NAMES)
    assert sorted(found) == sorted(NAMES)


CLAIM = """\
source: {document: d.txt, framework: PyTorch 2}
says: A is better than B.
statement: On the test split A scores higher than B.
explanation: No reason known.
would_change: More seeds.
shared: {dataset: digits, model: linear, training.epochs: 1}
arms:
  a: {head: softmax_cce}
  b: {head: sigmoid_bce}
protocol: same_rate
seeds: 2
hypotheses:
  better: {metric: macro_f1_score, arms: [a, b], relation: greater, margin: 0.01}
  sure: {metric: accuracy_score, arms: [a, b], relation: greater, margin: 0.01}
verdict: {reproduced: [better, sure]}
"""


def test_a_claim_keeps_what_it_needs_and_says_where_older_runs_did_not(tmp_path):
    asked = tmp_path / "a-claim.yaml"
    asked.write_text(CLAIM)
    settings = ["device=cpu", f"output_dir={tmp_path / 'out'}"]
    for seed in (0, 1):
        lh.train(["dataset=digits", "model=linear", "training.epochs=1", f"seed={seed}", *settings])
    old = lh.run_claim(asked, overrides=settings)
    assert [found.covers for found in old.findings] == ["training", "training_and_examples"]
    (note,) = (note for note in old.notes if "training alone" in note)
    assert "2 runs kept no predictions" in note
    kept = sorted(path.parent.name for path in (tmp_path / "out").rglob("predictions.npz"))
    assert len(kept) == 2
    assert all("sigmoid_bce" in name for name in kept)
    new = lh.run_claim(asked, overrides=[*settings, "force=true"])
    assert [found.covers for found in new.findings] == ["training_and_examples"] * 2
    assert not any("training alone" in note for note in new.notes)
    again = lh.run_claim(asked, overrides=settings)
    assert [found.interval for found in again.findings] == [f.interval for f in new.findings]
