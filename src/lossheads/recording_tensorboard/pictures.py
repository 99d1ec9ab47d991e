"""Two small figures of one member's last predictions, as PNG bytes for an event file.

They are drawn while a sweep runs, so they are laid out by hand (an automatic layout costs as much
as the drawing) and keep to matplotlib's object interface (no global figure, safe in threads).
"""

import io
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

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
    if max(numbers.shape) <= NUMBERS_UP_TO:
        for (row, column), number in np.ndenumerate(numbers):
            if number:  # an empty cell says 0 by its colour
                colour = "white" if shares[row, column] > 0.5 else INK
                _write(axes, column, row, f"{number}", ha="center", size=7.5, color=colour)
    if len(columns) <= NAMES_UP_TO:
        for column, name in enumerate(columns):
            _write(axes, column, len(rows) - 0.4, name, ha="right", va="top", turned=45)
    if len(rows) <= NAMES_UP_TO:
        for row, name in enumerate(rows):
            _write(axes, -0.6, row, name, ha="right")
    figure.text(0.59, 0.02, "said", ha="center", fontsize=9, color=INK)
    figure.text(0.02, 0.56, "true", va="center", rotation=90, fontsize=9, color=INK)
    figure.text(0.2, 0.945, say, fontsize=10, color=INK)
    return figure


def accuracies_figure(
    names: Sequence[str], values: Sequence[float], floors: Sequence[float], say: str
) -> Figure:
    """Bars from 0 to 1, one a ruler, with a mark at what a model that says nothing scores."""
    figure, axes = _sheet(7.2, 1.1 + 0.3 * len(names), left=0.34, bottom=0.16, top=0.88, right=0.97)
    places = np.arange(len(names))
    axes.barh(places, values, height=0.62, color=BLUE)
    axes.vlines(floors, places - 0.42, places + 0.42, color=INK, linewidth=2.2)
    for place, (name, value) in enumerate(zip(names, values, strict=True)):
        _write(axes, -0.015, place, name, ha="right", size=8.5)
        _write(axes, value + 0.01, place, f"{value:.3f}", size=8.5)
    axes.set_xlim(0, 1.1)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.axhline(len(names) - 0.5, color=GREY, linewidth=0.8, clip_on=False)
    for mark in np.linspace(0, 1, 6):
        _write(axes, mark, len(names) - 0.42, f"{mark:.1f}", ha="center", va="top", size=8.5)
    figure.text(
        0.655,
        0.01,
        "black marks: what a model that says nothing scores",
        ha="center",
        fontsize=8.5,
        color=GREY,
    )
    figure.text(0.34, 0.93, say, fontsize=10, color=INK)
    return figure


def _sheet(
    width: float, height: float, left: float, bottom: float, top: float, right: float
) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    axes = figure.add_axes((left, bottom, right - left, top - bottom))
    axes.set_axis_off()  # matplotlib's ticks cost more than everything else on the sheet
    return figure, axes


def _write(
    axes: Axes,
    x: float,
    y: float,
    text: str,
    ha: Literal["left", "center", "right"] = "left",
    va: Literal["center", "top"] = "center",
    size: float = 8,
    color: str = INK,
    turned: int = 0,
) -> None:
    anchor = "anchor" if turned else None
    axes.text(
        x, y, text, ha=ha, va=va, fontsize=size, color=color, rotation=turned, rotation_mode=anchor
    )
