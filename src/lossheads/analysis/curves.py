"""Reliability, ROC and precision-recall curves of kept predictions: mean and band over seeds."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from lossheads.analysis.aggregate import over_seeds
from lossheads.analysis.drawing import Scale, coinciding, icon
from lossheads.analysis.estimates import level_interval
from lossheads.analysis.format import coincide
from lossheads.analysis.kept import KeptRun, KeptTest
from lossheads.analysis.planes import Line, Plane
from lossheads.analysis.sweep import Arm, names_of

Floats = NDArray[np.float64]
_NEAR = 0.006  # lines that are nowhere farther apart look like one
_BINS = 10
_GRID = np.linspace(0, 1, 51)
_CLASSES = 100  # averaged over at most so many
_FEWEST = 5  # examples that a bin needs before it is drawn


@dataclass(frozen=True)
class Curve:
    """A plane with a line and a band for each head."""

    title: str
    says: str
    drawing: Markup


@dataclass(frozen=True)
class Curves:
    """The three planes of a sweep, what their lines are, and the conditions."""

    caption: str
    legend: tuple[tuple[Markup, str], ...]
    planes: tuple[Curve, ...]


def curves(arms: Sequence[Arm], kept: KeptTest) -> Curves | None:
    """None where no arm kept its predictions."""
    known = {
        arm: some
        for arm in arms
        if (some := [kept.runs[run.key] for run in arm.runs if run.key in kept.runs])
    }
    if not known:
        return None
    counts = sorted({len(some) for some in known.values()})
    over = over_seeds(counts, "band")
    columns = next(iter(known.values()))[0].scores.shape[1]
    some_classes = f" (the first {_CLASSES})" if columns > _CLASSES else ""
    what = "the top class" if kept.per_group > 1 else "every label"
    planes = (
        _plane(
            "Reliability",
            f"x: probability of {what}, in tenths; y: how often it was right",
            known,
            lambda run: _reliability(run, kept.per_group),
            _centres(),
            diagonal=True,
            finding=_calibration_words(known, kept.per_group),
        ),
        _plane(
            "ROC",
            f"x: false positive rate; y: true positive rate; mean of classes{some_classes}",
            known,
            _roc,
            _GRID,
            diagonal=True,
        ),
        _plane(
            "Precision and recall",
            f"x: recall; y: precision; mean of classes{some_classes}",
            known,
            _precision,
            _GRID,
            diagonal=False,
        ),
    )
    examples = len(kept.rows)
    caption = (
        f"Test split, {examples} examples, {over}. Reliability is of probabilities as the head "
        "gives them; ROC and precision–recall are of its scores, one class against the rest."
    )
    legend = tuple((icon(arm.mark), arm.short) for arm in known)
    return Curves(caption, legend, planes)


def _centres() -> Floats:
    return (np.arange(_BINS) + 0.5) / _BINS


def _reliability(run: KeptRun, per_group: int) -> Floats:
    """How often the decided class was right, by its probability; NaN where few are."""
    sure, right = _sureness(run, per_group)
    bins = np.minimum((sure * _BINS).astype(int), _BINS - 1)
    counts = np.bincount(bins, minlength=_BINS)
    hits = np.bincount(bins, weights=right, minlength=_BINS)
    found: Floats = np.where(counts >= _FEWEST, hits / np.maximum(counts, 1), np.nan)
    return found


def _sureness(run: KeptRun, per_group: int) -> tuple[Floats, Floats]:
    if per_group == 1:  # labels: the probability that it is on, and whether it is
        return run.probabilities.ravel().astype(float), run.present.ravel().astype(float)
    shape = (-1, per_group)
    groups, present = run.probabilities.reshape(shape), run.present.reshape(shape)
    top = groups.argmax(axis=1)
    row = np.arange(len(groups))
    return groups[row, top].astype(float), present[row, top].astype(float)


def _by_class(run: KeptRun) -> list[tuple[Floats, Floats]]:
    """For each class that some examples have and some lack: sorted true and false positives."""
    found = []
    for at in range(min(run.scores.shape[1], _CLASSES)):
        has = run.present[:, at]
        if has.all() or not has.any():
            continue
        order = np.argsort(-run.scores[:, at], kind="stable")
        score, hit = run.scores[order, at], has[order]
        # Equal scores are one threshold: only the last of them counts.
        last = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)
        true, false = np.cumsum(hit)[last].astype(float), np.cumsum(~hit)[last].astype(float)
        found.append((true, false))
    return found


def _roc(run: KeptRun) -> Floats:
    rows = []
    for true, false in _by_class(run):
        x, y = np.append(0, false / false[-1]), np.append(0, true / true[-1])
        rows.append(np.interp(_GRID, x, y))
    return np.mean(rows, axis=0) if rows else np.full(len(_GRID), np.nan)


def _precision(run: KeptRun) -> Floats:
    """At each recall the precision of the first threshold that reaches it."""
    rows = []
    for true, false in _by_class(run):
        recall, precision = true / true[-1], true / (true + false)
        at = np.minimum(np.searchsorted(recall, _GRID - 1e-12), len(recall) - 1)
        rows.append(precision[at])
    return np.mean(rows, axis=0) if rows else np.full(len(_GRID), np.nan)


def _band(rows: Sequence[Floats]) -> tuple[Floats, Floats, Floats]:
    """Mean, low and high over seeds, pointwise; NaN where a seed has none."""
    values = np.array(rows)
    mean = values.mean(axis=0)
    if len(values) < 2:
        return mean, mean, mean
    ends = [level_interval(column.tolist(), (0.0, 1.0)) for column in values.T]
    known = np.array([(at.low, at.high) if at.mean == at.mean else (math.nan,) * 2 for at in ends])
    return mean, known[:, 0], known[:, 1]


def _plane(
    title: str,
    axes: str,
    known: Mapping[Arm, Sequence[KeptRun]],
    compute: Callable[[KeptRun], Floats],
    xs: Floats,
    diagonal: bool,
    finding: str = "",
) -> Curve:
    lines = {
        arm: Line(arm.mark, arm.short, xs, *_band([compute(run) for run in some]))
        for arm, some in known.items()
    }
    low = 0.0
    if not diagonal:
        lowest = np.nanmin([np.append(line.mean, 1.0) for line in lines.values()])
        low = math.floor(float(lowest) * 5) / 5 if lowest < 1 else 0.8
    plane = Plane(Scale(0, 1), Scale(low, 1))
    parts = [*plane.frame(), *([plane.straight(0, 0, 1, 1)] if diagonal else [])]
    few = len(xs) <= _BINS
    for line in lines.values():
        parts.append(plane.drawn(line, every=1 if few else 10, start=0 if few else 5))
    same = coincide(together(lines, _NEAR), f" within {_NEAR}")
    alt = f"{title}: {'; '.join(_alt(arm, xs, line.mean) for arm, line in lines.items())}"
    return Curve(
        f"{title}. {finding or same}" if finding or same else title,
        ". ".join(filter(None, (axes, same if finding else ""))) + ".",
        plane.whole(alt, parts),
    )


def together(lines: Mapping[Arm, Line], within: float) -> list[list[str]]:
    """The names of arms whose lines a reader cannot tell apart."""
    arms, names = list(lines), names_of(lines)
    groups = coinciding([lines[arm].mean.tolist() for arm in arms], within)
    return [[names[arms[at]] for at in group] for group in groups]


def _alt(arm: Arm, xs: Floats, mean: Floats) -> str:
    some = [at for at in range(0, len(xs), max(1, len(xs) // 5)) if not np.isnan(mean[at])]
    return f"{arm.short} " + ", ".join(f"{mean[at]:.2f} at {xs[at]:.2f}" for at in some)


def _calibration_words(known: Mapping[Arm, Sequence[KeptRun]], per_group: int) -> str:
    """Who is over- and who under-confident, where the seeds agree on it."""
    words: dict[str, list[str]] = {}
    names_by_arm = names_of(known)
    for arm, some in known.items():
        gaps = []
        for run in some:
            sure, right = _sureness(run, per_group)
            gaps.append(float(sure.mean() - right.mean()))
        at = level_interval(gaps, (-1.0, 1.0))
        if at.low > 0 or at.high < 0:
            name = "over-confident" if at.low > 0 else "under-confident"
            if per_group == 1:
                name = "probabilities too high" if at.low > 0 else "probabilities too low"
            words.setdefault(name, []).append(names_by_arm[arm])
    return "; ".join(f"{', '.join(names)}: {word}" for word, names in words.items())
