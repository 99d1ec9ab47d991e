"""One model's own predictions measured: metrics with intervals, and what frameworks would print."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lossheads.evaluation.intervals import ends_of
from lossheads.evaluation.meaning import OwnPredictions
from lossheads.evaluation.record import Evaluation, MetricValue, PrintedValue
from lossheads.evaluation.sampling import (
    Forms,
    Rows,
    Sampled,
    Sampler,
    forms_of,
    reduced,
    rows_from,
    sample_others,
)
from lossheads.heads.base import Head
from lossheads.metrics import frameworks
from lossheads.metrics.base import Metric, skill
from lossheads.metrics.evaluate import SHIPPED, MetricSet, measure
from lossheads.metrics.per_class import f1_score, precision_score, recall_score
from lossheads.metrics.stats import LabelStats, PredictionStats
from lossheads.predictions import Predictions, predict
from lossheads.records import Measurement

# Beyond this many numbers, what sorts every column waits until it is asked for.
MAX_CELLS = 20_000_000
_CHUNK_CELLS = 1 << 20
_PRINTED = frozenset(metric.name for metric in frameworks.METRICS)


@dataclass(frozen=True)
class Measured:
    """Numbers of one model, with what paired intervals need.

    Attributes:
        predictions: None for a file that is measured in pieces.
        left_out: Metrics that were not computed, for their cost.
    """

    own: OwnPredictions
    forms: Forms
    rows: Rows
    sampled: Mapping[str, Sampled]
    measurement: Measurement
    predictions: Predictions | None
    left_out: tuple[str, ...] = ()
    seconds_left_out: float = 0.0


def measured(
    own: OwnPredictions,
    metrics: MetricSet = SHIPPED,
    intervals: bool = True,
    full: bool = False,
) -> Measured:
    """Every metric of the predictions; with intervals, how each varies over examples.

    Args:
        full: Also what costs much on many rows.
    """
    if own.n * own.head.num_logits > MAX_CELLS and not full:
        return _in_pieces(own, metrics)
    predictions = predict(own.head, own.logits(), own.labels)
    measurement = measure(predictions, full=True, metrics=metrics)
    known = [m for m in metrics.scalar_for(own.head.outcome) if m.is_defined_for(predictions)]
    forms = forms_of(own.head, known) if intervals else Forms()
    rows = rows_from(forms, predictions)
    sampled: dict[str, Sampled] = {}
    if intervals:
        sampler = Sampler(forms, rows, own.clusters)
        sampled = sampler.sampled() | sample_others(sampler, predictions)
    return Measured(own, forms, rows, sampled, measurement, predictions)


def _in_pieces(own: OwnPredictions, metrics: MetricSet) -> Measured:
    """What totals over examples tell, some thousand rows at a time."""
    head, outcome = own.head, own.head.outcome
    known = [m for m in metrics.scalar_for(outcome) if not m.needs_true_posterior]
    forms = forms_of(head, [m for m in known if m.at_every_validation])
    means = np.empty((own.n, len(forms.means)))
    decisions: list[Tensor] = []
    for place, logits in own.chunks(max(1, _CHUNK_CELLS // head.num_logits)):
        predictions = predict(head, logits, own.labels[place])
        part = rows_from(forms, predictions)
        means[place] = part.means
        decisions.append(predictions.decisions)
    labels = LabelStats(outcome, own.labels)
    rows = Rows(outcome, means, labels.hard, torch.cat(decisions))
    base = PredictionStats(_labels_alone(own), labels)
    baselines = {
        m.name: m.reduce(m.baseline_function(base).double().reshape(-1).tolist())
        for m in (*forms.means, *forms.counts)
    }
    sampler = Sampler(forms, rows, own.clusters)
    sampled = sampler.sampled()
    per_class = {
        one.name: [part.value for part in sampler.parts_of_counts(one.name, one.function)]
        for one in (precision_score, recall_score, f1_score)
    }
    measurement = Measurement(
        metrics={name: s.value for name, s in sampled.items()},
        baselines=baselines,
        per_class=per_class,
        undefined={},
        n=own.n,
    )
    left_out = [m.name for m in known if m.name not in sampled]
    seconds = _seconds(own, left_out, metrics)
    return Measured(own, forms, rows, sampled, measurement, None, tuple(left_out), seconds)


def _seconds(own: OwnPredictions, names: Sequence[str], metrics: MetricSet) -> float:
    """What the metrics left out would take, from what they take on two thousand rows."""
    some = min(own.n, 2_000)
    predictions = predict(own.head, own.logits(0, some), own.labels[:some])
    started = time.perf_counter()
    for metric in metrics.scalar_for(own.head.outcome):
        if metric.name in names:
            metric.values(PredictionStats(predictions))
    return (time.perf_counter() - started) * own.n / some


def _labels_alone(own: OwnPredictions) -> Predictions:
    """Predictions that hold labels and shapes, for baselines."""
    nothing = torch.zeros(1, own.head.num_logits).expand(own.n, -1)
    return Predictions(
        outcome=own.head.outcome,
        labels=own.labels,
        scores=nothing,
        log_probs=torch.zeros(1, *own.head.outcome.events).expand(own.n, *own.head.outcome.events),
        decisions=own.labels,
        framework_outputs=nothing,
        framework_target=own.head.framework_target(own.labels),
        framework_loss=own.head.framework_loss,
        logits=nothing,
    )


def evaluation_of(done: Measured, metrics: MetricSet = SHIPPED) -> Evaluation:
    """The record of one model's numbers; further answers are added by `sections`."""
    own, head = done.own, done.own.head
    known = {m.name: m for m in metrics.scalar_for(head.outcome)}
    free = _free_of_shift(own)
    values = {
        name: _value(known[name], math.nan if name in free else value, done)
        for name, value in done.measurement.metrics.items()
    }
    low, high = _per_class_ends(done)
    return Evaluation(
        head=f"{type(head).__name__} for {head.outcome}",
        n=own.n,
        metrics=values,
        per_class=done.measurement.per_class,
        source=own.source,
        class_names=own.class_names,
        per_class_low=low,
        per_class_high=high,
        printed=_printed(done, values, free) if done.sampled else (),
        notes=own.notes,
    )


