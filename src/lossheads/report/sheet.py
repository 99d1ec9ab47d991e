"""The drawing habits every figure shares: paper, ink, notes, legend, files.

Everything goes through matplotlib's object interface: no global figure, no display, safe in
threads. Colours are Okabe and Ito's (2008), told apart by all common kinds of colour blindness;
markers and dashes differ too, so a grey print still reads.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Transform

from lossheads.errors import UserError

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
Dash = Literal["-"] | tuple[float, tuple[float, ...]]
DASHES: tuple[Dash, ...] = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
DOTS: Dash = (0, (2, 2))
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
    for columns in range(len(keys), 0, -1):
        legend = figure.legend(
            handles=list(keys),
            loc="outside lower left",
            ncols=columns,
            frameon=False,
            fontsize=8.5,
        )
        if columns == 1 or legend.get_window_extent().width <= 0.98 * figure.bbox.width:
            return
        legend.remove()


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
