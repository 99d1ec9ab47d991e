"""What holds for all metrics at once: perfection, baselines, gaps in the data, names."""

import inspect
import math
from dataclasses import replace

import pytest
import torch

from lossheads import heads
from lossheads.errors import UserError
from lossheads.metrics import (
    SHIPPED,
    LabelStats,
    accuracy_score,
    find_metric,
    hamming_loss,
    measure,
    metrics_for,
    per_class_metrics_for,
    posterior_kl_loss,
    skill,
)
from lossheads.metrics import metric as new_metric
from lossheads.metrics.evaluate import ALL_METRICS, ALL_PER_CLASS_METRICS
from lossheads.metrics.stats import PredictionStats
from lossheads.outcomes import AnyOf, EachOneOf, OneOf, Outcome
from lossheads.predictions import Predictions, predict
from lossheads.records import MetricInfo

from .making import draw, draw_labels, from_logits, generator

OUTCOMES: list[Outcome] = [
    OneOf(2),
    OneOf(3),
    AnyOf(1),
    AnyOf(3),
    EachOneOf(1, 3),
    EachOneOf(2, 2),
    EachOneOf(2, 3),
]


def known(outcome: Outcome) -> Predictions:
    """Predictions that lack nothing: the true posterior is there for metrics that read it."""
    p = draw(outcome)
    return replace(p, true_posterior=outcome.indicators(p.labels).double())


@pytest.mark.parametrize("outcome", OUTCOMES, ids=str)
def test_no_metric_leaves_its_range(outcome):
    """On labels as logits, right and reversed, faint and extreme; the ends are finite or stated."""
    p = known(outcome)
    right = outcome.indicators(p.labels).float().flatten(1) - 0.5
    for scale in (-60.0, -1.0, 0.0, 1.0, 60.0):
        made = from_logits(outcome, scale * right + p.logits / 9, p.labels)
        seen = measure(replace(made, true_posterior=p.true_posterior), full=True).metrics
        for metric in metrics_for(outcome):
            low, high = metric.range
            assert math.isfinite(low), metric.name
            # Rounding alone may cross an end.
            assert math.isnan(seen[metric.name]) or low - 1e-9 <= seen[metric.name] <= high + 1e-9
            assert metric.info.range == metric.range


@pytest.mark.parametrize("outcome", OUTCOMES, ids=str)
def test_a_measurement_holds_what_single_metrics_say(outcome):
    p = known(outcome)
    seen = measure(p, full=True)
    assert seen.n == 200
    assert list(seen.metrics) == list(seen.baselines) == [r.name for r in metrics_for(outcome)]
    for metric in metrics_for(outcome):
        assert seen.metrics[metric.name] == pytest.approx(metric(p), abs=0, nan_ok=True)
        assert seen.baselines[metric.name] == pytest.approx(metric.baseline(p), abs=0, nan_ok=True)
    for metric in per_class_metrics_for(outcome):
        assert seen.per_class[metric.name] == metric(p)
        assert len(metric.baseline(p)) == math.prod(outcome.columns)


def test_a_cheap_measurement_is_a_part_of_the_full_one():
    p = draw(OneOf(5))
    at_every_validation, full = measure(p, full=False), measure(p, full=True)
    assert at_every_validation.metrics.items() < full.metrics.items()
    assert at_every_validation.per_class.items() < full.per_class.items()
    assert "roc_auc_score" in full.per_class.keys() - at_every_validation.per_class.keys()


def test_a_class_that_never_occurs_is_counted_and_left_out_of_means():
    labels = torch.tensor([0, 0, 1, 1, 1, 0])
    logits = torch.tensor([[3.0, 0, 0, 0]] * 3 + [[0, 3.0, 0, 0]] * 3)
    seen = measure(from_logits(OneOf(4), logits, labels), full=True)
    assert seen.per_class["recall_score"][:2] == pytest.approx([2 / 3, 2 / 3])
    assert all(math.isnan(value) for value in seen.per_class["recall_score"][2:])
    assert seen.metrics["balanced_accuracy_score"] == pytest.approx(2 / 3)
    for name in ("recall_score", "precision_score", "roc_auc_score", "balanced_accuracy_score"):
        assert seen.undefined[name] == 2, name
    assert "accuracy_score" not in seen.undefined


