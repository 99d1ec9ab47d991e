"""A metric: one number about predictions, with the number that knowing nothing would get."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lossheads.errors import UserError
from lossheads.metrics.stats import PredictionStats
from lossheads.outcomes import AnyOf, EachOneOf, OneOf, Outcome
from lossheads.predictions import Predictions

ALL_OUTCOMES: tuple[type, ...] = (OneOf, AnyOf, EachOneOf)
MetricFunction = Callable[[PredictionStats], Tensor]


@dataclass(frozen=True)
class BaseMetric:
    """What metrics with one number and metrics with one value per class have in common.

    Attributes:
        name: Ends in `_score` or `_accuracy` (higher is better), `_loss` or `_error` (lower).
        description: One sentence for dashboards: what it counts and on what.
        function: The computation, a float64 tensor of one or more parts (say, one per class).
        baseline_function: What the best constant prediction scores on these labels.
        perfect: The value of perfect predictions of hard labels.
        outcomes: The outcomes it has a meaning for.
        at_every_validation: Measured at every validation step (under about 1 ms at N = 5,000, C = 10), or only at the last.
        needs_true_posterior: Defined only where the data know the true posterior; `measure` leaves it out
            elsewhere.
        supports_vmap: Whether `torch.vmap` can lay the rule on several members at once: it may
            not write into tensors of its own making nor read a number while it computes.
    """

    name: str
    description: str
    function: MetricFunction
    baseline_function: MetricFunction
    perfect: float = 1.0
    outcomes: tuple[type, ...] = ALL_OUTCOMES
    at_every_validation: bool = True
    needs_true_posterior: bool = False
    supports_vmap: bool = True

    def is_defined_for(self, predictions: Predictions) -> bool:
        """Whether these predictions hold all that the metric reads."""
        known = not self.needs_true_posterior or predictions.true_posterior is not None
        return known and isinstance(predictions.outcome, self.outcomes)

    def check_outcome(self, outcome: Outcome) -> None:
        """Raise `UserError` unless the metric has a meaning for the outcome."""
        if not isinstance(outcome, self.outcomes):
            known = " or ".join(kind.__name__ for kind in self.outcomes)
            raise UserError(
                f"{self.name} does not serve {outcome}: it has a meaning for {known} alone; "
                f"`lossheads.metrics.metrics_for(outcome)` lists what serves it"
            )

    def values(self, stats: PredictionStats) -> Tensor:
        """The rule's parts as a float64 row: all NaN if the predictions hold a NaN."""
        # Every comparison with NaN is false, so a broken head would score like one that says no.
        return torch.where(stats.has_nan, torch.nan, self.function(stats).double().reshape(-1))

    def _stats_for(self, predictions: Predictions) -> PredictionStats:
        self.check_outcome(predictions.outcome)
        if not self.is_defined_for(predictions):
            raise UserError(
                f"{self.name} got predictions without a true posterior: it measures the distance "
                f"to it; use nll_loss where the true_posterior is unknown"
            )
        return prediction_stats(predictions)


@dataclass(frozen=True)
class Metric(BaseMetric):
    """A named pure function of predictions, beside its baseline. Call it on `Predictions`.

    Attributes:
        reduction: How the defined parts become one number.
    """

    reduction: Literal["mean", "min"] = "mean"

    def __call__(self, predictions: Predictions) -> float:
        """The score; NaN where it is undefined.

        Raises:
            UserError: If the metric has no meaning for the outcome, or there are no examples.
        """
        return self.reduce(to_floats(self.values(self._stats_for(predictions))))

    def baseline(self, predictions: Predictions) -> float:
        """What the best constant prediction scores on the same labels."""
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
        """What the best constant prediction scores, for each column."""
        return to_floats(self.baseline_function(self._stats_for(predictions)))


def skill(score: float, baseline: float, perfect: float = 1.0) -> float:
    """How far a score has come from its baseline to perfection: 0 at the baseline, 1 at perfect.

    Negative below the baseline. NaN where the baseline is perfect already (calibration errors, splits
    with a single class): there is nothing to gain, hence no skill to state.
    """
    return (score - baseline) / (perfect - baseline) if perfect != baseline else math.nan


def to_floats(value: Tensor) -> list[float]:
    """A rule's tensor as Python floats: one transfer from the device."""
    parts: list[float] = value.double().reshape(-1).tolist()
    return parts


def constant_baseline(value: float) -> MetricFunction:
    """A baseline that does not depend on the labels."""
    return lambda stats: torch.tensor(
        value, dtype=torch.float64, device=stats.predictions.labels.device
    )


def prediction_stats(predictions: Predictions) -> PredictionStats:
    """Predictions as metrics read them.

    Raises:
        UserError: If there are no examples.
    """
    if len(predictions.labels) == 0:
        raise UserError("metrics got 0 examples: a split needs at least one to be measured")
    return PredictionStats(predictions)
