"""A metric: a function of predictions, and its baseline on the same labels.

The baseline is the value of the best prediction that ignores the input. For most metrics that is
a constant prediction; where it is a random guess, the metric says so.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lossheads.errors import UserError
from lossheads.metrics.stats import LabelStats, PredictionStats
from lossheads.outcomes import AnyOf, EachOneOf, OneOf, Outcome
from lossheads.predictions import Predictions
from lossheads.records import MetricInfo
from lossheads.records import skill as skill

ALL_OUTCOMES: tuple[type, ...] = (OneOf, AnyOf, EachOneOf)
MetricFunction = Callable[[PredictionStats], Tensor]

# What a metric cannot leave, least value first.
UNBOUNDED = (-math.inf, math.inf)
SHARE = (0.0, 1.0)
POSITIVE = (0.0, math.inf)


@dataclass(frozen=True)
class BaseMetric:
    """What metrics with one number and metrics with one value per class have in common.

    Made by `metric` and `per_class_metric`, which describe the attributes.
    """

    name: str
    function: MetricFunction
    baseline_function: MetricFunction
    higher_is_better: bool | None
    perfect: float
    outcomes: tuple[type, ...] = ALL_OUTCOMES
    at_every_validation: bool = True
    needs_true_posterior: bool = False
    supports_vmap: bool = True
    range: tuple[float, float] = UNBOUNDED

    def __post_init__(self) -> None:
        # `help(accuracy_score)` shows what the decorated function says.
        object.__setattr__(self, "__doc__", inspect.getdoc(self.function))

    @property
    def description(self) -> str:
        """The first paragraph of the function's docstring, on one line."""
        text = inspect.getdoc(self.function) or ""
        return " ".join(text.split("\n\n")[0].split())

    @property
    def info(self) -> MetricInfo:
        """What a reader of results has to know of the metric."""
        low, high = (end if math.isfinite(end) else math.nan for end in self.range)
        return MetricInfo(self.higher_is_better, self.perfect, low, high)

    def is_defined_for(self, predictions: Predictions) -> bool:
        """Whether these predictions hold all that the metric reads."""
        known = not self.needs_true_posterior or predictions.true_posterior is not None
        return known and isinstance(predictions.outcome, self.outcomes)

    def check_outcome(self, outcome: Outcome) -> None:
        """Raise `UserError` unless the metric is defined for the outcome."""
        if not isinstance(outcome, self.outcomes):
            known = " or ".join(kind.__name__ for kind in self.outcomes)
            raise UserError(
                f"{self.name} is not defined for {outcome}, only for {known}; "
                f"`lossheads.metrics.metrics_for(outcome)` lists the metrics that are"
            )

    def values(self, stats: PredictionStats) -> Tensor:
        """The function's parts as a float64 row: all NaN if the predictions hold a NaN."""
        # Every comparison with NaN is false: a NaN would otherwise count as a negative decision.
        return torch.where(stats.has_nan, torch.nan, self.function(stats).double().reshape(-1))

    def _stats_for(self, predictions: Predictions) -> PredictionStats:
        self.check_outcome(predictions.outcome)
        if not self.is_defined_for(predictions):
            raise UserError(
                f"{self.name} needs predictions with a true posterior, got none: use nll_loss "
                f"where the posterior is unknown"
            )
        return prediction_stats(predictions)


@dataclass(frozen=True)
class Metric(BaseMetric):
    """A metric with one number. Call it on `Predictions`."""

    reduction: Literal["mean", "min"] = "mean"

    def __call__(self, predictions: Predictions) -> float:
        """The value; NaN where it is undefined.

        Raises:
            UserError: If the metric is not defined for the outcome, or there are no examples.
        """
        return self.reduce(to_floats(self.values(self._stats_for(predictions))))

    def baseline(self, predictions: Predictions) -> float:
        """Value of the best constant prediction on the same labels."""
        return self.reduce(to_floats(self.baseline_function(self._stats_for(predictions))))

    def reduce(self, parts: list[float]) -> float:
        """The defined parts as one number; NaN when none is defined."""
        defined = [part for part in parts if not math.isnan(part)]
        if not defined:
            return math.nan
        return min(defined) if self.reduction == "min" else math.fsum(defined) / len(defined)


