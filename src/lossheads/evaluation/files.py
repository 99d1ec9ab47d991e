"""Predictions in a stranger's file as arrays. No torch, no pickle, no size that was not checked.

Every reader returns `RawPredictions`: numbers and labels as the file has them. What they mean is
asked elsewhere (`meaning`).
"""

import csv
import fnmatch
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossheads.errors import UserError, near_matches, reason

Array = NDArray[Any]

# In memory at once; what is mapped from disk (.npy, .npz as numpy.savez writes it) may be larger.
MAX_BYTES = 4 << 30
_MAX_TEXT_BYTES = 2 << 30  # a CSV takes several times its size while it is read
_MAPPED_FROM = 64 << 20
_BOMB_BYTES, _BOMB_RATIO = 256 << 20, 100  # real scores shrink 1.1 to 10 times
_READABLE = (".npz", ".npy", ".csv", ".parquet", ".pt", ".pth")

# What arrays and columns are called where the user names none; several at once are refused.
NUMBERS = (
    *("logits", "probabilities", "probs", "scores", "outputs", "predictions", "preds"),
    *("y_pred", "y_score", "y_prob", "y_proba"),
)
LABELS = ("labels", "label", "y", "y_true", "targets", "target", "true_label")
IDS = ("ids", "id", "example_ids", "example_id")
NAMES = ("class_names", "classes")
_PATTERNS = ("logit_*", "prob_*", "p_*", "score_*", "pred_*", "logit*", "prob*", "score*")
_LABEL_PATTERNS = ("label_*", "y_*", "true_*", "target_*")


@dataclass(frozen=True)
class Columns:
    """What the user calls things in the file: array names, or column names with `*`.

    Attributes:
        labels: An array or columns; beside an .npy of numbers, another .npy file.
    """

    numbers: str | None = None
    labels: str | None = None
    ids: str | None = None
    cluster: str | None = None
    part: str | None = None


@dataclass(frozen=True)
class RawPredictions:
    """Arrays of one file, all of N rows; nothing is converted yet.

    Attributes:
        numbers: (N, ...) floats, perhaps mapped from disk.
        labels: (N, ...) numbers or words.
        named: What the file calls the numbers: evidence, never an answer.
        ids, clusters, parts: (N,) or None.
        class_names: In the order of the columns; () where the file names none.
        digest: Of the examples, where a run folder knows it.
    """

    source: str
    numbers: Array
    labels: Array
    named: str
    ids: Array | None = None
    clusters: Array | None = None
    parts: Array | None = None
    class_names: tuple[str, ...] = ()
    digest: str = ""
    run: Mapping[str, Any] = field(default_factory=dict)


