"""Labelled examples in the user's own files, read without trusting them.

Each reader returns a `Table`: labels and class names, inputs on demand, and the name of each row
in the user's file, for error messages.
"""

import csv
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lossheads.datasets.images import Pixels, pixels, scaled
from lossheads.errors import UserError, near_matches, reason

Kind = Literal["one_of", "any_of", "each_one_of"]
PixelCache = Callable[[Callable[[], Pixels]], Pixels]
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm", ".ppm", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class Table:
    """Labels (N,), (N, S), or bool (N, L); `row(i)` names example i; `inputs(cached)` reads them.

    `images` are the files that `inputs` will open beside the table itself. It gets
    their pixels from `cached(decode)`, which may have them from an earlier call.
    """

    source: str
    labels: NDArray[Any]
    class_names: tuple[str, ...]
    row: Callable[[int], str]
    inputs: Callable[[PixelCache], NDArray[np.float32]]
    images: Sequence[Path] = ()


def read_npz(path: Path, kind: Kind, class_names: Sequence[str] | None) -> Table:
    """Arrays `inputs`, `labels` and, if there, `class_names`, of an .npz without pickles.

    Labels that are words are class names; unless those are given, classes are the words, sorted.
    Bytes are pixels and divided by 255; other inputs stay as they are, as float32.
    """
    arrays = _npz_arrays(path, ("labels", "class_names"))
    if "labels" not in arrays:
        raise UserError(f"{path} must have the arrays inputs and labels; labels is missing")
    labels: NDArray[Any] = np.atleast_1d(arrays["labels"])
    if len(labels) == 0:
        raise UserError(f"{path} holds no rows: at least one example of every class is needed")
    given = arrays.get("class_names") if class_names is None else np.array(class_names)
    if kind == "any_of":
        labels = _as_binary_labels(path, labels)
    elif labels.dtype.kind == "U":
        given = np.unique(labels) if given is None else given
        labels = _as_numbers(path, labels, tuple(map(str, given.reshape(-1))))
    else:
        _refuse_binary_labels(path, kind, labels)
        labels = labels.astype(np.int64)
    names = _npz_names(path, kind, labels, given)
    return Table(
        str(path), labels, names, lambda i: f"{path}, row {i}", lambda _: _npz_inputs(path)
    )


