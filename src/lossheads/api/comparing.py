"""Two or more models on the same examples."""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lossheads.api.evaluation import held_arrays
from lossheads.errors import UserError
from lossheads.evaluation.inputs import HeadLike
from lossheads.evaluation.meaning import Meaning, OwnPredictions, own_predictions
from lossheads.evaluation.paired import Comparison as Comparison
from lossheads.evaluation.paired import compared, matched
from lossheads.evaluation.raw import Columns
from lossheads.metrics.base import Metric
from lossheads.metrics.evaluate import SHIPPED
from lossheads.outcomes import Outcome

WHO = "compare"


def compare(
    *models: Any,
    metric: str | None = None,
    margin: float = 0.0,
    head: HeadLike | Sequence[HeadLike] | None = None,
    link: str | Sequence[str] | None = None,
    given: str | Sequence[str] | None = None,
    columns: str | Sequence[str] | None = None,
    outcome: Outcome | str | None = None,
    labels: str | None = None,
    class_names: Sequence[str] | None = None,
    ids: str | None = None,
    clusters: str | None = None,
    names: Sequence[str] | None = None,
    full: bool = False,
    trust: Sequence[str] = (),
) -> Comparison:
    """Which model is better on these examples, and on new ones like them.

    Args:
        models: Two or more: paths as `evaluate` takes them, pairs of arrays (logits, labels), or
            lists of either: several training runs of one model. The first is the reference.
        metric: What is concluded on; by default exact_match_score, the share of examples with
            every decision right, which is what McNemar's test is about. Of a metric without a
            better side only "higher" or "lower" is concluded.
        margin: Differences up to it count as none: "within" is concluded only for a margin above 0,
            below what the metric can differ by.
        head, link, given, columns: As `evaluate`; one for all models, or one for each.
        outcome, labels, class_names, ids, clusters: As `evaluate`, for all files.
        names: Of the models.
        full, trust: As `evaluate`.

    Raises:
        UserError: In one sentence, on anything that does not fit or is not about the same examples.
    """
    if len(models) < 2:
        raise UserError(f"{WHO} got {len(models)} models: it needs at least 2")
    if not isinstance(margin, int | float) or not math.isfinite(margin) or margin < 0:
        raise UserError(f"{WHO}: margin must be at least 0, got {margin!r}")
    runs_of = [_runs(model) for model in models]
    asked = {"head": head, "link": link, "given": given, "columns": columns}
    per_model = _one_each(asked, len(models))
    _refuse_one_run_twice(runs_of, per_model)
    called = Columns(None, labels, ids, clusters)
    loaded: list[list[OwnPredictions]] = []
    for runs, meant in zip(runs_of, per_model, strict=True):
        meaning = Meaning(meant["head"], meant["link"], meant["given"], outcome, class_names)
        loaded.append([_loaded(run, called, meant["columns"], meaning, trust) for run in runs])
    flat, how = matched([run for runs in loaded for run in runs], WHO)
    together = iter(flat)
    loaded = [[next(together) for _ in runs] for runs in loaded]
    first = loaded[0][0]
    chosen = SHIPPED.find(metric or "exact_match_score", first.head.outcome)
    if chosen.needs_true_posterior:
        raise UserError(f"{WHO}: {chosen.name} needs a known posterior, which files do not have")
    _refuse_wide_margin(margin, chosen)
    return compared(
        _names(names, models, len(models)), loaded, chosen.name, float(margin), how, full
    )


def _refuse_wide_margin(margin: float, metric: Metric) -> None:
    """A margin that no difference exceeds asks nothing; most such are points of a percentage."""
    low, high = metric.range
    if margin >= high - low:
        raise UserError(
            f"{WHO}: margin must be below {high - low:g}, got {margin:g}: no difference of "
            f"{metric.name} exceeds {high - low:g}, so the models would always be within it; give "
            f"margin in the unit of the metric (one point of a share is 0.01)"
        )


def _runs(model: Any) -> list[Any]:
    if isinstance(model, list):
        if not model:
            raise UserError(f"{WHO} got an empty list of runs: give at least one for each model")
        return model
    return [model]


def _refuse_one_run_twice(
    runs_of: Sequence[Sequence[Any]], per_model: Sequence[Mapping[str, Any]]
) -> None:
    """One file may be read in two ways; read in one way it has nothing to be compared with."""
    met: set[tuple[str, str]] = set()
    for runs, meant in zip(runs_of, per_model, strict=True):
        for run in runs:
            if not isinstance(run, str | os.PathLike):
                continue
            read = (os.path.realpath(run), repr(meant))
            if read in met:
                raise UserError(f"{WHO} got {run} twice: name different files or run folders")
            met.add(read)


def _one_each(asked: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    """One value for all models, or one for each."""
    rows: list[dict[str, Any]] = [{} for _ in range(count)]
    for name, value in asked.items():
        values = list(value) if isinstance(value, list | tuple) else [value] * count
        if len(values) == 1:
            values *= count
        if len(values) != count:
            raise UserError(
                f"{WHO} got {len(values)} values of {name} for {count} models: one for all, or one "
                f"for each in their order"
            )
        for row, one in zip(rows, values, strict=True):
            row[name] = one
    return rows


def _loaded(
    run: Any, called: Columns, columns: str | None, meaning: Meaning, trust: Sequence[str]
) -> OwnPredictions:
    if isinstance(run, str | os.PathLike):
        named = Columns(columns, called.labels, called.ids, called.cluster)
        return own_predictions(Path(run), named, meaning, WHO, trust)
    if not isinstance(run, tuple) or len(run) != 2:
        raise UserError(
            f"{WHO} got a {type(run).__name__}: give paths, or pairs of arrays (logits, labels)"
        )
    return held_arrays(run[0], run[1], meaning, WHO)


def _names(names: Sequence[str] | None, models: Sequence[Any], count: int) -> list[str]:
    if names is not None:
        if len(names) != count or len(set(names)) != count:
            raise UserError(f"{WHO} needs {count} different names, got {list(names)}")
        return list(names)
    paths = [str(model) if isinstance(model, str | os.PathLike) else "" for model in models]
    letters = [chr(ord("A") + i % 26) + str(i // 26 or "") for i in range(count)]
    if len(set(paths)) == count and all(paths):
        return _short(paths)
    return letters


def _short(paths: Sequence[str]) -> list[str]:
    """File names alone, where they differ."""
    short = [Path(path).name for path in paths]
    return short if len(set(short)) == len(paths) else list(paths)
