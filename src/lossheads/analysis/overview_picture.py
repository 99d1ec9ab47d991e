"""One picture of a sweep: what its arms confuse, how their accuracies differ, who is right."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from lossheads.analysis.aggregate import Arms, final, is_score_up_to_one
from lossheads.analysis.arms import marks_of
from lossheads.analysis.figures import GREY, INK, puzzle_figure
from lossheads.analysis.format import count_of
from lossheads.analysis.tables import fold
from lossheads.records import Result

Counts = NDArray[np.float64]

WIDTH = 11.6  # inches; TensorBoard shows it about 1100 pixels wide
DPI = 110
NUMBERS_UP_TO, NAMES_UP_TO = 12, 24  # rows
ACCURACIES_SHOWN = 5
PAIRS_SHOWN = 3
LINE = 0.19  # inches from one line of text to the next


@dataclass(frozen=True)
class Table:
    """What an arm confuses on the test split, all seeds added.

    Attributes:
        counts: (R, K).
        columns: Names of the columns; None where they are the classes, as the rows are.
    """

    arm: str
    counts: Counts
    columns: Sequence[str] | None = None


def overview_png(title: str, arms: Arms, tables: Sequence[Table]) -> tuple[bytes, int, int] | None:
    """PNG bytes, width and height in pixels; None where there is nothing to draw.

    Accuracies above at the left, who is right beside them, confusions below.

    Args:
        title: Of the sweep or claim.
        arms: At most as many as there are colours.
        tables: Of the arms, in their order; an arm may have none.
    """
    above, below = [], []
    if metrics := _accuracies(arms):
        figure = puzzle_figure(arms, metrics, title=_finding(title, arms, metrics))
        above.append(_drawn(figure))
    if rows := _disagreements(arms):
        above.append(_drawn(_disagreement_figure(rows, above[0].height if above else 300)))
    if tables:
        below.append(_drawn(_confusion_figure(arms, tables)))
    if not above and not below:
        return None
    height = max((image.height for image in above), default=0)
    across = sum(image.width for image in above)
    width = max(across, *(image.width for image in below), 1)
    whole = Image.new("RGB", (width, height + sum(image.height for image in below)), "white")
    left = 0
    for image in above:
        whole.paste(image, (left, 0))
        left += image.width
    for image in below:
        whole.paste(image, (0, height))
    buffer = io.BytesIO()
    whole.save(buffer, format="png")
    return buffer.getvalue(), whole.width, whole.height


def _accuracies(arms: Arms) -> list[str]:
    """The accuracies that all arms were measured under, in the order of the table."""
    finished = [run for runs in arms.values() for run in runs if run.status == "finished"]
    if any(all(run.status != "finished" for run in runs) for runs in arms.values()):
        return []
    shared = set.intersection(*(set(run.test.metrics) for run in finished))
    named = [
        name
        for name in finished[0].test.metrics
        if name in shared and "accuracy" in name and "/" not in name
    ]
    return [name for name in named if is_score_up_to_one(finished, name)][:ACCURACIES_SHOWN]


def _finding(title: str, arms: Arms, metrics: Sequence[str]) -> str:
    """How far the metrics part one arm's predictions, and how far the arms part one metric."""
    means = {m: [final(runs, m, "test").mean for runs in arms.values()] for m in metrics}
    by_arm = max(max(column) - min(column) for column in zip(*means.values(), strict=True))
    by_metric = max(means[metrics[0]]) - min(means[metrics[0]])
    return (
        f"{title}: the same predictions differ by up to {by_arm:.3f} between metrics,\n"
        f"the heads by {by_metric:.3f} under {metrics[0]}"
    )


