"""What is feasible behind a printed accuracy: by enumeration, and by search over predictions."""

import itertools
import json
import math
import re
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from lossheads.decoding.accuracy import (
    FEW_WRONG_CELLS,
    argmax_to_cells,
    cells_to_argmax,
    likely_argmax,
    loss_bounds_argmax,
)
from lossheads.decoding.decode import decode
from lossheads.dialects import DIALECTS, QUANTITIES, parse_framework
from lossheads.errors import UserError

REFERENCE = Path(__file__).parents[2] / "outputs" / "reference"


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def examples(classes: int, last_layer: str) -> set[tuple[int, bool]]:
    """(wrong cells, argmax right) of single examples whose outputs lie on a grid; true class 0.

    Ties at the top are left out: they are broken by the order of the classes.
    """
    if last_layer == "sigmoid":
        grid = itertools.product((0.1, 0.2, 0.6, 0.7), repeat=classes)
    else:
        parts = itertools.product(range(11), repeat=classes)
        grid = (tuple(x / 10 for x in p) for p in parts if sum(p) == 10)
    found = set()
    for outputs in grid:
        top = max(outputs)
        if outputs.count(top) == 1:
            wrong = sum((x > 0.5) != (k == 0) for k, x in enumerate(outputs))
            found.add((wrong, outputs[0] == top))
    return found


@pytest.mark.parametrize("last_layer", ["sigmoid", "softmax"])
@pytest.mark.parametrize("classes", [2, 3, 4])
def test_the_bounds_are_reached_and_never_passed(classes, last_layer):
    """Every multiset of six examples that differ in what they contribute."""
    n, ends = 6, {}
    for rows in itertools.combinations_with_replacement(examples(classes, last_layer), n):
        wrong, right = sum(w for w, _ in rows), sum(r for _, r in rows)
        ends.setdefault(wrong, []).append(right / n)
    assert len(ends) > n
    for wrong, found in ends.items():
        b = 1 - wrong / (n * classes)
        low, high = cells_to_argmax(b, b, classes, last_layer)
        # With n examples only multiples of 1 / n are reached.
        assert min(found) == pytest.approx(math.ceil(n * low - 1e-9) / n)
        assert max(found) == pytest.approx(math.floor(n * high + 1e-9) / n)
        for a in found:
            low, high = argmax_to_cells(a, classes, last_layer)
            assert low - 1e-12 <= b <= high + 1e-12


@pytest.mark.parametrize("last_layer", ["sigmoid", "softmax"])
def test_random_predictions_lie_inside(last_layer):
    g = generator()
    for _ in range(300):
        classes = int(torch.randint(2, 12, (), generator=g))
        scale = 4 * torch.rand((), generator=g)
        labels = torch.randint(classes, (50,), generator=g)
        logits = scale * torch.randn(50, classes, generator=g)
        logits = logits + 3 * torch.rand((), generator=g) * F.one_hot(labels, classes)
        outputs = logits.softmax(1) if last_layer == "softmax" else logits.sigmoid()
        b = ((outputs > 0.5) == F.one_hot(labels, classes).bool()).double().mean().item()
        a = (logits.argmax(1) == labels).double().mean().item()
        low, high = cells_to_argmax(b, b, classes, last_layer)
        assert low - 1e-9 <= a <= high + 1e-9
        low, high = cells_to_argmax(b, b, classes)
        assert low - 1e-9 <= a <= high + 1e-9


def test_a_softmax_cannot_print_little():
    with pytest.raises(ValueError, match="2 wrong cells"):
        cells_to_argmax(0.7, 0.7, 10, "softmax")
    (found,) = decode(accuracy="0.7", classes=10, metric="binary_accuracy", last_layer="softmax",
                      loss="bce").accuracy[:1]  # fmt: skip
    assert found.impossible


def reference_points() -> list[tuple[float, float, float]]:
    """(wrong cells per example, likely, true) at every validation step of the reference runs."""
    points = []
    for path in REFERENCE.glob("bce-*/verdict.json"):
        for arm, record in json.loads(path.read_text())["arms"].items():
            curves = record["curves"]
            if "elementwise_accuracy_score" not in curves:
                continue
            sized = re.search(r"-(\d+)/", arm)
            classes = int(sized[1]) if sized else 10
            if classes == 2:  # b = a: nothing to guess
                continue
            cells = dict(curves["elementwise_accuracy_score"])
            for step, a in curves["accuracy_score"]:
                likely = likely_argmax(cells[step], classes)
                if likely is not None:
                    points.append((classes * (1 - cells[step]), likely, a))
    return points


