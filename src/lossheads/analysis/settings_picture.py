"""Learning rate by head, or any other setting by series: means with intervals, optima marked."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from lossheads.analysis.aggregate import final, over_seeds
from lossheads.analysis.drawing import (
    JOIN,
    Scale,
    at_mark,
    coinciding,
    icon,
    letters,
    line,
    number_line,
    scale_of,
    spread,
    svg,
    tick_text,
    whisker,
)
from lossheads.analysis.format import coincide, number, percent, spread_text
from lossheads.analysis.heat import Heat, heat_of
from lossheads.analysis.sweep import (
    EQUAL,
    Arm,
    Compared,
    Condition,
    Sweep,
    across_values,
    setting_text,
    short_key,
    sorted_arms,
)

_HEIGHT = 230  # pixels
_PANELS, _LINES = 2, 8  # drawn as lines; beyond, as a table of tints
_ROWS = 24


@dataclass(frozen=True)
class Panel:
    """Heads across one setting.

    Attributes:
        across: Name of the setting.
        labels: What stands beside the line ends.
        told: Which lines coincide, in words; or empty.
    """

    title: str
    across: str
    ticks: Markup
    plot: Markup
    labels: Markup
    told: str


@dataclass(frozen=True)
class Row:
    """One arm in a list: its icon, name, strip, number and standing."""

    icon: Markup
    name: str
    strip: Markup
    number: str
    conditions: str
    standing: str
    words: str


@dataclass(frozen=True)
class SettingsPicture:
    """Panels or tints where something was varied across; the optima as rows below one another."""

    title: str
    caption: str
    panels: tuple[Panel, ...]
    heat: Heat | None
    rows: tuple[Row, ...]
    number_line: Markup
    left_out: str


def settings_picture(sweep: Sweep, condition: Condition) -> SettingsPicture:
    """Picture of one condition."""
    by_panel: dict[str, list[Arm]] = {}
    for arm in condition.arms:
        if arm.value.n:
            by_panel.setdefault(arm.panel, []).append(arm)
    drawn = list(by_panel.items())
    best = condition.best
    if best is not None:  # the panel of the best arm first
        drawn.sort(key=lambda item: best not in item[1])
    has_across = bool(sweep.across_key) and len(across_values(condition.arms)) > 1
    # Lines of more heads cover each other, and of two settings each would have many panels.
    series = len({arm.series for arm in condition.arms})
    is_heat = has_across and (series > _LINES or len(drawn) > _PANELS)
    heat = heat_of(sweep, condition) if is_heat else None
    panels = [_panel(sweep, condition, *one) for one in drawn] if has_across and not heat else []
    listed = list(condition.optima.values()) if len(condition.optima) > 1 else []
    if not has_across or not listed:
        listed = sorted_arms(sweep, [arm for arm in condition.arms if arm.value.n], "")
    rows, axis = _rows(sweep, condition, listed[:_ROWS])
    left = []
    if heat and heat.left:
        left.append(f"{heat.left} further rows by {sweep.across_key} are not shown")
    if len(listed) > _ROWS:
        which = "highest" if sweep.higher_is_better is None else "best"
        left.append(f"the {which} {_ROWS} of {len(listed)} arms are listed")
    return SettingsPicture(
        title=_title(sweep, condition),
        caption=_caption(sweep, condition, bool(panels)),
        panels=tuple(panels),
        heat=heat,
        rows=rows,
        number_line=axis,
        left_out="; ".join(left) + "; the table has all." if left else "",
    )


def _title(sweep: Sweep, condition: Condition) -> str:
    """The finding, no more than the intervals say."""
    best = condition.best
    if best is None or not condition.compared:
        return f"{sweep.metric} of every arm"
    chosen = final([run for run in best.runs if run.status == "finished"], sweep.metric, "val")
    text = (
        f"{best.short} is best on validation ({number(chosen.mean)}): {number(best.value.mean)} "
        "on test"
    )
    others = [arm for arm in condition.optima.values() if arm is not best]
    words = []
    for standing, said in (
        ("equal", "equal to it at every seed"),
        ("tied", "cannot be told from it"),
        ("worse", "worse"),
        ("better", "better on test"),
        ("unknown", "not compared, too few shared seeds"),
    ):
        names = [a.series for a in others if _standing(condition.compared[a.name]) == standing]
        if names:
            shown = names if len(names) <= 4 else [*names[:3], f"{len(names) - 3} more"]
            words.append(f"{', '.join(shown)} {said}")
    return "; ".join([text, *words])


def _standing(compared: Compared) -> str:
    return "equal" if compared is EQUAL else compared.standing


def _caption(sweep: Sweep, condition: Condition, has_panels: bool) -> str:
    counts = sorted({arm.value.n for arm in condition.arms if arm.value.n})
    over = over_seeds(counts, "interval")
    looks, level = condition.looks, percent(condition.level)
    text = f"{sweep.metric} on test, {over}."
    if condition.compared and counts[-1] > 1:
        choice = f" of each {short_key(sweep.series_key)}" if has_panels else ""
        text += f" Ringed: the best on validation{choice}." if has_panels else ""
        text += (
            " Compared with the best by paired differences over shared seeds, interval "
            f"{level}, so that all {looks} comparisons of this part hold together at 95 %."
            if looks > 1
            else " Compared with the best by paired differences over shared seeds, 95 % interval."
        )
    return text


def _panel(sweep: Sweep, condition: Condition, title: str, arms: Sequence[Arm]) -> Panel:
    values = across_values(condition.arms)
    places, texts = _places(values), [setting_text(value) for value in values]
    heights = _heights(arms, sweep)
    by_series: dict[str, list[Arm]] = {}
    for arm in sorted(arms, key=lambda arm: texts.index(setting_text(arm.across))):
        by_series.setdefault(arm.series, []).append(arm)

    def y(value: float) -> float:
        return 8 + (_HEIGHT - 16) * (1 - heights.at(value) / 100)

    parts = []
    for tick in heights.ticks:
        parts.append(line("grid", 0, y(tick), 100, y(tick)))
    if heights.low <= sweep.baseline <= heights.high:
        parts.append(line("base", 0, y(sweep.baseline), 100, y(sweep.baseline)))
        parts.append(letters(0, y(sweep.baseline) - 4, "baseline"))
    middle = (len(by_series) - 1) / 2
    for index, some in enumerate(by_series.values()):
        shift = 7 * (index - middle) if len(by_series) <= 8 else 0
        points = [(places[texts.index(setting_text(arm.across))], arm) for arm in some]
        parts.append(_series(points, y, shift, condition, heights))
    parts += [
        letters(places[at], _HEIGHT + 14, texts[at], "middle") for at in _named(texts, places)
    ]
    groups = coinciding(
        [[y(arm.value.mean) for arm in some] for some in by_series.values()], within=1.5
    )
    names = list(by_series)
    alt = "; ".join(
        f"{arm.short} {number(arm.value.mean)}" for some in by_series.values() for arm in some
    )
    ticks = [
        letters("100%", y(tick) + 4, tick_text(tick, heights), "end") for tick in heights.ticks
    ]
    ends = [(some[-1], y(some[-1].value.mean)) for some in by_series.values()]
    return Panel(
        title=title,
        across=sweep.across_key,
        ticks=svg("ticks", _HEIGHT + 20, "", ticks),
        plot=svg("plane", _HEIGHT + 20, f"{sweep.metric} by {sweep.across_key}: {alt}", parts),
        labels=_labels(ends),
        told=coincide([names[at] for at in group] for group in groups),
    )


def _series(
    points: Sequence[tuple[float, Arm]],
    y: Callable[[float], float],
    shift: float,
    condition: Condition,
    heights: Scale,
) -> Markup:
    parts = []
    for (x1, one), (x2, two) in pairwise(points):
        parts.append(line("curve", x1, y(one.value.mean), x2, y(two.value.mean)))
    for x, arm in points:
        at = arm.value
        if math.isfinite(at.half_width):
            low, high = min(y(at.low), _HEIGHT), max(y(at.high), 0)
            parts.append(line("whisker", x, low, x, high))
            if at.low < heights.low:  # it goes on beyond the plane
                parts.append(letters(x, _HEIGHT, "▾", "middle", "off"))
            if at.high > heights.high:
                parts.append(letters(x, 9, "▴", "middle", "off"))
        if condition.optima.get(arm.series) is arm:
            best = " best" if condition.best is arm else ""
            parts.append(
                Markup('<circle class="ring{}" cx="{:.2f}%" cy="{:.1f}" r="9"/>').format(
                    best, x, y(at.mean)
                )
            )
        parts.append(at_mark(arm.at_rate, x, y(at.mean)))
    return Markup('<g class="{}" transform="translate({:g} 0)">{}</g>').format(
        points[0][1].mark.css, shift, JOIN.join(parts)
    )


def _named(texts: Sequence[str], places: Sequence[float]) -> list[int]:
    """Which settings have their name below the axis: those with room for it on a narrow page."""
    found: list[int] = []
    for at, place in enumerate(places):
        room = 2.0 * (len(texts[at]) + 2)  # per cent, of letters in a plane of 300 pixels
        if not found or place - places[found[-1]] >= room:
            found.append(at)
    return found


def _places(values: Sequence[object]) -> list[float]:
    """Per cent across: by size where they are numbers, by order where they are not."""
    numbers = [float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) == len(values) > 1:
        sizes = numbers
        if min(numbers) > 0 and max(numbers) / min(numbers) >= 5:
            sizes = [math.log(value) for value in numbers]
        low, high = min(sizes), max(sizes)
        return [10 + 80 * (size - low) / (high - low) for size in sizes]
    return [10 + 80 * at / max(1, len(values) - 1) for at in range(len(values))]


def _heights(arms: Sequence[Arm], sweep: Sweep) -> Scale:
    """What the means need and, up to twice that, their intervals."""
    means = [arm.value.mean for arm in arms]
    room = (max(means) - min(means)) or abs(means[0]) / 50 or 0.01
    ends = [end for arm in arms for end in (arm.value.low, arm.value.high) if math.isfinite(end)]
    inside = [min(max(end, min(means) - room), max(means) + room) for end in ends]
    return scale_of([*means, *inside], *sweep.ends)


def _labels(ends: Sequence[tuple[Arm, float]]) -> Markup:
    places = spread([y for _, y in ends], 15, 8, max(_HEIGHT, 15 * len(ends)))
    parts = []
    for (arm, y), place in zip(ends, places, strict=True):
        parts.append(Markup('<path class="leader" d="M0 {:.1f}L10 {:.1f}"/>').format(y, place))
        parts.append(
            Markup(
                '<g transform="translate(18 {:.1f})" class="{}"><path class="mark" d="{}"/></g>'
            ).format(place, arm.mark.css, arm.mark.path)
        )
        parts.append(letters("28", place + 4, _cut(arm.series), kind="direct"))
    return svg("labels", max(_HEIGHT + 20, 15 * len(ends)), "", parts)


def _cut(name: str) -> str:
    return name if len(name) <= 20 else f"{name[:19]}…"


def _rows(
    sweep: Sweep, condition: Condition, arms: Sequence[Arm]
) -> tuple[tuple[Row, ...], Markup]:
    ends = [
        end
        for arm in arms
        for end in (arm.value.mean, arm.value.low, arm.value.high)
        if math.isfinite(end)
    ]
    scale = scale_of(ends, *sweep.ends)
    rows = []
    for arm in arms:
        at = arm.value
        parts = [
            whisker(scale, at, 13),
            at_mark(arm.mark, scale.at(at.mean), 13),
        ]
        if scale.low <= sweep.baseline <= scale.high:
            parts.insert(0, line("base", scale.at(sweep.baseline), 2, scale.at(sweep.baseline), 24))
        compared = condition.compared.get(arm.name)
        rows.append(
            Row(
                icon=icon(arm.mark),
                name=arm.whole,
                strip=svg(f"strip {arm.mark.css}", 26, "", parts),
                number=number(at.mean),
                conditions=f"{spread_text(at)}, n = {at.n}",
                standing=compared.standing if compared else "unknown",
                words=compared.words if compared else "",
            )
        )
    return tuple(rows), number_line(scale)
