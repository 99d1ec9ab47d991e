"""Figures for README and verdict pages, drawn from results alone."""

import math
from collections.abc import Iterable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lossheads.errors import UserError
from lossheads.report.sheet import (
    COLOURS,
    DASHES,
    DOTS,
    GREY,
    INK,
    MARKERS,
    PALE,
    finish,
    note,
    sheet,
)
from lossheads.report.sheet import save as save
from lossheads.report.spread import (
    Arms,
    Split,
    Spread,
    check,
    curve,
    final,
    floor_of,
    floor_words,
    is_cut,
    keeps_earlier,
    over_seeds,
    perfect,
    quantity,
)

Pair = tuple[str, str]  # arm, ruler
Curves = Mapping[Pair, Sequence[tuple[float, Spread]]]  # (epoch, mean over seeds)
FURTHER_LEFT = "a floor left of the axis"
SPLIT_WORDS = {"val": "validation", "test": "test"}
FLOOR_WORDS = "floor: the best answer that never looks at an input"
CUT_WORDS = "the first seed of the arm stopped here, others trained on"
KEPT_WORDS = "early stopping: final numbers are of the best lap of each seed, not of a curve's end"


def puzzle_figure(
    arms: Arms,
    rulers: Sequence[str],
    split: Split = "test",
    title: str = "Same predictions, several accuracies",
    told: Sequence[Pair] = (),
) -> Figure:
    """One row per ruler, one mark per arm: mean over seeds, 95 % interval, floors as ticks.

    Args:
        arms: Arm name -> one result per seed; at most seven.
        rulers: From top to bottom; higher must be better.
        told: (arm, ruler) pairs whose numbers somebody compared; ringed.

    Raises:
        UserError: Without arms or rulers, with more arms than colours, for a loss, an error
            or a factor, or for a ruler that no run was measured under.
    """
    _check(arms, rulers, "puzzle_figure")
    figure, axes = sheet(7.6, 1.4 + len(rulers) * (0.2 + 0.19 * len(arms)))
    spreads = {(a, r): final(arms[a], r, split) for r in rulers for a in arms}
    lowest = min((at.mean for at in spreads.values() if at.n), default=0.0)
    # To the next twentieth below; floors that lie further down get an arrow.
    left = max(0.0, math.floor(20 * lowest - 0.3) / 20)
    axes.set_xlim(left, 1.0 + 0.11 * (1.0 - left))
    heights = _heights(list(arms), rulers)
    floors = {(a, r): floor_of(arms[a], r, split) for r in rulers for a in arms}
    _draw_floors(axes, floors, heights)
    _draw_marks(axes, spreads, heights, told)
    names = [f"{ruler}\n{_floor_text(arms, ruler, floors)}" for ruler in rulers]
    axes.set_yticks(range(len(rulers)), names)
    axes.set_ylim(len(rulers) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=PALE, linewidth=0.6)
    over = over_seeds([at.n for at in spreads.values()], "interval")
    axes.set_xlabel(f"{SPLIT_WORDS[split]} split, {over}")
    keys = [_mark(marker, colour, arm) for arm, marker, colour in _styled(arms)]
    tick = Line2D([], [], color=INK, linestyle="", marker="|", ms=11, mew=2.2, label=FLOOR_WORDS)
    keys.append(tick)
    if any(floor < left for floor in floors.values()):
        keys.append(Line2D([], [], color=GREY, linestyle="", marker="<", ms=5, label=FURTHER_LEFT))
    finish(figure, title, keys + [_ring(label="the numbers that were compared")] * bool(told))
    return figure


