"""Predictions in tables: .csv and .parquet, columns by name or pattern."""

import csv
import fnmatch
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lossheads.errors import UserError, near_matches
from lossheads.evaluation.arrays import MAX_BYTES, in_words, unreadable
from lossheads.evaluation.raw import (
    IDS,
    LABELS,
    Array,
    Columns,
    RawPredictions,
    checked_lengths,
    refuse_named_twice,
)

_MAX_TEXT_BYTES = 2 << 30  # a CSV takes several times its size while it is read
_PATTERNS = (
    *("logit_*", "prob_*", "p_*", "score_*", "pred_*", "logit*", "prob*", "score*"),
    "p[0-9]*",
)
_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_LABEL_PATTERNS = ("label_*", "y_*", "true_*", "target_*")


def read_table(path: Path, suffix: str, columns: Columns) -> RawPredictions:
    """The columns of a table that the user names, or that have a usual name.

    Raises:
        UserError: On unknown columns, cells that are no numbers, and anything that is no table.
    """
    import pandas as pd

    header = _csv_header(path) if suffix == ".csv" else _parquet_header(path)
    numbers = _matching(path, header, columns.numbers, "numbers", _PATTERNS)
    rest = [name for name in header if name not in numbers]
    labels = _matching(path, rest, columns.labels, "labels", _LABEL_PATTERNS, LABELS)
    single = {
        what: _single(path, header, asked, what, usual)
        for what, asked, usual in (
            ("ids", columns.ids, IDS),
            ("cluster", columns.cluster, ()),
            ("part", columns.part, ()),
        )
    }
    refuse_named_twice(path, {"numbers": numbers, "labels": labels, **single})
    wanted = list(dict.fromkeys([*numbers, *labels, *filter(None, single.values())]))
    if suffix == ".csv":
        frame = _csv_frame(path, wanted, [n for n in single.values() if n])
    else:
        frame = _parquet_frame(path, wanted)
    assert isinstance(frame, pd.DataFrame)
    if frame.empty:
        raise UserError(
            f"{path} holds no rows, only the names of columns: at least one example is needed"
        )
    array, names = _numbers(path, frame, numbers), _varied(numbers)
    numbers_of_labels, words = _labels(path, frame, labels), _varied(labels)
    if len(labels) > 1 and sorted(words) == sorted(names):  # the same classes in another order
        numbers_of_labels = numbers_of_labels[:, [words.index(name) for name in names]]
    vectors = {what: frame[name].to_numpy() if name else None for what, name in single.items()}
    for what, values in vectors.items():
        if values is not None and values.dtype == object:
            vectors[what] = values.astype(np.str_)
    return checked_lengths(
        RawPredictions(
            source=str(path),
            numbers=array,
            labels=numbers_of_labels,
            named=f"{numbers[0]} … {numbers[-1]}" if len(numbers) > 1 else numbers[0],
            ids=vectors["ids"],
            clusters=vectors["cluster"],
            parts=vectors["part"],
            class_names=tuple(names) if len(names) > 1 else (),
        )
    )


def _matching(
    path: Path,
    header: Sequence[str],
    asked: str | None,
    what: str,
    patterns: Sequence[str],
    usual: Sequence[str] = (),
) -> list[str]:
    flag = "columns" if what == "numbers" else what
    if asked is not None:
        found = [
            name
            for pattern in asked.split(",")
            for name in header
            if fnmatch.fnmatchcase(name, pattern.strip())
        ]
        if not found:
            raise UserError(
                f"{path} has no column {asked!r} for the {what}; {near_matches(asked, header)}"
            )
        return list(dict.fromkeys(found))
    for name in usual:
        if name in header:
            return [name]
    for pattern in patterns:
        found = [name for name in header if fnmatch.fnmatchcase(name, pattern)]
        if found:
            return found
    shown = ", ".join(header[:8]) + (" …" if len(header) > 8 else "")
    example = "prob_*" if what == "numbers" else "label"
    raise UserError(
        f"{path} has the columns {shown}: name those of the {what}, --{flag} {example!r}"
    )


def _single(
    path: Path, header: Sequence[str], asked: str | None, what: str, usual: Sequence[str]
) -> str | None:
    if asked is None:
        return next((name for name in usual if name in header), None)
    if asked not in header:
        raise UserError(f"{path} has no column {asked!r} for {what}; {near_matches(asked, header)}")
    return asked


def _varied(names: Sequence[str]) -> list[str]:
    """What differs between column names: prob_cat, prob_dog -> cat, dog."""
    if len(names) < 2:
        return list(names)
    alike = [len(set(letters)) == 1 for letters in zip(*names, strict=False)]
    common = names[0][: alike.index(False) if False in alike else len(alike)]
    if all(name[len(common) :].isdigit() for name in names):
        return [name[len(common.rstrip("0123456789")) :] for name in names]
    return [name[common.rfind("_") + 1 :] for name in names]


