"""A verdict in the words of its hypotheses, made from its JSON alone."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lossheads.analysis.format import (
    count_of,
    interval_text,
    levels,
    listed,
    nan_if_null,
    number,
    recorded_interval,
    seeds_of,
)
from lossheads.analysis.html import humanize
from lossheads.analysis.statistics import Conclusion
from lossheads.claims.judge import rests_on
from lossheads.claims.schema import needs
from lossheads.records import MetricInfo

Data = Mapping[str, Any]
_VERBS: dict[Conclusion, tuple[str, str]] = {
    "holds": ("holds", "hold"),
    "fails": ("fails", "fail"),
    "undecided": ("is not decided", "are not decided"),
}
_CHECKS = 3  # more are counted, not listed


def decisive(data: Data) -> dict[str, Conclusion]:
    """The hypotheses and checks that the verdict rests on, with their conclusions."""
    _, names = rests_on(data["rule"], _judged(data))
    return {name: _conclusion(data, name) for name in names}


def reason(data: Data) -> str:
    """`“A is ahead” (0.0853 [0.0841, 0.0865]) holds and “B is ahead” (…) fails`, with its n."""
    asked = decisive(data)
    intervals = [
        recorded_interval(data["hypotheses"][name]["interval"])
        for name in asked
        if name in data["hypotheses"]
    ]
    conditions = ""
    if intervals:
        n = seeds_of(intervals)
        conditions = f" (means over n = {n} seeds with {levels(intervals)} intervals)"
    return f"{_concluded(data, asked)}{conditions}"


def beside(data: Data) -> str:
    """What else the rule asks, and which verdicts that rules out while the claim is undecided.

    Empty where the verdict rests on all that its rule asks.
    """
    others = _others(data)
    if not others:
        return ""
    told = f"Of what else the rule asks, {_concluded(data, others)}."
    judged = _judged(data)
    if rests_on(data["rule"], judged)[0] != "undecided":
        return told
    out = [
        f"“{humanize(verdict)}”"
        for verdict, items in data["rule"].items()
        if any(judged[name] not in (want, "undecided") for name, want in map(needs, items))
    ]
    return f"{told} So {listed(out)} can no longer be given." if out else told


def _others(data: Data) -> dict[str, Conclusion]:
    """What the rule names and the verdict does not rest on, with how it came out."""
    rests = decisive(data)
    asked = (name for items in data["rule"].values() for name, _ in map(needs, items))
    return {name: _conclusion(data, name) for name in asked if name not in rests}


def _concluded(data: Data, judged: Mapping[str, Conclusion]) -> str:
    """`“A” (…) and “B” (…) hold and “C” (…) fails`."""
    parts = []
    for conclusion, verbs in _VERBS.items():
        names = [name for name, found in judged.items() if found == conclusion]
        clauses = [*_hypotheses(data["hypotheses"], names), *_checks(data["checks"], names)]
        if clauses:
            many = len(clauses) > 1 or clauses[0][:1].isdecimal()
            parts.append(f"{listed(clauses)} {verbs[many]}")
    return " and ".join(parts)


def in_words(name: str, found: Data) -> str:
    """A hypothesis as its file says it, with its case; its condition where it says nothing."""
    case = name.partition("/")[2]
    return f"{found['says'] or found['condition']}{f' ({case})' if case and found['says'] else ''}"


def found_in_words(data: Data) -> str:
    """The first hypothesis of each conclusion among those `_telling` gives, else the checks.

    Where all came out alike, the first on another metric is told as well.
    """
    hypotheses = data["hypotheses"]
    telling = {name: found for name, found in _telling(data).items() if name in hypotheses}
    told: dict[Conclusion, str] = {}
    for name, conclusion in telling.items():
        told.setdefault(conclusion, name)
    names = list(told.values())
    if len(names) == 1:
        first = set(hypotheses[names[0]]["metrics"])
        names += [name for name in telling if set(hypotheses[name]["metrics"]) != first][:1]
    return "; ".join(_told_alone(name, hypotheses[name]) for name in names) or checks_text(
        data["checks"]
    )


def _told_alone(name: str, found: Data) -> str:
    at = recorded_interval(found["interval"])
    return f"{in_words(name, found)}: {interval_text(at)}, n = {at.n} seeds, {found['conclusion']}"


def _telling(data: Data) -> dict[str, Conclusion]:
    """What a short account draws on, in order: what the verdict rests on comes first.

    A claim that is refuted or undecided may be right in part: the rest of its rule is told too.
    """
    rests = decisive(data)
    word, _ = rests_on(data["rule"], _judged(data))
    return {**rests, **_others(data)} if word in ("refuted", "undecided") else rests


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


_OPENERS = {
    "reproduced": "Confirmed",
    "metric_artefact": "It is the metric",
    "mixed": "In part",
    "refuted": "Refuted",
    "undecided": "Undecided",
}
_OUTSIDE = {"equals": "", "less": "below ", "greater": "above "}
Group = Sequence[str]  # names of one hypothesis in the cases that came out alike


def finding(data: Data) -> tuple[str, str]:
    """The verdict as one sentence with its numbers, and their n and interval.

    It names the first hypothesis that it rests on and one more (`_telling`): the first that came
    out otherwise or is on another metric, else the next.
    """
    hypotheses, opener = data["hypotheses"], _OPENERS.get(data["verdict"], data["verdict"])
    groups = _alike(data, [name for name in _telling(data) if name in hypotheses])
    if not groups:
        return (f"{opener}: {_checks_found(data['checks'])}." if data["checks"] else ""), ""
    first, second = groups[0], _second(hypotheses, groups)
    told = [group for group in (first, second) if group]
    ends = [recorded_interval(hypotheses[name]["interval"]) for group in told for name in group]
    conditions = f"Means over n = {seeds_of(ends)} seeds, {levels(ends)} intervals."
    return f"{opener}: {_told(hypotheses, first, second)}.", conditions


def rule_in_words(data: Data) -> tuple[tuple[str, tuple[tuple[str, Conclusion], ...]], ...]:
    """Verdict -> what it needs, in the words of the hypotheses, each with how it came out."""
    found = []
    for verdict, items in data["rule"].items():
        lines: list[tuple[str, Conclusion]] = []
        for wanted, must in (("holds", ""), ("fails", ", required to fail")):
            names = [name for name, want in map(needs, items) if want == wanted]
            asked = [name for name in names if name in data["hypotheses"]]
            lines += [
                (f"{_quoted(data['hypotheses'], group)}{must}", _conclusion(data, group[0]))
                for group in _alike(data, asked)
            ]
            for conclusion in _VERBS:
                checks = [
                    name
                    for name in names
                    if name in data["checks"] and _conclusion(data, name) == conclusion
                ]
                if checks:
                    lines.append((f"{listed(_checks(data['checks'], checks))}{must}", conclusion))
        found.append((verdict, tuple(lines)))
    return tuple(found)


_UNITS = {
    "nll_loss": "nats per example",
    "posterior_kl_loss": "nats per example",
    "fitted_temperature": "1 is calibrated, above 1 over-confident, below 1 under-confident",
}
_BETTER = {True: "higher is better", False: "lower is better", None: ""}


def facts_of(data: Data, metric: str) -> MetricInfo:
    """What the verdict records of a metric; of one that it does not, nothing is known."""
    known = data["metrics"].get(metric)
    return MetricInfo(**known) if known else MetricInfo(None, math.nan)


def unit_of(data: Data, metric: str) -> str:
    """Range, unit and direction of a metric in words; empty where none is known."""
    facts = facts_of(data, metric)
    low, high = facts.range
    ends = f"from {low:g} to {high:g}" if math.isfinite(low) and math.isfinite(high) else ""
    return ", ".join(filter(None, (ends, _UNITS.get(metric, ""), _BETTER[facts.higher_is_better])))


def _alike(data: Data, names: Sequence[str]) -> list[list[str]]:
    """One hypothesis in all cases that came out alike, a group each."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for name in names:
        says = data["hypotheses"][name]["says"]
        key = (name.partition("/")[0] if says else name, says, _conclusion(data, name))
        groups.setdefault(key, []).append(name)
    return list(groups.values())


