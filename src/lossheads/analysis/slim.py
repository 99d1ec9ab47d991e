"""Results without what no table shows, so that tens of thousands fit into memory."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

from lossheads.records import CorrectMask, Measurement, Result

T = TypeVar("T")


def slim(results: Iterable[Result]) -> Iterator[Result]:
    """Each result with its kept validation step alone, without values per class.

    Settings, baselines and facts about metrics that are equal in several results are kept once.
    """
    known: dict[str, Any] = {}

    def once(value: T) -> T:
        found: T = known.setdefault(repr(value), value)
        return found

    def short(split: Measurement) -> Measurement:
        own = split.correct
        correct = own and CorrectMask(own.bits, once(own.examples_digest))
        baselines = once(split.baselines)
        return Measurement(split.metrics, baselines, {}, {}, split.n, correct)

    for result in results:
        kept = [result.kept] if result.history else []
        yield replace(
            result,
            config={name: once(value) for name, value in result.config.items()},
            class_names=once(result.class_names),
            history=[replace(s, val=short(s.val), test=s.test and short(s.test)) for s in kept],
            environment={},
            metric_info=once(result.metric_info),
        )
