"""Figures for README and verdict pages, drawn from results alone."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.transforms import Transform

from lossheads.analysis.aggregate import (
    Arms,
    Split,
    axis_label,
    baseline_of,
    check_shown,
    curve,
    describe_baseline,
    final,
    is_cut,
    is_score_up_to_one,
    keeps_earlier,
    over_seeds,
)
from lossheads.analysis.arms import marks_of
from lossheads.analysis.palette import COLOURS, Mark
from lossheads.analysis.statistics import Interval
from lossheads.analysis.tables import fold
from lossheads.errors import UserError
from lossheads.whole_files import whole_file

Pair = tuple[str, str]  # arm, metric
Curves = Mapping[Pair, Sequence[tuple[float, Interval]]]  # (epoch, mean over seeds)
BASELINE_OFF_AXIS = "baseline left of the axis"
SPLIT_NAMES = {"val": "validation", "test": "test"}
BASELINE_LABEL = "baseline: best constant prediction"
CUT_LABEL = "first early-stopped seed of the arm; the others trained longer"
KEPT_LABEL = (
    "early stopping: final numbers are from each seed's best validation step, "
    "not from the end of the curve"
)


def puzzle_figure(
    arms: Arms,
    metrics: Sequence[str],
    split: Split = "test",
    title: str = "Same predictions, several accuracies",
    highlighted: Sequence[Pair] = (),
) -> Figure:
    """One row per metric, one mark per arm: mean over seeds, 95 % interval, baselines as ticks.

    Args:
        arms: Arm name -> one result per seed; at most eight.
        metrics: From top to bottom; higher must be better.
        highlighted: (arm, metric) pairs whose numbers somebody compared; ringed.

    Raises:
        UserError: Without arms or metrics, with more arms than colours, for a loss, an error
            or a factor, or for a metric that no run was measured under.
    """
    _check_drawable(arms, metrics, "puzzle_figure")
    figure, axes = new_figure(7.6, 1.4 + len(metrics) * (0.2 + 0.19 * len(arms)))
    intervals = {(a, r): final(arms[a], r, split) for r in metrics for a in arms}
    lowest = min((at.mean for at in intervals.values() if at.n), default=0.0)
    # To the next twentieth below; baselines that lie further down get an arrow.
    left = max(0.0, math.floor(20 * lowest - 0.3) / 20)
    axes.set_xlim(left, 1.0 + 0.11 * (1.0 - left))
    heights = _heights(list(arms), metrics)
    baselines = {(a, r): baseline_of(arms[a], r, split) for r in metrics for a in arms}
    _draw_baselines(axes, baselines, heights)
    looks = marks_of(arms)
    _draw_marks(axes, intervals, heights, highlighted, looks)
    names = [f"{metric}\n{_baseline_text(arms, metric, baselines)}" for metric in metrics]
    axes.set_yticks(range(len(metrics)), names)
    axes.set_ylim(len(metrics) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=PALE, linewidth=0.6)
    over = over_seeds([at.n for at in intervals.values()], "interval")
    axes.set_xlabel(f"{SPLIT_NAMES[split]} split, {over}")
    keys = [_mark(look.marker, look.colour, arm) for arm, look in looks.items()]
    tick = Line2D([], [], color=INK, linestyle="", marker="|", ms=11, mew=2.2, label=BASELINE_LABEL)
    keys.append(tick)
    if any(baseline < left for baseline in baselines.values()):
        keys.append(
            Line2D([], [], color=GREY, linestyle="", marker="<", ms=5, label=BASELINE_OFF_AXIS)
        )
    add_title_and_legend(
        figure, title, keys + [_ring(label="the numbers that were compared")] * bool(highlighted)
    )
    return figure


def epochs_figure(
    arms: Arms,
    metrics: Sequence[str],
    title: str = "Both metrics while the same models train",
) -> Figure:
    """Mean over seeds with its 95 % band against epochs; colour is the arm, dash the metric.

    Every baseline is a dotted line where the axis reaches it; the legend says whose it is. A curve
    ends with the first seed of its arm that stopped; a bar marks the end where others
    trained longer.

    Args:
        arms: Arm name -> one result per seed; at most eight.
        metrics: At most four (dashes); higher must be better.

    Raises:
        UserError: As `puzzle_figure`, and for more metrics than dashes.
    """
    _check_drawable(arms, metrics, "epochs_figure")
    if len(metrics) > len(DASHES):
        raise UserError(
            f"epochs_figure got {len(metrics)} metrics: it has {len(DASHES)} line styles; "
            "draw two figures"
        )
    figure, axes = new_figure(7.6, 4.4)
    pairs = [(arm, metric) for arm in arms for metric in metrics]
    curves = {
        (arm, metric): [
            (validation.epoch, at) for validation, at in curve(arms[arm], metric) if at.n
        ]
        for arm, metric in pairs
    }
    looks = marks_of(arms)
    _draw_bands(axes, curves, looks)
    _label_epochs(axes, curves)
    baselines = {(arm, metric): baseline_of(arms[arm], metric, "val") for arm, metric in pairs}
    keys = [Line2D([], [], color=look.colour, label=arm) for arm, look in looks.items()]
    for dash, metric in zip(DASHES, metrics, strict=False):
        label = f"{metric}, {_baseline_text(arms, metric, baselines)}"
        keys.append(Line2D([], [], color=GREY, linestyle=dash, label=label))
    keys += _early_ends(axes, arms, curves, looks)
    lines = [
        axes.axhline(baseline, color=INK, lw=1.0, ls=DOTS)
        for baseline in _known(baselines.values())
    ]
    if lines:
        lines[0].set_label(BASELINE_LABEL)
    add_title_and_legend(figure, title, keys + lines[:1])
    return figure


def _check_drawable(arms: Arms, metrics: Sequence[str], who: str) -> None:
    check_shown(arms, metrics, who)
    if len(arms) > len(COLOURS):
        raise UserError(
            f"{who} got {len(arms)} arms: it has {len(COLOURS)} colours; draw two figures"
        )
    for metric in metrics:
        if not is_score_up_to_one((run for runs in arms.values() for run in runs), metric):
            raise UserError(
                f"{who} got {metric}: only metrics with higher = better and maximum 1 can be "
                "drawn; show losses, errors and factors in a table"
            )


def _heights(arms: Sequence[str], metrics: Sequence[str]) -> dict[Pair, float]:
    """The height of each mark: metrics one apart, arms spread over 0.7 of a row."""
    middle = (len(arms) - 1) / 2
    return {
        (arm, metric): row + 0.7 * (index - middle) / len(arms)
        for row, metric in enumerate(metrics)
        for index, arm in enumerate(arms)
    }


def _draw_marks(
    axes: Axes,
    intervals: Mapping[Pair, Interval],
    heights: Mapping[Pair, float],
    highlighted: Sequence[Pair],
    looks: Mapping[str, Mark],
) -> None:
    for (arm, metric), at in intervals.items():
        if not at.n:
            continue
        y, look = heights[arm, metric], looks[arm]
        axes.errorbar(
            at.mean,
            y,
            xerr=None if math.isnan(at.half_width) else [[at.mean - at.low], [at.high - at.mean]],
            fmt=look.marker,
            color=look.colour,
            markersize=5,
            capsize=2.5,
            linewidth=1.2,
        )
        right = axes.get_yaxis_transform()
        annotate(axes, f"{at.mean:.3f}", (1.0, y), frame=right, ha="right", color=look.colour)
        if (arm, metric) in highlighted:
            axes.add_line(_ring(at.mean, y))


def _draw_baselines(
    axes: Axes,
    baselines: Mapping[Pair, float],
    heights: Mapping[Pair, float],
) -> None:
    """A tick at the baseline of each mark; an arrow at the edge where it lies off the axis."""
    left = axes.get_xlim()[0]
    half = 0.35 / len({arm for arm, _ in baselines})
    for pair, baseline in baselines.items():
        y = heights[pair]
        if baseline < left:
            annotate(axes, "◂", (left, y), shift=(2, 0), color=GREY)
        elif not math.isnan(baseline):
            axes.vlines(baseline, y - half, y + half, color=INK, linewidth=2.2)


def _baseline_text(arms: Arms, metric: str, baselines: Mapping[Pair, float]) -> str:
    """The baseline of a metric as text; all of them where arms differ.

    They may: what Keras 2.3 printed, and so its baseline, depends on the loss.
    """
    texts = [
        describe_baseline(arms[arm], baselines[arm, metric])
        for arm in arms
        if not math.isnan(baselines[arm, metric])
    ]
    return f"baseline {' or '.join(dict.fromkeys(texts)) or 'none'}"


def _known(baselines: Iterable[float]) -> list[float]:
    """Each baseline once; those that are not known left out."""
    return list(dict.fromkeys(baseline for baseline in baselines if not math.isnan(baseline)))


def _draw_bands(axes: Axes, curves: Curves, looks: Mapping[str, Mark]) -> None:
    metrics = list(dict.fromkeys(metric for _, metric in curves))
    for (arm, metric), points in curves.items():
        colour, dash = looks[arm].colour, DASHES[metrics.index(metric)]
        epochs = [epoch for epoch, _ in points]
        axes.plot(epochs, [at.mean for _, at in points], color=colour, linestyle=dash, lw=1.6)
        low, high = [at.low for _, at in points], [at.high for _, at in points]
        axes.fill_between(epochs, low, high, color=colour, alpha=0.2, linewidth=0)


def _early_ends(axes: Axes, arms: Arms, curves: Curves, looks: Mapping[str, Mark]) -> list[Line2D]:
    """A bar where a curve ends although some of its seeds trained longer; the legend entries."""
    cut = [arm for arm, runs in arms.items() if is_cut(runs)]
    for (arm, _), points in curves.items():
        if arm in cut and points:
            epoch, at = points[-1]
            axes.add_line(_bar(looks[arm].colour, epoch, at.mean))
    keys = [_bar(GREY, label=CUT_LABEL)] if cut else []
    if any(keeps_earlier(runs) for runs in arms.values()):
        keys.append(Line2D([], [], linestyle="", label=KEPT_LABEL))
    return keys


def _bar(colour: str, *at: float, label: str = "_") -> Line2D:
    xs, ys = ([at[0]], [at[1]]) if at else ([], [])
    bar = Line2D(xs, ys, color=colour, linestyle="", marker="|", label=label)
    bar.set(markersize=12, markeredgewidth=2)
    return bar


def _label_epochs(axes: Axes, curves: Curves) -> None:
    # The first steps climb from chance; the end is where metrics part, so the axis serves the end.
    worst_end = min((points[-1][1].mean for points in curves.values() if points), default=0.0)
    axes.set_ylim(max(0.0, 1 - 2.5 * (1 - min(worst_end, 0.99))), 1.0)
    axes.grid(axis="y", color=PALE, linewidth=0.6)
    over = over_seeds([at.n for points in curves.values() for _, at in points], "band")
    axes.set_xlabel(f"epochs; validation split, {over}")
    axes.set_ylabel(axis_label(list(dict.fromkeys(metric for _, metric in curves))))


def _mark(marker: str, colour: str, label: str) -> Line2D:
    return Line2D([], [], color=colour, linestyle="", marker=marker, label=label)


def _ring(*at: float, label: str = "_") -> Line2D:
    xs, ys = ([at[0]], [at[1]]) if at else ([], [])
    ring = Line2D(xs, ys, linestyle="", marker="o", markersize=12, markerfacecolor="none")
    ring.set(markeredgecolor=INK, markeredgewidth=1.1, label=label)
    return ring


Dash = Literal["-"] | tuple[float, tuple[float, ...]]
DASHES: tuple[Dash, ...] = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
DOTS: Dash = (0, (2, 2))
# Letters in a line of a legend, at least: below that names are unreadable whatever is done.
_TITLE = 64, 88  # letters of one line, and of several in smaller type
_MIN_LETTERS = 20
_USUAL_LEGEND = 0.8  # inches that the height of a figure has for it
INK, GREY, PALE = "#222222", "#6B6B6B", "#E4E4E4"


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """A white figure of this size in inches, with one pair of axes and no frame."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GREY)
    axes.tick_params(colors=INK, labelsize=9)
    axes.set_axisbelow(True)
    return figure, axes


