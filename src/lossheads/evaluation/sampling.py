"""How metrics vary over examples: what each example adds to the value, its influence.

Most metrics are functions of totals over examples: means of one number per example, or counts of
true and predicted positives per class. Which form a metric has is found out on drawn predictions,
by its own code: a function that runs on counts alone is one of counts, and one whose value is the
mean of its values on single examples is a mean. The formulas stay where they are, in `metrics`.
What has neither form (rankings, calibration, the fitted temperature) has an influence function
here, or is left to the jackknife over groups of examples.

There is no bootstrap: with 50 examples of which nearly all are right, its percentile interval of
accuracy held the truth in 27 of 100 draws (nobody wrong in the sample, nobody wrong in any
resample), the interval from influence and Wilson's formula in 95 (`tests/evaluation`), at a
thousandth of the cost.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lossheads.evaluation.influence import area, average_precision, calibration, macro, temperature
from lossheads.heads.base import Head
from lossheads.metrics.base import Metric
from lossheads.metrics.probabilistic import expected_calibration_error, fitted_temperature
from lossheads.metrics.ranking import macro_roc_auc_score, mean_average_precision_score
from lossheads.metrics.stats import LabelStats, PredictionStats
from lossheads.outcomes import AnyOf, Outcome
from lossheads.predictions import Predictions, predict

Floats = NDArray[np.float64]
JACKKNIFE_GROUPS = 50


class _CountedLabels:
    """Of `LabelStats`, what counts alone tell; anything else is an AttributeError."""

    def __init__(self, outcome: Outcome, positives: Tensor, n: Tensor) -> None:
        self.outcome, self.positives, self.n = outcome, positives, n
        self.prevalence = positives / n

    def by_group(self, columns: Tensor) -> Tensor:
        return columns.reshape(-1, self.outcome.n)


class _Counted:
    """Of `PredictionStats`, what counts per class tell."""

    def __init__(self, outcome: Outcome, counts: Tensor, n: Tensor) -> None:
        self.outcome, self.n = outcome, n
        self.true_positives, positives, self.predicted_positives = counts.unbind(0)
        self.label_stats = _CountedLabels(outcome, positives, n)


def reduced(metric: Metric, parts: Tensor) -> Tensor:
    """`Metric.reduce` for tensors: the defined parts as one number."""
    parts = parts.double().reshape(-1)
    defined = ~parts.isnan()
    if metric.reduction == "min":
        low = parts.where(defined, torch.inf).amin()
        return torch.where(defined.any(), low, torch.nan)
    return parts.where(defined, 0.0).sum() / defined.sum()


def of_counts(metric: Metric, outcome: Outcome, counts: Tensor, n: Tensor) -> Tensor:
    """The metric from counts (3, K): true positives, positives, predicted positives."""
    stand_in: Any = _Counted(outcome, counts, n)
    return reduced(metric, metric.function(stand_in))


@dataclass(frozen=True)
class Forms:
    """Metrics by the form of their function.

    Attributes:
        bounded: Names of means whose single values lie in [0, 1].
    """

    means: tuple[Metric, ...] = ()
    counts: tuple[Metric, ...] = ()
    others: tuple[Metric, ...] = ()
    bounded: frozenset[str] = frozenset()


def forms_of(head: Head, metrics: Sequence[Metric]) -> Forms:
    """Sort metrics by trying them on 64 drawn examples of the head's outcome."""
    drawn = _drawn(head)
    stats = PredictionStats(drawn)
    counts = _counts(stats)
    means, counted, others = list[Metric](), list[Metric](), list[Metric]()
    for metric in metrics:
        value = metric.reduce(metric.values(stats).tolist())
        if _same(_try_counts(metric, head.outcome, counts, stats.n), value):
            counted.append(metric)
        elif _same(_try_mean(metric, drawn), value):
            means.append(metric)
        else:
            others.append(metric)
    alone = singles(means, drawn) if means else torch.zeros(1, 0)
    inside = ((alone >= 0) & (alone <= 1) | alone.isnan()).all(dim=0).tolist()
    bounded = frozenset(metric.name for metric, held in zip(means, inside, strict=True) if held)
    return Forms(tuple(means), tuple(counted), tuple(others), bounded)


def _same(found: float, value: float) -> bool:
    return math.isclose(found, value, rel_tol=1e-9, abs_tol=1e-12)


def _try_counts(metric: Metric, outcome: Outcome, counts: Tensor, n: int) -> float:
    try:
        return float(of_counts(metric, outcome, counts, torch.tensor(float(n))))
    except (AttributeError, TypeError):
        return math.nan


def _try_mean(metric: Metric, predictions: Predictions) -> float:
    if not metric.supports_vmap:
        return math.nan
    try:
        return float(singles([metric], predictions)[:, 0].nanmean())
    except Exception:  # a metric that cannot be taken one example at a time is of another form
        return math.nan


