"""Metrics that bear a library's or a paper's name give its value; others say how they differ."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn import metrics as sk_metrics

from lossheads.metrics import (
    brier_sum_loss,
    expected_calibration_error,
    hamming_loss,
    nll_loss,
)
from lossheads.outcomes import AnyOf, EachOneOf, OneOf
from lossheads.predictions import Predictions

from .making import draw, from_logits

ANY = [AnyOf(1), AnyOf(4)]
EACH = [EachOneOf(1, 3), EachOneOf(3, 4)]


def probabilities(p: Predictions) -> np.ndarray:
    return p.log_probs.exp().numpy()


@pytest.mark.parametrize("outcome", ANY, ids=str)
def test_hamming_loss_of_labels_is_scikit_learns(outcome):
    p = draw(outcome)
    expected = sk_metrics.hamming_loss(p.labels.numpy(), p.decisions.numpy())
    assert hamming_loss(p) == pytest.approx(expected)
    assert 0 < expected < 0.5


@pytest.mark.parametrize("outcome", EACH, ids=str)
def test_hamming_loss_of_groups_is_scikit_learns_of_all_groups_in_one_row(outcome):
    p = draw(outcome)
    expected = sk_metrics.hamming_loss(p.labels.numpy().ravel(), p.decisions.numpy().ravel())
    assert hamming_loss(p) == pytest.approx(expected)


@pytest.mark.parametrize("outcome", [AnyOf(4, soft=True), EachOneOf(3, 4, soft=True)], ids=str)
def test_hamming_loss_hardens_soft_labels(outcome):
    p = draw(outcome)
    hard = replace(p, outcome=replace(outcome, soft=False), labels=outcome.hard(p.labels))
    assert hamming_loss(p) == hamming_loss(hard)


def published_ece(confidence: np.ndarray, correct: np.ndarray, bins: int = 15) -> float:
    """Guo et al. (2017), equations 2, 3 and 5: bins (m - 1, m] / M, sum |B| / n |acc - conf|."""
    total = 0.0
    for m in range(1, bins + 1):
        members = [i for i in range(len(confidence)) if (m - 1) / bins < confidence[i] <= m / bins]
        if members:
            accuracy = sum(correct[i] for i in members) / len(members)
            mean = sum(confidence[i] for i in members) / len(members)
            total += len(members) / len(confidence) * abs(accuracy - mean)
    return total


@pytest.mark.parametrize("outcome", [OneOf(2), OneOf(4)], ids=str)
def test_calibration_error_of_classes_is_the_published_top_label_one(outcome):
    p = draw(outcome, n=500)
    confidence = probabilities(p).max(axis=1)
    correct = (p.decisions == p.labels).numpy()
    assert expected_calibration_error(p) == pytest.approx(published_ece(confidence, correct))
    assert expected_calibration_error(p) > 0.01


@pytest.mark.parametrize("outcome", ANY, ids=str)
def test_calibration_error_of_labels_is_the_mean_of_the_published_binary_one(outcome):
    p = draw(outcome, n=500)
    present = probabilities(p)[..., 1]
    each = [published_ece(present[:, k], p.labels[:, k].numpy()) for k in range(outcome.n)]
    assert expected_calibration_error(p) == pytest.approx(sum(each) / len(each))


@pytest.mark.parametrize("outcome", EACH, ids=str)
def test_calibration_error_of_groups_pools_their_decisions(outcome):
    p = draw(outcome, n=300)
    confidence = probabilities(p).max(axis=-1).ravel()
    correct = (p.decisions == p.labels).numpy().ravel()
    assert expected_calibration_error(p) == pytest.approx(published_ece(confidence, correct))


def test_calibration_error_counts_a_soft_label_by_the_share_of_the_decided_class():
    p = draw(OneOf(3, soft=True), n=300)
    share = p.labels.gather(1, p.decisions.unsqueeze(1)).squeeze(1).numpy()
    expected = published_ece(probabilities(p).max(axis=1), share)
    assert expected_calibration_error(p) == pytest.approx(expected)


def test_a_confidence_on_an_inner_edge_joins_the_bin_above():
    """At 0.6 = 9 / 15 the published bin is the one below; elsewhere both agree."""
    two = torch.tensor([[0.6, 0.4], [0.62, 0.38]], dtype=torch.float64)
    p = draw(OneOf(2), n=2)
    p = replace(p, labels=torch.tensor([0, 1]), log_probs=two.log(), decisions=torch.tensor([0, 0]))
    assert expected_calibration_error(p) == pytest.approx(abs((1 + 0) / 2 - 0.61))
    published = published_ece(np.array([0.6, 0.62]), np.array([1, 0]))
    assert published == pytest.approx((0.4 + 0.62) / 2)


@pytest.mark.parametrize("outcome", [OneOf(2), OneOf(4)], ids=str)
def test_nll_of_classes_is_scikit_learns_log_loss(outcome):
    p = draw(outcome)
    expected = sk_metrics.log_loss(
        p.labels.numpy(), probabilities(p), labels=list(range(outcome.n))
    )
    assert nll_loss(p) == pytest.approx(expected)


def test_nll_is_infinite_where_log_loss_clips():
    p = draw(OneOf(2), n=2)
    log_probs = torch.tensor([[0.0, -math.inf], [-math.inf, 0.0]], dtype=torch.float64)
    p = replace(p, labels=torch.tensor([1, 1]), log_probs=log_probs)
    assert nll_loss(p) == math.inf
    assert math.isfinite(sk_metrics.log_loss([1, 1], log_probs.exp().numpy(), labels=[0, 1]))


def test_nll_of_labels_and_groups_is_a_sum_of_log_losses():
    p = draw(AnyOf(4))
    present = probabilities(p)[..., 1]
    each = [sk_metrics.log_loss(p.labels[:, k].numpy(), present[:, k]) for k in range(4)]
    assert nll_loss(p) == pytest.approx(sum(each))
    p = draw(EachOneOf(3, 4))
    each = [
        sk_metrics.log_loss(p.labels[:, g].numpy(), probabilities(p)[:, g], labels=list(range(4)))
        for g in range(3)
    ]
    assert nll_loss(p) == pytest.approx(sum(each))


def one_against_the_rest(labels: torch.Tensor, shares: np.ndarray) -> float:
    """scikit-learn's brier_score_loss of every class, summed: its value for a matrix of classes."""
    classes = range(shares.shape[1])
    return sum(sk_metrics.brier_score_loss(labels.numpy() == k, shares[:, k]) for k in classes)


