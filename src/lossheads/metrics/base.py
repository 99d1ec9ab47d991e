"""A ruler: one number about predictions, with the number that knowing nothing would get."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lossheads.errors import UserError
from lossheads.metrics.stats import Facts
from lossheads.outcomes import AnyOf, EachOneOf, OneOf, Outcome
from lossheads.predictions import Predictions

EVERY_OUTCOME: tuple[type, ...] = (OneOf, AnyOf, EachOneOf)
Rule = Callable[[Facts], Tensor]


@dataclass(frozen=True)
class AnyRuler:
    """What rulers with one number and rulers with one value per class have in common.

    Attributes:
        name: Ends in `_score` or `_accuracy` (higher is better), `_loss` or `_error` (lower).
        says: One sentence for dashboards: what it counts and on what.
        rule: The computation, a float64 tensor of one or more parts (say, one per class).
        floor_rule: What the best answer that never looks at an input scores on these labels.
        perfect: The value of perfect predictions of hard labels.
        serves: The outcomes it has a meaning for.
        cheap: Measured at every lap (under about 1 ms at N = 5,000, C = 10), or only at the last.
        needs_truth: Defined only where the data know the true posterior; `measure` leaves it out
            elsewhere.
        side_by_side: Whether `torch.vmap` can lay the rule on several members at once: it may
            not write into tensors of its own making nor read a number while it computes.
    """

    name: str
    says: str
    rule: Rule
    floor_rule: Rule
    perfect: float = 1.0
    serves: tuple[type, ...] = EVERY_OUTCOME
    cheap: bool = True
    needs_truth: bool = False
    side_by_side: bool = True

    def fits(self, predictions: Predictions) -> bool:
        """Whether these predictions hold all that the ruler reads."""
        known = not self.needs_truth or predictions.truth is not None
        return known and isinstance(predictions.outcome, self.serves)

    def refuse(self, outcome: Outcome) -> None:
        """Raise `UserError` unless the ruler has a meaning for the outcome."""
        if not isinstance(outcome, self.serves):
            known = " or ".join(kind.__name__ for kind in self.serves)
            raise UserError(
                f"{self.name} does not serve {outcome}: it has a meaning for {known} alone; "
                f"`lossheads.metrics.rulers_for(outcome)` lists what serves it"
            )

    def parts(self, facts: Facts) -> Tensor:
        """The rule's parts as a float64 row: all NaN if the predictions hold a NaN."""
        # Every comparison with NaN is false, so a broken head would score like one that says no.
        return torch.where(facts.broken, torch.nan, self.rule(facts).double().reshape(-1))

    def _examine(self, predictions: Predictions) -> Facts:
        self.refuse(predictions.outcome)
        if not self.fits(predictions):
            raise UserError(
                f"{self.name} got predictions without a true posterior: it measures the distance "
                f"to it; use nll_loss where the truth is unknown"
            )
        return examined(predictions)


@dataclass(frozen=True)
class Ruler(AnyRuler):
    """A named pure function of predictions, beside its floor. Call it on `Predictions`.

    Attributes:
        over_parts: How the defined parts become one number.
    """

    over_parts: Literal["mean", "min"] = "mean"

    def __call__(self, predictions: Predictions) -> float:
        """The score; NaN where it is undefined.

        Raises:
            UserError: If the ruler has no meaning for the outcome, or there are no examples.
        """
        return self.joined(as_parts(self.parts(self._examine(predictions))))

    def floor(self, predictions: Predictions) -> float:
        """What the best answer that never looks at an input scores on the same labels."""
        return self.joined(as_parts(self.floor_rule(self._examine(predictions))))

    def joined(self, parts: list[float]) -> float:
        """The defined parts as one number; NaN when none is defined."""
        defined = [part for part in parts if not math.isnan(part)]
        if not defined:
            return math.nan
        return min(defined) if self.over_parts == "min" else math.fsum(defined) / len(defined)


@dataclass(frozen=True)
class ClassRuler(AnyRuler):
    """A ruler with one value per column: class, label, or class of each set, flattened."""

    def __call__(self, predictions: Predictions) -> list[float]:
        """K values; NaN where a class has nothing to be measured on."""
        return as_parts(self.parts(self._examine(predictions)))

    def floor(self, predictions: Predictions) -> list[float]:
        """What the best answer that never looks at an input scores, for each column."""
        return as_parts(self.floor_rule(self._examine(predictions)))


def skill(score: float, floor: float, perfect: float = 1.0) -> float:
    """How far a score has come from its floor to perfection: 0 at the floor, 1 at perfect.

    Negative below the floor. NaN where the floor is perfect already (calibration errors, splits
    with a single class): there is nothing to gain, hence no skill to state.
    """
    return (score - floor) / (perfect - floor) if perfect != floor else math.nan


def as_parts(value: Tensor) -> list[float]:
    """A rule's tensor as Python floats: one transfer from the device."""
    parts: list[float] = value.double().reshape(-1).tolist()
    return parts


def constant(value: float) -> Rule:
    """A floor that does not depend on the labels."""
    return lambda facts: torch.tensor(value, dtype=torch.float64, device=facts.p.labels.device)


def examined(predictions: Predictions) -> Facts:
    """Predictions as rulers read them.

    Raises:
        UserError: If there are no examples.
    """
    if len(predictions.labels) == 0:
        raise UserError("rulers got 0 examples: a split needs at least one to be measured")
    return Facts(predictions)