def read_predictions_file(path: Path, columns: Columns, who: str) -> RawPredictions:
    """The arrays of a file; a run folder is read by `runs_of`.

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
        return _read_table(path, suffix, columns)
    if suffix == ".npy":
        arrays = {"numbers": _open_npy(path), "labels": _labels_beside(path, columns, who)}
        return _as_raw(path, arrays, Columns("numbers", "labels"), named="")
    return _as_raw(path, _read_npz(path) if suffix == ".npz" else _read_torch(path), columns)


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
    return _open_npy(labels)


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


def checked_lengths(raw: RawPredictions) -> RawPredictions:
    """The same, once all arrays have one length and ids are unique.

    Raises:
        UserError: Naming both lengths, or the id.
    """
    if raw.numbers.ndim == 0 or raw.labels.ndim == 0:
        raise UserError(f"{raw.source}: numbers and labels must have rows, got a single value")
    rows = len(raw.numbers)
    others = {"labels": raw.labels, "ids": raw.ids, "cluster": raw.clusters, "part": raw.parts}
    for what, array in others.items():
        if array is not None and len(array) != rows:
            raise UserError(
                f"{raw.source} has {rows} rows of numbers and {len(array)} of {what}: they must "
                f"be equal in number; save both from one pass over the data"
            )
    if rows == 0:
        raise UserError(f"{raw.source} has 0 examples: at least one is needed")
    if raw.ids is not None:
        known, counts = np.unique(raw.ids, return_counts=True)
        if counts.max() > 1:
            twice = str(known[counts.argmax()])[:60]
            raise UserError(
                f"{raw.source} has the id {twice!r} {counts.max()} times: ids must be unique; for "
                f"several rows of one subject name it as --cluster"
            )
    return raw


# --- numpy -------------------------------------------------------------------------------------


def _refuse_objects(path: Path, name: str, dtype: np.dtype[Any]) -> None:
    if dtype.hasobject:
        raise UserError(
            f"{path}: {name} is an array of Python objects, which is never unpickled: save plain "
            f"arrays, numbers as .astype(float), words as .astype(str)"
        )
    if dtype.kind not in "biufUS":
        raise UserError(
            f"{path}: {name} is of type {dtype}: only numbers and words are read; convert it"
        )


def _header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"format version {version}")
    shape, fortran, dtype = readers[version](file)
    return shape, fortran, dtype


def _open_npy(path: Path) -> Array:
    """Mapped, so that its size does not matter."""
    try:
        with path.open("rb") as file:
            shape, _, dtype = _header(file)
            start = file.tell()
        _refuse_objects(path, "the array", dtype)
        _refuse_short(path, "the array", shape, dtype, path.stat().st_size - start)
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
        return array
    except (OSError, ValueError, EOFError, SyntaxError, TypeError, MemoryError) as error:
        raise _unreadable(path, ".npy array", error) from error


def _refuse_short(
    path: Path, name: str, shape: Sequence[int], dtype: np.dtype[Any], size: int
) -> None:
    needed = int(dtype.itemsize)
    for length in shape:
        needed *= int(length)
    if needed > size:
        raise UserError(
            f"{path}: {name} says that it holds {shape} {dtype}, {_size(needed)}, and only "
            f"{_size(size)} are there: the file is cut short or forged; write it again"
        )


def refuse_bomb(path: Path) -> None:
    """Look at the sizes that an archive declares before anything of it is unpacked.

    Raises:
        UserError: Where it would fill the memory, or grows as only forged archives do.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    packed = [m for m in members if m.compress_type != zipfile.ZIP_STORED]
    total = sum(member.file_size for member in packed)
    ratio = total / max(1, sum(member.compress_size for member in packed))
    if total > MAX_BYTES or (total > _BOMB_BYTES and ratio > _BOMB_RATIO):
        raise UserError(
            f"{path} would unpack to {_size(total)}, {ratio:.0f} times its size: nothing was "
            f"unpacked; save it uncompressed, numpy.savez or numpy.save, which is read from disk "
            f"in pieces"
        )


def _read_npz(path: Path) -> dict[str, Array]:
    try:
        refuse_bomb(path)
        with zipfile.ZipFile(path) as archive:
            return {
                member.filename.removesuffix(".npy"): _member(path, archive, member)
                for member in archive.infolist()
                if member.filename.endswith(".npy")
            }
    except (
        *(OSError, ValueError, EOFError, SyntaxError, TypeError, MemoryError, KeyError),
        *(zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, struct.error),
    ) as error:
        raise _unreadable(path, ".npz of plain arrays", error) from error


def _member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    name = member.filename.removesuffix(".npy")
    with archive.open(member) as file:
        shape, fortran, dtype = _header(file)
        header = file.tell()
    _refuse_objects(path, name, dtype)
    _refuse_short(path, name, shape, dtype, member.file_size - header)
    if member.compress_type == zipfile.ZIP_STORED and member.file_size >= _MAPPED_FROM:
        with path.open("rb") as plain:
            plain.seek(member.header_offset)
            local = plain.read(30)
        name_bytes, extra_bytes = struct.unpack("<HH", local[26:30])
        start = member.header_offset + 30 + name_bytes + extra_bytes + header
        return np.memmap(path, dtype, "r", start, shape, "F" if fortran else "C")
    with archive.open(member) as file:
        array: Array = np.lib.format.read_array(file, allow_pickle=False)
    return array


# --- torch -------------------------------------------------------------------------------------


