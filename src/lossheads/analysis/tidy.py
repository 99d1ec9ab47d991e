"""The tidy form of results: one row per run and metric, every differing setting a column."""

import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lossheads.analysis.aggregate import skill
from lossheads.analysis.arms import flat
from lossheads.analysis.test_sets import by_test_set
from lossheads.errors import UserError, reason, refuse_missing_folder
from lossheads.records import NOT_IN_KEY, Result


def tidy(results: Sequence[Result]) -> pd.DataFrame:
    """One row per run and metric of its test split; a run that diverged has rows without values.

    Columns: `run`, the folder's name; `dataset` and `head`, as chosen; `seed`, and under its full
    name every other setting in which the runs differ; `split`; `metric`; `value`; `baseline`, of
    the best constant prediction; `skill`, 0 at the baseline and 1 at perfect; `higher_is_better`,
    empty where neither direction is; `n`, examples measured.
    """
    runs, counts, rows = [], [], []
    for data in by_test_set(results):
        metrics = data.metrics  # looked for in every run: once
        for run in data.runs if metrics else []:
            found = _rows(run, metrics)
            runs.append(run)
            counts.append(len(found))
            rows += found
    repeated = np.repeat(np.arange(len(runs)), counts)
    settings = pd.DataFrame({name: _column(values) for name, values in _settings(runs).items()})
    names = ["metric", "value", "baseline", "skill", "higher_is_better", "n"]
    measured = pd.DataFrame(rows, columns=names)
    measured.insert(0, "split", "test")
    typed = measured.astype({"higher_is_better": "boolean", "n": "Int64"})
    return pd.concat([settings.iloc[repeated].reset_index(drop=True), typed], axis=1)


def _rows(run: Result, metrics: Sequence[str]) -> list[tuple[Any, ...]]:
    if run.status != "finished":
        nan = math.nan
        return [(name, nan, nan, nan, run.info(name).higher_is_better, None) for name in metrics]
    rows = []
    for name, value in run.test.metrics.items():
        baseline, info = run.test.baselines.get(name, math.nan), run.info(name)
        gained = skill(value, baseline, info.perfect)
        rows.append((name, value, baseline, gained, info.higher_is_better, run.test.n))
    return rows


def _settings(runs: Sequence[Result]) -> dict[str, list[Any]]:
    """Column -> one value per run; None where a run has no such setting."""
    choices = [run.config["choices"] for run in runs]
    leaves = [
        flat({k: v for k, v in run.config.items() if k not in NOT_IN_KEY}) | {"device.threads": 0}
        for run in runs
    ]
    columns: dict[str, list[Any]] = {"run": [run.name for run in runs]}
    for group in ("dataset", "head"):
        columns[group] = [chosen.get(group) for chosen in choices]
    columns["seed"] = [leaf["seed"] for leaf in leaves]
    for group in dict.fromkeys(group for chosen in choices for group in chosen):
        names = [chosen.get(group) for chosen in choices]
        if len(set(map(str, names))) > 1:
            columns.setdefault(group, names)
    for key in dict.fromkeys(key for leaf in leaves for key in leaf):
        values = [leaf.get(key) for leaf in leaves]
        texts = list(map(str, values))
        if len(set(texts)) > 1 and not _is_told_by_choice(key, texts, choices):
            columns.setdefault(key, values)
    return columns


def _is_told_by_choice(
    key: str, texts: Sequence[str], choices: Sequence[Mapping[str, Any]]
) -> bool:
    """Whether the names chosen for a group tell its classes apart already."""
    group, _, last = key.rpartition(".")
    if last != "_target_":
        return False
    pairs = {(str(chosen.get(group)), text) for chosen, text in zip(choices, texts, strict=True)}
    return len({name for name, _ in pairs}) == len(pairs)


def _column(values: Sequence[Any]) -> "pd.Series[Any]":
    """The values under the one type that all of them have; text where there is none."""
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, bool) for value in known):
        return pd.Series(values, dtype="boolean")
    if all(type(value) in (int, float) for value in known):
        if any(isinstance(value, float) for value in known):
            return pd.Series(values, dtype="float64")
        if all(-(2**63) <= value < 2**63 for value in known):
            return pd.Series(values, dtype="Int64")
    texts = [
        value if isinstance(value, str) or value is None else json.dumps(value, default=str)
        for value in values
    ]
    return pd.Series(texts, dtype="object")


def write_parquet(data: pd.DataFrame, path: Path) -> Path:
    """Write the table as a Parquet file.

    Raises:
        UserError: Without pyarrow, or if the file cannot be written.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise UserError(
            "a Parquet file needs pyarrow, which is not installed: pip install 'lossheads[parquet]'"
        ) from error
    refuse_missing_folder(path, "the Parquet file")
    content = io.BytesIO()
    data.to_parquet(content, engine="pyarrow", index=False)
    try:
        path.write_bytes(content.getvalue())
    except OSError as error:
        raise UserError(
            f"the Parquet file cannot be written at {path}: {reason(error)}; name another file"
        ) from error
    return path