def epochs_figure(
    arms: Arms,
    rulers: Sequence[str],
    title: str = "Both rulers while the same models train",
) -> Figure:
    """Mean over seeds with its 95 % band against epochs; colour is the arm, dash the ruler.

    Every floor is a dotted line where the axis reaches it; the legend says whose it is. A curve
    ends with the first seed of its arm that stopped; a bar marks the end where others trained on.

    Args:
        arms: Arm name -> one result per seed; at most seven.
        rulers: At most four (dashes); higher must be better.

    Raises:
        UserError: As `puzzle_figure`, and for more rulers than dashes.
    """
    _check(arms, rulers, "epochs_figure")
    if len(rulers) > len(DASHES):
        raise UserError(
            f"epochs_figure got {len(rulers)} rulers: it has {len(DASHES)} dashes to tell them "
            "apart; draw two figures"
        )
    figure, axes = sheet(7.6, 4.4)
    pairs = [(arm, ruler) for arm in arms for ruler in rulers]
    curves = {
        (arm, ruler): [(lap.epoch, at) for lap, at in curve(arms[arm], ruler) if at.n]
        for arm, ruler in pairs
    }
    _draw_bands(axes, curves)
    _label_epochs(axes, curves)
    floors = {(arm, ruler): floor_of(arms[arm], ruler, "val") for arm, ruler in pairs}
    keys = [Line2D([], [], color=colour, label=arm) for arm, _, colour in _styled(arms)]
    for dash, ruler in zip(DASHES, rulers, strict=False):
        label = f"{ruler}, {_floor_text(arms, ruler, floors)}"
        keys.append(Line2D([], [], color=GREY, linestyle=dash, label=label))
    keys += _early_ends(axes, arms, curves)
    lines = [axes.axhline(floor, color=INK, lw=1.0, ls=DOTS) for floor in _known(floors.values())]
    if lines:
        lines[0].set_label(FLOOR_WORDS)
    finish(figure, title, keys + lines[:1])
    return figure


def _check(arms: Arms, rulers: Sequence[str], who: str) -> None:
    check(arms, rulers, who)
    if len(arms) > len(COLOURS):
        raise UserError(
            f"{who} got {len(arms)} arms: it has {len(COLOURS)} colours to tell them apart; "
            "draw two figures"
        )
    for ruler in rulers:
        if perfect(ruler) != 1.0:
            raise UserError(
                f"{who} got {ruler}: it draws rulers of which more is better, up to 1, on one "
                "axis; show losses, errors and factors in a table"
            )


def _styled(arms: Arms) -> list[tuple[str, str, str]]:
    return list(zip(arms, MARKERS, COLOURS, strict=False))


def _heights(arms: Sequence[str], rulers: Sequence[str]) -> dict[Pair, float]:
    """Where each mark stands: rulers one apart, arms spread over 0.7 of a row."""
    middle = (len(arms) - 1) / 2
    return {
        (arm, ruler): row + 0.7 * (index - middle) / len(arms)
        for row, ruler in enumerate(rulers)
        for index, arm in enumerate(arms)
    }


def _draw_marks(
    axes: Axes,
    spreads: Mapping[Pair, Spread],
    heights: Mapping[Pair, float],
    told: Sequence[Pair],
) -> None:
    order = list(dict.fromkeys(arm for arm, _ in spreads))
    for (arm, ruler), at in spreads.items():
        if not at.n:
            continue
        y, index = heights[arm, ruler], order.index(arm)
        axes.errorbar(
            at.mean,
            y,
            xerr=None if math.isnan(at.half_width) else at.half_width,
            fmt=MARKERS[index],
            color=COLOURS[index],
            markersize=5,
            capsize=2.5,
            linewidth=1.2,
        )
        right = axes.get_yaxis_transform()
        note(axes, f"{at.mean:.3f}", (1.0, y), frame=right, ha="right", color=COLOURS[index])
        if (arm, ruler) in told:
            axes.add_line(_ring(at.mean, y))