def test_the_likely_value_errs_as_little_as_the_sentence_says():
    points = reference_points()
    assert len(points) > 100
    few = [abs(likely - a) for wrong, likely, a in points if wrong <= 0.2]
    every = [abs(likely - a) for _, likely, a in points]
    assert max(few) <= 0.014
    assert max(every) <= 0.087
    said = decode(accuracy="0.9728", classes=10, metric="binary_accuracy").accuracy[0].assumption
    assert "1.4 points" in said
    assert "8.7" in said


def test_an_under_trained_network_gets_no_likely_value():
    assert likely_argmax(1 - 0.99 * FEW_WRONG_CELLS / 10, 10) is not None
    assert likely_argmax(0.9, 10) is None
    (found,) = decode(accuracy="0.9000", classes=10, framework="keras-2.2", loss="bce").accuracy
    assert found.likely is None
    assert any("baseline" in note for note in found.notes)


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "binary_crossentropy"])
def test_a_loss_bounds_the_argmax_accuracy(loss):
    g, tightest = generator(1), 1.0
    for _ in range(2000):
        classes = int(torch.randint(2, 8, (), generator=g))
        labels = torch.randint(classes, (4,), generator=g)
        logits = 4 * torch.rand((), generator=g) * torch.randn(4, classes, generator=g)
        target = F.one_hot(labels, classes).float()
        if loss == "categorical_crossentropy":
            value = F.cross_entropy(logits, labels).item()
        else:
            value = F.binary_cross_entropy_with_logits(logits, target).item()
        a = (logits.argmax(1) == labels).double().mean().item()
        bound = loss_bounds_argmax(value, loss, classes)
        assert bound <= a + 1e-6
        tightest = min(tightest, a - bound)
    # Two equal halves, nearly: the bound is reached.
    half = torch.tensor([[0.0, 1e-6] + [-60.0] * 3], dtype=torch.float64)
    if loss == "categorical_crossentropy":
        value = F.cross_entropy(half, torch.tensor([0])).item()
    else:
        value = F.binary_cross_entropy_with_logits(half, F.one_hot(torch.tensor([0]), 5).double())
        value = value.item()
    assert loss_bounds_argmax(value, loss, 5) == pytest.approx(0, abs=1e-5)


def test_the_puzzle_is_decoded():
    found = decode(accuracy="0.9728", classes=10, framework="keras-2.2", loss="binary_crossentropy")
    (reading,) = found.accuracy
    assert reading.quantity == "cells"
    assert reading.baseline == pytest.approx(0.9)
    assert reading.skill == pytest.approx(0.728)
    assert reading.argmax == pytest.approx((1 - 10 * (1 - 0.97275), 1.0))
    assert reading.likely == pytest.approx(0.864)


@pytest.mark.parametrize(
    ("framework", "loss", "quantities"),
    [
        ("keras-1.0.5", "binary_crossentropy", {"argmax"}),
        ("keras-2.2.4", "binary_crossentropy", {"cells"}),
        ("keras-2.2.4", "categorical_crossentropy", {"argmax"}),
        ("keras 2.3.1", None, {"cells", "argmax"}),
        ("keras-2", "binary_crossentropy", {"cells", "argmax"}),
        ("keras-2.15", "binary_crossentropy", {"argmax"}),
        ("keras==3.15.1", "binary_crossentropy", {"argmax"}),
        ("tf.keras-2.1", "binary_crossentropy", {"cells"}),
        ("tensorflow-2.2.0", "binary_crossentropy", {"argmax"}),
        ("tf-2", "binary_crossentropy", {"cells", "argmax"}),
        ("torchmetrics", None, {"argmax", "macro_recall"}),
        ("sklearn", None, {"argmax", "rows"}),
        ("fastai", None, {"argmax", "logit_cells"}),
    ],
)
def test_the_version_decides_the_quantity(framework, loss, quantities):
    given = {"loss": loss} if loss else {}
    found = decode(accuracy="0.9", classes=10, framework=framework, **given)
    assert {reading.quantity for reading in found.accuracy} == quantities


