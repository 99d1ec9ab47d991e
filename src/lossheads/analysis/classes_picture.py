"""Class by class, heads side by side: the mean score where absent and where present, and recall."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from lossheads.analysis.aggregate import over_seeds, seed_interval
from lossheads.analysis.classes import class_labels
from lossheads.analysis.drawing import (
    Scale,
    at_mark,
    icon,
    line,
    number_line,
    scale_of,
    svg,
    whisker,
)
from lossheads.analysis.format import count_of, number
from lossheads.analysis.page_tables import PageTable, number_cell, text_cell
from lossheads.analysis.statistics import Interval
from lossheads.analysis.sweep import Arm, names_of
from lossheads.records import Result

PRESENT, ABSENT, RECALL = "score_when_present", "score_when_absent", "recall_score"
_CLASSES = 24  # drawn
_TABLE = 200  # listed
_HEADS = 6
_STEP = 13  # pixels between heads of a class


@dataclass(frozen=True)
class ClassRow:
    """One class under every head."""

    name: str
    scores: Markup
    recall: Markup


@dataclass(frozen=True)
class ClassesPicture:
    """Rows of the classes in which heads differ most, and a table of all."""

    title: str
    caption: str
    legend: tuple[tuple[Markup, str], ...]
    rows: tuple[ClassRow, ...]
    number_line: Markup
    recall_number_line: Markup
    table: PageTable


Values = Mapping[str, NDArray[np.float64]]  # metric -> (seeds, classes)


def classes_picture(arms: Sequence[tuple[Arm, Sequence[Result]]]) -> ClassesPicture | str:
    """The picture, or why there is none.

    Args:
        arms: Each with its runs as they are on disk, values per class and all.
    """
    known = [(arm, values, runs[0]) for arm, runs in arms[:_HEADS] if (values := _values(runs))]
    if not known:
        return "No values per class were recorded."
    counts = {values[PRESENT].shape[1] for _, values, _ in known}
    if len(counts) != 1:  # arms whose outcomes differ have no classes in common
        return "The arms have no classes in common."
    names = class_labels(known[0][2].class_names, counts.pop())
    means = {arm.name: _means(values) for arm, values, _ in known}
    gaps = _gaps(list(means.values()))
    chosen = sorted(np.argsort(-gaps, kind="stable")[:_CLASSES].tolist())
    scores = Scale(-0.02, 1.02)
    recalls = [m[RECALL][at] for m in means.values() if RECALL in m for at in chosen]
    recall_scale = scale_of(recalls) if recalls else Scale(0, 1)
    rows = tuple(
        ClassRow(
            names[at],
            _dumbbells(known, at, scores, names[at]),
            _recalls(known, at, recall_scale, names[at]) if recalls else Markup(""),
        )
        for at in chosen
    )
    seeds = sorted({len(values[PRESENT]) for _, values, _ in known})
    over = over_seeds(seeds, "interval")
    some = f" The {len(chosen)} of {len(names)} classes in which heads differ most."
    left = f" {len(arms) - _HEADS} further heads are left out." if len(arms) > _HEADS else ""
    return ClassesPicture(
        title=_title(known, means, names),
        caption=(
            "Mean score of a class, 0 to 1, over test examples that lack it (hollow) and that have "
            f"it (filled): the longer the line, the better the head tells them apart; {over}."
            + (" Intervals of recall may go on beyond its axis." if recalls else "")
            + (some if len(chosen) < len(names) else "")
            + left
        ),
        legend=tuple((icon(arm.mark), arm.short) for arm, _, _ in known),
        rows=rows,
        number_line=number_line(Scale(-0.02, 1.02)),
        recall_number_line=number_line(recall_scale) if recalls else Markup(""),
        table=_table(known, means, gaps, names, over),
    )


Known = Sequence[tuple[Arm, Values, Result]]


def _values(runs: Sequence[Result]) -> Values:
    ended = [run.test.per_class for run in runs if run.status == "finished"]
    if not ended:
        return {}
    names = [
        name
        for name in (PRESENT, ABSENT, RECALL)
        if all(name in own for own in ended) and len({len(own[name]) for own in ended}) == 1
    ]
    if PRESENT not in names or ABSENT not in names or not ended[0][PRESENT]:
        return {}
    return {name: np.array([own[name] for own in ended], dtype=float) for name in names}


def _means(values: Values) -> Values:
    """Over seeds, those without a value left out."""
    found = {}
    for name, own in values.items():
        known = ~np.isnan(own)
        sums, counts = np.where(known, own, 0.0).sum(axis=0), known.sum(axis=0)
        found[name] = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return found


def _gaps(means: Sequence[Values]) -> NDArray[np.float64]:
    """How far heads lie apart in each class; of one head, how badly it tells the class."""
    apart = np.array([np.nan_to_num(m[PRESENT] - m[ABSENT]) for m in means])
    found: NDArray[np.float64] = np.ptp(apart, axis=0) if len(means) > 1 else -apart[0]
    return found


def _title(known: Known, means: Mapping[str, Values], names: Sequence[str]) -> str:
    """The widest gap of scores, or recall, in words."""
    arms = [arm for arm, _, _ in known]
    if len(arms) == 1:
        recall = means[arms[0].name].get(RECALL)
        if recall is None or not np.isfinite(recall).any():
            return "Scores class by class"
        worst = int(np.nanargmin(recall))
        return f"{names[worst]} is recalled least: {number(recall[worst])}"
    gaps = {arm: means[arm.name][PRESENT] - means[arm.name][ABSENT] for arm in arms}
    arms = [arm for arm in arms if np.isfinite(gaps[arm]).any()]
    if len(arms) < 2:
        return "Scores class by class"
    called = names_of(arms)
    mean_gap = [float(np.nanmean(gaps[arm])) for arm in arms]
    most, least = int(np.argmax(mean_gap)), int(np.argmin(mean_gap))
    return (
        f"Present and absent lie {mean_gap[most]:.3f} apart with {called[arms[most]]}, "
        f"{mean_gap[least]:.3f} with {called[arms[least]]}, mean of classes and seeds"
    )


def _interval(values: Values, name: str, at: int) -> Interval:
    return seed_interval(values[name][:, at].tolist(), (0.0, 1.0))  # scores and recalls


def _dumbbells(known: Known, at: int, scale: Scale, name: str) -> Markup:
    parts, told = [], []
    for index, (arm, values, _) in enumerate(known):
        y = 8 + _STEP * index
        present, absent = (_interval(values, which, at) for which in (PRESENT, ABSENT))
        css = arm.mark.css
        own = []
        if not (math.isnan(present.mean) or math.isnan(absent.mean)):
            own.append(line("bar", scale.at(absent.mean), y, scale.at(present.mean), y))
        for one, kind in ((absent, "hollow"), (present, "mark")):
            if not math.isnan(one.mean):
                own += [whisker(scale, one, y), at_mark(arm.mark, scale.at(one.mean), y, kind, 0.9)]
        parts.append(Markup('<g class="{}">{}</g>').format(css, Markup("").join(own)))
        told.append(f"{arm.short} {number(absent.mean)} absent, {number(present.mean)} present")
    return svg("strip", 3 + _STEP * len(known), f"{name}: {'; '.join(told)}", parts)


def _recalls(known: Known, at: int, scale: Scale, name: str) -> Markup:
    parts, told = [], []
    for index, (arm, values, _) in enumerate(known):
        if RECALL not in values:
            continue
        one, y = _interval(values, RECALL, at), 8 + _STEP * index
        if math.isnan(one.mean):
            continue
        own = [whisker(scale, one, y), at_mark(arm.mark, scale.at(one.mean), y, size=0.9)]
        parts.append(Markup('<g class="{}">{}</g>').format(arm.mark.css, Markup("").join(own)))
        told.append(f"{arm.short} {number(one.mean)}")
    alt = f"recall of {name}: {'; '.join(told) or 'undefined'}"
    return svg("strip clipped", 3 + _STEP * len(known), alt, parts)


def _table(
    known: Known,
    means: Mapping[str, Values],
    gaps: NDArray[np.float64],
    names: Sequence[str],
    over: str,
) -> PageTable:
    chosen = sorted(np.argsort(-gaps, kind="stable")[:_TABLE].tolist())
    rows = []
    for at in chosen:
        cells = []
        for arm, _, _ in known:
            own = means[arm.name]
            for which in (PRESENT, ABSENT, RECALL):
                if which in own:
                    cells.append(number_cell(number(own[which][at])))
        rows.append((text_cell(names[at]), *cells))
    head = [
        f"{arm.short}, {word}"
        for arm, _, _ in known
        for which, word in ((PRESENT, "present"), (ABSENT, "absent"), (RECALL, "recall"))
        if which in means[arm.name]
    ]
    some = f", {len(chosen)} of {count_of(len(names), 'class', 'classes')}" * (
        len(chosen) < len(names)
    )
    text = f"Score where the class is present, where it is absent, and recall{some}; {over}."
    return PageTable(text, ("class", *head), tuple(rows))