def _draw_floors(
    axes: Axes,
    floors: Mapping[Pair, float],
    heights: Mapping[Pair, float],
) -> None:
    """A tick at the floor of each mark; an arrow at the edge where it lies off the axis."""
    left = axes.get_xlim()[0]
    half = 0.35 / len({arm for arm, _ in floors})
    for pair, floor in floors.items():
        y = heights[pair]
        if floor < left:
            note(axes, "◂", (left, y), shift=(2, 0), color=GREY)
        elif not math.isnan(floor):
            axes.vlines(floor, y - half, y + half, color=INK, linewidth=2.2)


def _floor_text(arms: Arms, ruler: str, floors: Mapping[Pair, float]) -> str:
    """The floor of a ruler in words; all of them where arms differ.

    They may: what Keras 2.3 printed, and so its floor, depends on the loss.
    """
    texts = [
        floor_words(arms[arm], floors[arm, ruler])
        for arm in arms
        if not math.isnan(floors[arm, ruler])
    ]
    return f"floor {' or '.join(dict.fromkeys(texts)) or 'none'}"


def _known(floors: Iterable[float]) -> list[float]:
    """Each floor once; those that are not known left out."""
    return list(dict.fromkeys(floor for floor in floors if not math.isnan(floor)))


def _draw_bands(axes: Axes, curves: Curves) -> None:
    arms = list(dict.fromkeys(arm for arm, _ in curves))
    rulers = list(dict.fromkeys(ruler for _, ruler in curves))
    for (arm, ruler), points in curves.items():
        colour, dash = COLOURS[arms.index(arm)], DASHES[rulers.index(ruler)]
        epochs = [epoch for epoch, _ in points]
        axes.plot(epochs, [at.mean for _, at in points], color=colour, linestyle=dash, lw=1.6)
        low, high = [at.low for _, at in points], [at.high for _, at in points]
        axes.fill_between(epochs, low, high, color=colour, alpha=0.2, linewidth=0)


def _early_ends(axes: Axes, arms: Arms, curves: Curves) -> list[Line2D]:
    """A bar where a curve ends although some of its seeds trained on; what there is to know."""
    cut = [arm for arm, runs in arms.items() if is_cut(runs)]
    for (arm, _), points in curves.items():
        if arm in cut and points:
            epoch, at = points[-1]
            axes.add_line(_bar(COLOURS[list(arms).index(arm)], epoch, at.mean))
    keys = [_bar(GREY, label=CUT_WORDS)] if cut else []
    if any(keeps_earlier(runs) for runs in arms.values()):
        keys.append(Line2D([], [], linestyle="", label=KEPT_WORDS))
    return keys


def _bar(colour: str, *at: float, label: str = "_") -> Line2D:
    xs, ys = ([at[0]], [at[1]]) if at else ([], [])
    bar = Line2D(xs, ys, color=colour, linestyle="", marker="|", label=label)
    bar.set(markersize=12, markeredgewidth=2)
    return bar


def _label_epochs(axes: Axes, curves: Curves) -> None:
    # The first steps climb from chance; the end is where rulers part, so the axis serves the end.
    worst_end = min((points[-1][1].mean for points in curves.values() if points), default=0.0)
    axes.set_ylim(max(0.0, 1 - 2.5 * (1 - min(worst_end, 0.99))), 1.0)
    axes.grid(axis="y", color=PALE, linewidth=0.6)
    over = over_seeds([at.n for points in curves.values() for _, at in points], "band")
    axes.set_xlabel(f"epochs; validation split, {over}")
    axes.set_ylabel(quantity(list(dict.fromkeys(ruler for _, ruler in curves))))


def _mark(marker: str, colour: str, label: str) -> Line2D:
    return Line2D([], [], color=colour, linestyle="", marker=marker, label=label)


def _ring(*at: float, label: str = "_") -> Line2D:
    xs, ys = ([at[0]], [at[1]]) if at else ([], [])
    ring = Line2D(xs, ys, linestyle="", marker="o", markersize=12, markerfacecolor="none")
    ring.set(markeredgecolor=INK, markeredgewidth=1.1, label=label)
    return ring