def singles(metrics: Sequence[Metric], predictions: Predictions) -> Tensor:
    """(N, metrics) float64: each metric of each example alone; NaN where it has none."""
    given = {f.name: getattr(predictions, f.name) for f in fields(predictions)}
    rows = {k: v for k, v in given.items() if isinstance(v, Tensor)}
    rest: dict[str, Any] = {k: v for k, v in given.items() if k not in rows}

    def one(row: dict[str, Tensor]) -> Tensor:
        alone: dict[str, Any] = {name: value.unsqueeze(0) for name, value in row.items()}
        stats = PredictionStats(Predictions(**alone, **rest))
        return torch.stack([reduced(metric, metric.values(stats)) for metric in metrics])

    values: Tensor = torch.vmap(one)(rows)
    return values


def _drawn(head: Head, n: int = 64) -> Predictions:
    random = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(n, head.num_logits, generator=random)
    outcome = head.outcome
    cells = torch.rand(n, *outcome.columns, generator=random)
    labels: Tensor
    if outcome.soft:  # some rows nearly certain
        cells = cells**8
        labels = cells if isinstance(outcome, AnyOf) else cells / cells.sum(-1, keepdim=True)
    else:
        labels = cells > 0.5 if isinstance(outcome, AnyOf) else cells.argmax(-1)
        # Half of the decisions right, however many classes: gaps must have both signs.
        labels[::2] = head.decide(logits)[::2]
    return predict(head, logits, labels)


def _counts(stats: PredictionStats) -> Tensor:
    return torch.stack(
        [stats.true_positives, stats.label_stats.positives, stats.predicted_positives]
    )


# --- one set of predictions --------------------------------------------------------------------


@dataclass(frozen=True)
class Rows:
    """What each example adds to the totals, kept small enough for a million of them.

    Attributes:
        means: (N, metrics) float64 values of single examples; NaN where one has none.
        labels, decisions: Hardened, as `LabelStats.hard` and decisions are.
    """

    outcome: Outcome
    means: Floats
    labels: Tensor
    decisions: Tensor

    @property
    def n(self) -> int:
        """Examples."""
        return len(self.labels)

    @cached_property
    def counts(self) -> Tensor:
        """(3, K) float64: true positives, positives, predicted positives."""
        if isinstance(self.outcome, AnyOf):
            both = (self.labels & self.decisions).sum(0)
            return torch.stack([both, self.labels.sum(0), self.decisions.sum(0)]).double()
        width = self._columns
        true, decided = self._codes
        return torch.stack(
            [
                torch.bincount(true[true == decided], minlength=width),
                torch.bincount(true.flatten(), minlength=width),
                torch.bincount(decided.flatten(), minlength=width),
            ]
        ).double()

    @property
    def _columns(self) -> int:
        return math.prod(self.outcome.columns)

    @cached_property
    def _codes(self) -> tuple[Tensor, Tensor]:
        """(N, S) columns of true and of decided classes."""
        n = self.outcome.n
        true, decided = (t.reshape(self.n, -1) for t in (self.labels, self.decisions))
        offset = n * torch.arange(true.shape[1])
        return true + offset, decided + offset

    def influence_of_counts(self, gradient: Tensor) -> Floats:
        """(3, K) derivatives of a function of the counts -> (N,) what each example moves it."""
        g_true, g_positive, g_decided = gradient.double()
        if isinstance(self.outcome, AnyOf):
            found = torch.empty(self.n, dtype=torch.float64)
            weights = [g.float() for g in (g_true, g_positive, g_decided)]
            for at in range(0, self.n, 50_000):  # seven digits are enough for an error
                y, d = (t[at : at + 50_000].float() for t in (self.labels, self.decisions))
                moved = (y * d) @ weights[0] + y @ weights[1] + d @ weights[2]
                found[at : at + 50_000] = moved
            return np.asarray(found.numpy())
        true, decided = self._codes
        moved = g_positive[true] + g_decided[decided]
        moved += torch.where(true == decided, g_true[true], 0.0)
        return np.asarray(moved.sum(dim=1).numpy())


@dataclass(frozen=True)
class Sampled:
    """One metric with what its interval needs.

    Attributes:
        influence: (N,) or (clusters,): what each unit moves the value, mean 0; empty where only
            its size was asked for.
        units: Examples, or clusters: what is independent.
        error: Standard error; NaN if unknown.
        in_unit_interval: Whether the metric cannot leave [0, 1].
        edge_units: At 0 and 1 no error shows; so many coin flips would tell as much.
        bias: By how much the value lies above what it estimates; 0 for most.
        of_gaps: Whether the value is the size of gaps that may point either way: unlike a share,
            it varies near 0 as it does elsewhere.
        parts: Of a metric that is the least of several, all of them.
    """

    name: str
    value: float
    influence: Floats
    error: float
    in_unit_interval: bool
    edge_units: float
    units: int
    bias: float = 0.0
    of_gaps: bool = False
    parts: "tuple[Sampled, ...]" = ()


