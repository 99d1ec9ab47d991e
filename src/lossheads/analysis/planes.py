"""Lines with bands in a plane of two axes, as an SVG that grows with its column."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from lossheads.analysis.drawing import JOIN, Scale, letters, spread, tick_text
from lossheads.analysis.palette import Mark

Floats = NDArray[np.float64]
LEFT, TOP, FOOT, RIGHT = 40.0, 6.0, 20.0, 8.0  # what the labels of the axes take
_LETTER = 6.2  # units across, of a label


@dataclass(frozen=True)
class Line:
    """One arm: (P,) places across, means, and the ends of the band; NaN where there is no point."""

    mark: Mark
    name: str
    xs: Floats
    mean: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Plane:
    """Scales and sizes.

    Attributes:
        wide, tall: Of the plane itself, in units of the picture.
        beside: Right of it, for labels at the ends of lines.
    """

    x: Scale
    y: Scale
    wide: float = 260.0
    tall: float = 260.0
    beside: float = 0.0

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where a point lies; one beyond the scales lies at their edge."""
        return (
            LEFT + self.wide * self.x.at(x) / 100,
            TOP + self.tall * (1 - self.y.at(y) / 100),
        )

    def frame(self) -> list[Markup]:
        """Grid and numbers of both axes."""
        parts = []
        right = LEFT + self.wide
        for tick in self.y.ticks:
            _, y = self.place(0, tick)
            parts.append(
                Markup('<path class="grid" d="M{:.1f} {:.1f}H{:.1f}"/>').format(LEFT, y, right)
            )
            parts.append(letters(f"{LEFT - 5:g}", y + 4, tick_text(tick, self.y), "end"))
        for tick in self.x.ticks:
            x, _ = self.place(tick, 0)
            at = f"{x:.1f}"
            parts.append(letters(at, TOP + self.tall + 16, tick_text(tick, self.x), "middle"))
        return parts

    def straight(self, x1: float, y1: float, x2: float, y2: float) -> Markup:
        """A dotted line of reference."""
        return Markup('<path class="base" d="{}"/>').format(
            _path([self.place(x1, y1), self.place(x2, y2)])
        )

    def drawn(self, line: Line, every: int = 1, start: int = 0) -> Markup:
        """Band, line, and the arm's marker at every so many points."""
        some = np.flatnonzero(~np.isnan(line.mean))
        points = [self.place(line.xs[at], line.mean[at]) for at in some]
        parts = []
        if len(points) > 1:
            known = [at for at in some if not np.isnan(line.low[at])]
            upper = [self.place(line.xs[at], line.high[at]) for at in known]
            under = [self.place(line.xs[at], line.low[at]) for at in known[::-1]]
            if upper and upper != under[::-1]:
                parts.append(Markup('<path class="band" d="{}z"/>').format(_path(upper + under)))
            parts.append(Markup('<path class="curve" d="{}"/>').format(_path(points)))
        for x, y in points[start::every]:
            parts.append(_marker(line.mark, x, y))
        return Markup('<g class="{}">{}</g>').format(line.mark.css, JOIN.join(parts))

    def labels(self, lines: Sequence[Line]) -> list[Markup]:
        """The names of lines beside their ends."""
        ends = [
            (line, *self.place(line.xs[some[-1]], line.mean[some[-1]]))
            for line in lines
            if len(some := np.flatnonzero(~np.isnan(line.mean)))
        ]
        places = spread([y for _, _, y in ends], 14, TOP + 4, TOP + self.tall)
        left = LEFT + self.wide
        most = max(4, int((self.beside - 24) / _LETTER))
        parts = []
        for (line, x, y), place in zip(ends, places, strict=True):
            path = _path([(x, y), (left + 8, place)])
            parts.append(Markup('<path class="leader" d="{}"/>').format(path))
            own = _marker(line.mark, left + 14, place)
            parts.append(Markup('<g class="{}">{}</g>').format(line.mark.css, own))
            name = line.name if len(line.name) <= most else f"{line.name[: most - 1]}…"
            parts.append(letters(f"{left + 22:g}", place + 4, name, kind="direct"))
        return parts

    def whole(self, alt: str, parts: Sequence[Markup]) -> Markup:
        """The picture."""
        return Markup(
            '<svg class="square" role="img" aria-label="{}" viewBox="0 0 {:g} {:g}">{}</svg>'
        ).format(
            alt,
            LEFT + self.wide + max(RIGHT, self.beside),
            TOP + self.tall + FOOT,
            JOIN.join(parts),
        )


def _marker(mark: Mark, x: float, y: float) -> Markup:
    return Markup(
        '<path class="mark" transform="translate({:.1f} {:.1f}) scale(0.8)" d="{}"/>'
    ).format(x, y, mark.path)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