def _judged(data: Data) -> dict[str, Conclusion]:
    judged = {**data["checks"], **data["hypotheses"]}
    return {name: found["conclusion"] for name, found in judged.items()}


def _conclusion(data: Data, name: str) -> Conclusion:
    judged = data["hypotheses"].get(name) or data["checks"][name]
    found: Conclusion = judged["conclusion"]
    return found


def _second(hypotheses: Mapping[str, Data], groups: Sequence[Group]) -> Group:
    first = hypotheses[groups[0][0]]
    others = groups[1:]

    def differs(group: Group, key: str) -> bool:
        other = hypotheses[group[0]][key]
        return set(other) != set(first[key]) if key == "metrics" else bool(other != first[key])

    for key in ("conclusion", "metrics"):
        for group in others:
            if differs(group, key):
                return group
    return others[0] if others else ()


def _told(hypotheses: Mapping[str, Data], first: Group, second: Group) -> str:
    """`A (…); B (…)`, `“A” (…) and “B” (…) fail` or `A (…), but “B” fails (…)`."""
    word, said = (hypotheses[first[0]][key] for key in ("conclusion", "says"))
    if not second:
        return _clause(hypotheses, first)
    other = hypotheses[second[0]]
    if word != other["conclusion"]:
        cases = [name.partition("/")[2] for name in second]
        if said and said == other["says"] and all(cases):
            but = f"but in {listed(cases)} this {_VERBS[other['conclusion']][0]}"
            return f"{_clause(hypotheses, first)}, {but} ({_means(hypotheses, second)})"
        return f"{_clause(hypotheses, first)}, but {_clause(hypotheses, second)}"
    if word == "holds":
        return f"{_clause(hypotheses, first)}; {_clause(hypotheses, second)}"
    quoted = [f"“{_said(hypotheses, g)}” ({_numbered(hypotheses, g)})" for g in (first, second)]
    return f"{listed(quoted)} {_VERBS[word][1]}"


