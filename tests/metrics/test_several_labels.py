"""Metrics of several labels: scikit-learn as oracle, thresholds and temperature by construction."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn import metrics as sk_metrics

from lossheads.errors import UserError
from lossheads.metrics import (
    classwise_calibration_error,
    compare_thresholds,
    excess_coverage_error,
    expected_calibration_error,
    fitted_temperature,
    macro_f1_score,
    macro_precision_score,
    macro_recall_score,
    macro_roc_auc_score,
    mean_average_precision_score,
    measure,
    micro_f1_score,
    micro_precision_score,
    micro_recall_score,
    nll_loss,
    posterior_kl_loss,
    ranking_loss,
    tuned_thresholds,
)
from lossheads.outcomes import AnyOf, EachOneOf, OneOf

from .making import draw, draw_labels, from_logits, from_scores, generator, rows

DRAWS = [
    pytest.param(draw(AnyOf(6), n=150, seed=seed, step=step), id=f"seed {seed}, step {step}")
    for seed in (0, 1)
    for step in (0.0, 1.0)
]


@pytest.mark.parametrize("p", DRAWS)
def test_micro_and_macro_means(p):
    y, d = p.labels.numpy(), p.decisions.numpy()
    for average, metrics in (
        ("micro", (micro_f1_score, micro_precision_score, micro_recall_score)),
        ("macro", (macro_f1_score, macro_precision_score, macro_recall_score)),
    ):
        oracles = (sk_metrics.f1_score, sk_metrics.precision_score, sk_metrics.recall_score)
        for metric, oracle in zip(metrics, oracles, strict=True):
            assert metric(p) == pytest.approx(oracle(y, d, average=average), abs=1e-12), metric.name


@pytest.mark.parametrize("p", DRAWS)
def test_means_of_order_metrics(p):
    y, s = p.labels.numpy(), p.scores.numpy()
    assert mean_average_precision_score(p) == pytest.approx(
        sk_metrics.average_precision_score(y, s)
    )
    assert macro_roc_auc_score(p) == pytest.approx(sk_metrics.roc_auc_score(y, s))


@pytest.mark.parametrize("p", DRAWS)
def test_ranking_loss_is_that_of_scikit_learn_on_examples_with_pairs(p):
    y, s = p.labels.numpy(), p.scores.numpy()
    paired = y.any(axis=1) & ~y.all(axis=1)
    assert not paired.all()
    expected = sk_metrics.label_ranking_loss(y[paired], s[paired])
    assert ranking_loss(p) == pytest.approx(expected, abs=1e-12)
    # Of all examples scikit-learn's value is smaller, by the share that has pairs.
    assert sk_metrics.label_ranking_loss(y, s) == pytest.approx(expected * paired.mean(), abs=1e-12)


@pytest.mark.parametrize("p", DRAWS)
def test_excess_coverage_is_that_of_scikit_learn_less_the_labels_present(p):
    y, s = p.labels.numpy(), p.scores.numpy()
    expected = sk_metrics.coverage_error(y, s) - y.sum(axis=1).mean()
    assert excess_coverage_error(p) == pytest.approx(expected, abs=1e-12)


def test_ranking_takes_a_tie_for_a_mistake():
    p = from_scores(AnyOf(3), rows([0.5, 0.5, 0.1]), torch.tensor([[True, False, False]]))
    assert ranking_loss(p) == 0.5
    assert excess_coverage_error(p) == 1.0


def test_examples_without_labels_have_no_ranking_and_nothing_to_cover():
    empty = from_scores(AnyOf(2), rows([0.4, 0.2]), torch.tensor([[False, False]]))
    assert math.isnan(ranking_loss(empty))
    assert measure(empty, full=True).undefined["ranking_loss"] == 1
    assert excess_coverage_error(empty) == 0.0


def test_many_columns_are_swept_in_slices(monkeypatch):
    p = draw(AnyOf(7), n=90, step=1.0)
    whole = measure(p, full=True)
    monkeypatch.setattr("lossheads.metrics.stats.CELLS_AT_ONCE", 200)
    assert measure(p, full=True).per_class == whole.per_class
    assert ranking_loss(p) == whole.metrics["ranking_loss"]


def test_calibration_of_labels_is_the_mean_over_labels():
    p = draw(AnyOf(4))
    assert np.mean(classwise_calibration_error(p)) == pytest.approx(
        expected_calibration_error(p), abs=1e-12
    )


def test_calibration_of_each_class_reads_its_own_probability():
    # P(class 0) is .8 for all and right half of the time; the other two share the rest evenly.
    labels = torch.tensor([0, 1, 0, 2])
    logits = torch.tensor([0.8, 0.1, 0.1]).log().expand(4, 3)
    gaps = classwise_calibration_error(from_logits(OneOf(3), logits, labels))
    assert gaps == pytest.approx([0.3, 0.15, 0.15], abs=1e-7)


@pytest.mark.parametrize("outcome", [OneOf(5), AnyOf(4), EachOneOf(2, 3)], ids=str)
def test_distance_to_the_truth_is_the_cross_entropy_it_adds(outcome):
    soft = draw(replace(outcome, soft=True))
    p = replace(soft, true_posterior=soft.labels.double())
    truthful = (
        torch.stack([1 - p.true_posterior, p.true_posterior], -1)
        if isinstance(outcome, AnyOf)
        else p.true_posterior
    )
    best = replace(p, log_probs=truthful.log())
    assert posterior_kl_loss(best) == pytest.approx(0.0, abs=1e-12)
    assert posterior_kl_loss(p) == pytest.approx(nll_loss(p) - nll_loss(best), rel=1e-9)
    assert posterior_kl_loss(p) > 0.1


def test_the_truth_may_rule_events_out():
    p = replace(draw(OneOf(3), n=2), true_posterior=torch.eye(3)[:2].double())
    assert posterior_kl_loss(p) == pytest.approx(-p.log_probs.diagonal().mean().item())


@pytest.mark.parametrize("outcome", [OneOf(4), AnyOf(4), EachOneOf(2, 3)], ids=str)
@pytest.mark.parametrize("factor", [0.1, 0.5, 1.0, 2.0, 10.0])
def test_temperature_minimises_the_likelihood_loss(outcome, factor):
    p = draw(outcome, n=300)
    p = from_logits(outcome, p.logits / factor, p.labels)

    def loss(t):
        return nll_loss(from_logits(outcome, p.logits.double() / t, p.labels))

    expected = minimize_scalar(loss, bounds=(0.01, 60), method="bounded", options={"xatol": 1e-8})
    # A minimum is flat: half the digits of its value determine its place.
    assert fitted_temperature(p) == pytest.approx(expected.x, rel=1e-5)


@pytest.mark.parametrize("outcome", [OneOf(4), AnyOf(4), EachOneOf(2, 3)], ids=str)
def test_temperature_of_soft_labels_divides_by_the_factor_that_made_them(outcome):
    soft = replace(outcome, soft=True)
    logits = torch.randn(200, math.prod(outcome.columns), generator=generator(8))
    made = from_logits(outcome, 1.7 * logits.double(), draw_labels(outcome, 200, generator(9)))
    events = made.log_probs.exp()
    labels = events[..., 1] if isinstance(outcome, AnyOf) else events
    p = from_logits(soft, logits, labels.float())
    assert fitted_temperature(p) == pytest.approx(1 / 1.7, rel=1e-5)


def test_temperature_is_undefined_when_no_factor_is_the_best():
    labels = draw_labels(AnyOf(3), 50, generator(0))
    apart = from_logits(AnyOf(3), 2 * labels.float() - 1, labels)
    against = from_logits(AnyOf(3), 1 - 2 * labels.float(), labels)
    silent = from_logits(AnyOf(3), torch.zeros(50, 3), labels)
    for p in (apart, against, silent):
        assert math.isnan(fitted_temperature(p))


@pytest.mark.parametrize("outcome", [OneOf(3), AnyOf(3), EachOneOf(2, 3)], ids=str)
def test_certain_and_right_predictions_do_not_move_the_temperature(outcome):
    p = draw(outcome)
    certain = replace(draw(outcome, n=1, seed=1), labels=p.labels[:1])
    truth = p.labels[:1].long().unsqueeze(-1)
    impossible = torch.full_like(certain.log_probs, -math.inf).scatter_(-1, truth, 0.0)
    both = replace(
        p,
        labels=torch.cat([p.labels, p.labels[:1]]),
        scores=torch.cat([p.scores, certain.scores]),
        log_probs=torch.cat([p.log_probs, impossible]),
    )
    assert fitted_temperature(both) == pytest.approx(fitted_temperature(p), rel=1e-9)


def test_tuned_thresholds_are_the_best_of_all_cuts():
    p = draw(AnyOf(4), n=60, step=0.5)
    cuts = tuned_thresholds(p)
    for k in range(4):
        y, s = p.labels[:, k].numpy(), p.scores[:, k].double().numpy()
        best = max(sk_metrics.f1_score(y, s >= cut) for cut in s)
        assert sk_metrics.f1_score(y, s > cuts[k].item()) == pytest.approx(best, abs=1e-12)


def test_thresholds_lie_half_way_and_never_between_equal_scores():
    scores = rows([0.9], [0.6], [0.2], [0.2], [0.1])
    labels = torch.tensor([[True], [True], [True], [False], [False]])
    # Cutting below .9: F1 1/2; below .6: 4/5; below .2: 6/7; below all: 3/4.
    assert tuned_thresholds(from_scores(AnyOf(1), scores, labels)).tolist() == pytest.approx(
        [0.15], abs=1e-7
    )


def test_always_on_and_never_occurring_labels_have_thresholds_too():
    scores = rows([0.3, 0.3], [0.0, 0.9])
    labels = torch.tensor([[True, False], [True, False]])
    assert tuned_thresholds(from_scores(AnyOf(2), scores, labels)).tolist() == [-math.inf, 0.5]


def test_three_ways_to_decide_stand_side_by_side():
    val, test = draw(AnyOf(5), n=300, seed=1), draw(AnyOf(5), n=300, seed=2)
    shifted = [from_logits(AnyOf(5), p.logits - 2, p.labels) for p in (val, test)]
    own = replace(shifted[1], decisions=shifted[1].logits > -2)
    table = compare_thresholds(shifted[0], own)
    assert list(table) == ["one_half", "own_rule", "tuned"]
    y, s = test.labels.numpy(), shifted[1].scores.double().numpy()
    cuts = tuned_thresholds(shifted[0]).numpy()
    expected = {"one_half": s > 0.5, "own_rule": own.decisions.numpy(), "tuned": s > cuts}
    for rule, decided in expected.items():
        macro = sk_metrics.f1_score(y, decided, average="macro")
        assert table[rule]["macro_f1_score"] == pytest.approx(macro, abs=1e-12)
        assert table[rule]["hamming_loss"] == pytest.approx((y != decided).mean(), abs=1e-12)
    # Logits shifted by 2: cutting at 1/2 misses what tuning on validation finds again.
    assert table["tuned"]["macro_f1_score"] > table["one_half"]["macro_f1_score"] + 0.1


def test_classes_that_exclude_each_other_have_no_thresholds():
    with pytest.raises(UserError, match=r"tuned_thresholds .*AnyOf.* got OneOf\(n=3\)"):
        tuned_thresholds(draw(OneOf(3)))
    with pytest.raises(UserError, match="got EachOneOf"):
        compare_thresholds(draw(EachOneOf(2, 3)), draw(EachOneOf(2, 3)))