def test_labels_were_elementwise_before_tf_keras_2_2():
    old, new = (
        decode(accuracy="0.96", labels=20, positives=0.8, framework=f, loss="bce").accuracy[0]
        for f in ("tf.keras-2.1", "tf.keras-2.2")
    )
    assert (old.quantity, new.quantity) == ("cells", "argmax")
    assert old.baseline == pytest.approx(0.96)
    assert old.skill == pytest.approx(0, abs=1e-9)
    assert old.exact_match == pytest.approx((1 - 20 * (1 - 0.955), 0.965))


def test_exact_matches_behind_cells_of_labels_are_reached():
    g = generator(2)
    for _ in range(200):
        cells = torch.rand(40, 6, generator=g) < torch.rand((), generator=g)
        b, exact = cells.double().mean().item(), cells.all(1).double().mean().item()
        text = repr(b)
        low, high = (
            decode(accuracy=text, labels=6, metric="binary_accuracy").accuracy[0].exact_match
        )
        assert low - 1e-9 <= exact <= high + 1e-9
    one_wrong = decode(accuracy="0.900000", labels=10, metric="binary_accuracy").accuracy[0]
    assert one_wrong.exact_match == pytest.approx((0.0, 0.9), abs=1e-5)


def test_mean_recall_leaves_a_range_for_the_accuracy():
    shares = (0.7, 0.2, 0.1)
    (found,) = decode(accuracy="0.5000000", classes=3, prevalence=shares,
                      metric="MulticlassAccuracy").accuracy  # fmt: skip
    g = generator(3)
    reached = []
    for _ in range(4000):
        recalls = torch.rand(3, generator=g, dtype=torch.float64)
        recalls = recalls * 1.5 / recalls.sum()
        if recalls.max() <= 1:
            reached.append((recalls * torch.tensor(shares)).sum().item())
    low, high = found.argmax
    assert low == pytest.approx(0.1 + 0.5 * 0.2)
    assert high == pytest.approx(0.7 + 0.5 * 0.2)
    assert low - 1e-6 <= min(reached) <= low + 0.05
    assert high - 0.05 <= max(reached) <= high + 1e-6
    assert found.baseline == pytest.approx(1 / 3)


def test_a_single_softmax_unit_is_recognised():
    (found,) = decode(accuracy="0.35", classes=2, units=1, last_layer="softmax",
                      framework="keras-2.2", loss="binary_crossentropy").accuracy  # fmt: skip
    assert found.likely == pytest.approx(0.35)
    assert "share of ones" in found.assumption


def test_counts_of_examples_rule_quantities_out():
    found = decode(accuracy="0.9728", classes=10, examples=250)
    possible = {reading.quantity for reading in found.accuracy if not reading.impossible}
    # 0.9728 of 250 is 243.2, of 2,500 cells 2,432.
    assert "cells" in possible
    assert not possible & {"argmax", "rows"}
    assert found.accuracy[0].argmax[0] * 250 == pytest.approx(182)


def test_accuracy_and_loss_of_one_line_can_contradict():
    found = decode(accuracy="0.80", loss=["0.05", "cce"], classes=10, framework="keras-3")
    assert found.accuracy[0].impossible
    assert "contradicted" in found.consistency[0]
    # 2 % of the cells wrong cost at least 0.02 ln 2 = 0.0139.
    for loss, possible in (("0.0130", False), ("0.0150", True)):
        (cells,) = decode(accuracy="0.9800", loss=[loss, "bce"], classes=10,
                          framework="keras-2.2").accuracy  # fmt: skip
        assert bool(cells.impossible) != possible


def test_a_loss_narrows_what_is_feasible():
    facts = {"accuracy": "0.9800", "classes": 10, "framework": "keras-2.2"}
    (alone,) = decode(**facts, loss="bce").accuracy
    (both,) = decode(**facts, loss=["0.0150", "bce"]).accuracy
    assert both.argmax[0] > alone.argmax[0]
    assert both.argmax[0] == pytest.approx(1 - 0.01505 * 10 / (2 * math.log(2)))


def test_every_dialect_reads_quantities_that_are_explained():
    for dialect in DIALECTS:
        assert parse_framework(dialect.library.lower().removeprefix("hf "))[0] == dialect.library
    for quantity in QUANTITIES:
        assert decode(accuracy=0.5, metric="macro").accuracy[0].what == QUANTITIES["macro_recall"]
        assert QUANTITIES[quantity]


@pytest.mark.parametrize("text", ["keres-2.2", "", "2.2", "tf.keras2.2.x.y!"])
def test_an_unknown_library_is_refused(text):
    with pytest.raises(UserError, match="framework"):
        parse_framework(text)
