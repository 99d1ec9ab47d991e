"""The drawing habits every figure shares: paper, ink, notes, legend, files.

Everything goes through matplotlib's object interface: no global figure, no display, safe in
threads. Colours are Okabe and Ito's (2008), told apart by all common kinds of colour blindness;
markers and dashes differ too, so a grey print still reads.
"""

from collections.abc import Sequence
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

from lossheads.errors import UserError
from lossheads.report.folding import folded

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
Dash = Literal["-"] | tuple[float, tuple[float, ...]]
DASHES: tuple[Dash, ...] = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
DOTS: Dash = (0, (2, 2))
# Letters in a line of a legend, at least: below that names are unreadable whatever is done.
_FEWEST = 20
_USUAL_LEGEND = 0.8  # inches that the height of a sheet has for it
INK, GREY, PALE = "#222222", "#6B6B6B", "#E4E4E4"


def sheet(width: float, height: float) -> tuple[Figure, Axes]:
    """White paper in inches, one pair of axes without a frame."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GREY)
    axes.tick_params(colors=INK, labelsize=9)
    axes.set_axisbelow(True)
    return figure, axes


def note(
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


def finish(figure: Figure, title: str, keys: Sequence[Line2D]) -> None:
    """The title at the left above, the legend at the left below, outside the axes."""
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    # A legend wider than the paper would be cut without a word: take the most columns that fit.
    names = [str(key.get_label()) for key in keys]
    room = 0.98 * figure.bbox.width
    for columns in range(len(keys), 0, -1):
        legend = _legend(figure, keys, names, columns)
        if legend.get_window_extent().width <= room:
            return
        legend.remove()
    _fold_legend(figure, keys, names, room)


def _fold_legend(figure: Figure, keys: Sequence[Line2D], names: Sequence[str], room: float) -> None:
    """One column, its names folded until they fit; the paper grows by the lines it takes."""
    letters = max(map(len, names))
    while True:
        legend = _legend(figure, keys, [_folded(name, letters) for name in names], columns=1)
        box = legend.get_window_extent()
        if box.width <= room or letters <= _FEWEST:
            break
        letters = max(_FEWEST, min(letters - 1, int(letters * room / box.width)))
        legend.remove()
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + max(0.0, box.height / figure.dpi - _USUAL_LEGEND))


def _folded(name: str, letters: int) -> str:
    """Lines broken after separators; within a word only where it alone is too long."""
    lines = folded(name, letters).split("\n")
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
                figure.savefig(path, dpi=160, metadata=stamps.get(kind), facecolor="white")
    except OSError as error:
        raise UserError(
            f"the figure {stem.name} cannot be written: {error}; choose a folder you may write to"
        ) from error
    return paths
