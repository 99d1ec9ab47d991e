"""Predictions in a stranger's file as arrays. No torch, no pickle, no size that was not checked.

Every reader returns `RawPredictions`: numbers and labels as the file has them. What they mean is
asked elsewhere (`meaning`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lossheads.errors import UserError, near_matches
from lossheads.evaluation.arrays import open_npy, read_npz, read_torch
from lossheads.evaluation.columns import read_table
from lossheads.evaluation.raw import (
    IDS,
    LABELS,
    NAMES,
    NUMBERS,
    Array,
    Columns,
    RawPredictions,
    checked_lengths,
    refuse_named_twice,
)

_READABLE = (".npz", ".npy", ".csv", ".parquet", ".pt", ".pth")


def read_predictions_file(path: Path, columns: Columns, who: str) -> RawPredictions:
    """The arrays of a file; a run folder is read by `meaning`.

    Raises:
        UserError: In one sentence, naming file, place and remedy.
    """
    suffix = path.suffix.lower()
    if suffix not in _READABLE:
        raise UserError(
            f"{who} got {path}: it reads a run folder, or a file ending in {', '.join(_READABLE)}; "
            f"save arrays with numpy.savez('predictions.npz', logits=…, labels=…)"
        )
    if not path.is_file():
        raise UserError(f"{who} finds no file {path}: {_beside(path)}")
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty: write it again")
    if suffix in (".csv", ".parquet"):
        return read_table(path, suffix, columns)
    if suffix == ".npy":
        arrays = {"numbers": open_npy(path), "labels": _labels_beside(path, columns, who)}
        return _as_raw(path, arrays, Columns("numbers", "labels"), named="")
    return _as_raw(path, read_npz(path) if suffix == ".npz" else read_torch(path), columns)


def _beside(path: Path) -> str:
    folder = path.parent
    there = [p.name for p in folder.iterdir() if p.suffix in _READABLE] if folder.is_dir() else []
    return near_matches(path.name, there) if there else f"{folder} holds no such file"


def _labels_beside(path: Path, columns: Columns, who: str) -> Array:
    if columns.labels is None or Path(columns.labels).suffix.lower() != ".npy":
        raise UserError(
            f"{who} got {path}, a single array: name the array of labels, --labels labels.npy"
        )
    labels = Path(columns.labels)
    if not labels.is_file():
        raise UserError(f"{who} finds no file {labels}: {_beside(labels)}")
    return open_npy(labels)


def _as_raw(
    path: Path, arrays: Mapping[str, Array], columns: Columns, named: str | None = None
) -> RawPredictions:
    """Arrays by name, all of one length."""

    def one(what: str, asked: str | None, usual: Sequence[str], needed: bool) -> str | None:
        if asked is not None:
            if asked not in arrays:
                raise UserError(
                    f"{path} has no array {asked!r} for the {what}; {near_matches(asked, arrays)}"
                )
            return asked
        found = [name for name in usual if name in arrays]
        if len(found) == 1 or (found and not needed):
            return found[0]
        if not needed:
            return None
        what_is_there = f"the arrays {', '.join(sorted(arrays)) or 'none'}"
        flag = "columns" if what == "numbers" else what
        raise UserError(
            f"{path} has {what_is_there}, of which {len(found) or 'none'} may be the {what}: name "
            f"it with --{flag} NAME"
        )

    numbers = one("numbers", columns.numbers, NUMBERS, needed=True)
    labels = one("labels", columns.labels, LABELS, needed=True)
    ids = one("ids", columns.ids, IDS, needed=False)
    cluster = one("cluster", columns.cluster, (), needed=False)
    part = one("part", columns.part, (), needed=False)
    names = one("class names", None, NAMES, needed=False)
    assert numbers is not None
    assert labels is not None
    refuse_named_twice(
        path,
        {"numbers": numbers, "labels": labels, "ids": ids, "cluster": cluster, "part": part},
    )
    raw = RawPredictions(
        source=str(path),
        numbers=arrays[numbers],
        labels=arrays[labels],
        named=numbers if named is None else named,
        ids=_vector(path, arrays, ids),
        clusters=_vector(path, arrays, cluster),
        parts=_vector(path, arrays, part),
        class_names=tuple(map(str, np.ravel(arrays[names]))) if names else (),
    )
    return checked_lengths(raw)


def _vector(path: Path, arrays: Mapping[str, Array], name: str | None) -> Array | None:
    if name is None:
        return None
    array = arrays[name]
    if array.ndim != 1:
        raise UserError(f"{path}: {name} must have one value per row, got shape {array.shape}")
    return array
