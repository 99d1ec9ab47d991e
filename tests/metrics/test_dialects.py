"""The table of dialects: its arithmetic against what the libraries print.

Recorded outputs in dialects_recorded are compared always, installed libraries where there are any.
"""

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from lossheads.dialects import DIALECTS, QUANTITIES, Setting
from lossheads.metrics.evaluate import ALL_METRICS
from lossheads.metrics.frameworks import (
    QUANTITY_METRICS,
    keras_2_3_accuracy,
    keras_3_accuracy,
    mean_of_batches,
    printed_argmax,
    printed_cells,
    printed_macro_recall,
    printed_numbers,
    setting_of,
)
from lossheads.outcomes import AnyOf, EachOneOf, OneOf

from .ask_libraries import CASES, LIBRARIES, SEEDS
from .dialect_cases import BY_KEY, ours, predictions
from .keras_cases import HEADS, train
from .keras_cases import predictions as keras_predictions
from .making import draw, one_unit

FOLDER = Path(__file__).parent / "dialects_recorded"
RECORDED = {path.stem: json.loads(path.read_text()) for path in FOLDER.glob("*.json")}
IMPORTED = {"scikit-learn": "sklearn", "pytorch-ignite": "ignite"}
SLOW = ("keras", "lightning", "fastai")


def agreements(said: dict, case: str) -> list[tuple[str, float, float]]:
    """(key, what the library printed, what we print) for every seed of a case."""
    return [
        (key, printed, ours(key, predictions(case, seed)))
        for seed, numbers in zip(SEEDS, said[case], strict=True)
        for key, printed in numbers.items()
    ]


def assert_agree(said: dict, case: str) -> None:
    # Libraries count in single precision: 41 examples, 5 classes, 1e-6 is the last bit but two.
    for key, printed, value in agreements(said, case):
        assert value == pytest.approx(printed, abs=1e-6), key


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    ("file", "library"),
    [(file, library) for file, libraries in RECORDED.items() for library in libraries],
)
def test_the_table_prints_what_the_libraries_printed(file, library, case):
    assert_agree(RECORDED[file][library]["said"], case)


def test_records_hold_every_dialect_that_can_be_asked():
    asked = {
        key.partition(", ")[0]
        for libraries in RECORDED.values()
        for record in libraries.values()
        for numbers in record["said"].values()
        for key in numbers[0]
    }
    elsewhere = {"keras-1.0.0", "keras-1.0.6", "tf.keras-1", "tf.keras-2.2"}  # keras_recorded
    by_source = {"evaluate-accuracy", "evaluate-accuracy-multilabel"}  # calls scikit-learn
    assert asked | elsewhere | by_source == set(BY_KEY)
    assert not asked & (elsewhere | by_source)


