"""Metrics of the validation split while the arms train: small multiples, mean and band."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from lossheads.analysis.aggregate import curve, is_cut, over_seeds
from lossheads.analysis.curves import together
from lossheads.analysis.drawing import scale_of
from lossheads.analysis.format import coincide, number
from lossheads.analysis.planes import Line, Plane
from lossheads.analysis.sweep import Arm, names_of
from lossheads.records import Result

Detailed = Sequence[tuple[Arm, Sequence[Result]]]
Lines = Mapping[Arm, Line]
_ROOM = 2.0  # a band reaches at most so many spans of the means beyond them


@dataclass(frozen=True)
class TrainingPlane:
    """One metric: lines of all arms."""

    title: str
    says: str
    drawing: Markup


@dataclass(frozen=True)
class TrainingCurves:
    """The planes, and their conditions."""

    caption: str
    planes: tuple[TrainingPlane, ...]


def training_curves(arms: Detailed, metrics: Sequence[str]) -> TrainingCurves | None:
    """None where no arm was measured twice along the way.

    Args:
        arms: Each with its runs as they are on disk, their whole history.
        metrics: One plane each. Training losses are not among them: those of two heads have no
            axis in common.
    """
    called = names_of(arm for arm, _ in arms)
    found: list[tuple[list[str], Lines]] = []
    for metric in metrics:
        own = {arm: line_of(arm, runs, metric, called[arm]) for arm, runs in arms}
        lines = {arm: line for arm, line in own.items() if line is not None}
        same = next((names for names, other in found if _are_equal(lines, other)), None)
        if same:
            same.append(metric)
        elif lines:
            found.append(([metric], lines))
    if not found:
        return None
    over = over_seeds([len(runs) for _, runs in arms if runs], "band")
    ended = [arm.short for arm, runs in arms if is_cut(runs)]
    return TrainingCurves(
        caption=f"Validation split, {over}; x: epochs."
        + (f" Lines end with the first seed that stopped: {', '.join(ended)}." if ended else ""),
        planes=tuple(_plane(", ".join(names), lines) for names, lines in found),
    )


def _are_equal(one: Lines, other: Lines) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(line.mean, other[arm].mean, equal_nan=True) for arm, line in one.items()
    )


def _plane(metric: str, lines: Lines) -> TrainingPlane:
    means = np.concatenate([line.mean for line in lines.values()])
    span = float(np.nanmax(means) - np.nanmin(means)) or 0.01
    ends = np.concatenate([end for line in lines.values() for end in (line.low, line.high)])
    reach = np.clip(ends, np.nanmin(means) - _ROOM * span, np.nanmax(means) + _ROOM * span)
    plane = Plane(
        scale_of(np.concatenate([line.xs for line in lines.values()]).tolist()),
        scale_of([*means.tolist(), *reach.tolist()]),
        wide=230,
        tall=170,
        beside=130,
    )
    parts = [
        *plane.frame(),
        *(
            plane.drawn(line, every=max(1, len(line.xs) - 1), start=len(line.xs) - 1)
            for line in lines.values()
        ),
    ]
    last = "; ".join(f"{arm.short} {number(_last(line))}" for arm, line in lines.items())
    same = coincide(together(_in_step(lines), within=span / 100))
    return TrainingPlane(
        title=metric,
        says=f"{same}." if same else "",
        drawing=plane.whole(
            f"{metric} while training; at the end {last}",
            [*parts, *plane.labels(list(lines.values()))],
        ),
    )


def line_of(arm: Arm, runs: Sequence[Result], metric: str, name: str) -> Line | None:
    """Mean and band over seeds by epoch, without the state before training; None of one point.

    That state would stretch the axis until the arms look alike.
    """
    points = [(step.epoch, at) for step, at in curve(runs, metric) if step.step and at.n]
    if len(points) < 2:
        return None
    ends = [
        (at.low, at.high) if math.isfinite(at.half_width) else (math.nan, math.nan)
        for _, at in points
    ]
    return Line(
        arm.mark,
        name,
        np.array([epoch for epoch, _ in points]),
        np.array([at.mean for _, at in points]),
        np.array([low for low, _ in ends]),
        np.array([high for _, high in ends]),
    )


def _last(line: Line) -> float:
    return float(line.mean[-1])


def _in_step(lines: Lines) -> Lines:
    """Those that were measured at the same epochs as the first."""
    first = next(iter(lines.values()))
    return {arm: line for arm, line in lines.items() if np.array_equal(line.xs, first.xs)}
