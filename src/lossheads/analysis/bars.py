"""Bars with names, as inline SVG and as blocks on a terminal; and a picture as blocks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray
from rich.color import Color
from rich.style import Style
from rich.text import Text

from lossheads.analysis.format import number
from lossheads.errors import printable

_ROW = 22  # pixels
_RAMP = " .:-=+*#%@"


@dataclass(frozen=True)
class Bars:
    """A bar per name, on one scale: 0 to 1, or beyond where values lie beyond.

    Attributes:
        title: What is drawn, with its unit where it has one.
        marks: Where a thin line stands on each bar, as a target does; or empty.
        reach: The scale goes from minus this to this, so that several pictures share it; 0 fits
            the scale to the values.
    """

    title: str
    names: Sequence[str]
    values: Sequence[float]
    marks: Sequence[float] = ()
    reach: float = 0.0

    @property
    def span(self) -> tuple[float, float]:
        """Ends of the scale: 0 to 1 where everything lies there; around 0 for gradients."""
        known = [value for value in (*self.values, *self.marks) if np.isfinite(value)] or [0.0]
        low, high = min(0.0, *known), max(0.0, *known)
        if self.reach:
            return (-self.reach, self.reach)
        return (low, max(high, 1.0)) if low == 0 else (low, max(high, -low))

    @property
    def svg(self) -> Markup:
        """Placed in per cent across, in pixels down; colours are the page's."""
        low, high = self.span
        wide = high - low

        def at(value: float) -> float:
            return 30 + 54 * (min(max(value, low), high) - low) / wide

        parts = []
        for row, (name, value) in enumerate(zip(self.names, self.values, strict=True)):
            top, middle = row * _ROW, row * _ROW + _ROW / 2
            parts.append(
                f'<text x="29%" y="{middle + 4}" text-anchor="end">{escape(_short(name))}</text>'
            )
            if np.isfinite(value):
                left, right = sorted((at(0), at(value)))
                parts.append(
                    f'<rect x="{left:.3f}%" y="{top + 4}" width="{right - left:.3f}%" '
                    f'height="{_ROW - 8}" class="bar"/>'
                )
            parts.append(f'<text x="86%" y="{middle + 4}">{number(value)}</text>')
            if self.marks:
                x = f"{at(self.marks[row]):.3f}%"
                parts.append(f'<line x1="{x}" x2="{x}" y1="{top + 1}" y2="{top + _ROW - 1}"/>')
        told = "; ".join(f"{n} {number(v)}" for n, v in zip(self.names, self.values, strict=True))
        height = len(self.names) * _ROW
        return Markup(
            f'<svg class="bars" width="100%" height="{height}" role="img" '
            f'aria-label="{escape(self.title)}: {escape(told)}">{"".join(parts)}</svg>'
        )

    def lines(self, width: int) -> list[str]:
        """The bars as text, each in at most so many columns."""
        high = self.span[1]
        longest = min(max(map(len, self.names), default=0), max(3, width // 3))
        room = max(1, min(30, width - longest - 12))
        found = []
        for name, value in zip(self.names, self.values, strict=True):
            eighths = round(8 * room * max(0.0, value) / (high or 1)) if np.isfinite(value) else 0
            full, rest = divmod(eighths, 8)
            bar = "█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")
            shown = " ".join(printable(name).split())[:longest]
            found.append(f"{shown:<{longest}}  {number(value)}  {bar}".rstrip())
        return found


def _short(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:23]}…"


def as_pixels(image: NDArray[Any]) -> NDArray[np.uint8]:
    """One example's inputs, (channels, height, width) or (height, width), as (height, width, 3).

    The range of the numbers becomes black to white: data may be normalised in any way.

    Raises:
        ValueError: If it is no picture of one or three channels.
    """
    planes = image[np.newaxis] if image.ndim == 2 else image
    if planes.ndim != 3 or planes.shape[0] not in (1, 3) or not planes.size:
        raise ValueError(f"inputs of shape {image.shape} are no picture")
    low, high = float(planes.min()), float(planes.max())
    scaled = (planes - low) / (high - low) if high > low else np.zeros_like(planes)
    rgb = np.repeat(scaled, 3, axis=0) if planes.shape[0] == 1 else scaled
    pixels: NDArray[np.uint8] = np.rint(255 * np.moveaxis(rgb, 0, -1)).astype(np.uint8)
    return pixels


def resized(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The picture with its longer side at most so long, and as near to it as whole steps allow."""
    height, width = pixels.shape[:2]
    longest = max(height, width)
    step, times = -(-longest // side), max(1, side // longest)
    found: NDArray[np.uint8] = pixels[::step, ::step].repeat(times, axis=0).repeat(times, axis=1)
    return found


def blocks(pixels: NDArray[np.uint8], colour: bool) -> list[Text]:
    """A picture on a terminal: two pixels to a sign, upper half and lower half.

    Args:
        pixels: (height, width, 3).
        colour: Whether the terminal has colours; else signs of different darkness.
    """
    rows = np.concatenate([pixels, pixels[-1:]]) if len(pixels) % 2 else pixels
    found = []
    for upper, lower in zip(rows[::2], rows[1::2], strict=True):
        line = Text()
        for one, two in zip(upper, lower, strict=True):
            if colour:
                ink, paper = (Color.from_rgb(*map(int, pixel)) for pixel in (one, two))
                line.append("▀", Style(color=ink, bgcolor=paper))
            else:
                light = (float(one.mean()) + float(two.mean())) / 510
                line.append(_RAMP[min(len(_RAMP) - 1, int(light * len(_RAMP)))])
        found.append(line)
    return found
