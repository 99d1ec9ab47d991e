"""Every metric of somebody's predictions, each beside its baseline and skill."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lossheads.errors import UserError
from lossheads.evaluation.inputs import HeadLike, as_tensor, checked, resolve_head
from lossheads.evaluation.meaning import Meaning, OwnPredictions, own_predictions, understood
from lossheads.evaluation.measuring import evaluation_of, measured
from lossheads.evaluation.raw import Columns, RawPredictions
from lossheads.evaluation.record import Evaluation as Evaluation
from lossheads.evaluation.record import MetricValue as MetricValue
from lossheads.evaluation.sections import (
    Parts,
    Prior,
    calibration,
    means_of_batches,
    parted,
    prior_shift,
    read,
    rejection,
    thresholds,
)
from lossheads.metrics.base import BaseMetric
from lossheads.metrics.evaluate import SHIPPED, metrics_for, per_class_metrics_for
from lossheads.outcomes import Outcome
from lossheads.runs.validate import check_own_metrics

WHO = "evaluate"


def evaluate(
    logits: Any,
    labels: Any = None,
    *,
    head: HeadLike | None = None,
    outcome: Outcome | str | None = None,
    extra_metrics: Sequence[BaseMetric] = (),
    link: str | None = None,
    given: str | None = None,
    class_names: Sequence[str] | None = None,
    clusters: Any = None,
    part: Any = None,
    ids: Any = None,
    columns: str | None = None,
    tune_on: str | None = None,
    measure_on: str | None = None,
    intervals: bool | None = None,
    full: bool = False,
    pos_weight: Sequence[float] | None = None,
    train_prevalence: Sequence[float] | None = None,
    prevalence: Sequence[float] | None = None,
    reject_recall: float | None = None,
    none_label: str | int | None = None,
    batch_size: int = 256,
    trust: Sequence[str] = (),
) -> Evaluation:
    """Every metric of these predictions, with what the best constant prediction would score.

    Args:
        logits: (N, U) as the last layer gives them, before softmax or sigmoid; grouped ones may be
            (N, S, M). Numpy, nested list or tensor on any device; it is not changed. Or the path of
            a file (.npz, .npy, .csv, .parquet, .pt) or of a run folder.
        labels: Integers (N,) are class indices, integers or bools (N, L) labels, integers (N, S)
            one class per group; floats of the outcome's shape are distributions. With a path, what
            the file calls them; beside an .npy of numbers, another .npy.
        head: How the numbers are read: a head such as `SoftmaxCCE(OneOf(10))`, or a name such as
            "softmax_cce", whose outcome follows from shapes and dtypes where they leave one.
        outcome: For a head given by name, or with `link`: an outcome, or "one_of", "any_of",
            "each_one_of".
        extra_metrics: Of your own, made by `@lossheads.metric`.
        link: Instead of a head: the last layer, "softmax" or "sigmoid".
        given: "logits" or "probabilities": whether the numbers stand before or behind it. Without
            it, arrays with a head are logits, and files are asked for it unless a number lies
            outside [0, 1].
        class_names: In the order of the columns; needed where labels are words.
        clusters, part, ids: One value per row, or with a path what the file calls them: examples
            that belong together (a patient), the part an example is of, its name.
        columns: With a path: the array or columns ("prob_*") of numbers.
        tune_on, measure_on: Values of `part`: where temperature and thresholds are tuned, and
            what is measured.
        intervals: 95 % intervals over examples, what frameworks would print, calibration and
            thresholds. By default for paths alone.
        full: Compute on many rows also what costs much.
        pos_weight, train_prevalence, prevalence: Weights or base rates of training to undo, and
            the base rates to move to.
        reject_recall: Share of examples that a threshold for "none of these" has to keep.
        none_label: The label of examples that belong to no class; they are not measured.
        batch_size: Of the batches whose means are shown beside the metrics of all rows.
        trust: Packages that the head of a run folder may come from.

    Raises:
        UserError: In one sentence, on anything that does not fit.
    """
    meaning = Meaning(head, link, given, outcome, class_names, none_label)
    if prevalence is not None and train_prevalence is None:
        raise UserError(
            f"{WHO} got prevalence without train-prevalence: base rates to move to need those to "
            f"move from, --train-prevalence P,P (train_prevalence=…)"
        )
    if isinstance(logits, str | os.PathLike):
        names = {"labels": labels, "ids": ids, "clusters": clusters, "part": part}
        for what, value in names.items():
            if value is not None and not isinstance(value, str | os.PathLike):
                raise UserError(
                    f"{WHO} got a path and {what} of type {type(value).__name__}: with a path, "
                    f"{what} is what the file calls it"
                )
        called = [None if value is None else os.fspath(value) for value in names.values()]
        labels_name, ids_name, cluster_name, part_name = called
        held = own_predictions(
            Path(logits),
            Columns(columns, labels_name, ids_name, cluster_name, part_name),
            meaning,
            WHO,
            trust,
        )
        intervals = True if intervals is None else intervals
    else:
        held = _of_arrays(logits, labels, meaning, clusters, part, ids)
    parts = _parts(held, tune_on, measure_on)
    chosen = SHIPPED.with_own(extra_metrics)
    if extra_metrics:
        check_own_metrics(chosen, SHIPPED, held.head)
    asked = bool(intervals)
    done = measured(parts.measured, chosen, intervals=asked, full=full)
    found = evaluation_of(done, chosen)
    notes = list(found.notes)
    if parts.none is not None:
        notes.append(
            f"{parts.none.n} of {held.n} examples are of no class (none-label {none_label}) and "
            f"not measured; --reject-recall tells how many of them a threshold rejects"
        )
    if done.left_out:
        notes.append(
            f"{', '.join(done.left_out)}, calibration and thresholds are left out: on "
            f"{parts.measured.n} rows they take about {done.seconds_left_out:.0f} s and memory for "
            f"all rows at once; --full computes them"
        )
    answers = []
    prior = Prior(pos_weight, train_prevalence, prevalence)
    if done.predictions is not None:
        tuning = None if parts.tuning is None else read(parts.tuning)
        answers = [
            calibration(done.predictions, tuning) if asked else None,
            means_of_batches(done.predictions, batch_size, WHO) if asked else None,
            thresholds(done.predictions, tuning) if asked or tuning else None,
            prior_shift(done.predictions, tuning, prior, WHO),
            rejection(parts, done.predictions, reject_recall, WHO),
        ]
    elif prior != Prior() or reject_recall is not None:
        raise UserError(
            f"{WHO}: prior shift and rejection on {parts.measured.n} rows need all of them in "
            f"memory: add --full"
        )
    return replace(found, answers=tuple(a for a in answers if a is not None), notes=tuple(notes))


def _parts(held: OwnPredictions, tune_on: str | None, measure_on: str | None) -> Parts:
    known, none = held, None
    if held.none is not None:
        none = held.taken(np.flatnonzero(held.none))
        known = held.taken(np.flatnonzero(~held.none))
    return replace(parted(known, tune_on, measure_on, WHO), none=none)


def _of_arrays(
    logits: Any, labels: Any, meaning: Meaning, clusters: Any, part: Any, ids: Any
) -> OwnPredictions:
    own = held_arrays(logits, labels, meaning, WHO)
    rows_of = {"clusters": clusters, "part": part, "ids": ids}
    vectors = {name: _vector(value, name) for name, value in rows_of.items()}
    for name, vector in vectors.items():
        if vector is not None and len(vector) != own.n:
            raise UserError(
                f"{WHO} got {len(vector)} values of {name} for {own.n} rows: it needs one per row"
            )
    codes = vectors["clusters"]
    return replace(
        own,
        ids=vectors["ids"],
        parts=vectors["part"],
        clusters=None if codes is None else np.unique(codes, return_inverse=True)[1],
    )


def held_arrays(logits: Any, labels: Any, meaning: Meaning, who: str) -> OwnPredictions:
    """Arrays in memory: with a head alone they are logits; else they mean what is said."""
    plain = meaning.link is None and meaning.given is None
    if not plain or isinstance(meaning.outcome, str) or meaning.none_label is not None:
        numbers = as_tensor(logits, "logits", who).cpu().numpy()
        words = np.asarray(labels.cpu() if isinstance(labels, torch.Tensor) else labels)
        return understood(RawPredictions(who, numbers, words, ""), meaning, who)
    if meaning.head is None:
        raise UserError(
            f"{who} needs head=…, such as 'softmax_cce' or SoftmaxCCE(OneOf(10)), or link=…, "
            f"given=… and outcome=…, to know what the numbers are"
        )
    rows, truth = as_tensor(logits, "logits", who), as_tensor(labels, "labels", who)
    resolved = resolve_head(meaning.head, meaning.outcome, rows, truth, who)
    ready, rows, truth = checked(resolved, rows, truth, who)
    names = tuple(map(str, meaning.class_names or ()))
    return OwnPredictions("", (ready,), rows, truth, lambda z: z, "logits", names)


def _vector(value: Any, what: str) -> NDArray[Any] | None:
    if value is None:
        return None
    array = np.asarray(value.cpu() if isinstance(value, torch.Tensor) else value)
    if array.ndim != 1 or array.dtype.kind not in "biufU":
        raise UserError(f"{WHO} got {what} of shape {array.shape}: it must be one value per row")
    return array


def metric_names(outcome: Outcome) -> list[str]:
    """Names of every metric defined for the outcome, those with one value per class last."""
    if not isinstance(outcome, Outcome):
        raise UserError(
            f"metric_names got {outcome!r}: pass an outcome, OneOf(C), AnyOf(L) or EachOneOf(S, M)"
        )
    return [metric.name for metric in (*metrics_for(outcome), *per_class_metrics_for(outcome))]
