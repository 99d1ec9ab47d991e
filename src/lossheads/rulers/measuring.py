"""The table of rulers, and what lays all of them on the predictions of one member or several."""

import math
from collections.abc import Iterable, Sequence
from itertools import islice

import torch
from torch import Tensor

from lossheads.errors import UserError, near_matches
from lossheads.outcomes import Outcome
from lossheads.predictions import CohortPredictions, Predictions
from lossheads.results import Measurement
from lossheads.rulers import accuracy, dialects, multilabel, order, per_class, probabilistic
from lossheads.rulers.core import AnyRuler, ClassRuler, Ruler, as_parts, examined
from lossheads.rulers.facts import Facts
from lossheads.rulers.temperature import fitted_temperature

ALL_RULERS: tuple[Ruler, ...] = (
    *accuracy.RULERS,
    *multilabel.RULERS,
    *dialects.RULERS,
    *probabilistic.RULERS,
    *order.RULERS,
    fitted_temperature,
)
ALL_CLASS_RULERS: tuple[ClassRuler, ...] = per_class.CLASS_RULERS


def rulers_for(outcome: Outcome) -> list[Ruler]:
    """Every ruler with one number that has a meaning for the outcome, in the table's order."""
    return [ruler for ruler in ALL_RULERS if isinstance(outcome, ruler.serves)]


def class_rulers_for(outcome: Outcome) -> list[ClassRuler]:
    """Every ruler with one value per class that has a meaning for the outcome."""
    return [ruler for ruler in ALL_CLASS_RULERS if isinstance(outcome, ruler.serves)]


def find_ruler(name: str, outcome: Outcome) -> Ruler:
    """The ruler of that name.

    Raises:
        UserError: If there is none, if it has no meaning for the outcome, or if it gives one
            value per class and so cannot decide anything by itself.
    """
    for ruler in ALL_RULERS:
        if ruler.name == name:
            ruler.refuse(outcome)
            return ruler
    if any(ruler.name == name for ruler in ALL_CLASS_RULERS):
        raise UserError(
            f"ruler {name!r} gives one value per class: where one number is asked for, "
            f"{near_matches(name, _names(rulers_for(outcome)))}"
        )
    raise UserError(f"no ruler {name!r}: {near_matches(name, _names(rulers_for(outcome)))}")


def measure(predictions: Predictions, full: bool) -> Measurement:
    """Predictions under every ruler of their outcome.

    Args:
        full: All rulers; otherwise only the cheap ones, for measuring steps while training.

    Returns:
        A `Measurement`. NaN where a ruler is undefined; rulers of the true posterior are left out
        where it is unknown. `undefined` counts, for each ruler that
        has any, its undefined parts: a macro ruler is the mean over the classes that have a
        value, and the count says how many it had to leave out. If any score or log-probability
        is NaN, every ruler is undefined.

    Raises:
        UserError: If there are no examples.
    """
    facts = examined(predictions)
    rulers = _Laid(predictions, full)
    (measurement,) = rulers.read(facts, [r.parts(facts).unsqueeze(0) for r in rulers.every])
    return measurement


def measure_cohort(predictions: CohortPredictions, full: bool) -> list[Measurement]:
    """`measure` for every member, bit by bit the same, each ruler laid on all of them at once.

    One pass and one transfer from the device whatever K; floors, a matter of labels, once. The
    fitted temperature alone, a ruler of the last lap, reads numbers of its own, member by member.
    """
    if len(predictions) == 1:  # to lay rulers side by side has its price, too
        return [measure(predictions[0], full)]
    facts = examined(predictions[0])
    rulers = _Laid(predictions[0], full)

    def parts_of(*answers: Tensor) -> list[Tensor]:
        own = Facts(predictions.member(answers))
        return [ruler.parts(own) for ruler in rulers.every if ruler.side_by_side]

    at_once = iter(torch.vmap(parts_of)(*predictions.answers))
    parts = [
        next(at_once) if r.side_by_side else torch.stack([r.parts(Facts(p)) for p in predictions])
        for r in rulers.every
    ]
    return rulers.read(facts, parts)


class _Laid:
    """The rulers that are laid on some predictions."""

    def __init__(self, predictions: Predictions, full: bool) -> None:
        def fit(ruler: AnyRuler) -> bool:
            return ruler.fits(predictions) and (full or ruler.cheap)

        self._rulers = list(filter(fit, ALL_RULERS))
        self._class_rulers = list(filter(fit, ALL_CLASS_RULERS))
        self.every: list[AnyRuler] = [*self._rulers, *self._class_rulers]

    def read(self, facts: Facts, parts: Sequence[Tensor]) -> list[Measurement]:
        """For each ruler its parts (K, any number) -> K measurements.

        All numbers come in one transfer: each would otherwise wait for the device.

        Args:
            facts: Of any member, for the floors.
        """
        floors = [ruler.floor_rule(facts).double().reshape(-1) for ruler in self._rulers]
        rows = torch.cat(list(parts), dim=1)
        numbers = iter(as_parts(torch.cat([*floors, rows.flatten()])))
        of_floors = [list(islice(numbers, len(floor))) for floor in floors]
        return [
            self._measurement([list(islice(numbers, p.shape[1])) for p in parts], of_floors, facts)
            for _ in rows
        ]

    def _measurement(
        self, parts: Sequence[list[float]], floors: Sequence[list[float]], facts: Facts
    ) -> Measurement:
        named = dict(zip(_names(self.every), parts, strict=True))
        undefined = {name: sum(map(math.isnan, row)) for name, row in named.items()}
        return Measurement(
            rulers={r.name: r.joined(named[r.name]) for r in self._rulers},
            floors={r.name: r.joined(row) for r, row in zip(self._rulers, floors, strict=True)},
            classes={r.name: named[r.name] for r in self._class_rulers},
            undefined={name: n for name, n in undefined.items() if n},
            n=facts.n,
        )


def _names(rulers: Iterable[AnyRuler]) -> list[str]:
    return [ruler.name for ruler in rulers]
