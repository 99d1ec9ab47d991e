"""The pages of an overview that need more than scalar metrics: classes, confusions, settings."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.summary_pb2 import Summary

from lossheads.analysis import OVERVIEW_PICTURE
from lossheads.analysis.aggregate import Arms, seed_interval
from lossheads.analysis.arms import identities, short_names
from lossheads.analysis.event_files import (
    CONFUSION_COUNTS,
    DECISION_COUNTS,
    Chart,
    banded,
    hparams_of_note,
    image,
    layout,
    pr_curve,
    read_tensors,
    scalar,
    session,
    write_events,
)
from lossheads.analysis.statistics import Interval
from lossheads.analysis.tags import CLASS_SECTIONS, as_folder, charted_names
from lossheads.records import Result, ValidationStep

Curve = Sequence[tuple[ValidationStep, Interval]]
Values = list[tuple[int, Summary.Value]]
Tensors = Mapping[str, Sequence[Mapping[str, NDArray[np.float64]]]]  # arm -> of each run

SESSIONS_SHOWN = 500  # a folder each; HPARAMS is slow beyond
ALL_HEADS = "all heads"
OUTCOMES_OF_A_LABEL = ("TP", "FN", "FP", "TN")


def points_of(tag: str, points: Curve) -> Values:
    """A line with its band."""
    return [
        (validation.step, value)
        for validation, at in points
        for value in (
            banded(tag, at.mean, at.low, at.high)
            if at.n > 1
            else banded(tag, at.mean, at.mean, at.mean)
        )
    ]


def tensors_of(arms: Arms, runs: Path) -> Tensors:
    """What the event files of the runs hold, arm by arm; runs without one are passed over."""
    return {
        arm: [read for result in results if (read := read_tensors(runs / result.name))]
        for arm, results in arms.items()
    }


def write_classes(folder: Path, arms: Arms, tensors: Tensors) -> None:
    """Recall and scores of every class, and precision-recall curves pooled over seeds."""
    lines: dict[str, Values] = {}
    charts: dict[str, dict[str, Chart]] = {}
    for arm, results in arms.items():
        lines[arm] = []
        for metric, name, points in _class_curves(results):
            section = CLASS_SECTIONS[metric]
            tag = f"{section}/{name}"
            lines[arm] += points_of(tag, points)
            charts.setdefault(section, {})[name] = Chart(f"{name} · {section}", tag)
        lines[arm] += _pooled_curves(tensors[arm])
    written = [arm for arm, values in lines.items() if values]
    if not written:
        return
    sections = {_section_title(section): list(shown.values()) for section, shown in charts.items()}
    lines[written[0]].append((0, layout(sections)))
    for arm in written:
        write_events(folder / as_folder(arm), lines[arm])


def write_confusions(folder: Path, title: str, arms: Arms, tensors: Tensors) -> None:
    """One picture: what each arm confuses, how its accuracies differ, where two arms disagree."""
    from lossheads.analysis.overview_picture import Table, overview_png

    tables = [
        Table(arm, numbers, columns)
        for arm, read in tensors.items()
        for tag, columns in ((CONFUSION_COUNTS, None), (DECISION_COUNTS, OUTCOMES_OF_A_LABEL))
        if (numbers := _summed(read, tag)) is not None
    ]
    png = overview_png(title, arms, tables)
    if png is not None:
        write_events(folder / ALL_HEADS, [(0, image("confusions/all heads", *png))])
        (folder.parent / OVERVIEW_PICTURE).write_bytes(png[0])


def write_sessions(folder: Path, arms: Arms) -> None:
    """Each run's settings that vary in the sweep, with three metrics of the test split."""
    named = [(arm, run) for arm, runs in arms.items() for run in runs][:SESSIONS_SHOWN]
    for (arm, run), settings in zip(named, _varying([run for _, run in named]), strict=True):
        end = run.kept.test if run.history else None
        measured = {} if end is None else end.metrics
        shown = hparams_of_note(list(measured))
        values = session(settings, [f"test/{name}" for name in shown], settings)
        values += [scalar(f"test/{name}", measured[name]) for name in shown]
        step = run.kept.step if run.history else 0
        name = as_folder(f"{arm} s{run.config.get('seed', 0)}")
        write_events(folder / name, [(step, value) for value in values])


