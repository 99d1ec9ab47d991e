"""The table of rulers, and what lays all of them on the predictions of one member or several."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice

import torch
from torch import Tensor

from lossheads.errors import UserError, near_matches
from lossheads.heads.base import Head
from lossheads.metrics import classification, frameworks, per_class, probabilistic, ranking
from lossheads.metrics.base import AnyRuler, ClassRuler, Ruler, as_parts, examined
from lossheads.metrics.ood import detect
from lossheads.metrics.probabilistic import fitted_temperature
from lossheads.metrics.stats import Facts
from lossheads.metrics.thresholds import compare_thresholds
from lossheads.outcomes import AnyOf, Outcome
from lossheads.predictions import CohortPredictions, Predictions, predict
from lossheads.records import Measurement

ALL_RULERS: tuple[Ruler, ...] = (
    *classification.RULERS,
    *classification.MULTILABEL_RULERS,
    *frameworks.RULERS,
    *probabilistic.RULERS,
    *ranking.RULERS,
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


def with_thresholds(
    test: Measurement, on_test: Predictions, head: Head, val_logits: Tensor, val_labels: Tensor
) -> Measurement:
    """AnyOf: adds `one_half/<ruler>` and `tuned/<ruler>` (per label, on validation, for its F1).

    The plain names are the head's own rule. Other outcomes pass through: nothing to tune.

    Args:
        on_test: What `test` has measured.
        val_logits: (N, L) of the validation split, whose labels come beside them.
    """
    if not isinstance(on_test.outcome, AnyOf) or on_test.outcome.soft:
        return test
    rulers, floors = dict(test.rulers), dict(test.floors)
    compared = compare_thresholds(predict(head, val_logits, val_labels), on_test)
    for rule in ("one_half", "tuned"):
        for name, value in compared[rule].items():
            rulers[f"{rule}/{name}"] = value
            floors[f"{rule}/{name}"] = test.floors[name]
    return replace(test, rulers=rulers, floors=floors)


def with_outliers(
    test: Measurement,
    head: Head,
    known: Tensor,
    outliers: Mapping[str, Tensor],
    none_class: int | None,
) -> Measurement:
    """Adds `outliers/<set>/<reading>_auroc_score` and `…_fpr95_error` for each set of outliers.

    Args:
        known: (N, U) logits of the test split.
        outliers: Set name -> (M, U) logits.
        none_class: Column trained to mean "none of these", left out of every reading.
    """
    rulers, floors = dict(test.rulers), dict(test.floors)
    for name, logits in outliers.items():
        found = detect(head, known, logits, none_class)
        rulers |= {f"outliers/{name}/{ruler}": value for ruler, value in found.rulers.items()}
        floors |= {f"outliers/{name}/{ruler}": value for ruler, value in found.floors.items()}
    return replace(test, rulers=rulers, floors=floors)
