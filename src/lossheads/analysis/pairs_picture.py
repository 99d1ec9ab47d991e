"""Paired differences to one reference arm: one dot per seed, the mean, its interval, the margin."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from lossheads.analysis.drawing import (
    Scale,
    at_mark,
    dot,
    icon,
    line,
    number_line,
    rect,
    scale_of,
    svg,
    whisker,
)
from lossheads.analysis.estimates import ends_of_difference
from lossheads.analysis.format import count_of, ends_text, number, percent
from lossheads.analysis.settings_picture import Row
from lossheads.analysis.statistics import Interval
from lossheads.analysis.summary import Difference
from lossheads.analysis.sweep import (
    Arm,
    Asked,
    Condition,
    Sweep,
    difference,
    names_of,
    sorted_arms,
)
from lossheads.errors import UserError, near_matches

_ROWS = 16
_HEIGHT = 40


@dataclass(frozen=True)
class PairsPicture:
    """Every arm minus the reference; `notes` say what is not drawn."""

    title: str
    caption: str
    rows: tuple[Row, ...]
    number_line: Markup
    note: str


def pairs_picture(
    sweep: Sweep, condition: Condition, asked: Asked, in_unit: bool
) -> PairsPicture | None:
    """None where there are not two arms.

    Args:
        in_unit: Whether the metric lies in [0, 1], so that one point is 0.01.
    """
    first = condition.reference
    others = sorted_arms(sweep, [arm for arm in condition.drawn if arm is not first], "")
    if first is None or not others:
        return None
    margin = asked.margin if asked.margin is not None else 0.01 if in_unit else 0.0
    drawn = others[:_ROWS]
    found = [difference(first, arm, sweep.metric, condition.level) for arm in drawn]
    by_seed = [_by_seed(first, arm) for arm in drawn]
    seen = [0.0, -margin, margin, *(value for values in by_seed for value in values)]
    widest = max(map(abs, seen)) or 0.01
    for one in found:  # few seeds have endless intervals: at most twice what else is seen
        ends = (one.interval.low, one.interval.high)
        seen += [min(max(end, -2 * widest), 2 * widest) for end in ends if math.isfinite(end)]
    scale = scale_of(seen, *ends_of_difference(sweep.ends))
    rows = tuple(
        Row(
            icon=icon(arm.mark),
            name=arm.short,
            strip=_strip(arm, values, one.interval, scale, margin),
            number=number(one.interval.mean),
            conditions=_conditions(one.interval),
            standing="",
            words=_words(one.interval, margin, sweep.higher_is_better),
        )
        for arm, values, one in zip(drawn, by_seed, found, strict=True)
    )
    shade = f" Shaded: differences of less than {margin:g}." if margin else ""
    left = len(others) - len(drawn)
    return PairsPicture(
        title=_title(drawn, first, found, margin, sweep),
        caption=(
            f"{sweep.metric} on test, each arm minus {first.short}, one dot per seed, "
            + _over(found, condition)
            + shade
        ),
        rows=rows,
        number_line=number_line(scale),
        note=f"{count_of(left, 'further arm')} left out; the table has all." if left else "",
    )


def _over(found: Sequence[Difference], condition: Condition) -> str:
    known = [one for one in found if one.interval.n > 1]
    if not known:
        return "one shared seed, no interval."
    scopes = " or ".join(dict.fromkeys(one.scope for one in known))
    shared = f", one of {condition.looks} that hold together at 95 %" if condition.looks > 1 else ""
    return f"the mean and its {percent(condition.level)} interval {scopes}{shared}."


def refuse_unknown_reference(sweeps: Sequence[Sweep], wanted: str) -> None:
    """Refuse a reference that is no arm and no series of any test set."""
    known = {name for sweep in sweeps for arm in sweep.arms for name in (arm.name, arm.series)}
    if wanted and wanted not in known:
        raise UserError(
            f"report got --reference {wanted}: no arm is called so; {near_matches(wanted, known)}"
        )


def _by_seed(first: Arm, second: Arm) -> list[float]:
    return [second.by_seed[s] - first.by_seed[s] for s in first.by_seed if s in second.by_seed]


def _strip(arm: Arm, values: Sequence[float], at: Interval, scale: Scale, margin: float) -> Markup:
    parts = []
    if margin:
        parts.append(rect("region", scale.at(-margin), 0, scale.at(margin), _HEIGHT))
        parts += [line("border", scale.at(e), 0, scale.at(e), _HEIGHT) for e in (-margin, margin)]
    parts.append(line("zero", scale.at(0), 0, scale.at(0), _HEIGHT))
    for index, value in enumerate(values[:200]):  # beside each other where they are equal
        parts.append(dot("seed", scale.at(value), 27 + 3.2 * (index % 3), 2.6))
    if at.n:
        parts += [whisker(scale, at, 14, "whisker heavy"), at_mark(arm.mark, scale.at(at.mean), 14)]
    told = ", ".join(f"{value:+.4f}" for value in values[:50])
    return svg(f"strip {arm.mark.css}", _HEIGHT, f"differences by seed: {told}", parts)


def _conditions(at: Interval) -> str:
    if not at.n:
        return "no seed in common"
    ends = ends_text(at) if math.isfinite(at.half_width) else "no interval"
    return f"{ends}, n = {at.n} {'pair' if at.n == 1 else 'pairs'}"


def _words(at: Interval, margin: float, higher: bool | None) -> str:
    """What the interval says against the margin and zero."""
    if at.n < 2:
        return "undecided: fewer than two shared seeds"
    if at.deviation == 0 and at.n < 3:
        return "undecided: too few seeds for numbers that do not vary"
    if at.mean == at.deviation == 0:
        return "equal at every seed"
    within = margin and -margin < at.low and at.high < margin
    if at.low <= 0 <= at.high:
        return f"differs by less than {margin:g}" if within else "undecided: the interval holds 0"
    worth = {None: ("higher", "lower"), True: ("better", "worse"), False: ("worse", "better")}
    word = worth[higher][0 if at.low > 0 else 1]
    if within:
        return f"{word}, by less than {margin:g}"
    beyond = at.low > margin or at.high < -margin
    return f"{word}, by more than {margin:g}" if margin and beyond else word


def _title(
    drawn: Sequence[Arm], first: Arm, found: Sequence[Difference], margin: float, sweep: Sweep
) -> str:
    if len(drawn) == 1:
        at = found[0].interval
        said = _words(at, margin, sweep.higher_is_better)
        return f"{drawn[0].short} minus {first.short}: {number(at.mean)}, {said}"
    groups: dict[str, list[str]] = {}
    names = names_of(drawn)
    for arm, one in zip(drawn, found, strict=True):
        said = _words(one.interval, margin, sweep.higher_is_better)
        groups.setdefault(said.split(":")[0], []).append(names[arm])
    parts = [
        f"{', '.join(n[:3])}{f' and {len(n) - 3} more' if len(n) > 3 else ''} {said}"
        for said, n in groups.items()
    ]
    return f"Against {first.short}: {'; '.join(parts)}"