def _read_torch(path: Path) -> dict[str, Array]:
    """Tensors of a .pt file, loaded as weights only: whatever else it holds is refused unrun."""
    import pickle

    import torch

    if zipfile.is_zipfile(path):
        refuse_bomb(path)
    elif path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path} has {_size(path.stat().st_size)}: save it as .npy arrays instead")
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} holds more than tensors, and nothing of it was run: save a dictionary of "
            f"tensors, torch.save({{'logits': logits, 'labels': labels}}, path)"
        ) from error
    except Exception as error:  # whatever torch says of bytes that are no such file
        raise _unreadable(path, ".pt file of tensors", error) from error
    if not isinstance(held, dict):
        raise UserError(
            f"{path} holds a {type(held).__name__}: save a dictionary of tensors, "
            f"torch.save({{'logits': logits, 'labels': labels}}, path)"
        )
    arrays = {}
    for name, value in held.items():
        if isinstance(value, list | tuple) and all(isinstance(v, str) for v in value):
            arrays[str(name)] = np.array(value, dtype=np.str_)
        elif isinstance(value, torch.Tensor) and value.layout is torch.strided:
            # A forged tensor may claim more elements than it stores.
            if value.numel() * value.element_size() > max(value.untyped_storage().nbytes(), 1 << 20):
                raise UserError(f"{path}: {name} claims {tuple(value.shape)} and stores less")
            wide = value.float() if value.dtype == torch.bfloat16 else value
            arrays[str(name)] = wide.detach().resolve_conj().numpy()
    return arrays


# --- tables ------------------------------------------------------------------------------------


def _read_table(path: Path, suffix: str, columns: Columns) -> RawPredictions:
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
    wanted = [*numbers, *labels, *(name for name in single.values() if name)]
    if suffix == ".csv":
        frame = _csv_frame(path, wanted, [n for n in single.values() if n])
    else:
        frame = _parquet_frame(path, wanted)
    assert isinstance(frame, pd.DataFrame)
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
    common = os.path.commonprefix(list(names))
    cut = common.rfind("_") + 1 or (len(common) if not common.isalnum() else 0)
    if all(name[len(common) :].isdigit() for name in names):
        cut = len(common.rstrip("0123456789"))
    return [name[cut:] for name in names]


def _csv_header(path: Path) -> list[str]:
    if path.stat().st_size > _MAX_TEXT_BYTES:
        raise UserError(
            f"{path} has {_size(path.stat().st_size)}, too large for a table of text (limit "
            f"{_size(_MAX_TEXT_BYTES)}): save the numbers as .npy or .npz, which are read from "
            f"disk in pieces"
        )
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header = [cell.strip() for cell in next(csv.reader(file))]
    except (OSError, UnicodeDecodeError, csv.Error, StopIteration) as error:
        raise _unreadable(path, "table in UTF-8", error) from error
    return _unrepeated(path, header)


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
    except (OSError, ValueError, UnicodeDecodeError, MemoryError) as error:
        raise _unreadable(path, "table", error) from error
    frame.columns = [str(name).strip() for name in frame.columns]
    return frame[list(wanted)]


def _parquet_header(path: Path) -> list[str]:
    parquet = _pyarrow()
    try:
        schema, metadata = parquet.read_schema(path), parquet.read_metadata(path)
    except Exception as error:  # whatever Arrow says of bytes that are no such file
        raise _unreadable(path, "Parquet file", error) from error
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
            f"{_size(needed)} in memory: save the numbers as .npy, which is read from disk in "
            f"pieces"
        )
    return _unrepeated(path, list(schema.names))


def _parquet_frame(path: Path, wanted: Sequence[str]) -> Any:
    try:
        return _pyarrow().read_table(path, columns=list(wanted)).to_pandas()
    except Exception as error:
        raise _unreadable(path, "Parquet file", error) from error


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
                f"{path}, row {row + 1} of column {name!r} holds {shown!r}, which is {what}: every "
                f"cell of it must be a number; export values, or choose columns with --columns"
            )
    return f"{path}: column {name!r} is of type {values.dtype}: it must hold numbers"


def _labels(path: Path, frame: Any, names: Sequence[str]) -> Array:
    columns = []
    for name in names:
        values = frame[name].to_numpy()
        if values.dtype.kind not in "biuf":
            missing = [row for row, value in enumerate(values) if not isinstance(value, str)]
            if missing:
                raise UserError(
                    f"{path}, row {missing[0] + 1} of column {name!r} holds "
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


# --- sentences ---------------------------------------------------------------------------------


def _unreadable(path: Path, kind: str, error: Exception) -> UserError:
    if isinstance(error, UserError):
        return error
    said = reason(error).strip() or type(error).__name__
    return UserError(f"{path} cannot be read as a {kind} ({said.splitlines()[0][:120]})")


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            break
        count /= 1000
    else:
        unit = "TB"
    return f"{count:.3g} {unit}"