def _clause(hypotheses: Mapping[str, Data], group: Group) -> str:
    """`binary cross-entropy is ahead (0.1127 [0.1085, 0.1169])`, `“…” fails (…)`.

    What fails is quoted, for a clause of a claim file cannot be negated without being understood.
    """
    word, said = hypotheses[group[0]]["conclusion"], _said(hypotheses, group)
    told = said if word == "holds" else f"“{said}” {_VERBS[word][0]}"
    return f"{told} ({_numbered(hypotheses, group)})"


def _said(hypotheses: Mapping[str, Data], group: Group) -> str:
    found = hypotheses[group[0]]
    said = str(found["says"] or found["condition"])
    for word in ("and ", "but ", "or "):  # it may continue a sentence of the claim file
        said = said.removeprefix(word)
    return said


def _numbered(hypotheses: Mapping[str, Data], group: Group) -> str:
    """`simple: 0.1127 [0.1085, 0.1169]` of one case, `0.0850 to 0.1088 in 2 cases` of several."""
    case = group[0].partition("/")[2] if hypotheses[group[0]]["says"] and len(group) == 1 else ""
    return f"{f'{case}: ' if case else ''}{_means(hypotheses, group)}"


def _means(hypotheses: Mapping[str, Data], group: Group) -> str:
    intervals = [recorded_interval(hypotheses[name]["interval"]) for name in group]
    if len(intervals) > 1:
        means = sorted(at.mean for at in intervals)
        ends = dict.fromkeys((number(means[0]), number(means[-1])))
        return f"{' to '.join(ends)} in {len(means)} cases"
    return interval_text(intervals[0])


def _quoted(hypotheses: Mapping[str, Data], group: Group) -> str:
    """`“binary cross-entropy is ahead” (simple, ninety)`."""
    says = hypotheses[group[0]]["says"]
    cases = ", ".join(case for name in group if (case := name.partition("/")[2]))
    if not says:
        return str(hypotheses[group[0]]["condition"])
    return f"“{says}” ({cases})" if cases else f"“{says}”"


def _checks_found(checks: Mapping[str, Data]) -> str:
    """How many computed numbers are as stated, and the first that is not."""
    wrong = [name for name, check in checks.items() if check["conclusion"] != "holds"]
    if not wrong:
        every = {1: "the", 2: "both"}.get(len(checks), f"all {len(checks)}")
        plural = len(checks) > 1
        return f"{every} computed number{'s are' if plural else ' is'} as stated"
    first = checks[wrong[0]]
    right = len(checks) - len(wrong)
    of_all = f"{right} of {len(checks)} computed numbers {'is' if right == 1 else 'are'} as stated"
    return (
        f"{f'{of_all}; ' if len(checks) > 1 else ''}“{first['says'] or wrong[0]}” is "
        f"{_computed(first)}, "
        f"not {_OUTSIDE[first['relation']]}{_as_stated(first['stated'])}"
    )


def _computed(check: Data) -> str:
    """Four digits, or so many that it does not read as what it is not."""
    at = nan_if_null(check["computed"])
    if math.isnan(at):
        return "undefined"
    short = f"{at:.4g}"
    return f"{at:.10g}" if short == _as_stated(check["stated"]) else short


def _as_stated(value: str | float) -> str:
    """Digits as a source printed them, or a number."""
    return value if isinstance(value, str) else f"{nan_if_null(value):.10g}"