def test_a_single_nan_score_leaves_every_metric_undefined():
    p = draw(OneOf(3))
    scores = p.scores.clone()
    scores[17, 1] = math.nan
    seen = measure(replace(p, scores=scores), full=True)
    assert all(math.isnan(value) for value in seen.metrics.values())
    assert all(math.isnan(v) for row in seen.per_class.values() for v in row)
    assert seen.undefined["accuracy_score"] == 1
    assert seen.undefined["recall_score"] == 3
    assert math.isnan(accuracy_score(replace(p, scores=scores)))


def test_labels_changed_in_place_are_counted_again():
    p = draw(OneOf(3))
    measure(p, full=True)
    p.labels.fill_(1)
    assert measure(p, full=True).baselines["accuracy_score"] == 1.0


def test_labels_made_in_inference_mode_are_measured():
    p = draw(AnyOf(3))
    with torch.inference_mode():
        inside = replace(p, labels=p.labels.clone())
    assert measure(inside, full=True) == measure(p, full=True)


def test_infinite_losses_stay_infinite_instead_of_vanishing():
    p = draw(OneOf(2), n=2)
    log_probs = torch.tensor([[0.0, -math.inf], [-math.inf, 0.0]], dtype=torch.float64)
    p = replace(p, labels=torch.tensor([1, 1]), log_probs=log_probs)
    assert measure(p, full=False).metrics["nll_loss"] == math.inf


def test_no_examples_are_refused():
    p = draw(OneOf(2))
    empty = replace(p, labels=p.labels[:0], scores=p.scores[:0], log_probs=p.log_probs[:0])
    for ask in (lambda: measure(empty, full=False), lambda: accuracy_score(empty)):
        with pytest.raises(UserError, match="0 examples"):
            ask()


def test_names_are_unique_and_agree_with_the_direction():
    metrics = [*ALL_METRICS, *ALL_PER_CLASS_METRICS]
    names = [metric.name for metric in metrics]
    assert len(names) == len(set(names))
    for metric in metrics:
        if metric.name == "fitted_temperature":
            assert metric.higher_is_better is None
            continue
        lower = metric.name.endswith(("_loss", "_error")) or metric.name == "score_when_absent"
        assert metric.higher_is_better is not lower, metric.name
        assert metric.perfect == (0.0 if lower else 1.0)


def test_every_metric_is_documented_and_shows_it():
    for metric in (*ALL_METRICS, *ALL_PER_CLASS_METRICS):
        assert metric.description.endswith("."), metric.name
        assert "\n" not in metric.description
        assert inspect.getdoc(metric) == inspect.getdoc(metric.function)


@new_metric(
    baseline=lambda stats: stats.label_stats.prevalence.max(),
    outcomes=(OneOf,),
    higher_is_better=False,
    perfect=0.0,
)
def gold_score(stats: PredictionStats) -> torch.Tensor:
    """Lower is better, whatever the name says.

    This part is not shown.
    """
    return 1 - stats.correct.double().mean()


def test_a_metric_of_ones_own_is_measured_and_known_by_its_attributes():
    p = draw(OneOf(3))
    assert gold_score(p) == pytest.approx(1 - accuracy_score(p))
    assert gold_score.baseline(p) == accuracy_score.baseline(p)
    assert gold_score.description == "Lower is better, whatever the name says."
    own = SHIPPED.with_own([gold_score])
    assert measure(p, full=False, metrics=own).metrics["gold_score"] == gold_score(p)
    assert own.info(OneOf(3))["gold_score"] == MetricInfo(higher_is_better=False, perfect=0.0)
    assert own.find("gold_score", OneOf(3)) is gold_score
    assert "gold_score" not in measure(p, full=False).metrics
    for taken in (accuracy_score, gold_score):
        with pytest.raises(UserError, match=taken.name):
            own.with_own([taken])


