"""What the draw of the test examples does to numbers over seeds, from runs' records alone."""

import math
from collections.abc import Sequence

import numpy as np

from lossheads.analysis.estimates import Drawn, Influence, Sample, ends_of_difference, examples_of
from lossheads.records import CorrectMask, Result

Pair = tuple[Result, Result]


def correct_examples(run: Result, metric: str) -> CorrectMask | None:
    """The examples a metric counts; None unless its number is the share of examples right.

    Read from the numbers: with several labels or groups it is another metric than with one class.
    """
    if run.status != "finished" or run.test.n < 1:
        return None
    if (correct := run.test.correct) is None or len(correct.packed) != -(-run.test.n // 8):
        return None
    share = correct.mask.bit_count() / run.test.n
    return correct if math.isclose(run.test.metrics.get(metric, math.nan), share) else None


def influence_of_share(run: Result, metric: str) -> Influence | None:
    """What each example moves a share of right examples; None of another metric."""
    correct = correct_examples(run, metric)
    if correct is None:
        return None
    bits = np.unpackbits(np.frombuffer(correct.packed, dtype=np.uint8))
    right = bits[: run.test.n].astype(np.float64)
    return Influence((right - right.mean()) / len(right), len(right))


def sample_of_pairs(pairs: Sequence[Pair], metric: str) -> Sample:
    """Of the second minus the first, at each seed, on that seed's test examples."""
    low, high = ends_of_difference(pairs[0][0].info(metric).range) if pairs else (-1.0, 1.0)
    drawn = _drawn(pairs)
    if drawn != "once":
        return Sample(drawn, (), low, high)
    found = [_difference(*pair, metric) for pair in pairs]
    known = [one for one in found if one is not None]
    if len(known) < len(found) or len({len(one.values) for one in known}) > 1:
        return Sample("once", (), low, high)
    edge = min(one.edge for one in known)
    return Sample("once", (examples_of((one.values for one in known), edge),), low, high)


def _drawn(pairs: Sequence[Pair]) -> Drawn:
    """Whether the seeds share their test examples, by the recorded digests."""
    masks = [[run.test.correct for run in pair] for pair in pairs]
    digests = {tuple(mask.examples_digest if mask else "" for mask in pair) for pair in masks}
    if not digests or any("" in pair or len(set(pair)) > 1 for pair in digests):
        return "unknown"
    if len(digests) == 1:
        return "once"
    return "per_seed" if len(digests) == len(pairs) else "unknown"


def _difference(first: Result, second: Result, metric: str) -> Influence | None:
    one, two = influence_of_share(first, metric), influence_of_share(second, metric)
    if one is None or two is None or len(one.values) != len(two.values):
        return None
    return Influence(two.values - one.values, min(one.edge, two.edge))
