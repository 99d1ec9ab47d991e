"""Two small figures of one member's last predictions, as PNG bytes for an event file.

They are drawn while a sweep runs, so they are laid out by hand (an automatic layout costs as much
as the drawing) and keep to matplotlib's object interface (no global figure, safe in threads).
"""

import io
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

DPI = 90
NUMBERS_UP_TO = 12  # cells along a side that still hold a legible number
NAMES_UP_TO = 40
_DRAWING = threading.Lock()
INK, BLUE, GREY = "#222222", "#0072B2", "#6B6B6B"


@dataclass(frozen=True)
class Png:
    """A drawn picture: bytes, and its size in pixels."""

    data: bytes
    width: int
    height: int


def draw(figure: Figure) -> Png:
    """The figure's pixels, compressed. One at a time: matplotlib shares its fonts."""
    canvas: Any = FigureCanvasAgg(figure)
    with _DRAWING:
        canvas.draw()  # `savefig` would lay the same figure out twice
    image, buffer = Image.fromarray(np.asarray(canvas.buffer_rgba())), io.BytesIO()
    image.save(buffer, format="png", compress_level=3)
    return Png(buffer.getvalue(), *image.size)


def counts_figure(counts: Tensor, rows: Sequence[str], columns: Sequence[str], say: str) -> Figure:
    """Counts (R, K) as a map: each cell its share of its row, numbers where they fit.

    Args:
        rows: Names of what is true.
        columns: Names of what was said.
        say: The title.
    """
    numbers = counts.numpy()
    shares = numbers / np.maximum(numbers.sum(axis=1, keepdims=True), 1)
    figure, axes = _sheet(6.4, 5.6, left=0.2, bottom=0.2, top=0.92, right=0.98)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    _name(axes, rows, columns)
    if max(numbers.shape) <= NUMBERS_UP_TO:
        for (row, column), number in np.ndenumerate(numbers):
            colour = "white" if shares[row, column] > 0.5 else INK
            axes.text(
                column, row, f"{number}", ha="center", va="center", fontsize=7.5, color=colour
            )
    axes.set_xlabel("said", fontsize=9)
    axes.set_ylabel("true", fontsize=9)
    axes.set_title(say, loc="left", fontsize=10, color=INK)
    return figure


def accuracies_figure(
    names: Sequence[str], values: Sequence[float], floors: Sequence[float], say: str
) -> Figure:
    """Bars from 0 to 1, one a ruler, with a mark at what a model that says nothing scores."""
    figure, axes = _sheet(7.2, 1.1 + 0.3 * len(names), left=0.34, bottom=0.16, top=0.88, right=0.97)
    places = np.arange(len(names))
    axes.barh(places, values, height=0.62, color=BLUE)
    axes.vlines(floors, places - 0.42, places + 0.42, color=INK, linewidth=2.2)
    for place, value in enumerate(values):
        axes.text(value + 0.01, place, f"{value:.3f}", va="center", fontsize=8.5, color=INK)
    axes.set_yticks(places, names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, 1.1)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(labelsize=8.5, colors=INK)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("black marks: what a model that says nothing scores", fontsize=8.5, color=GREY)
    axes.set_title(say, loc="left", fontsize=10, color=INK)
    return figure


def _sheet(
    width: float, height: float, left: float, bottom: float, top: float, right: float
) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    axes = figure.add_axes((left, bottom, right - left, top - bottom))
    return figure, axes


def _name(axes: Axes, rows: Sequence[str], columns: Sequence[str]) -> None:
    """Names at the ticks, or a few plain numbers where names would run into each other."""
    if len(columns) <= NAMES_UP_TO:
        axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right", fontsize=8)
    if len(rows) <= NAMES_UP_TO:
        axes.set_yticks(range(len(rows)), rows, fontsize=8)
    axes.tick_params(length=0)
