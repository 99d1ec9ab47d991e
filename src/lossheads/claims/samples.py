"""The test examples behind a claim's numbers: whether seeds share them, and what each one moves."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from lossheads.analysis.estimates import Drawn, Floats, Influence, Sample, examples_of
from lossheads.analysis.shared_examples import influence_of_share
from lossheads.claims.arm_runs import ArmRuns
from lossheads.claims.schema import Hypothesis

Side = tuple[int, str, str]  # its sign in the number, the arm, the metric it is read under


def sample_of(runs: ArmRuns, hypothesis: Hypothesis) -> Sample:
    """Of a hypothesis's number."""
    sides = zip(hypothesis.signs, hypothesis.arms, hypothesis.metrics, strict=True)
    return sample_of_sides(runs, list(sides))


def sample_of_sides(runs: ArmRuns, sides: Sequence[Side]) -> Sample:
    """Of a sum of signed levels.

    Those on one test set vary together over its examples; those on different ones add up.
    """
    ranges = [_range(runs, *side) for side in sides]
    low, high = (math.fsum(ends) for ends in zip(*ranges, strict=True))
    on_one: dict[str, list[Side]] = {}
    drawn: set[Drawn] = set()
    for side in sides:
        if runs.claim.arms[side[1]].redrawn:
            drawn.add("per_seed")
        elif len(digests := _digests(runs, side[1])) == 1:
            drawn.add("once")
            on_one.setdefault(digests.pop(), []).append(side)
        else:
            drawn.add("unknown")
    if "unknown" in drawn or not on_one:
        return Sample("per_seed" if drawn == {"per_seed"} else "unknown", (), low, high)
    parts = []
    for shared in on_one.values():
        rows = [_summed(runs, shared, seed) for seed in runs.seeds]
        known = [row for row in rows if row is not None]
        if len(known) < len(rows) or len({len(row.values) for row in known}) > 1:
            return Sample("once", (), low, high)
        edge = min(row.edge for row in known)
        n = runs.result(shared[0][1], runs.seeds[0]).test.n
        parts.append(examples_of((row.values for row in known), edge, n))
    return Sample("once", tuple(parts), low, high)


def _range(runs: ArmRuns, sign: int, arm: str, metric: str) -> tuple[float, float]:
    low, high = runs.result(arm, runs.seeds[0]).info(metric).range
    return (low, high) if sign > 0 else (-high, -low)


def _digests(runs: ArmRuns, arm: str) -> set[str]:
    """The names of the arm's test sets; none where a run recorded none."""
    masks = [run.test.correct if run.status == "finished" else None for run in runs.of(arm)]
    return {mask.examples_digest for mask in masks if mask} if all(masks) else set()


def _summed(runs: ArmRuns, sides: Sequence[Side], seed: int) -> Influence | None:
    """What each example moves the sum of the sides at a seed; None where one is not known."""
    found = list(_signed(runs, sides, seed))
    shapes = {len(one.values) for one in found}
    if len(found) < len(sides) or len(shapes) > 1:
        return None
    total: Floats = np.sum([one.values for one in found], axis=0, dtype=np.float64)
    return Influence(total, min(one.edge for one in found))


def _signed(runs: ArmRuns, sides: Sequence[Side], seed: int) -> Iterator[Influence]:
    for sign, arm, metric in sides:
        influence = _influence(runs, arm, metric, seed)
        if influence is not None:
            yield Influence(sign * influence.values, influence.edge)


def _influence(runs: ArmRuns, arm: str, metric: str, seed: int) -> Influence | None:
    """From the right answers a run recorded, else from the predictions it kept."""
    of_share = influence_of_share(runs.result(arm, seed), metric)
    return of_share or runs.influences(arm, seed).get(metric)
