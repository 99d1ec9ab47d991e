"""scikit-learn as an independent oracle, on plain, tied, one-class and empty-class data."""

import math

import numpy as np
import pytest
import torch
from sklearn import metrics as sk_metrics
from sklearn.calibration import calibration_curve

from lossheads.heads import GroupedCCE, PerLabelCCE, SigmoidBCE, SingleLogitBCE, SoftmaxCCE
from lossheads.metrics import measure
from lossheads.outcomes import AnyOf, EachOneOf, OneOf, Outcome
from lossheads.predictions import Predictions, predict

from .making import draw, from_logits

OUTCOMES: list[Outcome] = [OneOf(2), OneOf(10), AnyOf(5), EachOneOf(3, 4)]
DATA = ["plain", "tied", "one class", "empty class"]


def make(outcome: Outcome, data: str) -> Predictions:
    p = draw(outcome, n=400, seed=7, step=1.0 if data == "tied" else 0.0)
    if data == "one class":
        return from_logits(outcome, p.logits, torch.ones_like(p.labels))
    if data == "empty class":
        labels = p.labels.clone()
        if isinstance(outcome, AnyOf):
            labels[:, 0] = False
        else:
            labels[labels == 0] = 1
        return from_logits(outcome, p.logits, labels)
    return p


CASES = [
    pytest.param(make(outcome, data), id=f"{outcome}-{data}")
    for outcome in OUTCOMES
    for data in DATA
]


