"""Likelihood, Brier and calibration by hand."""

import math
from dataclasses import replace

import pytest
import torch

from lossheads.metrics import brier_sum_loss, expected_calibration_error, nll_loss
from lossheads.outcomes import AnyOf, EachOneOf, OneOf

from .making import draw, draw_labels, from_logits, from_scores, generator, one_unit, rows


def test_knowing_nothing_costs_ln_2_for_each_label_and_ln_c_for_each_set():
    labels = draw_labels(AnyOf(7), 20, generator(0))
    assert nll_loss(from_logits(AnyOf(7), torch.zeros(20, 7), labels)) == pytest.approx(
        7 * math.log(2), rel=1e-12
    )
    outcome = EachOneOf(3, 4)
    labels = draw_labels(outcome, 20, generator(0))
    assert nll_loss(from_logits(outcome, torch.zeros(20, 12), labels)) == pytest.approx(
        3 * math.log(4), rel=1e-12
    )


@pytest.mark.parametrize("outcome", [OneOf(3), AnyOf(3), EachOneOf(2, 3)], ids=str)
def test_soft_labels_that_are_one_hot_cost_what_hard_labels_cost(outcome):
    hard = draw(outcome)
    soft = replace(
        hard, outcome=replace(outcome, soft=True), labels=outcome.indicators(hard.labels)
    )
    for metric in (nll_loss, brier_sum_loss, expected_calibration_error):
        assert metric(soft) == pytest.approx(metric(hard), rel=1e-12)
        assert metric.baseline(soft) == pytest.approx(metric.baseline(hard), rel=1e-12)


def test_soft_labels_cost_their_cross_entropy():
    p = from_scores(OneOf(2, soft=True), rows([0.5, 0.5]), rows([0.25, 0.75]))
    p = replace(p, log_probs=torch.tensor([[0.9, 0.1]], dtype=torch.float64).log())
    assert nll_loss(p) == pytest.approx(-0.25 * math.log(0.9) - 0.75 * math.log(0.1), rel=1e-12)
    assert brier_sum_loss(p) == pytest.approx(2 * 0.65**2, rel=1e-12)


def test_an_impossible_event_of_share_zero_costs_nothing():
    p = from_scores(OneOf(2, soft=True), rows([0.5, 0.5]), rows([1.0, 0.0]))
    p = replace(p, log_probs=torch.tensor([[0.0, -math.inf]], dtype=torch.float64))
    assert nll_loss(p) == 0.0


def test_brier_loss_of_a_fair_coin_is_one_half():
    assert brier_sum_loss(one_unit(torch.zeros(3), torch.tensor([0, 1, 1]))) == pytest.approx(0.5)


def test_calibration_error_is_the_gap_of_a_single_bin():
    # Ten answers at 0.8, six of them right.
    labels = torch.tensor([1] * 6 + [0] * 4)
    p = one_unit(torch.full((10,), math.log(4.0)), labels)
    assert expected_calibration_error(p) == pytest.approx(0.2, abs=1e-7)


def test_gaps_of_opposite_sign_in_different_bins_do_not_cancel():
    # Five at 0.9, four right (+0.1); five at 0.6, all right (-0.4).
    z = torch.tensor([math.log(9.0)] * 5 + [math.log(1.5)] * 5)
    labels = torch.tensor([1, 1, 1, 1, 0] + [1] * 5)
    assert expected_calibration_error(one_unit(z, labels)) == pytest.approx(
        (0.1 + 0.4) / 2, abs=1e-7
    )


def test_calibration_reads_the_decided_class_whichever_it_is():
    # Mirrored logits and labels: P(class 1) changes bins, confidence does not.
    z, labels = torch.tensor([2.0, 0.7, -1.0, -0.2]), torch.tensor([1, 0, 0, 1])
    assert expected_calibration_error(one_unit(z, labels)) == pytest.approx(
        expected_calibration_error(one_unit(-z, 1 - labels)), abs=1e-12
    )


def test_one_unit_and_two_units_share_their_probabilistic_metrics():
    g = generator(4)
    z, labels = 2 * torch.randn(300, generator=g), torch.randint(0, 2, (300,), generator=g)
    one, two = one_unit(z, labels), from_logits(OneOf(2), torch.stack([0 * z, z], 1), labels)
    for metric in (nll_loss, brier_sum_loss, expected_calibration_error):
        assert metric(one) == pytest.approx(metric(two), rel=1e-12)


def test_labels_are_calibrated_one_by_one():
    # Label 0: P(on) = .9, always on (gap .1). Label 1: P(on) = .3, half on (gap .2).
    logits = torch.tensor([math.log(9.0), math.log(3 / 7)]).expand(4, 2)
    labels = torch.tensor([[True, True], [True, False]] * 2)
    assert expected_calibration_error(from_logits(AnyOf(2), logits, labels)) == pytest.approx(
        (0.1 + 0.2) / 2, abs=1e-7
    )


def test_base_rates_have_the_entropy_and_brier_loss_that_baselines_state():
    labels = torch.tensor([0] * 6 + [1] * 3 + [2])
    rates = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
    p = from_logits(OneOf(3), rates.log().expand(10, 3), labels)
    assert nll_loss.baseline(p) == pytest.approx(nll_loss(p), rel=1e-12)
    assert brier_sum_loss.baseline(p) == pytest.approx(brier_sum_loss(p), rel=1e-12)
    assert brier_sum_loss.baseline(p) == pytest.approx(1 - (0.36 + 0.09 + 0.01))
    assert expected_calibration_error(p) == pytest.approx(
        expected_calibration_error.baseline(p), abs=1e-12
    )