def annotate(
    axes: Axes,
    text: str,
    at: tuple[float, float],
    frame: Transform | None = None,
    shift: tuple[float, float] = (0, 0),
    ha: Literal["left", "center", "right"] = "left",
    color: str = INK,
) -> None:
    """Small text at a point of `frame` (the data by default), moved by `shift` points."""
    axes.annotate(
        text,
        at,
        xycoords=axes.transData if frame is None else frame,
        xytext=shift,
        textcoords="offset points",
        ha=ha,
        va="center",
        fontsize=8.5,
        color=color,
    )


def add_title_and_legend(figure: Figure, title: str, keys: Sequence[Line2D]) -> None:
    """The title at the left above, the legend at the left below, outside the axes."""
    is_long = max(map(len, title.split("\n"))) > _TITLE[0]
    lines = [
        line
        for part in title.split("\n")
        for line in (wrap(part, _TITLE[1], break_on_hyphens=False) if is_long else [part])
    ]
    size = 10 if is_long else 12
    figure.suptitle(
        "\n".join(lines), x=0.01, ha="left", fontsize=size, fontweight="bold", color=INK
    )
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + 0.17 * (len(lines) - 1))
    # A legend wider than the figure would be cut silently: take the most columns that fit.
    names = [str(key.get_label()) for key in keys]
    available_width = 0.98 * figure.bbox.width
    for columns in range(len(keys), 0, -1):
        legend = _legend(figure, keys, names, columns)
        if legend.get_window_extent().width <= available_width:
            return
        legend.remove()
    _fold_legend(figure, keys, names, available_width)