class Sampler:
    """Metrics of one set of predictions, as functions of its examples or clusters.

    Args:
        clusters: (N,) codes 0 … G - 1; examples of a cluster are one unit.
    """

    def __init__(self, forms: Forms, rows: Rows, clusters: NDArray[np.int64] | None = None) -> None:
        self.forms, self.rows, self.clusters = forms, rows, clusters
        self.units = rows.n if clusters is None else int(clusters.max()) + 1

    def sampled(self) -> dict[str, Sampled]:
        """Metrics of means and of counts, by name."""
        found: dict[str, Sampled] = {}
        for index, metric in enumerate(self.forms.means):
            column = self.rows.means[:, index]
            known = ~np.isnan(column)
            count, values = int(known.sum()), np.where(known, column, 0.0)
            value = math.nan if count == 0 else float(values.sum() / count)
            with np.errstate(invalid="ignore"):
                influence = np.where(known, column - value, 0.0) / max(1, count)
            bounded = metric.name in self.forms.bounded
            found[metric.name] = self.of_influence(metric.name, value, influence, bounded, count)
        for metric in self.forms.counts:
            found[metric.name] = self.of_counts(metric.name, metric.function, metric)
        return found

    def of_influence(
        self,
        name: str,
        value: float,
        influence: Floats,
        in_unit_interval: bool,
        edge: float,
    ) -> Sampled:
        """A metric whose influence function (N,) is known, summed over clusters."""
        if self.clusters is not None:
            summed = np.bincount(self.clusters, weights=influence, minlength=self.units)
            influence = summed.astype(np.float64)
            edge *= self.units / self.rows.n
        error = standard_error(influence)
        bounded = in_unit_interval and 0 <= value <= 1
        return Sampled(name, value, influence, error, bounded, max(1.0, edge), self.units)

    def of_counts(self, name: str, function: Any, metric: Metric) -> Sampled:
        """A function of counts, by its derivatives; the least of several with its parts."""
        if metric.reduction == "min":
            parts = [p for p in self.parts_of_counts(name, function) if not math.isnan(p.value)]
            least = min(parts, key=lambda part: part.value, default=None)
            if least is not None:
                whole = self._derived(name, lambda c: reduced(metric, function(c)), [1.0])[0]
                return replace(least, influence=whole.influence, parts=tuple(parts))
        seen = self.rows.counts[1][self.rows.counts[1] > 0]
        edge = float(len(seen) ** 2 / (1 / seen).sum()) if len(seen) else 1.0
        (found,) = self._derived(name, lambda counted: reduced(metric, function(counted)), [edge])
        return found

    def parts_of_counts(self, name: str, function: Any) -> list[Sampled]:
        """Every part of a function of counts: precision, recall, F1 of each class."""
        edges = self.rows.counts[1].clamp(min=1).tolist()
        return self._derived(name, function, edges, alone=True)

    def _error_of_column(self, column: int, gradient: Tensor, by_n: float) -> float:
        """Of a function of one class's counts: examples are of four kinds."""
        true, positive, decided = self.rows.counts[:, column].tolist()
        g_true, g_positive, g_decided = gradient[:, column].tolist()
        n = self.rows.n
        kinds = [
            (true, g_true + g_positive + g_decided),
            (positive - true, g_positive),
            (decided - true, g_decided),
            (n - positive - decided + true, 0.0),
        ]
        if n < 2:
            return math.nan
        return math.sqrt(n / (n - 1) * sum(count * (g + by_n) ** 2 for count, g in kinds))

    def _derived(
        self, name: str, function: Any, edges: Sequence[float], alone: bool = False
    ) -> list[Sampled]:
        counts = self.rows.counts.clone().requires_grad_()
        n = torch.tensor(float(self.rows.n), dtype=torch.float64, requires_grad=True)
        with torch.enable_grad():
            values = function(_Counted(self.rows.outcome, counts, n)).reshape(-1)
        if len(edges) != len(values):  # groups pooled: fewer parts than columns
            edges = torch.tensor(edges).reshape(-1, len(values)).sum(dim=0).tolist()
        found = []
        for value, edge in zip(values, edges, strict=True):
            if not bool(value.isfinite()):
                nothing = np.full(self.rows.n, np.nan)
                found.append(self.of_influence(name, math.nan, nothing, True, edge))
                continue
            grads = torch.autograd.grad(value, (counts, n), retain_graph=True, allow_unused=True)
            # A part that is undefined, 0 / 0, is left out of the value; its derivative is NaN.
            by_counts = torch.zeros_like(counts) if grads[0] is None else grads[0].nan_to_num(0.0)
            by_n = 0.0 if grads[1] is None else float(grads[1].nan_to_num(0.0))
            (touched,) = by_counts.abs().sum(dim=0).nonzero(as_tuple=True)
            if alone and self.clusters is None and len(touched) == 1:
                error = self._error_of_column(int(touched), by_counts.detach(), by_n)
                nothing, whole = np.empty(0), float(value.detach())
                found.append(Sampled(name, whole, nothing, error, True, edge, self.units))
                continue
            influence = self.rows.influence_of_counts(by_counts.detach()) + by_n
            found.append(self.of_influence(name, float(value.detach()), influence, True, edge))
        return found


