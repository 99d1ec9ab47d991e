"""Tables for a terminal and for a page, and the figure: cost against K."""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from rich.table import Table

from benchmarks.training_speed.peers import PEERS
from benchmarks.training_speed.session import Skipped
from benchmarks.training_speed.summary import Summary, bound_seconds
from lossheads.analysis.figures import (
    DASHES,
    DOTS,
    GREY,
    INK,
    PALE,
    add_title_and_legend,
    save,
)
from lossheads.analysis.palette import COLOURS, MARKERS

# Two ways of the same family share a colour.
_STYLES: dict[str, tuple[str, Any, str]] = {
    "lossheads": (COLOURS[0], DASHES[0], MARKERS[0]),
    "jax": (COLOURS[1], DASHES[0], MARKERS[1]),
    "plain": (INK, DASHES[0], MARKERS[2]),
    "keras-jax": (COLOURS[2], DASHES[2], MARKERS[3]),
    "keras-torch": (COLOURS[2], DASHES[0], MARKERS[4]),
    "quickstart": (COLOURS[3], DASHES[0], MARKERS[5]),
    "quickstart-2-workers": (COLOURS[3], DASHES[2], MARKERS[6]),
    "lightning": (COLOURS[4], DASHES[0], "*"),
}


def _headings(rows: Sequence[Summary]) -> list[str]:
    cohort = rows[0].cohort
    return [
        "way of training",
        "K",
        "s / member-epoch",
        "lowest – highest",
        "× one member",
        f"× cohort of {cohort}" if cohort else "× cohort",
        "K members, in plain runs",
        "MFU",
        "MFU, torch's rate",
        "first steps, s",
    ]


def _cells(row: Summary) -> list[str]:
    return [
        row.peer,
        str(row.members),
        _short(row.seconds_per_member_epoch),
        f"{_short(min(row.rounds))} – {_short(max(row.rounds))}",
        _ratio(row.to_alone),
        _ratio(row.to_cohort),
        _ratio(row.plain_runs),
        f"{100 * row.mfu:.1f} %",
        f"{100 * row.mfu_torch:.1f} %",
        f"{row.first_seconds:.1f}",
    ]


def rich_tables(rows: Sequence[Summary]) -> list[Table]:
    """One table per model and batch."""
    tables = []
    for title, part in _by_title(rows).items():
        shown = Table(title=title, title_justify="left")
        for number, name in enumerate(_headings(part)):
            shown.add_column(name, justify="right" if number else "left", no_wrap=number == 0)
        for row in part:
            shown.add_row(*_cells(row))
        tables.append(shown)
    return tables


def markdown(rows: Sequence[Summary], notes: Sequence[str]) -> str:
    """The same tables for a page, with notes below."""
    parts = []
    for title, part in _by_title(rows).items():
        names = _headings(part)
        lines = [names, ["---", *["---:"] * (len(names) - 1)], *map(_cells, part)]
        parts.append("\n".join([f"### {title}", "", *(f"| {' | '.join(x)} |" for x in lines)]))
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in notes)]) + "\n"


def legend(peers: Sequence[str]) -> list[str]:
    """One line for each way of training."""
    return [f"{name}: {PEERS[name].description}" for name in peers]


def skipped_lines(skipped: Sequence[Skipped]) -> list[str]:
    """One line per row that was not measured."""
    lines = []
    for each in skipped:
        where = [
            each.model,
            each.batch and f"batch {each.batch}",
            each.members and f"K = {each.members}",
        ]
        place = ", ".join(str(part) for part in where if part)
        lines.append(f"skipped {each.peer}{f' ({place})' if place else ''}: {each.why}")
    return lines


def conditions_line(about: Mapping[str, Any]) -> str:
    """A number's conditions, in a sentence."""
    rates = [f"{name} {rate:.0f}" for name, rate in about["gflops"].items()]
    versions = ", ".join(
        f"{name} {version}" for name, version in about["packages"].items() if version
    )
    return (
        f"medians of {about['rounds']} interleaved rounds on {about['date'][:10]}; "
        f"{_machine(about)}, {about['threads']} thread(s) for each; {about['data']}, an epoch is "
        f"{about['images_per_epoch']:,} images; batch order: {about['order']}; MFU: exact FLOPs "
        f"against the fastest of {', '.join(rates)} GFLOP/s; load before: {about['load']:.2f}; "
        f"{versions}"
    )


def _machine(about: Mapping[str, Any]) -> str:
    if about["device"] == "cpu" and about["precision"] == "float32":
        return str(about["cpu"])
    place = about["cpu"] if about["device"] == "cpu" else f"{about['card']}, beside {about['cpu']}"
    return f"{place}, {about['precision']}{', CUDA graph' if about['graph'] else ''}"


