"""Words on a sheet of pixels: how wide they are, how they are cut to their room, level or turned.

The font is matplotlib's DejaVu Sans, which knows Latin, Greek, Cyrillic, Arabic and many signs;
a letter it lacks (Chinese, say) is drawn as an empty box. Sizes and rooms are in pixels.
"""

import bisect
import math
import threading
from functools import lru_cache
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

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
    sheet: Image.Image,
    at: tuple[float, float],
    text: str,
    size: float,
    begins: float = 0.0,
    colour: str = INK,
) -> None:
    """Level text with its middle line at `at`, which it `begins` this share of its width before."""
    ink = _ink(text, size)
    stamp(sheet, (at[0] - begins * ink.width, at[1] - ink.height / 2), ink, colour)


@lru_cache(maxsize=128)
def turned(text: str, size: float, degrees: float) -> Image.Image:
    """Text that rises by `degrees`, as the share of ink in each pixel ("L"); see `stamp`."""
    # Letters are fitted to the pixels of a level line: turned at double size they stay even.
    level = _ink(text, 2 * size)
    return level.rotate(degrees, Image.Resampling.BILINEAR, expand=True).reduce(2)


def stamp(sheet: Image.Image, at: tuple[float, float], ink: Image.Image, colour: str = INK) -> None:
    """Put what `turned` gave on the sheet, its upper left corner at a point."""
    sheet.paste(colour, (round(at[0]), round(at[1])), ink)


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
