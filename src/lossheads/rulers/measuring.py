"""The table of rulers, and the one function that lays all of them on predictions."""

import math
from collections.abc import Iterable
from itertools import islice

import torch
from torch import Tensor

from lossheads.errors import UserError, near_matches
from lossheads.outcomes import Outcome
from lossheads.predictions import Predictions
from lossheads.results import Measurement
from lossheads.rulers import accuracy, dialects, multilabel, order, per_class, probabilistic
from lossheads.rulers.core import AnyRuler, ClassRuler, Ruler, as_parts, examined
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
    rulers = [r for r in ALL_RULERS if r.fits(predictions) and (full or r.cheap)]
    class_rulers = [r for r in ALL_CLASS_RULERS if r.fits(predictions) and (full or r.cheap)]
    floors = _to_host([ruler.floor_rule(facts) for ruler in rulers])
    every: list[AnyRuler] = [*rulers, *class_rulers]
    parts = _to_host([ruler.parts(facts) for ruler in every])
    named = dict(zip(_names(every), parts, strict=True))
    undefined = {name: sum(map(math.isnan, row)) for name, row in named.items()}
    return Measurement(
        rulers={ruler.name: ruler.joined(named[ruler.name]) for ruler in rulers},
        floors={r.name: r.joined(row) for r, row in zip(rulers, floors, strict=True)},
        classes={ruler.name: named[ruler.name] for ruler in class_rulers},
        undefined={name: n for name, n in undefined.items() if n},
        n=facts.n,
    )


def _to_host(values: list[Tensor]) -> list[list[float]]:
    """One transfer for all: each would otherwise wait for the device."""
    rows = [value.double().reshape(-1) for value in values]
    numbers = iter(as_parts(torch.cat(rows)))
    return [list(islice(numbers, len(row))) for row in rows]


def _names(rulers: Iterable[AnyRuler]) -> list[str]:
    return [ruler.name for ruler in rulers]