@cache
def ask(library: str, folder: Path) -> dict:
    out = folder / f"{library}.json"
    settings = {
        "KERAS_BACKEND": "torch",
        "KERAS_HOME": str(folder),
        "HOME": str(folder),  # fastai and Lightning write there
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    script = Path(__file__).with_name("ask_libraries.py")
    done = subprocess.run(
        [sys.executable, script, out, library],
        env=os.environ | settings, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(out.read_text())[library]["said"]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "library",
    [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in LIBRARIES],
)
def test_the_table_prints_what_the_installed_library_prints(library, case, tmp_path_factory):
    if find_spec(IMPORTED.get(library, library)) is None:
        pytest.skip(f"needs {library}")
    assert_agree(ask(library, tmp_path_factory.getbasetemp()), case)


def test_ties_and_halves_are_in_the_cases():
    for case in CASES:
        outputs = torch.stack([predictions(case, seed).framework_outputs for seed in SEEDS])
        ties = case.endswith("ties")
        assert ((outputs == 0.5).sum() > 20) == ties, case
        if ties and outputs.shape[-1] > 1:
            top = outputs.topk(2).values
            assert (top[..., 0] == top[..., 1]).sum() > 10


@pytest.mark.parametrize("outcome", [OneOf(4), AnyOf(4), EachOneOf(3, 4)], ids=str)
@pytest.mark.parametrize("loss", ["binary_crossentropy", "categorical_crossentropy"])
def test_the_metrics_of_keras_are_rows_of_the_table(outcome, loss):
    p = replace(draw(outcome), framework_loss=loss)
    for key, metric in (("keras-1.0.6", keras_2_3_accuracy), ("tf.keras-1", keras_2_3_accuracy),
                        ("keras-1.0.0", keras_3_accuracy), ("keras-2.4", keras_3_accuracy),
                        ("tf.keras-2.2", keras_3_accuracy)):  # fmt: skip
        quantity = QUANTITY_METRICS[BY_KEY[key].reads(setting_of(p))]
        assert quantity(p) == metric(p)
        assert quantity.baseline(p) == metric.baseline(p)


@pytest.mark.parametrize("case", list(HEADS))
def test_the_recorded_models_of_keras_are_rows_of_the_table(case):
    p = keras_predictions(case, train(case))
    for key, metric in (("keras-1.0.6", keras_2_3_accuracy), ("keras-2.4", keras_3_accuracy)):
        assert QUANTITY_METRICS[BY_KEY[key].reads(setting_of(p))](p) == metric(p)


def test_torchmetrics_cuts_logits_at_one_half_when_a_batch_lies_between_0_and_1():
    metric = pytest.importorskip("torchmetrics").Accuracy("binary")
    logits = torch.tensor([[0.2], [0.4], [0.9], [0.3]])
    labels = torch.tensor([1, 1, 1, 0])
    p = one_unit(logits[:, 0], labels)
    assert metric(logits, labels[:, None]).item() == 0.5
    assert QUANTITY_METRICS["raw_logit_cells"](p) == 0.5
    assert QUANTITY_METRICS["logit_cells"](p) == 0.75


def test_numbers_of_every_library_come_with_their_baselines():
    p = replace(draw(OneOf(10)), framework_loss="binary_crossentropy")
    numbers = {each.dialect.key: each for each in printed_numbers(p)}
    assert numbers["keras-1.0.6"].value == keras_2_3_accuracy(p)
    assert numbers["keras-1.0.6"].baseline == pytest.approx(keras_2_3_accuracy.baseline(p))
    assert numbers["keras-2.4"].quantity == "argmax"
    # Ten classes that occur equally often or not: a constant is right in one of ten recalls.
    assert numbers["torchmetrics-MulticlassAccuracy"].baseline == pytest.approx(0.1)
    for each in numbers.values():
        assert 0 <= each.value <= 1
        assert 0 <= each.baseline <= 1
    labels = {each.dialect.key for each in printed_numbers(draw(AnyOf(4)))}
    assert "torchmetrics-MultilabelExactMatch" in labels
    assert "sklearn-balanced" not in labels
    assert [each.quantity for each in printed_numbers(draw(EachOneOf(2, 3)))]


@pytest.mark.parametrize("quantity", list(QUANTITIES))
def test_no_constant_prediction_beats_the_baseline(quantity):
    """Every constant row of outputs 0 or 1, and every constant class."""
    for case in ("classes", "few classes occur", "labels"):
        p = predictions(case, 0)
        metric = QUANTITY_METRICS[quantity]
        if not metric.is_defined_for(p) or quantity == "twice_sigmoid_cells":
            continue
        reached = []
        for number in range(32):
            row = torch.tensor([(number >> k) & 1 for k in range(5)]).float()
            constant = row.expand_as(p.framework_outputs)
            reached.append(metric(replace(p, framework_outputs=constant, logits=4 * constant - 2)))
        if quantity.startswith("mean_iou"):  # a guess is better, see test_baselines
            assert max(reached) < metric.baseline(p)
        else:
            assert max(reached) == pytest.approx(metric.baseline(p), abs=1e-6)


def test_means_of_batches_are_exact_for_shares_alone():
    p = predictions("classes", 0)
    for metric in (printed_argmax, printed_cells):
        assert mean_of_batches(metric, p, 8) == pytest.approx(metric(p), abs=1e-12)
        assert mean_of_batches(metric, p, 8, weighted=False) != pytest.approx(metric(p), abs=1e-4)
    macro = mean_of_batches(printed_macro_recall, p, 8)
    assert abs(macro - printed_macro_recall(p)) > 0.01


def test_runs_measure_what_they_did():
    names = {metric.name for metric in ALL_METRICS}
    assert not names & {metric.name for metric in QUANTITY_METRICS.values()}


def test_keys_are_unique_and_every_rule_has_a_source():
    assert len(BY_KEY) == len(DIALECTS)
    settings = [
        Setting(kind, unit, loss, ends)
        for kind in ("one_of", "any_of", "each_one_of")
        for unit in (True, False)
        for loss in ("binary_crossentropy", "categorical_crossentropy")
        for ends in ("probabilities", "logits")
    ]
    for dialect in DIALECTS:
        assert dialect.source
        read = {dialect.reads(setting) for setting in settings} - {None}
        assert read
        assert read <= set(QUANTITIES)
