"""How each arm stands to the best of those it competes with, metric by metric.

The rule is that of pages over runs (`analysis.sweep`): the best mean on validation is the best, and
the others are compared with it on test, seed by seed, at a level at which all intervals of a metric
hold together. The intervals are those of this claim's hypotheses: where the draw of the test
examples is known, they cover it.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from lossheads.analysis.estimates import estimate
from lossheads.analysis.summary import Difference, Standing, rank, together
from lossheads.claims.arm_runs import ArmRuns
from lossheads.claims.judge import ArmMetric
from lossheads.claims.samples import sample_of_sides
from lossheads.records import Result

SAME_BASELINE = 1e-3  # baselines that differ by less are those of other draws of the data


def with_standings(
    runs: ArmRuns, cells: Sequence[ArmMetric], alpha: float = 0.05
) -> tuple[ArmMetric, ...]:
    """The cells with their standing.

    Arms compete within a case, on the same test examples. Unknown stays the standing of a lone arm,
    of an arm that lost a seed, and of a metric with no better side, that is not measured on
    validation, or whose baselines differ: under one name it is another quantity for each arm.

    Args:
        alpha: Chance that any interval of a metric misses.
    """
    groups: dict[tuple[str, ...], list[ArmMetric]] = {}
    for cell in cells:
        if not any(map(math.isnan, cell.values)):
            groups.setdefault((cell.metric, *_test_of(runs, cell.arm)), []).append(cell)
    found = {
        (cell.arm, cell.metric): standing
        for group in groups.values()
        if len(group) > 1 and _one_baseline(group)
        for cell, standing in _standings(runs, group, alpha)
    }
    return tuple(
        replace(cell, standing=found.get((cell.arm, cell.metric), "unknown")) for cell in cells
    )


def _test_of(runs: ArmRuns, arm: str) -> tuple[str, ...]:
    """The case, its classes, and the test examples of each seed; else the settings of the data."""
    members = runs.of(arm)
    digests = [_digest(run) for run in members]
    settings = json.dumps(members[0].config.get("dataset"), sort_keys=True, default=str)
    known = [digest for digest in digests if digest]
    examples = known if len(known) == len(members) else [settings]
    return (runs.claim.arms[arm].case, json.dumps(members[0].class_names), *examples)


def _digest(run: Result) -> str:
    return run.test.correct.examples_digest if run.test.correct else ""


def _one_baseline(group: Sequence[ArmMetric]) -> bool:
    """At every seed; arms without a baseline have the same one."""
    by_seed = zip(*(cell.baselines for cell in group), strict=True)
    return all(all(map(math.isnan, one)) or max(one) - min(one) <= SAME_BASELINE for one in by_seed)


def _standings(
    runs: ArmRuns, group: Sequence[ArmMetric], alpha: float
) -> Iterator[tuple[ArmMetric, Standing]]:
    metric = group[0].metric
    members = {cell.arm: runs.of(cell.arm) for cell in group}
    higher = members[group[0].arm][0].info(metric).higher_is_better
    places = {arm: rank(some, metric, higher) for arm, some in members.items()}
    best = min(group, key=lambda cell: places[cell.arm])
    if higher is None or math.isinf(places[best.arm][1]):  # infinite: not measured on validation
        return
    level = together(len(group) - 1, alpha)
    for cell in group:
        if cell is best:
            yield cell, "best"
            continue
        numbers = [value - its for value, its in zip(cell.values, best.values, strict=True)]
        sides = [(1, cell.arm, metric), (-1, best.arm, metric)]
        interval = estimate(numbers, sample_of_sides(runs, sides)).interval(level)
        yield cell, Difference(best.arm, cell.arm, interval, higher).standing
