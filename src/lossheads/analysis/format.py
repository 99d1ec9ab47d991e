"""Numbers and intervals of a verdict.json, as people read them.

A JSON number that is null was not finite when it was written: beside a known mean a missing end
is infinite (one seed has no interval), and a missing mean is undefined.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lossheads.analysis.statistics import Interval


def recorded_interval(data: Mapping[str, Any]) -> Interval:
    """An interval of verdict.json."""
    low, high = data["low"], data["high"]
    return Interval(
        mean=nan_if_null(data["mean"]),
        low=-math.inf if low is None else float(low),
        high=math.inf if high is None else float(high),
        level=float(data["level"]),
        deviation=nan_if_null(data["deviation"]),
        n=int(data["n"]),
    )


def nan_if_null(value: float | None) -> float:
    """A JSON number; NaN for null."""
    return math.nan if value is None else float(value)


def number(value: float | None) -> str:
    """Four decimals, or four digits where those say nothing; a dash for what is undefined."""
    known = nan_if_null(value)
    if math.isnan(known):
        return "–"
    if known == 0 or 5e-5 <= abs(known) < 1e4:
        return f"{known:.4f}"
    return f"{known:.3e}" if math.isfinite(known) else "∞" if known > 0 else "-∞"


def p_text(p: float | None) -> str:
    """= 0.0123; of what four decimals do not show, that it is less."""
    known = nan_if_null(p)
    return "< 0.0001" if known < 1e-4 else f"= {number(known)}"


def ends_text(interval: Interval) -> str:
    """[0.8790, 0.8812]; of numbers that do not vary, that they do not."""
    if interval.low == interval.high and interval.n > 1:
        return "at every seed"
    return f"[{number(interval.low)}, {number(interval.high)}]"


SPREAD = "mean over n seeds, ± half of its 95 % interval over seeds alone, or its ends"


def spread_text(interval: Interval) -> str:
    """± 0.0012; where the two sides differ, both ends; of one seed, that it has none."""
    if not math.isfinite(interval.half_width):
        return "no interval"
    below, above = (number(abs(interval.mean - end)) for end in (interval.low, interval.high))
    return f"± {above}" if below == above else ends_text(interval)


def interval_text(interval: Interval) -> str:
    """0.8801 [0.8790, 0.8812]"""
    return f"{number(interval.mean)} {ends_text(interval)}"


def percent(level: float) -> str:
    """A confidence level: 0.9875 -> 98.8 %; one below 1 never reads 100 %."""
    digits = next((n for n in range(3, 16) if float(f"{100 * level:.{n}g}") < 100), 3)
    return f"{100 * level:.{digits}g} %"


def listed(names: Sequence[str]) -> str:
    """A, B and C"""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def coincide(groups: Iterable[Sequence[str]], within: str = "") -> str:
    """A and B coincide, for each group of names that look like one."""
    return "; ".join(f"{listed(names)} coincide{within}" for names in groups)


def count_of(n: int, one: str, several: str = "") -> str:
    """1 seed, 2 seeds"""
    return f"{n} {one}" if n == 1 else f"{n} {several or f'{one}s'}"


def sign_flip_text(conclusion: str, smallest_p: float, level: float, n: int) -> str:
    """The sign-flip test's conclusion, or that n pairs cannot reach the level."""
    return f"{count_of(n, 'pair')} cannot decide" if smallest_p > 1 - level else conclusion


def levels(intervals: Iterable[Interval]) -> str:
    """The confidence level of the intervals; several where they differ."""
    return " or ".join(dict.fromkeys(percent(interval.level) for interval in intervals))


def seeds_of(intervals: Iterable[Interval]) -> str:
    """Their n: 20, or 5 or 10."""
    return " or ".join(map(str, sorted({interval.n for interval in intervals})))


def environment_text(environment: Mapping[str, Any]) -> str:
    """What the first run was made with, in a line."""
    fields = {k: v for k, v in environment.items() if isinstance(v, str | int | float)}
    fields |= dict(environment.get("packages") or {})
    git = environment.get("git") or {}
    if git.get("commit"):
        fields["commit"] = str(git["commit"])[:10] + (" with changes" if git.get("changed") else "")
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in fields.items())
