"""Every fingerprint against the heads of the project, or the function of the library it names."""

import math
import re
from collections.abc import Callable

import pytest
import torch
from sklearn.metrics import log_loss
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from lossheads.decoding.decode import decode
from lossheads.decoding.facts import Facts, printed, read_facts
from lossheads.decoding.losses import (
    BATCHES,
    by_chance,
    catalogue,
    matches,
    solved_classes,
)
from lossheads.heads.binary import SingleLogitBCE, SingleLogitSoftmaxCCE
from lossheads.heads.functional import KERAS_EPSILON, clipped_cross_entropy
from lossheads.heads.multiclass import SigmoidBCE, SoftmaxBCE, SoftmaxCCE
from lossheads.heads.multilabel import MultilabelCCE
from lossheads.outcomes import AnyOf, OneOf

SURE = 1e4  # a logit at which float64 softmax and sigmoid are 0 and 1 exactly
N = 1200


class Case:
    """Labels with the shares of the facts, and what the fingerprints need of them."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.n = facts.classes or facts.labels or 2
        if facts.labels:
            k = round(facts.share_of_ones * self.n)
            # Every row has k of the labels, every label the same share.
            rows = [[(i + j) % self.n < k for j in range(self.n)] for i in range(self.n)]
            self.target = torch.tensor(rows).double()
            return
        shares = facts.prevalence or (1 / self.n,) * self.n
        if len(shares) == 1:
            shares = (1 - shares[0], shares[0])
        counts = [round(share * N) for share in shares]
        assert sum(counts) == N
        assert counts == pytest.approx([share * N for share in shares])
        self.shares = torch.tensor(shares, dtype=torch.float64)
        self.labels = torch.repeat_interleave(torch.arange(self.n), torch.tensor(counts))
        self.target = F.one_hot(self.labels, self.n).double()
        self.column = self.labels.double().unsqueeze(1)  # of two classes
        self.largest = int(self.shares.argmax())

    def zeros(self) -> Tensor:
        return torch.zeros_like(self.target)

    def one_class(self) -> Tensor:
        """The most frequent class for sure."""
        return F.one_hot(torch.full_like(self.labels, self.largest), self.n).double()

    def head(self, head, logits: Tensor, labels: Tensor) -> float:
        return head.loss(logits, head.encode(labels).to(logits.dtype)).mean().item()


def keras_bce(p: Tensor, target: Tensor) -> float:
    """Keras up to 2.3.1 and 3, in the precision it computes in."""
    return clipped_cross_entropy(p.float(), target.float(), KERAS_EPSILON).double().mean().item()


def tf_keras_bce(p: Tensor, target: Tensor) -> float:
    """tensorflow/python/keras/backend.py, binary_crossentropy of probabilities, in float32."""
    p, target = p.float().clamp(1e-7, 1 - 1e-7), target.float()
    cells = -(target * (p + 1e-7).log() + (1 - target) * (1 - p + 1e-7).log())
    return cells.double().mean().item()


def torch_bce(p: Tensor, target: Tensor) -> float:
    return F.binary_cross_entropy(p, target).item()


def keras_cce(p: Tensor, target: Tensor) -> float:
    p = p.float().clamp(KERAS_EPSILON, 1 - KERAS_EPSILON)
    return -(target.float() * p.log()).sum(dim=1).double().mean().item()


bce = F.binary_cross_entropy_with_logits
LIBRARIES = {"keras": keras_bce, "tf.keras 2": tf_keras_bce, "torch": torch_bce}
# The column of a single unit: sure of the truth is 1 for ones.
Computed = Callable[[Case], float]
OF_CELLS: dict[str, Computed] = {
    "half, bce mean": lambda c: bce(c.zeros(), c.target).item(),
    "half, bce sum": lambda c: bce(c.zeros(), c.target, reduction="none").sum(1).mean().item(),
    "half, mse sigmoid": lambda c: F.mse_loss(torch.sigmoid(c.zeros()), c.target).item(),
    "all wrong at the clip, cce": lambda c: keras_cce(
        torch.zeros(4, 3), torch.eye(3)[[0, 1, 2, 0]]
    ),
    "all wrong at the clamp, bce torch": lambda c: torch_bce(1 - c.target, c.target),
    "certain of the truth, cce keras float32": lambda c: keras_cce(torch.eye(3), torch.eye(3)),
    "nothing to lose, cce": lambda c: (
        SingleLogitSoftmaxCCE(OneOf(2)).loss(torch.randn(5, 1), torch.ones(5, 1)).mean().item()
    ),
    "perfect probabilities, nll": lambda c: F.nll_loss(torch.eye(3), torch.arange(3)).item(),
    "start, focal mean": lambda c: sigmoid_focal_loss(c.zeros(), c.target, reduction="mean").item(),
    "double sigmoid, bce mean floor": lambda c: bce(c.target, c.target).item(),
    "double sigmoid, bce sum floor": lambda c: c.n * bce(c.target, c.target).item(),
    "double sigmoid, bce mean start": lambda c: bce(torch.sigmoid(c.zeros()), c.target).item(),
    "double sigmoid, bce floor of ones": lambda c: bce(
        torch.sigmoid(torch.full((3,), SURE)), torch.ones(3)
    ).item(),
    "double sigmoid, bce floor of zeros": lambda c: bce(
        torch.sigmoid(torch.full((3,), -SURE)), torch.zeros(3)
    ).item(),
}
OF_CLASSES: dict[str, Computed] = {
    "uniform, cce": lambda c: c.head(SoftmaxCCE(OneOf(c.n)), c.zeros(), c.labels),
    "half, bce mean": lambda c: c.head(SigmoidBCE(OneOf(c.n), "mean"), c.zeros(), c.labels),
    "half, bce sum": lambda c: c.head(SigmoidBCE(OneOf(c.n)), c.zeros(), c.labels),
    "base rates, cce": lambda c: c.head(
        SoftmaxCCE(OneOf(c.n)), c.shares.log().expand_as(c.target), c.labels
    ),
    "base rates, bce mean": lambda c: c.head(
        SigmoidBCE(OneOf(c.n), "mean"), c.shares.logit().expand_as(c.target), c.labels
    ),
    "base rates, bce sum": lambda c: c.head(
        SigmoidBCE(OneOf(c.n)), c.shares.logit().expand_as(c.target), c.labels
    ),
    "double softmax, cce floor": lambda c: c.head(
        SoftmaxCCE(OneOf(c.n)), torch.softmax(SURE * c.target, 1), c.labels
    ),
    "double softmax, cce ceiling": lambda c: F.cross_entropy(
        torch.softmax(SURE * c.target.roll(1, 1), 1), c.labels
    ).item(),
    "double softmax, cce collapsed": lambda c: F.cross_entropy(
        torch.softmax(SURE * c.one_class(), 1), c.labels
    ).item(),
    "sigmoid before softmax, cce ceiling": lambda c: F.cross_entropy(
        torch.sigmoid(SURE * (0.5 - c.target)), c.labels
    ).item(),
    "softmax before sigmoid, bce mean start": lambda c: bce(
        torch.softmax(c.zeros(), 1), c.target
    ).item(),
    "one class at the clip, cce": lambda c: keras_cce(c.one_class(), c.target),
    "uniform probabilities, nll": lambda c: F.nll_loss(
        torch.softmax(c.zeros(), 1), c.labels
    ).item(),
    "start, multilabel cce": lambda c: (
        MultilabelCCE(AnyOf(c.n)).loss(c.zeros(), c.target).mean().item()
    ),
    "uniform, mse softmax": lambda c: F.mse_loss(torch.softmax(c.zeros(), 1), c.target).item(),
    **{
        f"none at the clip, bce mean {name}": lambda c, f=f: f(c.zeros(), c.target)
        for name, f in LIBRARIES.items()
    },
    **{
        f"one class at the clip, bce mean {name}": lambda c, f=f: f(c.one_class(), c.target)
        for name, f in LIBRARIES.items()
    },
}
OF_ONE_UNIT: dict[str, Computed] = {
    "base rates, bce": lambda c: c.head(
        SingleLogitBCE(OneOf(2)), c.shares[1:].logit().expand(N, 1), c.labels
    ),
    "double sigmoid, bce floor": lambda c: c.head(SingleLogitBCE(OneOf(2)), c.column, c.labels),
    "double sigmoid, bce start": lambda c: c.head(
        SingleLogitBCE(OneOf(2)), torch.sigmoid(0 * c.column), c.labels
    ),
    "relu before sigmoid, bce floor": lambda c: bce(
        F.relu(SURE * (2 * c.column - 1)), c.column
    ).item(),
    "one softmax unit, cce keras float32": lambda c: keras_cce(
        torch.softmax(c.column, 1), c.column
    ),
    "half, bce pos_weight": lambda c: c.head(
        SigmoidBCE(AnyOf(1), pos_weight=3.0), 0 * c.column, c.column > 0
    ),
    "base rates, bce pos_weight": lambda c: c.head(
        SigmoidBCE(AnyOf(1), pos_weight=3.0),
        (c.shares[1:].logit() + math.log(3)).expand(N, 1),
        c.column > 0,
    ),
    **{
        f"all zeros at the clip, bce {name}": lambda c, f=f: f(0 * c.column, c.column)
        for name, f in LIBRARIES.items()
    },
    **{
        f"all ones at the clip, bce {name}": lambda c, f=f: f(0 * c.column + 1, c.column)
        for name, f in LIBRARIES.items()
    },
}
OF_LABELS: dict[str, Computed] = {
    "half, bce mean": lambda c: c.head(SigmoidBCE(AnyOf(c.n), "mean"), c.zeros(), c.target > 0),
    "half, bce sum": lambda c: c.head(SigmoidBCE(AnyOf(c.n)), c.zeros(), c.target > 0),
    "base rates, bce mean": lambda c: bce(
        c.target.mean(0).logit().expand_as(c.target), c.target
    ).item(),
    "base rates, bce sum": lambda c: c.head(
        SigmoidBCE(AnyOf(c.n)), c.target.mean(0).logit().expand_as(c.target), c.target > 0
    ),
    "uniform, multi-hot cce": lambda c: F.cross_entropy(c.zeros(), c.target).item(),
    "floor, multi-hot cce": lambda c: F.cross_entropy(SURE * c.target, c.target).item(),
    "start, multilabel cce": lambda c: c.head(MultilabelCCE(AnyOf(c.n)), c.zeros(), c.target > 0),
    **{
        f"none at the clip, bce mean {name}": lambda c, f=f: f(c.zeros(), c.target)
        for name, f in LIBRARIES.items()
    },
}


def smoothed(name: str, case: Case) -> float:
    """The loss of a library at its optimum under label smoothing."""
    epsilon = float(re.match(r"smoothing ([\d.]+),", name)[1])
    if "bce" in name:
        target = torch.tensor([0.0, 1.0], dtype=torch.float64) * (1 - epsilon) + epsilon / 2
        return bce(target.logit(), target).item()
    target = torch.eye(case.n, dtype=torch.float64) * (1 - epsilon) + epsilon / case.n
    labels = torch.arange(case.n)
    return F.cross_entropy(target.log(), labels, label_smoothing=epsilon).item()


def certain_error(where: str) -> float:
    """What one certain error costs, by the library or the line of code that is named."""
    zero, one = torch.zeros(1, 1), torch.ones(1, 1)
    if where.startswith("log(p + "):
        return -math.log(0 + float(where.removeprefix("log(p + ").removesuffix(")")))
    return {
        "Caffe (smallest float32)": -math.log(torch.finfo(torch.float32).tiny),
        "scikit-learn (float64 epsilon)": log_loss([0, 0], [1.0, 1.0], labels=[0, 1]),
        "cce keras": keras_cce(torch.zeros(3, 3), torch.eye(3)),
        "bce keras, zeros for ones": keras_bce(zero, one),
        "bce keras, ones for zeros": keras_bce(one, zero),
        "bce tf.keras 2, zeros for ones": tf_keras_bce(zero, one),
        "bce tf.keras 2, ones for zeros": tf_keras_bce(one, zero),
        "bce torch": torch_bce(zero, one),
    }[where]


def computed(name: str, case: Case) -> float:
    """The value of a fingerprint, by other means than its formula."""
    found = re.fullmatch(r"(.*), (in bits|sum of (\d+)|over (\d+))", name)
    if found:
        plain = computed(found[1], case)
        if found[2] == "in bits":
            return plain / math.log(2)
        return plain * int(found[3]) if found[3] else plain / int(found[4])
    for start in ("all wrong, ", "certain errors, "):
        if name.startswith(start):
            share = 1.0 if start == "all wrong, " else 1 - case.facts.accuracy.value
            return share * certain_error(name.removeprefix(start))
    if name.startswith("smoothing"):
        return smoothed(name, case)
    table = OF_LABELS if case.facts.labels else {**OF_CLASSES, **OF_ONE_UNIT}
    return {**OF_CELLS, **table}[name](case)


KNOWN = [
    {"classes": 10},
    {"classes": 4, "prevalence": (0.5, 0.25, 0.15, 0.1)},
    {"classes": 2},
    {"classes": 2, "prevalence": 0.3, "pos_weight": 3},
    {"classes": 2, "units": 1, "prevalence": 0.05},
    {"classes": 3, "smoothing": 0.3, "batch": 7},
    {"classes": 2, "units": 1, "accuracy": "0.5081"},
    {"classes": 10, "accuracy": "0.1012"},
    {"labels": 20, "positives": 3},
    {"labels": 5, "prevalence": 0.2},
]


@pytest.mark.parametrize("known", KNOWN, ids=str)
def test_every_fingerprint_is_what_the_heads_and_the_libraries_compute(known):
    facts = read_facts({"loss": "1.0", **known})
    case, found = Case(facts), catalogue(facts)
    assert len({f.name for f in found}) == len(found) > 20
    for fingerprint in found:
        ours = computed(fingerprint.name, case)
        assert fingerprint.value == pytest.approx(ours, rel=2e-6, abs=1e-12), fingerprint.name


def test_every_formula_in_the_tables_is_some_fingerprint():
    names = {f.name for known in KNOWN for f in catalogue(read_facts({"loss": 1.0, **known}))}
    assert {*OF_CELLS, *OF_CLASSES, *OF_ONE_UNIT, *OF_LABELS} <= names


def test_a_softmax_over_equal_logits_costs_the_base_rates_under_bce():
    head = SoftmaxBCE(OneOf(10))
    ours = head.loss(torch.zeros(1, 10), head.encode(torch.tensor([3]))).item()
    assert (
        decode(loss=round(ours, 5), classes=10).loss[0].fingerprint.name == "base rates, bce mean"
    )


@pytest.mark.parametrize(
    ("known", "name"),
    [
        ({"loss": "2.303", "classes": 10}, "uniform, cce"),
        ({"loss": "1.4612", "classes": 10}, "double softmax, cce floor"),
        ({"loss": "5.9095", "classes": 1000}, "double softmax, cce floor"),
        ({"loss": "0.6931"}, "half, bce mean"),
        ({"loss": "6.931", "classes": 10}, "half, bce sum"),
        ({"loss": "0.3251", "classes": 10}, "base rates, bce mean"),
        ({"loss": "0.5003", "classes": 10, "smoothing": 0.1}, "smoothing 0.1, cce floor"),
        ({"loss": "87.3365"}, "all wrong, Caffe (smallest float32)"),
        ({"loss": "0.7437", "classes": 4}, "double softmax, cce floor"),
        ({"loss": "6.90776"}, "uniform, cce, C = 1000"),
        ({"loss": "16.118"}, "all wrong at the clip, cce"),
        ({"loss": "1.1921e-07"}, "certain of the truth, cce keras float32"),
        ({"loss": "7.6666", "classes": 2, "units": 1}, "all ones at the clip, bce tf.keras 2"),
        ({"loss": "-0.1000", "classes": 10}, "uniform probabilities, nll"),
        ({"loss": "73.68", "classes": 10}, "uniform, cce, sum of 32"),
        ({"loss": "3.3219", "classes": 10}, "uniform, cce, in bits"),
        ({"loss": "0.7241", "classes": 2, "units": 1}, "double sigmoid, bce start"),
    ],
    ids=str,
)
def test_numbers_that_people_print_are_recognised_first(known, name):
    assert decode(**known).loss[0].fingerprint.name == name


def test_an_accuracy_beside_it_explains_a_saturated_loss():
    """geeksmental.com, "Why does accuracy remain the same": ReLU as the last layer of Keras."""
    known = {"accuracy": "0.5081", "classes": 2, "units": 1}
    names = [m.fingerprint.name for m in decode(loss="7.9277", **known).loss]
    assert names == ["certain errors, cce keras", "certain errors, bce keras, zeros for ones"]
    (only,) = decode(loss=["7.9277", "bce"], **known).loss
    assert only.fingerprint.name == "certain errors, bce keras, zeros for ones"
    assert not decode(loss=["7.9400", "bce"], **known).loss


def test_one_number_with_several_causes_names_them_all():
    names = [match.fingerprint.name for match in decode(loss="0.6931", classes=2).loss]
    assert {"half, bce mean", "uniform, cce", "double sigmoid, bce floor of zeros"} <= set(names)


def test_the_number_of_classes_is_found_where_it_is_not_said():
    (found,) = decode(loss="4.60517").loss
    assert found.fingerprint.name == "uniform, cce, C = 100"
    assert decode(loss="2.302").loss[0].how == "cut"


def test_many_numbers_of_classes_say_nothing():
    assert not solved_classes(printed("9.2", "loss"), Facts())


def test_the_printed_digits_decide_what_matches():
    candidates = catalogue(read_facts({"loss": 1, "classes": 10}))
    for text, how in {
        "2.303": "rounded",
        "2.302": "cut",
        "2.304": None,
        "2.3026": "rounded",
    }.items():
        exact, _ = matches(printed(text, "loss"), candidates)
        assert {m.how for m in exact if m.fingerprint.name == "uniform, cce"} == {how} - {None}, (
            text
        )
    _, near = matches(printed("2.32", "loss"), candidates)
    assert near[0].fingerprint.name == "uniform, cce"


def test_the_loss_that_is_named_leaves_others_out():
    found = decode(loss=["0.6931", "categorical_crossentropy"], classes=2).loss
    names = [m.fingerprint.name for m in found]
    assert "uniform, cce" in names
    assert not any("bce" in name for name in names)


def test_chance_is_the_share_of_numbers_that_would_match():
    facts = read_facts({"loss": "2.303", "classes": 10})
    candidates = catalogue(facts)
    drawn = torch.rand(20_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = torch.tensor([f.value for f in candidates], dtype=torch.float64)
    drawn = 2 * 2.303 * drawn
    met = ((drawn[:, None] - values).abs() <= 0.0005).any(dim=1).double().mean().item()
    # Standard error of the drawn share: 0.0008.
    assert by_chance(facts.loss, candidates) == pytest.approx(met, abs=0.003)
    assert by_chance(printed("2.3", "loss"), candidates) > 0.2


def test_batches_that_are_said_are_the_only_ones_tried():
    names = [f.name for f in catalogue(read_facts({"loss": 1, "classes": 3, "batch": 7}))]
    assert "uniform, cce, sum of 7" in names
    assert not any(name.endswith(f"sum of {batch}") for name in names for batch in BATCHES)