def _csv_header(path: Path) -> list[str]:
    if path.stat().st_size > _MAX_TEXT_BYTES:
        raise UserError(
            f"{path} has {in_words(path.stat().st_size)}, too large for a table of text (limit "
            f"{in_words(_MAX_TEXT_BYTES)}): save the numbers as .npy or .npz, which are read from "
            f"disk in pieces"
        )
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header = [cell.strip() for cell in next(csv.reader(file))]
    except (OSError, UnicodeDecodeError, csv.Error, StopIteration) as error:
        raise unreadable(path, "table in UTF-8", error) from error
    _refuse_other_separator(path, header)
    return _unrepeated(path, header)


def _refuse_other_separator(path: Path, header: list[str]) -> None:
    # Spreadsheets of languages with a decimal comma write semicolons, and commas within numbers.
    for mark, named in _OTHER_SEPARATORS.items():
        if len(header) == 1 and mark in header[0]:
            raise UserError(
                f"{path} parts its cells by {named}, and only commas are read: save it anew, "
                f"pandas.read_csv({path.name!r}, sep={mark!r}).to_csv('commas.csv', index=False), "
                f"with decimal=',' if its numbers have decimal commas"
            )


def _unrepeated(path: Path, header: list[str]) -> list[str]:
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{path} has two columns {twice!r}: name every column once")
    return header


def _csv_frame(path: Path, wanted: Sequence[str], as_words: Sequence[str]) -> Any:
    import pandas as pd

    try:
        frame = pd.read_csv(
            path,
            encoding="utf-8-sig",
            skipinitialspace=True,
            keep_default_na=False,  # a class may be called None or NA
            dtype=dict.fromkeys(as_words, str),
            low_memory=False,
            index_col=False,
        )
    except Exception as error:  # whatever pandas says of a stranger's table
        raise unreadable(path, "table", error) from error
    frame.columns = [str(name).strip() for name in frame.columns]
    return frame[list(wanted)]


def _parquet_header(path: Path) -> list[str]:
    parquet = _pyarrow()
    try:
        schema, metadata = parquet.read_schema(path), parquet.read_metadata(path)
    except Exception as error:  # whatever Arrow says of bytes that are no such file
        raise unreadable(path, "Parquet file", error) from error
    import pyarrow

    for column in schema:
        if pyarrow.types.is_nested(column.type):
            raise UserError(
                f"{path}: the column {column.name!r} is of the nested type {column.type}: save one "
                f"column per class, prob_0, prob_1, …"
            )
    needed = metadata.num_rows * len(schema.names) * 8
    if needed > MAX_BYTES:
        raise UserError(
            f"{path} holds {metadata.num_rows} rows of {len(schema.names)} columns, "
            f"{in_words(needed)} in memory: save the numbers as .npy, which is read from disk in "
            f"pieces"
        )
    return _unrepeated(path, list(schema.names))


def _parquet_frame(path: Path, wanted: Sequence[str]) -> Any:
    try:
        return _pyarrow().read_table(path, columns=list(wanted)).to_pandas()
    except Exception as error:
        raise unreadable(path, "Parquet file", error) from error


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise UserError(
            "a Parquet file needs pyarrow, which is not installed: pip install 'lossheads[parquet]'"
        ) from error
    return pyarrow.parquet


def _numbers(path: Path, frame: Any, names: Iterable[str]) -> Array:
    columns = []
    for name in names:
        values = frame[name].to_numpy()
        if values.dtype.kind not in "biuf":
            raise UserError(_first_word(path, name, values))
        columns.append(values)
    return np.stack(columns, axis=1)


def _first_word(path: Path, name: str, values: Array) -> str:
    """The first cell that is no number, by line."""
    for row, value in enumerate(values):
        try:
            float(value)
        except (TypeError, ValueError):
            shown = str(value)[:40]
            what = "a formula" if shown[:1] in ("=", "@") else "no number"
            return (
                f"{path}, {_place(path, row)} of column {name!r} holds {shown!r}, which is "
                f"{what}: every cell of it must be a number; export values, or choose columns with "
                f"--columns"
            )
    return f"{path}: column {name!r} is of type {values.dtype}: it must hold numbers"


def _place(path: Path, row: int) -> str:
    return f"line {row + 2}" if path.suffix.lower() == ".csv" else f"row {row}"


def _labels(path: Path, frame: Any, names: Sequence[str]) -> Array:
    columns = []
    for name in names:
        values = frame[name].to_numpy()
        if values.dtype.kind not in "biuf":
            missing = [row for row, value in enumerate(values) if not isinstance(value, str)]
            if missing:
                raise UserError(
                    f"{path}, {_place(path, missing[0])} of column {name!r} holds "
                    f"{str(values[missing[0]])[:40]!r}, which is no label: fill it or leave the "
                    f"row out"
                )
            values = values.astype(np.str_)
        columns.append(values)
    if len(columns) == 1:
        return np.asarray(columns[0])
    if len({column.dtype.kind == "U" for column in columns}) > 1:
        raise UserError(f"{path}: the label columns {', '.join(names)} mix numbers and words")
    return np.stack(columns, axis=1)