def _fold_legend(
    figure: Figure, keys: Sequence[Line2D], names: Sequence[str], available_width: float
) -> None:
    """One column, its names folded until they fit; the figure grows by the lines it takes."""
    letters = max(map(len, names))
    while True:
        legend = _legend(figure, keys, [_break_lines(name, letters) for name in names], columns=1)
        box = legend.get_window_extent()
        if box.width <= available_width or letters <= _MIN_LETTERS:
            break
        letters = max(_MIN_LETTERS, min(letters - 1, int(letters * available_width / box.width)))
        legend.remove()
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + max(0.0, box.height / figure.dpi - _USUAL_LEGEND))


def _break_lines(name: str, letters: int) -> str:
    """Lines broken after separators; within a word only where it alone is too long."""
    lines = fold(name, letters).split("\n")
    return "\n".join(part for line in lines for part in wrap(line, letters) or [line])


def _legend(figure: Figure, keys: Sequence[Line2D], names: Sequence[str], columns: int) -> Legend:
    return figure.legend(
        list(keys),
        list(names),
        loc="outside lower left",
        ncols=columns,
        frameon=False,
        fontsize=8.5,
    )


def save(figure: Figure, stem: Path, kinds: Sequence[str] = ("png", "svg")) -> list[Path]:
    """Write `stem`.png and `stem`.svg; the same figure gives the same bytes every time.

    Raises:
        UserError: When the folder cannot be written.
    """
    # Clocks and random ids would make every report differ from the committed one.
    stamps = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in kinds]
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
        with matplotlib.rc_context({"svg.hashsalt": "lossheads"}):
            for path, kind in zip(paths, kinds, strict=True):
                with whole_file(path, durable=False) as file:
                    figure.savefig(
                        file, format=kind, dpi=160, metadata=stamps.get(kind), facecolor="white"
                    )
    except OSError as error:
        raise UserError(
            f"the figure {stem.name} cannot be written: {error}; choose a folder you may write to"
        ) from error
    return paths
