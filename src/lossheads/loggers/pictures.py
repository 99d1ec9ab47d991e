"""Two small figures of one member's last predictions, as PNG bytes for an event file.

They are drawn while a sweep runs, pixel by pixel with Pillow: the same figures cost matplotlib
fifteen times as much. A picture grows with what stands on it; only names may be cut.
"""

import bisect
import io
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

NUMBERS_UP_TO = 12  # cells along a side that still hold a legible number
NAMES_UP_TO = 40
BLUE, GREY, PALE = "#0072B2", "#6B6B6B", "#DDDDDD"
BLUES = matplotlib.colormaps["Blues"](np.arange(256), bytes=True)[:, :3]

# Pixels.
EDGE, GAP, TOP = 12, 6, 40
MAP = (450, 360)  # about: cells are whole pixels, and never smaller than what is written at them
NAME_ROOM = 220
LEAST_CELL = (14, 13)  # beside which names still stand apart
ROW, BAR, MARK = 28, 17, 23  # of bars: from one to the next, thick, and the baseline's mark
SCALE = 400  # from 0 to 1

MIDDLE, END = 0.5, 1.0  # shares of a word's width that lie before its place

# Of letters.
TITLE, CAPTION, NAME, NUMBER, BESIDE = 13.0, 11.5, 10.0, 9.5, 11.0


@dataclass(frozen=True)
class Png:
    """A drawn picture: bytes, and its size in pixels."""

    data: bytes
    width: int
    height: int


def compressed(picture: Image.Image) -> Png:
    """The picture as a PNG file's bytes."""
    buffer = io.BytesIO()
    picture.save(buffer, format="png", compress_level=3)
    return Png(buffer.getvalue(), *picture.size)


def confusion_figure(
    counts: Tensor,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    axes: tuple[str, str] = ("true", "predicted"),
) -> Image.Image:
    """Counts (R, K) as a map: each cell its share of its row, numbers where they fit.

    Args:
        rows: Names of what is true.
        columns: Names of what was decided.
        title: The title.
        axes: What rows and columns are.
    """
    numbers = counts.numpy()
    beside = [fitted(name, NAME, NAME_ROOM) for name in rows[: _named(len(rows))]]
    left = EDGE + math.ceil(CAPTION) + 2 * GAP + _widest(beside, NAME) + GAP
    cells = _cells(numbers)
    across, down = (
        start + (np.arange(n) + 0.5) * side / n
        for start, side, n in zip((left, TOP), cells.size, numbers.shape[::-1], strict=True)
    )
    below = [
        turned(fitted(name, NAME, _turned_room(at - EDGE)), NAME, 45)
        for name, at in zip(columns[: _named(len(columns))], across, strict=False)
    ]
    bottom = TOP + cells.height
    foot = bottom + 2 * GAP + max((ink.height for ink in below), default=0)

    picture = _blank(left, max(cells.width, width(title, TITLE)), foot + CAPTION + EDGE, title)
    frame = (left - 1, TOP - 1, left + cells.width, bottom)
    ImageDraw.Draw(picture).rectangle(frame, outline=PALE)
    picture.paste(cells, (left, TOP))
    _write_numbers(picture, numbers, across, down)
    for name, at in zip(beside, down, strict=False):
        write(picture, (left - GAP, at), name, NAME, END)
    for ink, at in zip(below, across, strict=False):
        stamp(picture, (at - ink.width + NAME / 2, bottom + GAP / 2), ink)
    write(picture, (left + cells.width / 2, foot + CAPTION / 2), axes[1], CAPTION, MIDDLE)
    beside_rows = turned(axes[0], CAPTION, 90)
    stamp(picture, (EDGE, TOP + (cells.height - beside_rows.height) / 2), beside_rows)
    return picture