def standard_error(influence: Floats) -> float:
    """Of a value whose influence function over independent units is this."""
    units = len(influence)
    if units < 2 or not np.isfinite(influence).all():
        return math.nan
    with np.errstate(over="ignore"):  # losses near the largest number: an infinite error
        squares = np.square(influence - influence.mean()).sum()
    return float(np.sqrt(units / (units - 1) * squares))


# --- metrics of other forms --------------------------------------------------------------------


def sample_others(sampler: Sampler, predictions: Predictions) -> dict[str, Sampled]:
    """Rankings and calibration by their influence functions, all else by the jackknife."""
    stats = PredictionStats(predictions)
    known: dict[str, Callable[[PredictionStats], tuple[float, Floats]]] = {
        macro_roc_auc_score.name: lambda s: macro(s, area),
        mean_average_precision_score.name: lambda s: macro(s, average_precision),
    }
    found = {}
    positives = stats.label_stats.positives
    rarer = torch.minimum(positives, stats.n - positives)
    rarer = rarer[rarer > 0]
    edge = float(len(rarer) ** 2 / (1 / rarer).sum()) if len(rarer) else 1.0
    for metric in sampler.forms.others:
        if metric.name in known:
            value, influence = known[metric.name](stats)
            found[metric.name] = sampler.of_influence(metric.name, value, influence, True, edge)
        elif metric.name == fitted_temperature.name:
            value, influence = temperature(stats)
            found[metric.name] = sampler.of_influence(metric.name, value, influence, False, edge)
        elif metric.name == expected_calibration_error.name:
            value, influence, bias = calibration(stats)
            one = sampler.of_influence(metric.name, value, influence, True, stats.n)
            found[metric.name] = replace(one, bias=bias, of_gaps=True)
        else:
            found[metric.name] = _jackknife(sampler, metric, predictions)
    return found


def _jackknife(sampler: Sampler, metric: Metric, predictions: Predictions) -> Sampled:
    """The metric without one group of units after another."""
    whole = metric.reduce(metric.values(PredictionStats(predictions)).tolist())
    groups = min(JACKKNIFE_GROUPS, sampler.units)
    unit = np.arange(sampler.rows.n) if sampler.clusters is None else sampler.clusters
    dealt = np.random.default_rng(0).permutation(sampler.units)[unit] % groups
    values = []
    for group in range(groups):
        kept = torch.from_numpy(np.flatnonzero(dealt != group))
        without = PredictionStats(rows_of(predictions, kept))
        values.append(metric.reduce(metric.values(without).tolist()))
    left_out = np.array(values)
    error = math.nan
    if groups > 1 and np.isfinite(left_out).all():
        error = float(np.sqrt((groups - 1) / groups * np.square(left_out - left_out.mean()).sum()))
    # Each group's pull, dealt out over the groups as units: pairs of models share the groups.
    influence = (left_out.mean() - left_out) * (groups - 1) / groups
    shown = bool(metric.higher_is_better) and metric.perfect == 1.0
    bounded = shown and 0 <= whole <= 1
    edge = float(sampler.units)
    return Sampled(metric.name, whole, influence, error, bounded, edge, groups)


def rows_of(predictions: Predictions, rows: Tensor) -> Predictions:
    """Predictions of some examples."""
    given = {f.name: getattr(predictions, f.name) for f in fields(predictions)}
    taken: dict[str, Any] = {k: v[rows] if isinstance(v, Tensor) else v for k, v in given.items()}
    return Predictions(**taken)


def rows_from(forms: Forms, predictions: Predictions) -> Rows:
    """What each example adds to the totals."""
    stats = LabelStats(predictions.outcome, predictions.labels)
    means = np.zeros((len(predictions.labels), 0))
    if forms.means:
        means = singles(forms.means, predictions).numpy()
    return Rows(predictions.outcome, means, stats.hard, predictions.decisions)