@dataclass(frozen=True)
class PerClassMetric(BaseMetric):
    """A metric with one value per column: class, label, or class of each group, flattened."""

    def __call__(self, predictions: Predictions) -> list[float]:
        """K values; NaN where a class has nothing to be measured on."""
        return to_floats(self.values(self._stats_for(predictions)))

    def baseline(self, predictions: Predictions) -> list[float]:
        """Value of the best constant prediction, for each column."""
        return to_floats(self.baseline_function(self._stats_for(predictions)))


def metric(
    *,
    baseline: MetricFunction,
    higher_is_better: bool | None,
    perfect: float,
    name: str | None = None,
    outcomes: tuple[type, ...] = ALL_OUTCOMES,
    at_every_validation: bool = True,
    needs_true_posterior: bool = False,
    supports_vmap: bool = True,
    reduction: Literal["mean", "min"] = "mean",
    range: tuple[float, float] = UNBOUNDED,
) -> Callable[[MetricFunction], Metric]:
    """Make a function of `PredictionStats` a `Metric`.

    The function returns a tensor of one or more parts (say, one per class). The first paragraph
    of its docstring is what `lossheads metrics` and the dashboard print.

    Args:
        baseline: Value of the best constant prediction on the same labels.
        higher_is_better: None where neither direction is better.
        perfect: The value of perfect predictions of hard labels.
        name: Of the function unless given. By convention it ends in `_score` or `_accuracy` where
            higher is better, in `_loss` or `_error` where lower is; nothing reads it from there.
        outcomes: The outcomes it is defined for.
        at_every_validation: Measured at every validation step (under about 1 ms at N = 5,000,
            C = 10), or only at the last.
        needs_true_posterior: Defined only for data with a known posterior; `measure` leaves it
            out elsewhere.
        supports_vmap: Whether `torch.vmap` can evaluate the function for several members at once:
            it may not write into tensors of its own making nor read a number while it computes.
        reduction: How the defined parts become one number.
        range: The least and the largest value possible: intervals do not leave it.
    """
    return lambda function: Metric(
        name=name or function.__name__,
        function=function,
        baseline_function=baseline,
        higher_is_better=higher_is_better,
        perfect=perfect,
        outcomes=outcomes,
        at_every_validation=at_every_validation,
        needs_true_posterior=needs_true_posterior,
        supports_vmap=supports_vmap,
        reduction=reduction,
        range=range,
    )


def per_class_metric(
    *,
    baseline: MetricFunction,
    higher_is_better: bool | None,
    perfect: float,
    name: str | None = None,
    outcomes: tuple[type, ...] = ALL_OUTCOMES,
    at_every_validation: bool = True,
) -> Callable[[MetricFunction], PerClassMetric]:
    """Make a function of `PredictionStats`, (K,) values, a `PerClassMetric`; see `metric`."""
    return lambda function: PerClassMetric(
        name=name or function.__name__,
        function=function,
        baseline_function=baseline,
        higher_is_better=higher_is_better,
        perfect=perfect,
        outcomes=outcomes,
        at_every_validation=at_every_validation,
    )


def to_floats(value: Tensor) -> list[float]:
    """A tensor as Python floats: one transfer from the device."""
    parts: list[float] = value.double().reshape(-1).tolist()
    return parts


def constant_baseline(value: float) -> MetricFunction:
    """A baseline that does not depend on the labels."""
    return lambda stats: torch.tensor(
        value, dtype=torch.float64, device=stats.predictions.labels.device
    )


def prediction_stats(
    predictions: Predictions, label_stats: LabelStats | None = None
) -> PredictionStats:
    """Predictions as metrics read them.

    Raises:
        UserError: If there are no examples.
    """
    if len(predictions.labels) == 0:
        raise UserError("metrics need at least 1 example, got 0 examples")
    return PredictionStats(predictions, label_stats)
