"""A verdict in the words of its hypotheses, made from its JSON alone."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lossheads.analysis.format import (
    count_of,
    interval_text,
    levels,
    nan_if_null,
    number,
    recorded_interval,
)
from lossheads.analysis.statistics import Conclusion
from lossheads.claims.judge import rests_on

Data = Mapping[str, Any]
_VERBS = {
    "holds": ("holds", "hold"),
    "fails": ("fails", "fail"),
    "undecided": ("is not decided", "are not decided"),
}
_CHECKS = 3  # more are counted, not listed


def decisive(data: Data) -> dict[str, Conclusion]:
    """The hypotheses and checks that the verdict rests on, with their conclusions."""
    judged = {
        name: found["conclusion"]
        for name, found in {**data["checks"], **data["hypotheses"]}.items()
    }
    _, names = rests_on(data["rule"], judged)
    return {name: judged[name] for name in names}


def reason(data: Data) -> str:
    """`“A is ahead” (0.0853 [0.0841, 0.0865]) holds and “B is ahead” (…) fails`, with its n."""
    parts = []
    asked = decisive(data)
    for conclusion, verbs in _VERBS.items():
        names = [name for name, found in asked.items() if found == conclusion]
        clauses = [*_hypotheses(data["hypotheses"], names), *_checks(data["checks"], names)]
        if clauses:
            many = len(clauses) > 1 or clauses[0][:1].isdecimal()
            parts.append(f"{_listed(clauses)} {verbs[many]}")
    intervals = [
        recorded_interval(data["hypotheses"][name]["interval"])
        for name in asked
        if name in data["hypotheses"]
    ]
    conditions = ""
    if intervals:
        n = " or ".join(sorted({str(at.n) for at in intervals}))
        conditions = f" (means over n = {n} seeds with {levels(intervals)} intervals)"
    return f"{' and '.join(parts)}{conditions}"


def in_words(name: str, found: Data) -> str:
    """A hypothesis as its file says it, with its case; its condition where it says nothing."""
    case = name.partition("/")[2]
    return f"{found['says'] or found['condition']}{f' ({case})' if case and found['says'] else ''}"


def found_in_words(data: Data) -> str:
    """The first hypothesis that the verdict rests on, of each conclusion, else of the checks."""
    said: dict[Conclusion, str] = {}
    for name, conclusion in decisive(data).items():
        if name in data["hypotheses"] and conclusion not in said:
            found = data["hypotheses"][name]
            at = recorded_interval(found["interval"])
            numbers = f"{interval_text(at)}, n = {at.n} seeds"
            said[conclusion] = f"{in_words(name, found)}: {numbers}, {conclusion}"
    return "; ".join(said.values()) or checks_text(data["checks"])


def checks_text(checks: Mapping[str, Data]) -> str:
    """How many of the checks hold; empty where there are none."""
    held = [check["conclusion"] for check in checks.values()].count("holds")
    return f"{held} of {len(checks)} computed numbers are as stated" if checks else ""


def doubts(hypotheses: Mapping[str, Data]) -> tuple[str, ...]:
    """Which seeds lie apart, and what that did to a conclusion."""
    return tuple(
        f"{in_words(name, found)}: {found['doubt']}."
        for name, found in hypotheses.items()
        if found.get("doubt")
    )


def _hypotheses(hypotheses: Mapping[str, Data], names: Iterable[str]) -> list[str]:
    """A clause for each hypothesis, once for all the cases it is asked of."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name in names:
        if name in hypotheses:
            says = hypotheses[name]["says"]
            groups.setdefault((name.partition("/")[0] if says else name, says), []).append(name)
    clauses = []
    for (_, says), group in groups.items():
        said = f"“{says}”" if says else hypotheses[group[0]]["condition"]
        clauses.append(f"{said} ({_numbers(hypotheses, group)})")
    return clauses


def _numbers(hypotheses: Mapping[str, Data], names: Sequence[str]) -> str:
    """`0.0853 [0.0841, 0.0865]` for each case, with the margin of an equivalence."""
    parts = []
    for name in names:
        found, case = hypotheses[name], name.partition("/")[2]
        margin = f", margin ± {found['margin']:.3g}" if found["relation"] == "equivalent" else ""
        text = f"{interval_text(recorded_interval(found['interval']))}{margin}"
        parts.append(f"{case}: {text}" if case else text)
    return "; ".join(parts)


def _checks(checks: Mapping[str, Data], names: Iterable[str]) -> list[str]:
    asked = [name for name in names if name in checks]
    if len(asked) > _CHECKS:
        return [count_of(len(asked), "computed number")]
    clauses = []
    for name in asked:
        computed = number(nan_if_null(checks[name]["computed"]))
        clauses.append(f"“{checks[name]['says'] or name}” (computed {computed})")
    return clauses


def _listed(clauses: Sequence[str]) -> str:
    *others, last = clauses
    return f"{', '.join(others)} and {last}" if others else last