def _section_title(section: str) -> str:
    return f"Per class: {section.replace('_', ' ')}"


def _class_curves(results: Sequence[Result]) -> Iterator[tuple[str, str, Curve]]:
    """(metric, name of a column, means over seeds at the steps that every run reached)."""
    by_step = [{at.step: at for at in run.history if at.step} for run in results if run.history]
    steps = sorted(set(by_step[0]).intersection(*by_step[1:])) if by_step else []
    for metric in CLASS_SECTIONS:
        widths = {len(run[step].val.per_class.get(metric, ())) for run in by_step for step in steps}
        if len(widths) != 1:
            continue
        names = charted_names(results[0].class_names, widths.pop())
        for column, name in enumerate(names):
            found = [
                (
                    by_step[0][step],
                    seed_interval(
                        [run[step].val.per_class[metric][column] for run in by_step], (0.0, 1.0)
                    ),
                )
                for step in steps
            ]
            if points := [(at, interval) for at, interval in found if interval.n]:
                yield metric, name, points


def _pooled_curves(read: Sequence[Mapping[str, NDArray[np.float64]]]) -> Values:
    """Precision-recall curves of the test split: the counts of all seeds, added."""
    summed: dict[str, NDArray[np.float64]] = {}
    for tensors in read:
        for tag, rows in tensors.items():
            if tag.startswith("pr/") and rows.ndim == 2 and rows.shape[0] == 6:
                known = summed.get(tag)
                if known is None or known.shape[1] == rows.shape[1]:
                    summed[tag] = rows[:4] if known is None else known + rows[:4]
    return [(0, pr_curve(tag, _with_rates(counts))) for tag, counts in summed.items()]


def _with_rates(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """TP, FP, TN, FN (4, T) -> the same, precision and recall (6, T); 0 where undefined."""
    positive, wrong, _, missed = counts
    with np.errstate(invalid="ignore", divide="ignore"):
        precision, recall = positive / (positive + wrong), positive / (positive + missed)
    return np.vstack([counts, np.nan_to_num(precision), np.nan_to_num(recall)])


def _summed(
    read: Sequence[Mapping[str, NDArray[np.float64]]], tag: str
) -> NDArray[np.float64] | None:
    """Counts of the test split, all seeds added; None where no run has them."""
    found = [tensors[tag] for tensors in read if tag in tensors]
    alike = [counts for counts in found if counts.shape == found[0].shape and counts.ndim == 2]
    return np.sum(alike, axis=0) if alike else None


def _varying(results: Sequence[Result]) -> list[dict[str, float | str]]:
    """The settings in which the runs differ, by short names; head, rate and seed always."""
    identified = identities([run.config for run in results])
    leaves = [_settings(run, of) for run, of in zip(results, identified, strict=True)]
    keys = dict.fromkeys(key for leaf in leaves for key in leaf)
    always = {"choices.head", "optimizer.lr", "seed"}
    varying = [
        key for key in keys if key in always or len({str(leaf.get(key)) for leaf in leaves}) > 1
    ]
    varying = [key for key in varying if key in always or not _is_implied(key, leaves)]
    names = {key: key.removeprefix("choices.") for key in varying if key.startswith("choices.")}
    names |= short_names([key for key in varying if key not in names and key != "seed"])
    names |= {"seed": "seed"}
    return [
        {names[key]: _value(leaf[key]) for key in varying if leaf.get(key) is not None}
        for leaf in leaves
    ]


def _is_implied(key: str, leaves: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a setting of a group follows from the name under which the group was chosen."""
    choice = f"choices.{key.partition('.')[0]}"
    pairs = {(str(leaf.get(choice)), str(leaf.get(key))) for leaf in leaves}
    chosen = {name for name, _ in pairs}
    return key != choice and len(chosen) == len(pairs) > 1 and "None" not in chosen


def _settings(result: Result, identity: Mapping[str, Any]) -> dict[str, Any]:
    choices = result.config.get("choices", {})
    return {f"choices.{group}": name for group, name in choices.items()} | dict(identity)


def _value(value: Any) -> float | str:
    """Numbers as they are; truth values, lists and what is not finite as words."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and math.isfinite(value) else str(value)