def _confusion_figure(arms: Arms, tables: Sequence[Table]) -> Figure:
    """The confusions side by side."""
    columns = min(3, len(tables))
    rows = -(-len(tables) // columns)
    figure = Figure(figsize=(WIDTH, rows * 3.4), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    looks = marks_of(arms)
    for axes, table in zip(grid, tables, strict=False):
        names = [_short(name) for name in arms[table.arm][0].class_names]
        _draw_confusion(axes, table, names, looks[table.arm].colour)
    for axes in grid[len(tables) :]:
        axes.set_axis_off()
    return figure


def _draw_confusion(axes: Axes, table: Table, names: Sequence[str], colour: str) -> None:
    counts = table.counts
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_title(fold(table.arm, 36), fontsize=10, color=colour, fontweight="bold", loc="left")
    rows, columns = counts.shape
    if max(counts.shape) <= NUMBERS_UP_TO:
        for row, column in np.argwhere(counts):
            axes.text(
                column,
                row,
                f"{100 * shares[row, column]:.0f}",
                ha="center",
                va="center",
                fontsize=7.5,
                color="white" if shares[row, column] > 0.5 else INK,
                in_layout=False,  # it stands within its cell
            )
    if rows <= NAMES_UP_TO:
        across = table.columns or names
        axes.set_yticks(range(rows), names[:rows], fontsize=7.5)
        axes.set_xticks(range(columns), across[:columns], fontsize=7.5, rotation=45, ha="right")
    else:
        axes.set_xticks([])
        axes.set_yticks([])
    axes.tick_params(length=0, colors=INK)
    axes.set_xlabel("decided, % of the row", fontsize=8, color=GREY)
    axes.set_ylabel("label" if table.columns else "true", fontsize=8, color=GREY)


def _short(name: str) -> str:
    return name if len(name) <= 12 else f"{name[:11]}…"


def _masks(arms: Arms) -> dict[str, dict[int, Result]]:
    """Arm -> seed -> a run that recorded which test examples it decided right."""
    found: dict[str, dict[int, Result]] = {}
    for arm, runs in arms.items():
        own = {
            int(run.config.get("seed", 0)): run
            for run in runs
            if run.status == "finished" and run.test.correct is not None
        }
        if own:
            found[arm] = own
    return found


@dataclass(frozen=True)
class Disagreement:
    """Two arms on the same test examples, in % of them, on average over `seeds`.

    Attributes:
        both, first, second, none: Who is right: both, one alone, none.
    """

    arms: tuple[str, str]
    both: float
    first: float
    second: float
    none: float
    seeds: int


def _disagreements(arms: Arms) -> list[Disagreement]:
    """Every two arms that were measured on the same examples under the same seed."""
    masks = _masks(arms)
    found = (_disagreement((a, b), masks[a], masks[b]) for a, b in combinations(masks, 2))
    return [pair for pair in found if pair is not None]


def _disagreement(
    names: tuple[str, str], one: Mapping[int, Result], other: Mapping[int, Result]
) -> Disagreement | None:
    sums, n, seeds = np.zeros(4), 0, 0
    for seed in one.keys() & other.keys():
        a, b = one[seed].test, other[seed].test
        if a.correct is None or b.correct is None:
            continue
        if a.correct.examples_digest != b.correct.examples_digest:
            continue
        right = a.correct.mask, b.correct.mask
        both = (right[0] & right[1]).bit_count()
        alone = [mask.bit_count() - both for mask in right]
        sums += (both, *alone, a.n - both - sum(alone))
        n, seeds = n + a.n, seeds + 1
    if n == 0:
        return None
    shares = 100 * sums / n
    return Disagreement(names, shares[0], shares[1], shares[2], shares[3], seeds)


def _disagreement_figure(pairs: Sequence[Disagreement], height: float) -> Figure:
    """Where two arms part, which is right: a few lines of text."""
    lines: list[tuple[str, bool]] = [("Who is right, % of test examples", True)]
    for pair in pairs[:PAIRS_SHOWN]:
        first, second = pair.arms
        lines += [
            ("", False),
            (fold(f"{first} and {second}, {count_of(pair.seeds, 'seed')}", 48), True),
            (f"{pair.both:5.1f}  both", False),
            (f"{pair.first:5.1f}  {first} alone", False),
            (f"{pair.second:5.1f}  {second} alone", False),
            (f"{pair.none:5.1f}  none", False),
        ]
    if len(pairs) > PAIRS_SHOWN:
        lines += [("", False), (f"and {len(pairs) - PAIRS_SHOWN} more pairs", False)]
    tall = sum(1 + text.count("\n") for text, _ in lines) * LINE + 0.3
    size = (WIDTH - 7.6, max(height / DPI, tall))
    figure = Figure(figsize=size, facecolor="white")
    FigureCanvasAgg(figure)
    top = size[1] - 0.15
    for text, strong in lines:
        weight = "bold" if strong else "normal"
        family = "DejaVu Sans" if strong else "DejaVu Sans Mono"
        figure.text(
            0.06, top / size[1], text, fontsize=8.5, fontweight=weight, family=family, color=INK,
            va="top",
        )  # fmt: skip
        top -= LINE * (1 + text.count("\n"))
    return figure


def _drawn(figure: Figure) -> Image.Image:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, facecolor="white")
    return Image.open(buffer).convert("RGB")