def profile_table(report: Mapping[str, Any]) -> Table:
    """Operations by the share of time spent in themselves."""
    at, step = report["setting"], report["milliseconds_per_step"]
    shown = Table(
        title=f"{at['model']}, batch {at['batch']}, K = {at['members']}: a step of all members "
        f"takes {step['profiler_off']:.2f} ms, {step['profiler_on']:.2f} ms under the profiler",
        title_justify="left",
        caption=f"operations fill {100 * report['in_operations']:.0f} % of it, Python the rest",
        caption_justify="left",
    )
    shown.add_column("operation")
    shown.add_column("calls per step", justify="right")
    shown.add_column("share of the time", justify="right")
    for row in report["rows"]:
        shown.add_row(
            row["operation"], f"{row['calls_per_step']:.1f}", f"{100 * row['share']:.1f} %"
        )
    return shown


def draw(
    rows: Sequence[Summary], members: Sequence[int], gemm_rate: float, subtitle: str, stem: Path
) -> list[Path]:
    """Cost in plain runs against K, a panel per model and batch; writes `stem`.png and .svg.

    Ways that train one member at a time are lines through K = 1: they were measured there, and K
    members are K runs.
    """
    drawn = [row for row in rows if row.plain_runs is not None]
    models = list(dict.fromkeys(row.model for row in drawn))
    batches = list(dict.fromkeys(row.batch for row in drawn))
    figure = Figure(
        figsize=(1.2 + 3.3 * max(2, len(models)), 1.4 + 2.9 * len(batches)), layout="constrained"
    )
    FigureCanvasAgg(figure)
    grid = figure.subplots(
        max(1, len(batches)), max(1, len(models)), squeeze=False, sharex=True, sharey=True
    )
    for (down, batch), (right, model) in product(enumerate(batches), enumerate(models)):
        part = [row for row in drawn if (row.model, row.batch) == (model, batch)]
        _panel(grid[down][right], part, sorted(members), gemm_rate)
        grid[down][right].set_title(f"{model}, batch {batch}", fontsize=9.5, color=INK)
    for axes in grid[-1]:
        axes.set_xlabel("K members", fontsize=9)
    for line in grid:
        line[0].set_ylabel("cost, in plain runs", fontsize=9)
    names = [name for name in _STYLES if any(row.peer == name for row in drawn)]
    keys = [_line(name, [], [], PEERS[name].description) for name in names]
    keys.append(
        Line2D([], [], color=GREY, linestyle=DOTS, label="arithmetic bound: matrix products alone")
    )
    add_title_and_legend(figure, f"What K members cost ({subtitle}; marks are measured)", keys)
    return save(figure, stem)


def _panel(axes: Axes, rows: Sequence[Summary], members: Sequence[int], gemm_rate: float) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.set(xscale="log", yscale="log")
    axes.set_xticks(members, [str(k) for k in members])
    axes.minorticks_off()
    axes.tick_params(colors=INK, labelsize=8.5)
    axes.grid(axis="y", color=PALE, linewidth=0.6)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    for name in _STYLES:
        own = [row for row in rows if row.peer == name]
        points = {row.members: row.plain_runs for row in own if row.plain_runs is not None}
        if not points:
            continue
        marks = list(points)
        if len(points) == 1 and 1 in points:  # one at a time: K members are K runs
            points = {k: k * points[1] for k in members}
        axes.add_line(_line(name, list(points), list(points.values()), "_", marks))
    plain = next((row for row in rows if row.peer == "plain"), None)
    if plain is not None:
        bound = bound_seconds(plain.model, gemm_rate) / plain.seconds_per_member_epoch
        axes.plot(members, [k * bound for k in members], color=GREY, linestyle=DOTS, lw=1.2)
    axes.autoscale_view()


def _line(
    name: str,
    xs: Sequence[float],
    ys: Sequence[float],
    label: str,
    marks: Sequence[int] | None = None,
) -> Line2D:
    colour, dash, marker = _STYLES[name]
    at = None if marks is None else [number for number, x in enumerate(xs) if x in marks]
    return Line2D(
        list(xs), list(ys), color=colour, linestyle=dash, marker=marker, ms=5, markevery=at,
        lw=2.0 if name == "lossheads" else 1.3, label=label,
    )  # fmt: skip


def _by_title(rows: Sequence[Summary]) -> dict[str, list[Summary]]:
    parts: dict[str, list[Summary]] = {}
    for row in rows:
        parts.setdefault(f"{row.model}, batch {row.batch}", []).append(row)
    return parts


def _short(seconds: float) -> str:
    """Three significant digits."""
    return f"{seconds:.3g}" if seconds < 100 else f"{seconds:.0f}"


def _ratio(value: float | None) -> str:
    return "" if value is None else _short(value)