def read_folder(
    path: Path, class_names: Sequence[str] | None, channels: int, resize: Sequence[int] | None
) -> Table:
    """Images in one folder per class; classes are the folders' names, sorted as words."""
    entries = sorted(path.iterdir())
    folders = [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    names = tuple(class_names or (folder.name for folder in folders))
    files, labels = [], []
    for folder in folders:
        number = _number_of(folder.name, names, str(folder))
        found = [file for file in sorted(folder.iterdir()) if file.suffix.lower() in SUFFIXES]
        files += found
        labels += [number] * len(found)
    return Table(
        str(path),
        np.array(labels, dtype=np.int64),
        names,
        lambda i: str(files[i]),
        lambda cached: scaled(
            cached(lambda: pixels(files, [str(file) for file in files], channels, resize))
        ),
        files,
    )


def read_csv(
    path: Path,
    kind: Kind,
    class_names: Sequence[str] | None,
    channels: int,
    resize: Sequence[int] | None,
) -> Table:
    """A table of image files and labels, first line = names of the columns.

    The first column is the image's path, from the table's folder. Then, for `one_of`, one
    column of class names; for `any_of`, one column per label, 0 or 1; for `each_one_of`, one
    column of class names per group. Unless `class_names` are given, classes are the words found,
    sorted, and labels are named by their columns.
    """
    lines = _lines(path)
    header, rows = lines[0][1], lines[1:]
    places = [f"{path}, line {number}" for number, _ in rows]
    for place, (_, cells) in zip(places, rows, strict=True):
        if len(cells) != len(header):
            raise UserError(
                f"{place} must have {len(header)} cells as its header, got {len(cells)}"
            )
    files = [path.parent / cells[0] for _, cells in rows]
    _refuse_other_tables(path, kind, files, places)
    words = np.array([cells[1:] for _, cells in rows], dtype=np.str_).reshape(len(rows), -1)
    if kind == "one_of" and len(header) != 2:
        raise UserError(
            f"{path} has {len(header) - 1} label columns: dataset.kind=one_of needs one; for "
            "several use dataset.kind=any_of or dataset.kind=each_one_of"
        )
    found = header[1:] if kind == "any_of" else np.unique(words).tolist()
    names = tuple(class_names or found)
    labels: NDArray[Any]
    labels = _binary_labels(words, places) if kind == "any_of" else _numbers(words, names, places)
    _refuse_repeats(files, places)
    return Table(
        str(path),
        labels[:, 0] if kind == "one_of" else labels,
        names,
        lambda i: places[i],
        lambda cached: scaled(cached(lambda: pixels(files, places, channels, resize))),
        files,
    )


def _refuse_other_tables(
    path: Path, kind: Kind, files: Sequence[Path], places: Sequence[str]
) -> None:
    """A table of measurements is the commonest other CSV: say what this reader takes."""
    if files and files[0].suffix.lower() not in SUFFIXES and not files[0].is_file():
        lines = {
            "one_of": "file,label / images/1.png,cat",
            "any_of": "file,sunny,indoors / images/1.png,1,0",
            "each_one_of": "file,shape,colour / images/1.png,round,red",
        }[kind]
        raise UserError(
            f"{places[0]} names {files[0].name!r}, which is no image file: a CSV lists images and "
            f"labels, with two lines such as {lines}; for a table of numbers save arrays inputs "
            f"and labels with numpy.savez and pass dataset.path={path.with_suffix('.npz').name}"
        )


def _npz_names(
    path: Path, kind: Kind, labels: NDArray[Any], given: NDArray[Any] | None
) -> tuple[str, ...]:
    if given is not None:
        return tuple(str(name) for name in given.reshape(-1))
    count = labels.shape[-1] if kind == "any_of" else int(labels.max(initial=0)) + 1
    if count > labels.size:
        raise UserError(
            f"{path} holds the label {count - 1} among {labels.size}: most classes below it have "
            f"no example; number the classes 0, 1, 2, …"
        )
    return tuple(str(k) for k in range(count))


def _npz_arrays(path: Path, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Those of the named arrays that the archive has; never anything pickled."""
    try:
        # Opened here: numpy does not close what it opened itself and then cannot read.
        with path.open("rb") as file:
            archive = np.lib.npyio.NpzFile(file, allow_pickle=False)
            arrays = {name: archive[name] for name in names if name in archive}
        other = [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]
        if other:  # numpy returns a member of another kind as its bytes
            raise ValueError(f"{other[0]} is no array")
        return arrays
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        said = reason(error)
        if "allow_pickle" in said:  # numpy's remedy, to trust the file, is none
            said = "it holds Python objects, which are never unpickled"
        raise UserError(
            f"{path} cannot be read as an .npz of plain arrays ({said}); write it with "
            f"numpy.savez(path, inputs=…, labels=…), without objects; words are labels.astype(str)"
        ) from error


def _npz_inputs(path: Path) -> NDArray[np.float32]:
    arrays = _npz_arrays(path, ("inputs",))
    if "inputs" not in arrays:
        raise UserError(f"{path} must have the arrays inputs and labels; inputs is missing")
    inputs = arrays["inputs"]
    if inputs.dtype == np.uint8:
        return np.asarray(inputs.astype(np.float32) / 255)
    if inputs.dtype.kind != "f":
        raise UserError(
            f"{path}: inputs must be floats, or uint8 for pixels, got {inputs.dtype}; convert them"
        )
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused
        return np.asarray(inputs, dtype=np.float32)


def _as_binary_labels(path: Path, labels: NDArray[Any]) -> NDArray[np.bool_]:
    wrong = ~np.isin(labels, (0, 1)) if labels.dtype.kind in "biuf" else np.ones(labels.shape, bool)
    if wrong.any():
        row = int(np.argwhere(wrong)[0][0])
        other = "; for class numbers or words use dataset.kind=one_of" if labels.ndim == 1 else ""
        raise UserError(
            f"{path}, row {row} has labels {labels[row].tolist()}: any_of needs 0 or 1{other}"
        )
    return labels.astype(np.bool_)


def _as_numbers(path: Path, words: NDArray[np.str_], names: tuple[str, ...]) -> NDArray[np.int64]:
    rows = words.reshape(len(words), int(np.prod(words.shape[1:])))
    places = [f"{path}, row {i}" for i in range(len(words))]
    return _numbers(rows, names, places).reshape(words.shape)


def _refuse_binary_labels(path: Path, kind: Kind, labels: NDArray[Any]) -> None:
    """Labels that are no class numbers: 0 / 1 per label or class, or of another type."""
    binary = labels.dtype.kind in "biuf" and labels.ndim == 2 and np.isin(labels, (0, 1)).all()
    if binary and kind == "one_of" and (labels.sum(axis=1) == 1).all():
        raise UserError(
            f"{path} holds one-hot labels of shape {labels.shape}: one_of needs class numbers, "
            f"labels.argmax(axis=1); if a row could have several ones, use dataset.kind=any_of"
        )
    if binary and (kind == "one_of" or labels.dtype.kind == "b"):
        raise UserError(
            f"{path} holds labels 0 and 1 of shape {labels.shape}: {kind} needs class numbers; for "
            f"any number of labels per row use dataset.kind=any_of"
        )
    if labels.dtype.kind not in "iu":
        raise UserError(
            f"{path} holds labels of type {labels.dtype}: {kind} needs integers or words; "
            f"convert them with labels.astype(int) or labels.astype(str)"
        )


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """The filled lines of a CSV file with their numbers, header first."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as a table in UTF-8 ({reason(error)})") from error
    if len(lines) == 1 and len(lines[0][1]) > 1:
        raise UserError(
            f"{path} holds no rows, only the names of columns: it needs one line per image"
        )
    if len(lines) < 2 or len(lines[0][1]) < 2:
        raise UserError(
            f"{path} must have a header of at least 2 columns, the first with image files, and one "
            f"line per image"
        )
    return lines


def _binary_labels(words: NDArray[np.str_], places: list[str]) -> NDArray[np.bool_]:
    wrong = ~np.isin(words, ("0", "1"))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise UserError(f"{places[row]} holds {str(words[row, column])!r}: any_of needs 0 or 1")
    return np.asarray(words == "1")


def _numbers(
    words: NDArray[np.str_], names: tuple[str, ...], places: list[str]
) -> NDArray[np.int64]:
    labels = np.full(words.shape, -1, dtype=np.int64)
    for number, name in enumerate(names):
        labels[words == name] = number
    if (labels < 0).any():
        row, column = np.argwhere(labels < 0)[0]
        _number_of(str(words[row, column]), names, places[row])
    return labels


def _number_of(word: str, names: tuple[str, ...], place: str) -> int:
    if word not in names:
        raise UserError(f"{place} has the unknown class {word!r}; {near_matches(word, names)}")
    return names.index(word)


def _refuse_repeats(files: list[Path], places: list[str]) -> None:
    first: dict[Path, str] = {}
    for file, place in zip(files, places, strict=True):
        if file in first:
            raise UserError(
                f"{place} repeats the image {file.name} of {first[file]}: an image may be in one "
                "line only, or it could be in training and test"
            )
        first[file] = place