def test_brier_sum_of_classes_sums_scikit_learns_over_classes():
    many = draw(OneOf(4))
    assert brier_sum_loss(many) == pytest.approx(
        one_against_the_rest(many.labels, probabilities(many))
    )
    two = draw(OneOf(2))
    expected = sk_metrics.brier_score_loss(two.labels.numpy(), probabilities(two)[:, 1])
    assert brier_sum_loss(two) == pytest.approx(2 * expected)


@pytest.mark.parametrize("outcome", ANY, ids=str)
def test_brier_sum_of_labels_is_twice_the_mean_of_scikit_learns(outcome):
    p = draw(outcome)
    present = probabilities(p)[..., 1]
    each = [
        sk_metrics.brier_score_loss(p.labels[:, k].numpy(), present[:, k]) for k in range(outcome.n)
    ]
    assert brier_sum_loss(p) == pytest.approx(2 * sum(each) / len(each))


def test_brier_sum_of_groups_is_their_mean():
    p = draw(EachOneOf(3, 4))
    each = [one_against_the_rest(p.labels[:, g], probabilities(p)[:, g]) for g in range(3)]
    assert brier_sum_loss(p) == pytest.approx(sum(each) / 3)


def test_certain_predictions_of_the_wrong_class_have_the_largest_brier_sum():
    logits = torch.tensor([[800.0, 0.0]])
    assert brier_sum_loss(from_logits(OneOf(2), logits, torch.tensor([1]))) == pytest.approx(2.0)
