"""One model's own predictions measured: metrics with intervals, and what frameworks would print."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from lossheads.dialects import DIALECTS, QUANTITIES, Dialect, Setting
from lossheads.evaluation.intervals import ends_of
from lossheads.evaluation.labels import kind_of
from lossheads.evaluation.meaning import GIVEN, OwnPredictions
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
from lossheads.heads.base import FrameworkLoss
from lossheads.metrics import frameworks
from lossheads.metrics.base import Metric, skill
from lossheads.metrics.evaluate import SHIPPED, MetricSet, measure
from lossheads.metrics.frameworks import QUANTITY_METRICS
from lossheads.metrics.per_class import f1_score, precision_score, recall_score
from lossheads.metrics.stats import LabelStats, PredictionStats
from lossheads.predictions import Predictions, predict
from lossheads.records import Measurement

# Beyond this many numbers, what sorts every column waits until it is asked for.
MAX_CELLS = 20_000_000
_CHUNK_CELLS = 1 << 20
# Kept for runs; here the table of dialects says more.
FRAMEWORKS = frozenset(metric.name for metric in frameworks.METRICS)


@dataclass(frozen=True)
class Measured:
    """Numbers of one model, with what paired intervals need.

    Attributes:
        predictions: None for a file that is measured in pieces.
        printed_baselines: Of the quantities that frameworks print.
        left_out: Metrics that were not computed, for their cost.
    """

    own: OwnPredictions
    forms: Forms
    rows: Rows
    sampled: Mapping[str, Sampled]
    measurement: Measurement
    predictions: Predictions | None
    printed_baselines: Mapping[str, float] = field(default_factory=dict)
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
    others = quantity_metrics(own) if intervals else []
    forms = forms_of(own.head, [*known, *others]) if intervals else Forms()
    rows = rows_from(forms, predictions)
    sampled: dict[str, Sampled] = {}
    baselines: dict[str, float] = {}
    if intervals:
        sampler = Sampler(forms, rows, own.clusters)
        sampled = sampler.sampled() | sample_others(sampler, predictions)
        baselines = {m.name: m.baseline(predictions) for m in others}
    return Measured(own, forms, rows, sampled, measurement, predictions, baselines)


def _in_pieces(own: OwnPredictions, metrics: MetricSet) -> Measured:
    """What totals over examples tell, some thousand rows at a time."""
    head, outcome = own.head, own.head.outcome
    known = [m for m in metrics.scalar_for(outcome) if not m.needs_true_posterior]
    cheap = [m for m in known if m.at_every_validation]
    forms = forms_of(head, [*cheap, *quantity_metrics(own, words_alone=True)])
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
        metrics={m.name: sampled[m.name].value for m in cheap if m.name in sampled},
        baselines=baselines,
        per_class=per_class,
        undefined={},
        n=own.n,
    )
    left_out = [m.name for m in known if m.name not in sampled]
    seconds = _seconds(own, left_out, metrics)
    return Measured(
        own, forms, rows, sampled, measurement, None, baselines, tuple(left_out), seconds
    )


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
    free = left_open(own)
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
        printed=_printed(done, values) if done.sampled else (),
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


@dataclass(frozen=True)
class _Case:
    """What a framework may look at: the loss's name, and whether it is handed logits."""

    loss: FrameworkLoss
    handed: str


def _cases(own: OwnPredictions) -> list[_Case]:
    handed = GIVEN if own.given == "logits" else ("probabilities",)
    losses = dict.fromkeys(head.framework_loss for head in own.heads)
    return [_Case(loss, end) for loss in losses for end in handed]


def _reading(dialect: Dialect, own: OwnPredictions, case: _Case) -> str | None:
    """The quantity that a library would print in this case."""
    return dialect.reads(
        Setting(
            kind=kind_of(own.head.outcome),
            one_unit=own.head.num_logits == 1,
            loss=case.loss,
            ends_in=case.handed,  # type: ignore[arg-type]
        )
    )


def quantity_metrics(own: OwnPredictions, words_alone: bool = False) -> list[Metric]:
    """The quantities that some library would print for such predictions.

    Args:
        words_alone: Only those that are called "accuracy" without a further word.
    """
    found = {
        _reading(dialect, own, case)
        for dialect in DIALECTS
        for case in _cases(own)
        if dialect.word or not words_alone
    }
    return [
        metric
        for name, metric in QUANTITY_METRICS.items()
        if name in found and isinstance(own.head.outcome, metric.outcomes)
    ]


def _printed(done: Measured, values: Mapping[str, MetricValue]) -> tuple[PrintedValue, ...]:
    """One row per quantity that some library prints, with all that print it."""
    own = done.own
    plain = {n: v.value for n, v in values.items() if n not in FRAMEWORKS}
    free = left_open(own)
    found = []
    for metric in quantity_metrics(own):
        if metric.name not in done.sampled:
            continue
        name = metric.name.removeprefix("printed_")
        sampled = done.sampled[metric.name]
        open_ = metric.name in free
        same_as = "" if open_ else _same_as(sampled.value, plain)
        # One number has one interval: that of the metric whose form is known best.
        ends = values[same_as] if same_as else ends_of(sampled)
        found.append(
            PrintedValue(
                name=name,
                printed_by=tuple(_printed_by(name, own)),
                value=math.nan if open_ else sampled.value,
                baseline=done.printed_baselines[metric.name],
                low=math.nan if open_ else ends.low,
                high=math.nan if open_ else ends.high,
                same_as=same_as,
                reason=_NEEDS_LOGITS if open_ else QUANTITIES[name],
            )
        )
    return tuple(found)


def _printed_by(quantity: str, own: OwnPredictions) -> Iterator[str]:
    """Library, versions, call, and the condition where it is not always this quantity."""
    cases = _cases(own)
    for dialect in DIALECTS:
        held = [case for case in cases if _reading(dialect, own, case) == quantity]
        if held:
            condition = _condition(held, cases)
            versions = f" {dialect.versions}" if dialect.since or dialect.before else ""
            yield f"{dialect.library}{versions}: {dialect.call}{condition}"


def _condition(held: Sequence[_Case], cases: Sequence[_Case]) -> str:
    """Which losses, or what is handed over, where not all of them print the quantity."""
    words = []
    for name, of_case in (("loss", lambda c: c.loss), ("handed", lambda c: c.handed)):
        some, every = (dict.fromkeys(map(of_case, which)) for which in (held, cases))
        if len(some) < len(every):
            words.append(f"{name} {' or '.join(some)}")
    return f" ({', '.join(words)})" if words else ""


_NEEDS_LOGITS = (
    "depends on the logits themselves: behind a softmax a constant per row is lost, give logits"
)


def _same_as(value: float, plain: Mapping[str, float]) -> str:
    return next((n for n, v in plain.items() if math.isclose(v, value, rel_tol=1e-12)), "")


def left_open(own: OwnPredictions) -> set[str]:
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
        for metric in (*frameworks.METRICS, *QUANTITY_METRICS.values())
        if isinstance(head.outcome, metric.outcomes)
        and not torch.equal(*(reduced(metric, metric.values(s)).nan_to_num() for s in pairs))
    }