def accuracies_figure(
    names: Sequence[str], values: Sequence[float], baselines: Sequence[float], title: str
) -> Image.Image:
    """Bars from 0 to 1, one a metric, with a mark at its baseline.

    Args:
        baselines: A baseline that is not finite has no mark.
        title: The title.
    """
    note = "black marks: baseline (best constant prediction)"
    shown = [fitted(name, BESIDE, 1.5 * NAME_ROOM) for name in names]
    left = EDGE + _widest(shown, BESIDE) + GAP
    bottom = TOP + ROW * len(names)
    label = GAP + width("0.000", BESIDE)
    picture = _blank(left, max(SCALE + label, width(title, TITLE)), bottom + 44 + EDGE, title)
    pen = ImageDraw.Draw(picture)
    for row, (name, value, baseline) in enumerate(zip(shown, values, baselines, strict=True)):
        middle, end = TOP + row * ROW + ROW // 2, left + _along(value)
        if end > left:
            pen.rectangle((left, middle - BAR // 2, end - 1, middle + BAR // 2), fill=BLUE)
        mark = left + _along(baseline) if math.isfinite(baseline) else None
        if mark is not None:
            pen.rectangle((mark - 1, middle - MARK // 2, mark + 1, middle + MARK // 2), fill=INK)
        write(picture, (left - GAP, middle), name, BESIDE, END)
        x, begins, colour = _number_place(left, end, mark, label)
        write(picture, (x, middle), f"{value:.3f}", BESIDE, begins, colour)
    pen.line((left, bottom, left + SCALE + label, bottom), fill=GREY)
    for tenths in range(0, 11, 2):
        at = left + _along(tenths / 10), bottom + 10
        write(picture, at, f"{tenths / 10:.1f}", BESIDE, MIDDLE)
    write(picture, (left + SCALE / 2, bottom + 36), note, BESIDE, MIDDLE, GREY)
    return picture


def _number_place(left: int, end: int, mark: int | None, label: int) -> tuple[int, float, str]:
    """Where a bar's number stands: right of it, or white in it where the baseline's mark would be.

    A bar too short to hold it, and one whose end the mark covers, have it beyond the mark.
    """
    if mark is None or not end - GAP < mark < end + label + GAP:
        return end + GAP - 1, 0.0, INK
    if mark > end and end - left > label + GAP:
        return end - GAP, END, "white"
    return mark + GAP + 1, 0.0, INK


def _blank(left: int, room: int, height: float, title: str) -> Image.Image:
    """White paper with a title over what begins at `left`."""
    picture = Image.new("RGB", (left + room + EDGE, math.ceil(height)), "white")
    write(picture, (left, TOP - 19), title, TITLE)
    return picture


def _widest(names: Sequence[str], size: float) -> int:
    return max((width(name, size) for name in names), default=0)


def _along(value: float) -> int:
    """Pixels from 0 to a value on the scale of accuracies."""
    return round(SCALE * min(max(value, 0.0), 1.0))


def _named(cells: int) -> int:
    """How many of the cells along a side have names: all or none."""
    return cells if cells <= NAMES_UP_TO else 0


def _turned_room(across: float) -> float:
    """How long a name may be that rises by 45 degrees and ends `across` from the picture's edge."""
    return min(NAME_ROOM, math.sqrt(2) * across - NAME)


def _cells(numbers: NDArray[np.int64]) -> Image.Image:
    """The map itself, white for 0 to dark blue for 1; every cell is as large as the others.

    Where there are more cells than pixels, a pixel is the mean of its cells.
    """
    rows, columns = numbers.shape
    written = width(str(numbers.max(initial=0)), NUMBER) + GAP if _numbered(numbers) else 1
    size = (
        _side(columns, MAP[0], max(LEAST_CELL[0] if _named(columns) else 1, written)),
        _side(rows, MAP[1], LEAST_CELL[1] if _named(rows) else 1),
    )
    cells = Image.fromarray(BLUES[np.rint(255 * _shares(numbers)).astype(np.uint8)])
    crowded = cells.width > size[0] or cells.height > size[1]
    return cells.resize(size, Image.Resampling.BOX if crowded else Image.Resampling.NEAREST)


def _side(cells: int, about: int, least: int) -> int:
    """The length of a side of equal cells in whole pixels; they share pixels if they must."""
    return cells * max(round(about / cells), least) if cells <= about else about


def _write_numbers(
    picture: Image.Image,
    numbers: NDArray[np.int64],
    across: NDArray[np.float64],
    down: NDArray[np.float64],
) -> None:
    """Each cell's count in its middle, if all have room; an empty cell says 0 by its colour."""
    if not _numbered(numbers):
        return
    shares = _shares(numbers)
    for row, column in np.argwhere(numbers):
        colour = "white" if shares[row, column] > 0.5 else INK
        text = str(numbers[row, column])
        write(picture, (across[column], down[row]), text, NUMBER, MIDDLE, colour)


def _numbered(numbers: NDArray[np.int64]) -> bool:
    """Whether every cell has room for its count."""
    return all(side <= NUMBERS_UP_TO for side in numbers.shape)


def _shares(numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each cell's share of its row; a row without examples has none."""
    shares: NDArray[np.float64] = numbers / np.maximum(numbers.sum(axis=1, keepdims=True), 1)
    return shares


INK = "#222222"
# An opened font serves one thread at a time, says FreeType, and several runs may end at once.
# Python's own lock is not enough: Pillow lets go of it in the middle of a word, to make room for
# the ink. A word takes microseconds, so one lock for all fonts keeps nobody waiting.
_FREETYPE = threading.Lock()


def width(text: str, size: float) -> int:
    """Of one line of text, rounded up."""
    with _FREETYPE:
        return math.ceil(_font(size, text.isascii()).getlength(text))


def fitted(text: str, size: float, room: float) -> str:
    """The text on one line, its end replaced by … where it would be wider than `room`.

    A line break, like any run of white space, becomes one space.
    """
    whole = " ".join(text.split())
    if width(whole, size) <= room:
        return whole
    kept = bisect.bisect(range(1, len(whole)), room, key=lambda n: width(f"{whole[:n]}…", size))
    return f"{whole[:kept].rstrip()}…"


def write(
    picture: Image.Image,
    at: tuple[float, float],
    text: str,
    size: float,
    begins: float = 0.0,
    colour: str = INK,
) -> None:
    """Level text with its middle line at `at`, which it `begins` this share of its width before."""
    ink = _ink(text, size)
    stamp(picture, (at[0] - begins * ink.width, at[1] - ink.height / 2), ink, colour)


@lru_cache(maxsize=128)
def turned(text: str, size: float, degrees: float) -> Image.Image:
    """Text that rises by `degrees`, as the share of ink in each pixel ("L"); see `stamp`."""
    # Letters are fitted to the pixels of a level line: turned at double size they stay even.
    level = _ink(text, 2 * size)
    return level.rotate(degrees, Image.Resampling.BILINEAR, expand=True).reduce(2)


def stamp(
    picture: Image.Image, at: tuple[float, float], ink: Image.Image, colour: str = INK
) -> None:
    """Put what `turned` gave on the picture, its upper left corner at a point."""
    picture.paste(colour, (round(at[0]), round(at[1])), ink)


@lru_cache(maxsize=1024)  # names, marks and small counts come again with every run of a sweep
def _ink(text: str, size: float) -> Image.Image:
    with _FREETYPE:
        font = _font(size, text.isascii())
        rise, fall = font.getmetrics()
        ink = Image.new("L", (math.ceil(font.getlength(text)) + 2, rise + fall))
        ImageDraw.Draw(ink).text((1, rise), text, font=font, fill=255, anchor="ls")
    return ink


@lru_cache(maxsize=32)  # a font costs as much to open as a hundred words to write
def _font(size: float, plain: bool) -> ImageFont.FreeTypeFont:
    file = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    # Raqm, where Pillow has it, joins accents and writes from right to left; ASCII needs neither,
    # and its letters set one by one cost half.
    return ImageFont.truetype(file, size, layout_engine=ImageFont.Layout.BASIC if plain else None)