def _value(metric: Metric, value: float, done: Measured) -> MetricValue:
    baseline = done.measurement.baselines.get(metric.name, math.nan)
    drawn = done.sampled.get(metric.name)
    ends = None if drawn is None or math.isnan(value) else ends_of(drawn)
    return MetricValue(
        name=metric.name,
        value=value,
        baseline=baseline,
        skill=skill(value, baseline, metric.perfect),
        perfect=metric.perfect,
        higher_is_better=metric.higher_is_better,
        description=metric.description,
        undefined=done.measurement.undefined.get(metric.name, 0),
        low=ends.low if ends else math.nan,
        high=ends.high if ends else math.nan,
        interval=ends.method if ends else "",
    )


def _per_class_ends(done: Measured) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Intervals of precision, recall and F1 of each class."""
    low: dict[str, list[float]] = {}
    high: dict[str, list[float]] = {}
    if not done.sampled or len(done.rows.counts[0]) > 1_000:
        return low, high
    sampler = Sampler(done.forms, done.rows, done.own.clusters)
    for metric in (precision_score, recall_score, f1_score):
        if metric.name in done.measurement.per_class:
            parts = sampler.parts_of_counts(metric.name, metric.function)
            ends = [ends_of(part) for part in parts]
            low[metric.name] = [end.low for end in ends]
            high[metric.name] = [end.high for end in ends]
    return low, high


# --- what frameworks print ---------------------------------------------------------------------


def _printed(
    done: Measured, values: Mapping[str, MetricValue], free: set[str]
) -> tuple[PrintedValue, ...]:
    """Every registered framework metric, once more for each loss that changes it."""
    own = done.own
    plain = {n: v.value for n, v in values.items() if n not in _PRINTED}
    found = []
    for name in (n for n in values if n in _PRINTED):
        value = values[name]
        found.append(
            PrintedValue(
                name=name,
                loss=own.head.framework_loss if len(own.heads) > 1 else "",
                value=value.value,
                baseline=value.baseline,
                low=value.low,
                high=value.high,
                same_as=_same_as(value.value, plain),
                reason=_NEEDS_LOGITS if name in free else value.description,
            )
        )
    for head in own.heads[1:]:
        found += _under_other_loss(done, head, values, plain, free)
    return tuple(_without_idle_loss(found))


_NEEDS_LOGITS = (
    "depends on the logits themselves: behind a softmax a constant per row is lost, give logits"
)


def _same_as(value: float, plain: Mapping[str, float]) -> str:
    return next((n for n, v in plain.items() if math.isclose(v, value, rel_tol=1e-12)), "")


def _under_other_loss(
    done: Measured,
    head: Head,
    values: Mapping[str, MetricValue],
    plain: Mapping[str, float],
    free: set[str],
) -> list[PrintedValue]:
    if done.predictions is None:
        return []
    other = replace(done.predictions, framework_loss=head.framework_loss)
    stats = PredictionStats(other)
    found = []
    for metric in frameworks.METRICS:
        if metric.name not in values or metric.name in free:
            continue
        value = metric.reduce(metric.values(stats).tolist())
        if math.isclose(value, values[metric.name].value, rel_tol=1e-12) or math.isnan(value):
            continue
        forms = forms_of(head, [metric])
        sampler = Sampler(forms, rows_from(forms, other), done.own.clusters)
        ends = ends_of((sampler.sampled() | sample_others(sampler, other))[metric.name])
        baseline = metric.reduce(metric.baseline_function(stats).double().reshape(-1).tolist())
        found.append(
            PrintedValue(
                metric.name,
                head.framework_loss,
                value,
                baseline,
                ends.low,
                ends.high,
                _same_as(value, plain),
                metric.description,
            )
        )
    return found


def _without_idle_loss(found: Sequence[PrintedValue]) -> list[PrintedValue]:
    """The loss is named only where it changes the number."""
    names = [printed.name for printed in found]
    return [p if names.count(p.name) > 1 else replace(p, loss="") for p in found]


def _free_of_shift(own: OwnPredictions) -> set[str]:
    """Framework metrics that probabilities leave open: they change with a constant per row."""
    if own.given == "logits":
        return set()
    logits, labels = own.logits(0, 200), own.labels[:200]
    shifted = logits + 7.0
    head = own.head
    if not torch.allclose(head.log_probs(logits).exp(), head.log_probs(shifted).exp(), atol=1e-9):
        return set()
    if not torch.allclose(
        head.framework_outputs(logits), head.framework_outputs(shifted), atol=1e-6
    ):
        return set()
    pairs = [PredictionStats(predict(head, z, labels)) for z in (logits, shifted)]
    return {
        metric.name
        for metric in frameworks.METRICS
        if isinstance(head.outcome, metric.outcomes)
        and not torch.equal(*(reduced(metric, metric.values(s)).nan_to_num() for s in pairs))
    }