def test_a_result_knows_every_name_a_run_may_measure():
    known = SHIPPED.info(AnyOf(3), ["noise"])
    assert known["tuned/hamming_loss"] == known["one_half/hamming_loss"] == hamming_loss.info
    assert known["outliers/noise/energy_auroc_score"] == MetricInfo(True, 1.0, 0.0, 1.0)
    assert known["outliers/noise/max_logit_fpr95_error"] == MetricInfo(False, 0.0, 0.0, 1.0)
    assert known["score_when_absent"].higher_is_better is False
    assert known["score_when_present"].higher_is_better is True
    assert known["fitted_temperature"].higher_is_better is None
    assert not any(name.startswith("tuned/") for name in SHIPPED.info(OneOf(3)))


def test_label_stats_made_once_give_the_same_numbers_and_refuse_other_labels():
    p = draw(AnyOf(3))
    stats = LabelStats(p.outcome, p.labels)
    assert repr(measure(p, full=True, label_stats=stats)) == repr(measure(p, full=True))
    with pytest.raises(ValueError, match="label_stats"):
        measure(replace(p, labels=~p.labels), full=True, label_stats=stats)


def test_an_unknown_metric_is_refused_with_its_neighbours():
    with pytest.raises(UserError, match="no metric 'acuracy_score': did you mean accuracy_score"):
        find_metric("acuracy_score", OneOf(3))


def test_a_metric_without_meaning_for_the_outcome_is_refused():
    with pytest.raises(UserError, match=r"accuracy_score is not defined for AnyOf\(n=3\).*OneOf"):
        find_metric("accuracy_score", AnyOf(3))
    with pytest.raises(UserError, match="accuracy_score is not defined for AnyOf"):
        accuracy_score(draw(AnyOf(3)))


def test_a_metric_per_class_cannot_be_asked_for_one_number():
    with pytest.raises(UserError, match=r"'f1_score' has one value per class.*macro_f1_score"):
        find_metric("f1_score", OneOf(3))


def test_found_metrics_are_the_listed_ones():
    for outcome in OUTCOMES:
        for metric in metrics_for(outcome):
            assert find_metric(metric.name, outcome) is metric


@pytest.mark.parametrize(
    ("score", "baseline", "top", "expected"),
    [(0.9, 0.9, 1.0, 0.0), (0.95, 0.9, 1.0, 0.5), (0.5, 2.0, 0.0, 0.75), (0.8, 0.9, 1.0, -1.0)],
)
def test_skill_is_the_way_from_baseline_to_perfection(score, baseline, top, expected):
    assert skill(score, baseline, top) == pytest.approx(expected)


def test_there_is_no_skill_where_the_baseline_is_perfect():
    assert math.isnan(skill(0.0, 0.0, 0.0))


def test_metrics_of_the_truth_are_left_out_where_it_is_unknown():
    p = draw(OneOf(3))
    assert "posterior_kl_loss" not in measure(p, full=True).metrics
    assert "posterior_kl_loss" in measure(known(OneOf(3)), full=True).metrics
    with pytest.raises(UserError, match=r"posterior_kl_loss needs .*true posterior"):
        posterior_kl_loss(p)


HEADS = [
    heads.SoftmaxCCE(OneOf(4)),
    heads.SoftmaxBCE(OneOf(4)),
    heads.SigmoidBCE(OneOf(4)),
    heads.SigmoidBCE(AnyOf(4)),
    heads.TwoLogitCCE(OneOf(2)),
    heads.SingleLogitBCE(OneOf(2)),
]


@pytest.mark.parametrize("head", HEADS, ids=lambda head: f"{type(head).__name__}-{head.outcome}")
def test_every_metric_of_its_outcome_measures_a_head(head):
    g = generator(3)
    labels = draw_labels(head.outcome, 200, g)
    p = predict(head, torch.randn(200, head.num_logits, generator=g), labels)
    seen = measure(p, full=True)
    missing = {r.name for r in metrics_for(head.outcome)} - set(seen.metrics)
    assert missing == {"posterior_kl_loss"}
    # Noise fits no positive temperature on some draws; everything else has a value.
    assert set(seen.undefined) <= {"fitted_temperature"}
