"""Hypotheses that the range of their metrics decides: no run could change what becomes of them.

A margin of 1 on an accuracy asks for 100 points where one was meant; its verdict would be refuted
whatever is trained.
"""

import math
from collections.abc import Sequence

from lossheads.claims.schema import Hypothesis
from lossheads.errors import UserError
from lossheads.records import MetricInfo


def refuse_decided(hypothesis: Hypothesis, infos: Sequence[MetricInfo]) -> None:
    """Refuse a hypothesis that can never hold, or that always does.

    Args:
        infos: Of the metric of each arm; an end that is not known leaves all beyond it open.

    Raises:
        UserError: By file, line and key, with the range.
    """
    low, high = _range(hypothesis, infos)
    region = hypothesis.region
    width = "tolerance" if hypothesis.relation == "equals" else "margin"
    if region.open:
        never = region.low >= high or region.high <= low
        # A side without a border holds all there is, however far the metric reaches.
        from_below = region.low < low or math.isinf(region.low)
        always = from_below and (high < region.high or math.isinf(region.high))
    else:
        never = region.low > high or region.high < low
        always = region.low <= low and high <= region.high
    if not never and not always:
        return
    outside = hypothesis.relation != "equivalent" and not low <= hypothesis.value <= high
    key = "value" if outside or not hypothesis.margin else width
    fate = "this can never hold" if never else "this always holds"
    got = hypothesis.value if key == "value" else hypothesis.margin
    raise UserError(
        f"{hypothesis.location}.{key}: got {got:g}, but {_name(hypothesis)} is {_within(low, high)}"
        f", so {fate}; give {key} in the unit of the metric (one point of a share is 0.01)"
    )


def _range(hypothesis: Hypothesis, infos: Sequence[MetricInfo]) -> tuple[float, float]:
    """Least and greatest number of the hypothesis; infinite where there is no end."""
    spans = [
        (sign * info.range[0], sign * info.range[1])
        for sign, info in zip(hypothesis.signs, infos, strict=True)
    ]
    return math.fsum(map(min, spans)), math.fsum(map(max, spans))


def _name(hypothesis: Hypothesis) -> str:
    names = " and ".join(dict.fromkeys(hypothesis.metrics))
    return names if len(hypothesis.arms) == 1 else f"a difference of {names}"


def _within(low: float, high: float) -> str:
    if math.isinf(low):
        return f"at most {high:g}"
    return f"at least {low:g}" if math.isinf(high) else f"{low:g} to {high:g}"
