"""Accuracies by hand, and the identity that makes the puzzle."""

import math
from dataclasses import replace

import pytest
import torch

from lossheads.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    elementwise_accuracy_score,
    exact_match_score,
    f1_score,
    hamming_loss,
    macro_f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
    score_when_absent,
    score_when_present,
)
from lossheads.outcomes import AnyOf, EachOneOf, OneOf, Outcome

from .making import draw, from_logits, from_scores, one_unit, rows


@pytest.mark.parametrize("outcome", [OneOf(2), OneOf(10), AnyOf(5), EachOneOf(3, 4)], ids=str)
def test_elementwise_accuracy_is_one_minus_wrong_cells_over_all_cells(outcome: Outcome):
    p = draw(outcome)
    wrong = ((p.scores > 0.5).float() != outcome.indicators(p.labels)).flatten(1).sum(dim=1)
    expected = 1 - wrong.double().mean().item() / p.scores[0].numel()
    assert elementwise_accuracy_score(p) == pytest.approx(expected, abs=1e-12)


def test_ninety_percent_by_argmax_prints_ninety_eight_by_cells():
    labels = torch.arange(10).repeat(10)
    answers = labels.clone()
    answers[:10] = (labels[:10] + 1) % 10
    sure = from_logits(OneOf(10), 40 * OneOf(10).indicators(answers), labels)
    assert accuracy_score(sure) == pytest.approx(0.90)
    assert elementwise_accuracy_score(sure) == pytest.approx(1 - 2 * 0.10 / 10)


@pytest.mark.parametrize("outcome", [OneOf(4), EachOneOf(2, 5)], ids=str)
def test_accuracy_by_cells_bounds_accuracy_by_argmax_from_below(outcome):
    for seed in range(20):
        p = draw(outcome, n=30, seed=seed)
        bound = 1 - outcome.n * (1 - elementwise_accuracy_score(p))
        assert accuracy_score(p) >= bound - 1e-12


def test_exactly_one_half_is_negative():
    p = from_scores(AnyOf(2), rows([0.5, 0.5]), torch.tensor([[True, False]]))
    assert elementwise_accuracy_score(p) == 0.5
    above = torch.nextafter(torch.tensor(0.5), torch.tensor(1.0))
    p = from_scores(AnyOf(2), above.expand(1, 2), torch.tensor([[True, False]]))
    assert elementwise_accuracy_score(p) == 0.5
    assert score_when_present(p)[0] > 0.5


def test_sets_are_right_one_by_one_and_all_together():
    labels = torch.tensor([[0, 1], [2, 2], [1, 0]])
    decided = torch.tensor([[0, 1], [2, 0], [0, 1]])
    outcome = EachOneOf(2, 3)
    p = from_logits(outcome, 5 * outcome.indicators(decided).flatten(1), labels)
    assert accuracy_score(p) == pytest.approx(3 / 6)
    assert exact_match_score(p) == pytest.approx(1 / 3)
    assert hamming_loss(p) == pytest.approx(3 / 6)


def test_labels_are_right_one_by_one_and_all_together():
    labels = torch.tensor([[True, False, False], [True, True, False]])
    p = from_scores(AnyOf(3), rows([0.9, 0.2, 0.1], [0.9, 0.3, 0.8]), labels)
    assert exact_match_score(p) == 0.5
    assert hamming_loss(p) == pytest.approx(2 / 6)
    assert recall_score(p)[:2] == [1.0, 0.0]
    assert precision_score(p)[0] == 1.0
    assert math.isnan(precision_score(p)[1])
    assert precision_score(p)[2] == 0.0
    assert math.isnan(recall_score(p)[2])
    assert f1_score(p) == [1.0, 0.0, 0.0]
    assert macro_f1_score(p) == pytest.approx(1 / 3)


def test_a_class_neither_present_nor_named_has_no_f1():
    p = from_scores(AnyOf(2), rows([0.9, 0.1], [0.1, 0.2]), torch.tensor([[True, False]] * 2))
    assert f1_score(p)[0] == pytest.approx(2 / 3)
    assert math.isnan(f1_score(p)[1])
    assert macro_f1_score(p) == pytest.approx(2 / 3)


def test_balanced_accuracy_does_not_reward_the_common_class():
    labels = torch.tensor([0] * 9 + [1])
    p = from_logits(OneOf(2), rows([1.0, 0.0]).expand(10, 2), labels)
    assert accuracy_score(p) == pytest.approx(0.9)
    assert balanced_accuracy_score(p) == pytest.approx(0.5)


def test_one_unit_and_two_units_with_the_same_logit_difference_agree():
    labels = torch.tensor([0, 1, 1, 0, 1])
    z = torch.tensor([-2.0, 0.5, -0.3, 1.0, 3.0])
    one = one_unit(z, labels)
    two = from_logits(OneOf(2), torch.stack([-z / 2, z / 2], dim=1), labels)
    for metric in (accuracy_score, elementwise_accuracy_score, macro_f1_score):
        assert metric(one) == pytest.approx(metric(two), abs=1e-12)
    assert roc_auc_score(one) == roc_auc_score(two)


def test_soft_labels_count_by_their_likeliest_class_and_weigh_mean_scores():
    labels = rows([0.6, 0.4], [0.2, 0.8])
    p = from_scores(OneOf(2, soft=True), rows([0.7, 0.3], [0.6, 0.4]), labels)
    assert accuracy_score(p) == 0.5
    assert recall_score(p) == [1.0, 0.0]
    present = (0.7 * 0.6 + 0.6 * 0.2) / 0.8
    absent = (0.7 * 0.4 + 0.6 * 0.8) / 1.2
    assert score_when_present(p)[0] == pytest.approx(present, rel=1e-6)
    assert score_when_absent(p)[0] == pytest.approx(absent, rel=1e-6)


def test_all_scores_tied_is_no_order_at_all():
    p = draw(OneOf(3))
    assert roc_auc_score(replace(p, scores=torch.full_like(p.scores, 0.3))) == [0.5] * 3


def test_area_counts_pairs_won_and_half_of_pairs_tied():
    # Positives score .8 and .4; negatives .4, .4 and .1: 4 pairs won, 2 tied, of 6.
    scores = rows([0.8], [0.4], [0.4], [0.4], [0.1])
    labels = torch.tensor([[True], [True], [False], [False], [False]])
    p = from_scores(AnyOf(1), scores, labels)
    assert roc_auc_score(p) == pytest.approx([(4 + 2 / 2) / 6])
