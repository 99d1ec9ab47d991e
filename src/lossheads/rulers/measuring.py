"""The table of rulers, and the one function that lays all of them on predictions."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from lossheads.errors import UserError, near_matches
from lossheads.outcomes import Outcome
from lossheads.predictions import Predictions
from lossheads.results import Measurement
from lossheads.rulers import accuracy, dialects, per_class, probabilistic
from lossheads.rulers.core import ClassRuler, Ruler, as_parts, refuse_outcome
from lossheads.rulers.facts import Facts

ALL_RULERS: tuple[Ruler, ...] = accuracy.RULERS + dialects.RULERS + probabilistic.RULERS
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
            refuse_outcome(ruler, outcome)
            return ruler
    if any(ruler.name == name for ruler in ALL_CLASS_RULERS):
        raise UserError(
            f"ruler {name!r} gives one value per class: where one number is asked for, "
            f"{near_matches(name, _names(rulers_for(outcome)))}"
        )
    raise UserError(f"no ruler {name!r}: {near_matches(name, _names(rulers_for(outcome)))}")


def measure(predictions: Predictions, full: bool) -> Measurement:
    """Predictions under every ruler of their outcome; all numbers leave the device together.

    Args:
        full: All rulers; otherwise only the cheap ones, for measuring steps while training.

    Returns:
        A `Measurement`. NaN where a ruler is undefined. `undefined` counts, for each ruler that
        has any, its undefined parts: a macro ruler is the mean over the classes that have a
        value, and the count says how many it had to leave out. If any score or log-probability
        is NaN, every ruler is undefined.

    Raises:
        UserError: If there are no examples.
    """
    if len(predictions.labels) == 0:
        raise UserError("measure got 0 examples: a split needs at least one to be measured")
    facts = Facts(predictions)
    rulers = [ruler for ruler in rulers_for(predictions.outcome) if full or ruler.cheap]
    class_rulers = [r for r in class_rulers_for(predictions.outcome) if full or r.cheap]
    values = [r.rule(facts) for r in rulers] + [r.rule(facts) for r in class_rulers]
    floors = [ruler.floor_rule(facts) for ruler in rulers]
    numbers = _to_host([facts.broken, *values, *floors])
    broken, parts, floor_parts = numbers[0][0], numbers[1 : -len(rulers)], numbers[-len(rulers) :]
    if broken:
        parts = [[math.nan] * len(row) for row in parts]
    names = _names(rulers) + _names(class_rulers)
    named = list(zip(names, parts, strict=True))
    undefined = {name: sum(map(math.isnan, row)) for name, row in named}
    return Measurement(
        rulers={r.name: r.joined(row) for r, row in zip(rulers, parts, strict=False)},
        floors={r.name: r.joined(row) for r, row in zip(rulers, floor_parts, strict=True)},
        classes=dict(named[len(rulers) :]),
        undefined={name: n for name, n in undefined.items() if n},
        n=facts.n,
    )


def _to_host(values: list[Tensor]) -> list[list[float]]:
    flat = [value.double().reshape(-1) for value in values]
    numbers = as_parts(torch.cat(flat))
    rows, start = [], 0
    for value in flat:
        rows.append(numbers[start : start + len(value)])
        start += len(value)
    return rows


def _names(rulers: Iterable[Ruler | ClassRuler]) -> list[str]:
    return [ruler.name for ruler in rulers]
