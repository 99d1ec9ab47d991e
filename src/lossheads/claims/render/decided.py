"""The first picture of a claim: the quantity that decided it, from verdict.json alone.

Every hypothesis that the verdict rests on is drawn with its arms on the axis of its metric and its
difference against its margin. Where a metric means another thing for another arm, so that their
baselines differ, the printed scores stand beside the same scores as skill.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from lossheads.analysis.dots import Dot, dot_strip, said_to_coincide, scale_of, track_strip
from lossheads.analysis.drawing import Scale, icon, number_line
from lossheads.analysis.forest import point_strip, scale_for, scale_over
from lossheads.analysis.format import (
    ends_text,
    interval_text,
    levels,
    nan_if_null,
    number,
    recorded_interval,
    seeds_of,
)
from lossheads.analysis.palette import Mark, marks
from lossheads.analysis.statistics import Interval
from lossheads.claims.render.tables import OVER, Data, Row, bar_of, computed, stated, unit_kind
from lossheads.claims.render.words import decisive, facts_of, unit_of
from lossheads.claims.standings import SAME_BASELINE
from lossheads.records import skill

# More are counted in words.
_PANELS, _PANELS_BELOW_SKILL, _STRIPS, _ARMS, _CHECKS, _CASES = 6, 4, 6, 16, 16, 8


@dataclass(frozen=True)
class ArmRow:
    """One arm: its mark and name, its strip, its mean, and what belongs to the mean."""

    icon: Markup
    name: str
    picture: Markup
    number: str
    conditions: tuple[str, ...]


@dataclass(frozen=True)
class Panel:
    """Hypotheses on one metric in one case: their arms on its axis, and the differences."""

    metric: str
    case: str
    conditions: str
    arms: tuple[ArmRow, ...]
    axis: Markup
    same: str
    strips: tuple[Row, ...]
    foot: Markup


@dataclass(frozen=True)
class SkillPanel:
    """The arms of one case: as printed, and the same points as skill."""

    case: str
    printed: tuple[ArmRow, ...]
    skill: tuple[ArmRow, ...]


@dataclass(frozen=True)
class Skill:
    """Printed scores beside skill, each on one axis for all cases."""

    metric: str
    title: str
    says: str
    panels: tuple[SkillPanel, ...]
    printed_axis: Markup
    skill_axis: Markup


@dataclass(frozen=True)
class CheckRow:
    """One computed number against the stated one, on a scale of its own."""

    says: str
    picture: Markup
    numbers: str
    conclusion: str


@dataclass(frozen=True)
class Decided:
    """What decided, drawn; an empty tuple or None is left out of the page."""

    skill: Skill | None
    panels: tuple[Panel, ...]
    checks: tuple[CheckRow, ...]
    more: str


def decided(data: Data) -> Decided:
    """The pictures of the hypotheses and checks that the verdict rests on."""
    names = [name for name in decisive(data) if name in data["hypotheses"]]
    asked = [name for name in decisive(data) if name in data["checks"]]
    groups = _groups(data["hypotheses"], names)
    as_skill = _skill(data, names)
    chosen = _first_of_each(groups, _PANELS_BELOW_SKILL if as_skill else _PANELS)
    drawn = sum(len(groups[key][:_STRIPS]) for key in chosen) + len(asked[:_CHECKS])
    left = len(names) + len(asked) - drawn
    above = as_skill.metric if as_skill else ""
    cells = {(cell["arm"], cell["metric"]): cell for cell in data["table"]}
    return Decided(
        skill=as_skill,
        panels=tuple(_panel(data, cells, key, groups[key][:_STRIPS], above) for key in chosen),
        checks=tuple(_check_row(name, data["checks"][name]) for name in asked[:_CHECKS]),
        more=f"{left} more decided as well; all are listed below." if left else "",
    )


Key = tuple[tuple[str, ...], str, str]  # metrics, case, mean or difference
Side = tuple[str, str]  # arm, metric
Cells = Mapping[Side, Data]
Looks = Mapping[str, Mark]  # of an arm without its case


def _groups(hypotheses: Mapping[str, Data], names: Sequence[str]) -> dict[Key, list[str]]:
    groups: dict[Key, list[str]] = {}
    for name in names:
        found = hypotheses[name]
        key = (tuple(dict.fromkeys(found["metrics"])), name.partition("/")[2], unit_kind(found))
        groups.setdefault(key, []).append(name)
    return groups


def _first_of_each(groups: Mapping[Key, Sequence[str]], most: int) -> list[Key]:
    """As many groups as are drawn, in order; the first case of each hypothesis before others."""
    seen: dict[str, int] = {}
    rank = {}
    for key, names in groups.items():
        base = names[0].partition("/")[0]
        rank[key] = seen[base] = seen.get(base, -1) + 1
    kept = set(sorted(groups, key=lambda key: rank[key])[:most])
    return [key for key in groups if key in kept]


def _panel(data: Data, cells: Cells, key: Key, names: Sequence[str], drawn: str) -> Panel:
    """One metric and case; `drawn` is the metric whose arms a picture above shows already."""
    metrics, case, kind = key
    found = {name: data["hypotheses"][name] for name in names}
    bars = {name: bar_of(name, one, _baseline_of(one, cells)) for name, one in found.items()}
    scale = scale_for(list(bars.values()), with_zero=kind == "Difference")
    sides = [] if metrics == (drawn,) else _sides(data, list(found.values()), cells)
    dots = _dots(_looks(data), {side: cells[side] for side in sides})
    of_arms = scale_of(list(dots.values()))
    if kind == "Mean":  # arms and hypotheses share an axis
        scale = of_arms = (
            scale_over([scale.low, scale.high, of_arms.low, of_arms.high]) if dots else scale
        )
    return Panel(
        metric=" and ".join(metrics),
        case=case,
        conditions=_conditions(data, metrics, list(found.values())),
        arms=tuple(_arm_row(name, dot, of_arms) for name, dot in dots.items()),
        axis=number_line(of_arms) if kind == "Difference" else Markup(""),
        same=said_to_coincide({name: dot.at.mean for name, dot in dots.items()}),
        strips=tuple(
            _without_metric(Row.of(name, one, bars[name], scale), metrics)
            for name, one in found.items()
        ),
        foot=number_line(scale),
    )


def _without_metric(row: Row, metrics: Sequence[str]) -> Row:
    """The condition without the metric that the panel is titled by."""
    return replace(row, condition=row.condition.removeprefix(f"{metrics[0]}: "))


def _sides(data: Data, found: Sequence[Data], cells: Cells) -> list[Side]:
    """Arms and their metrics: of a difference its own; beside a lone arm all of its case."""
    sides = [side for one in found for side in zip(one["arms"], one["metrics"], strict=True)]
    if all(len(one["arms"]) == 1 for one in found):
        cases = {arm.rpartition("/")[0] for arm, _ in sides}
        sides = [
            (arm, metric)
            for arm, metric in cells
            if metric in {m for _, m in sides} and arm.rpartition("/")[0] in cases
        ]
        if len(sides) == 1:
            return []  # the hypothesis itself shows it
    order = [*data["arms"], *(arm for arm, _ in sides)]
    known = [side for side in dict.fromkeys(sides) if side in cells]
    return sorted(known, key=lambda side: order.index(side[0]))[:_ARMS]


def _baseline_of(found: Data, cells: Cells) -> float:
    """Of the metric of a lone arm; a difference has none."""
    if len(found["arms"]) > 1:
        return math.nan
    cell = cells.get((found["arms"][0], found["metrics"][0]))
    return nan_if_null(cell["baseline"]) if cell else math.nan


def _conditions(data: Data, metrics: Sequence[str], found: Sequence[Data]) -> str:
    """Unit, n, interval and what it covers."""
    intervals = [recorded_interval(one["interval"]) for one in found]
    over = " or ".join(dict.fromkeys(OVER[one["covers"]] for one in found))
    units = dict.fromkeys(filter(None, (unit_of(data, metric) for metric in metrics)))
    n = seeds_of(intervals)
    return "; ".join([*units, f"mean of n = {n} seeds, {levels(intervals)} interval {over}"])


def _dots(looks: Looks, cells: Cells) -> dict[str, Dot]:
    """Name -> arm, under names without a case that all share."""
    names = _short_names(list(cells))
    return {names[side]: _dot(looks, names[side], cell) for side, cell in cells.items()}


def _arm_row(name: str, dot: Dot, scale: Scale) -> ArmRow:
    baseline = "" if math.isnan(dot.baseline) else f"baseline {dot.baseline:.3g}"
    return ArmRow(
        icon(dot.mark),
        name,
        dot_strip(dot, scale),
        number(dot.at.mean),
        (ends_text(dot.at), baseline),
    )


def _short_names(sides: Sequence[Side]) -> dict[Side, str]:
    """Names without a case that all share; with the metric, or that alone, where that differs."""
    arms, metrics = {arm for arm, _ in sides}, {metric for _, metric in sides}
    one_case = len({arm.rpartition("/")[0] for arm in arms}) == 1
    names = {arm: arm.rpartition("/")[2] if one_case else arm for arm in arms}
    if len(metrics) == 1:
        return {side: names[side[0]] for side in sides}
    return {(a, m): m if len(arms) == 1 else f"{names[a]}, {m}" for a, m in sides}


def _dot(looks: Looks, name: str, cell: Data) -> Dot:
    at, baseline = recorded_interval(cell["interval"]), nan_if_null(cell["baseline"])
    alt = f"{name}: {interval_text(at)}, {_baseline_text(baseline)}"
    return Dot(at, baseline, _mark(looks, cell["arm"]), alt)


def _mark(looks: Looks, arm: str) -> Mark:
    """By the name without its case: the same in every case."""
    return looks.get(arm.rpartition("/")[2]) or next(iter(marks({arm: {}}).values()))


def _looks(data: Data) -> Looks:
    """Of each arm without its case: by the head and settings it has in the first one."""
    settings: dict[str, Data] = {}
    for arm, described in data["arms"].items():
        settings.setdefault(arm.rpartition("/")[2], described.get("overrides", {}))
    return marks(settings)


def _baseline_text(baseline: float) -> str:
    return "no baseline" if math.isnan(baseline) else f"baseline {number(baseline)}"


def _skill(data: Data, names: Sequence[str]) -> Skill | None:
    """Printed scores beside skill, where that is what the claim is about."""
    cells = _cells_with_skill(data, names)
    if not cells:
        return None
    cases: dict[str, list[Data]] = {}
    for cell in cells:
        cases.setdefault(cell["arm"].rpartition("/")[0], []).append(cell)
    several = len({cell["metric"] for cell in cells}) > 1
    kept = dict(list(cases.items())[:_CASES])
    looks = _looks(data)
    dots = {
        case: [(_name(cell, several), _dot(looks, cell["arm"], cell)) for cell in own[:_ARMS]]
        for case, own in kept.items()
    }
    plain = [dot for own in dots.values() for _, dot in own]
    perfect = facts_of(data, cells[0]["metric"]).perfect
    skilled = {id(dot): _as_skill(dot, perfect) for dot in plain}
    printed_scale = _up_to(perfect, [dot.at.mean for dot in plain])
    skill_scale = _up_to(1.0, [dot.at.mean for dot in skilled.values()])
    at = [dot.at for dot in plain]
    metrics = ", ".join(dict.fromkeys(cell["metric"] for cell in cells))
    left = len(cases) - len(kept)
    return Skill(
        metric=metrics,
        title=_skill_title({case: [dot for _, dot in own] for case, own in dots.items()}, skilled),
        says=(
            f"Left {metrics}, as printed; right the same as skill: the share of the way from the "
            f"baseline (upright tick: the best constant prediction) to a perfect {perfect:g}. "
            f"Mean over n = {seeds_of(at)} seeds, {levels(at)} interval."
            f"{f' {left} more cases are in the tables.' if left else ''}"
        ),
        panels=tuple(
            SkillPanel(
                case,
                tuple(_track_row(name, dot, printed_scale, perfect) for name, dot in own),
                tuple(_track_row(name, skilled[id(dot)], skill_scale) for name, dot in own),
            )
            for case, own in dots.items()
        ),
        printed_axis=number_line(printed_scale),
        skill_axis=number_line(skill_scale),
    )


def _up_to(perfect: float, means: Sequence[float]) -> Scale:
    """From zero, or the lowest mean below it, to a perfect score, with room for marks."""
    low = min(0.0, *means)
    room = 0.02 * (perfect - low) or 0.02
    return Scale(low - room, perfect + room)


def _cells_with_skill(data: Data, names: Sequence[str]) -> list[Data]:
    """Of the first deciding metric that has different baselines for different arms.

    Where no metric has, and the verdict is that numbers come from the metric, of all that decided.
    """
    asked = list(dict.fromkeys(m for name in names for m in data["hypotheses"][name]["metrics"]))
    for metric in asked:
        own = [
            cell for cell in data["table"] if cell["metric"] == metric and _has_skill(data, cell)
        ]
        if any(_baselines_differ(own, case) for case in {_case(cell) for cell in own}):
            return own
    if data["verdict"] != "metric_artefact":
        return []
    sides = {
        side
        for name in names
        for side in zip(
            data["hypotheses"][name]["arms"], data["hypotheses"][name]["metrics"], strict=True
        )
    }
    found = [
        cell
        for cell in data["table"]
        if (cell["arm"], cell["metric"]) in sides and _has_skill(data, cell)
    ]
    perfect = [facts_of(data, cell["metric"]).perfect for cell in found]
    return [cell for cell, one in zip(found, perfect, strict=True) if one == perfect[0]]


def _case(cell: Data) -> str:
    return str(cell["arm"].rpartition("/")[0])


def _baselines_differ(cells: Sequence[Data], case: str) -> bool:
    found = [nan_if_null(cell["baseline"]) for cell in cells if _case(cell) == case]
    return len(found) > 1 and max(found) - min(found) > SAME_BASELINE


def _has_skill(data: Data, cell: Data) -> bool:
    """Whether there is a way up from the baseline to a perfect score."""
    facts = facts_of(data, cell["metric"])
    mean, baseline = nan_if_null(cell["interval"]["mean"]), nan_if_null(cell["baseline"])
    is_known = facts.higher_is_better is True and math.isfinite(facts.perfect)
    return is_known and mean <= facts.perfect and baseline < facts.perfect - SAME_BASELINE


def _as_skill(dot: Dot, perfect: float) -> Dot:
    """The baseline is taken as known."""
    at = dot.at
    mean, low, high = (skill(end, dot.baseline, perfect) for end in (at.mean, at.low, at.high))
    deviation = at.deviation / (perfect - dot.baseline)
    gained = Interval(mean, low, high, at.level, deviation, at.n)
    alt = f"{dot.alt.partition(':')[0]}: skill {interval_text(gained)}"
    return Dot(gained, 0.0, dot.mark, alt)


def _name(cell: Data, several: bool) -> str:
    return str(cell["metric"] if several else cell["arm"].rpartition("/")[2])


def _track_row(name: str, dot: Dot, scale: Scale, perfect: float = 1.0) -> ArmRow:
    track = track_strip(dot, scale, perfect)
    return ArmRow(icon(dot.mark), name, track, f"{dot.at.mean:.3f}", (ends_text(dot.at),))


def _skill_title(cases: Mapping[str, Sequence[Dot]], skilled: Mapping[int, Dot]) -> str:
    """What the picture shows, of the case whose printed numbers lie farthest apart."""
    ends = {
        case: (min(dots, key=lambda dot: dot.at.mean), max(dots, key=lambda dot: dot.at.mean))
        for case, dots in cases.items()
    }
    case, (low, high) = max(ends.items(), key=lambda item: item[1][1].at.mean - item[1][0].at.mean)

    def said(dot: Dot) -> str:
        return f"{dot.at.mean:.3f}, is a skill of {skilled[id(dot)].at.mean:.2f}"

    where = f" of {case}" if len(cases) > 1 else ""
    if high.at.mean == low.at.mean:
        return f"The number printed{where}, {said(high)}"
    return f"The highest number printed{where}, {said(high)}; the lowest, {said(low)}"


def _check_row(name: str, check: Data) -> CheckRow:
    says = check["says"] or name
    at, target = nan_if_null(check["computed"]), check["stated"]
    known = _as_number(target)
    tolerance = nan_if_null(check["tolerance"])
    low, high = {
        "greater": (known, math.inf),
        "less": (-math.inf, known),
    }.get(check["relation"], (known - tolerance, known + tolerance))
    seen = [at, *(end for end in (low, high) if math.isfinite(end))]
    if check["relation"] == "equals" and tolerance:
        seen += [known - 2.5 * tolerance, known + 2.5 * tolerance]
    numbers = f"{computed(check)}, stated {stated(check)}"
    alt = f"{says}: computed {numbers}; {check['conclusion']}"
    picture = point_strip(at, low, high, scale_over(seen), alt)
    return CheckRow(says, picture, numbers, check["conclusion"])


def _as_number(stated_value: str | float | None) -> float:
    """The stated number; NaN for digits that are none."""
    try:
        return math.nan if stated_value is None else float(stated_value)
    except ValueError:
        return math.nan