def columns(p: Predictions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels and decisions as 0/1 (N, K), and scores (N, K)."""
    labels, decisions = (
        p.outcome.indicators(x).flatten(1).numpy().astype(int) for x in (p.labels, p.decisions)
    )
    return labels, decisions, p.scores.flatten(1).numpy()


def variables(p: Predictions) -> list[tuple[np.ndarray, np.ndarray]]:
    """(labels, decisions) of each exclusive choice: one for OneOf, one per set, one per label."""
    labels = p.labels.reshape(len(p.labels), -1).numpy().astype(int)
    decisions = p.decisions.reshape(len(p.labels), -1).numpy().astype(int)
    return list(zip(labels.T, decisions.T, strict=True))


def same(got: list[float], expected: list[float]) -> None:
    assert got == pytest.approx(expected, abs=1e-12, nan_ok=True)


def per_column(p, compute):
    labels, decisions, scores = columns(p)
    return [compute(labels[:, k], decisions[:, k], scores[:, k]) for k in range(labels.shape[1])]


@pytest.mark.parametrize("p", CASES)
@pytest.mark.parametrize("name", ["precision_score", "recall_score", "f1_score"])
def test_decisions_per_class(p, name):
    oracle = getattr(sk_metrics, name)
    expected = per_column(p, lambda y, d, s: oracle(y, d, zero_division=math.nan))
    same(measure(p, full=False).per_class[name], expected)


@pytest.mark.parametrize("p", CASES)
def test_order_of_scores_per_class(p):
    def area(y, _, s):
        return sk_metrics.roc_auc_score(y, s) if 0 < y.sum() < len(y) else math.nan

    def precision(y, _, s):
        return sk_metrics.average_precision_score(y, s) if y.any() else math.nan

    seen = measure(p, full=True)
    same(seen.per_class["roc_auc_score"], per_column(p, area))
    same(seen.per_class["average_precision_score"], per_column(p, precision))
    gaps = sum(math.isnan(value) for value in seen.per_class["roc_auc_score"])
    assert seen.undefined.get("roc_auc_score", 0) == gaps


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rankings_go_on_where_scores_round_to_one(dtype):
    """Logits of 18 and more: their float32 sigmoid is 1. Classes 0 and 1 mirror each other."""
    random = np.random.default_rng(0)
    y = (random.random(400) < 0.4).astype(int)
    z = (18 + 6 * random.normal(size=400) + 6 * y).astype(np.float32)
    one = torch.from_numpy(z).to(dtype).unsqueeze(1)
    area = sk_metrics.roc_auc_score(y, z)
    precisions = [sk_metrics.average_precision_score(k == y, (2 * k - 1) * z) for k in (0, 1)]
    for head, logits in (
        (SingleLogitBCE(OneOf(2)), one),
        (SoftmaxCCE(OneOf(2)), torch.cat([-one / 2, one / 2], dim=1)),
        (SigmoidBCE(AnyOf(2)), torch.cat([-one, one], dim=1)),
        (PerLabelCCE(AnyOf(2)), torch.cat([one, -one, -one, one], dim=1) / 2),
        (GroupedCCE(EachOneOf(1, 2)), torch.cat([-one / 2, one / 2], dim=1)),
    ):
        labels = torch.from_numpy(y)
        if isinstance(head.outcome, AnyOf):
            labels = torch.stack([labels == 0, labels == 1], dim=1)
        if isinstance(head.outcome, EachOneOf):
            labels = labels.unsqueeze(1)
        found = measure(predict(head, logits, labels), full=True).per_class
        assert found["roc_auc_score"] == pytest.approx([area, area])
        assert found["average_precision_score"] == pytest.approx(precisions)


def test_order_of_labels_goes_on_where_scores_round_to_one():
    random = np.random.default_rng(0)
    y = random.random((200, 5)) < 0.4
    z = (25 + 3 * random.normal(size=y.shape) + 3 * y).astype(np.float32)
    y[:, 0], y[:, 1] = True, False  # every example has pairs
    found = measure(predict(SigmoidBCE(AnyOf(5)), torch.from_numpy(z), torch.from_numpy(y)), True)
    assert found.metrics["ranking_loss"] == pytest.approx(sk_metrics.label_ranking_loss(y, z))
    excess = sk_metrics.coverage_error(y, z) - y.sum(axis=1).mean()
    assert found.metrics["excess_coverage_error"] == pytest.approx(excess)


@pytest.mark.parametrize("p", CASES)
def test_scores_when_present_and_absent(p):
    def mean(values):
        return values.mean(dtype=np.float64) if len(values) else math.nan

    seen = measure(p, full=False)
    same(seen.per_class["score_when_present"], per_column(p, lambda y, d, s: mean(s[y == 1])))
    same(seen.per_class["score_when_absent"], per_column(p, lambda y, d, s: mean(s[y == 0])))


@pytest.mark.parametrize("p", CASES)
def test_accuracies(p):
    labels, decisions, scores = columns(p)
    seen = measure(p, full=False).metrics
    cells = sk_metrics.accuracy_score(labels.ravel(), (scores > 0.5).ravel())
    assert seen["elementwise_accuracy_score"] == pytest.approx(cells, abs=1e-12)
    assert seen["exact_match_score"] == pytest.approx(sk_metrics.accuracy_score(labels, decisions))
    assert seen["sklearn_accuracy_score"] == pytest.approx(
        sk_metrics.accuracy_score(labels, (scores > 0.5).astype(int))
    )
    shares = [sk_metrics.accuracy_score(y, d) for y, d in variables(p)]
    if isinstance(p.outcome, AnyOf):
        assert seen["hamming_loss"] == pytest.approx(sk_metrics.hamming_loss(labels, decisions))
    else:
        assert seen["accuracy_score"] == pytest.approx(np.mean(shares))


@pytest.mark.parametrize("p", CASES)
def test_means_over_classes(p):
    labels, decisions, _ = columns(p)
    seen = measure(p, full=False).metrics
    alive = np.flatnonzero((labels | decisions).any(axis=0))
    f1 = sk_metrics.f1_score(labels, decisions, labels=alive, average="macro")
    assert seen["macro_f1_score"] == pytest.approx(f1, abs=1e-12)
    if isinstance(p.outcome, AnyOf):
        pairs = [(y, d) for y, d in variables(p) if 0 < y.sum() < len(y)]
        recalls = [sk_metrics.recall_score(y, d, average="macro") for y, d in pairs]
    else:
        y, d = p.labels.flatten(), p.decisions.flatten()
        recalls = sk_metrics.recall_score(y, d, labels=np.unique(y), average=None)
        assert seen["worst_recall_score"] == pytest.approx(min(recalls), abs=1e-12)
    expected = np.mean(recalls) if len(recalls) else math.nan
    assert seen["balanced_accuracy_score"] == pytest.approx(expected, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("p", CASES)
def test_log_loss_and_brier_loss(p):
    labels = p.labels.reshape(len(p.labels), -1).numpy().astype(int)
    width = p.log_probs.shape[-1]
    probs = p.log_probs.exp().reshape(len(labels), -1, width).numpy()
    nll = [
        sk_metrics.log_loss(labels[:, i], probs[:, i], labels=range(width))
        for i in range(labels.shape[1])
    ]
    brier = [
        np.square(probs[:, i] - np.eye(width)[labels[:, i]]).sum(axis=1).mean()
        for i in range(labels.shape[1])
    ]
    seen = measure(p, full=False).metrics
    assert seen["nll_loss"] == pytest.approx(sum(nll), rel=1e-12)
    assert seen["brier_sum_loss"] == pytest.approx(np.mean(brier), rel=1e-12)


@pytest.mark.parametrize("outcome", [OneOf(2), AnyOf(1)], ids=str)
def test_brier_loss_of_two_events_is_twice_the_binary_one(outcome):
    p = draw(outcome)
    binary = sk_metrics.brier_score_loss(p.labels.flatten(), p.log_probs[..., 1].exp().flatten())
    assert measure(p, full=False).metrics["brier_sum_loss"] == pytest.approx(2 * binary, rel=1e-12)


@pytest.mark.parametrize("outcome", OUTCOMES, ids=str)
def test_calibration_error(outcome):
    p = draw(outcome, n=500, seed=3)
    probs = p.log_probs.exp()
    if isinstance(outcome, AnyOf):
        pairs = [(p.labels[:, k].numpy(), probs[:, k, 1].numpy()) for k in range(outcome.n)]
    else:
        right = (p.decisions == p.labels).flatten().numpy()
        pairs = [(right, probs.amax(dim=-1).flatten().numpy())]
    gaps = []
    for truth, confidence in pairs:
        share, mean = calibration_curve(truth, confidence, n_bins=15, strategy="uniform")
        counts, _ = np.histogram(confidence, bins=15, range=(0, 1))
        weights = counts[counts > 0] / len(confidence)
        gaps.append((np.abs(share - mean) * weights).sum())
    seen = measure(p, full=False).metrics["expected_calibration_error"]
    assert seen == pytest.approx(np.mean(gaps), rel=1e-9)
