"""The user's own data: an .npz, a folder of images, or a CSV of labels beside images."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from numpy.typing import NDArray

from lossheads.datasets.cache import cached_array_if_possible
from lossheads.datasets.checks import (
    check_choice,
    check_integer,
    check_integer_choice,
    check_number,
)
from lossheads.datasets.dataset import Dataset, Provenance, Split
from lossheads.datasets.images import Pixels
from lossheads.datasets.reading_only import refuse_large_file
from lossheads.datasets.tables import Kind, Table, read_csv, read_folder, read_npz
from lossheads.errors import UserError
from lossheads.outcomes import AnyOf, EachOneOf, OneOf, Outcome

READS = (
    "an .npz, a .csv beside images, or a folder with one folder of images per class, named with "
    "dataset.path=…"
)

_MAX_NAMED = 5  # classes named in a sentence that counts them


@dataclass(frozen=True)
class Files:
    """Examples from files, split at random; `kind` states what the labels mean.

    Args:
        path: What to read, by its name: `*.npz` (arrays `inputs` (N, D) or (N, channels, H, W),
            `labels`, optional `class_names`; never pickled objects), `*.csv` (labels beside
            images), or a folder (of one folder of images per class). `read_npz`, `read_csv` and
            `read_folder` say more. None can be built but not read.
        kind: What the labels mean: `one_of` int or words (N,), `any_of` 0 / 1 (N, L),
            `each_one_of` int or words (N, S). A folder can only be `one_of`.
        class_names: Names in the order of their numbers; None for those that the file gives, or
            for the words found in it, sorted.
        channels: 1 reads images as grey, 3 as colour. Not for .npz.
        resize: [height, width] to which images are resized, bilinear; None where all are alike.
        val_share, test_share: Share of examples in either split, each above 0, below 1 together.
        seed: Of the random order in which examples are dealt out: test, validation, training.
    """

    path: str | None
    kind: Kind
    class_names: Sequence[str] | None
    channels: int
    resize: Sequence[int] | None
    val_share: float
    test_share: float
    seed: int

    def __post_init__(self) -> None:
        if self.path is not None and not isinstance(self.path, str):
            raise UserError(f"files: path must be the name of a file or folder, got {self.path}")
        check_choice("files", ("one_of", "any_of", "each_one_of"), kind=self.kind)
        check_integer_choice("files", (1, 3), channels=self.channels)
        check_number("files", 0.001, 0.998, val_share=self.val_share, test_share=self.test_share)
        both = {"val_share + test_share": self.val_share + self.test_share}
        check_number("files", 0.002, 0.999, **both)
        check_integer("files", 0, seed=self.seed)
        if not isinstance(self.class_names, list | tuple | None):
            raise UserError(f"files: class_names must be a list of names, got {self.class_names}")
        if self.resize is not None:
            if not isinstance(self.resize, list | tuple) or len(self.resize) != 2:
                raise UserError(f"files: resize must be [height,width], got {self.resize}")
            check_integer("files", 1, 4096, height=self.resize[0], width=self.resize[1])

    @property
    def outcome(self) -> Outcome:
        """Reads labels and class names, but no inputs."""
        return _outcome(self.kind, self._table())

    def fingerprint(self) -> str:
        """What tells these files from others under the same path: part of a run's key.

        The bytes of a file; for images, their names, sizes and times.
        """
        if self.path is None:
            return ""
        path, digest = Path(self.path), hashlib.sha256()
        if path.is_file():
            digest.update(path.read_bytes())
        for image in self._table().images:
            file_stat = image.stat() if image.exists() else None  # a missing one is refused by name
            state = f"{file_stat.st_size} {file_stat.st_mtime_ns}" if file_stat else "missing"
            digest.update(f"{image} {state}\n".encode())
        return digest.hexdigest()[:16]

    def load(self, data_dir: Path | None, cache: Path) -> Dataset:
        """See `DatasetSource.load`; reads `path` every time, but images only when they changed.

        Their pixels are kept in `cache`, a byte each, one copy per path: its last state.

        Raises:
            UserError: On anything that cannot be read; on inputs of a wrong shape or not finite,
                labels out of range, and classes without an example, by name and row.
        """
        table = self._table()
        outcome = _outcome(self.kind, table)
        _refuse_labels(table, outcome)
        inputs = table.inputs(lambda decode: self._cached_pixels(cache, decode))
        _refuse_inputs(table, inputs)
        order = np.random.default_rng(self.seed).permutation(len(inputs))
        tests, vals = (round(len(inputs) * share) for share in (self.test_share, self.val_share))
        parts = np.split(order, [tests, tests + vals])
        self._refuse_empty(table, [len(rows) for rows in parts])
        _refuse_untrained(table, outcome, parts[2])
        test, val, train = (_split(table, inputs, np.sort(rows)) for rows in parts)
        return Dataset(
            outcome=outcome,
            train=train,
            val=val,
            test=test,
            class_names=table.class_names,
            provenance=Provenance(
                name="files",
                origin=f"the user's own {table.source}, split with seed {self.seed}",
                checksum=_checksum(inputs, table.labels),
                licence="the user's own",
            ),
            notes=_missing_class_notes(table, outcome, {"val": parts[1], "test": parts[0]}),
        )

    def _refuse_empty(self, table: Table, sizes: Sequence[int]) -> None:
        if 0 in sizes:
            test, val, train = sizes
            raise UserError(
                f"{table.source} has {sum(sizes)} examples, of which "
                f"dataset.test_share={self.test_share} and dataset.val_share={self.val_share} give "
                f"{test} to test, {val} to validation and {train} to training: each split needs "
                f"at least 1; add examples or change the shares"
            )

    def _cached_pixels(self, cache: Path, decode: Callable[[], Pixels]) -> Pixels:
        """The result of `decode`, from its copy in `cache` while no file and no setting changed."""
        path = Path(str(self.path)).expanduser().resolve()
        state = [self.fingerprint(), self.channels, self.resize, PIL.__version__]
        return cached_array_if_possible(cache, f"files-{_digits(path)}", _digits(state), decode)

    def _table(self) -> Table:
        if self.path is None:
            raise UserError(f"files: path must be set; it names {READS}")
        path = Path(self.path).expanduser()
        names = None if self.class_names is None else tuple(map(str, self.class_names))
        if path.is_dir():
            if self.kind != "one_of":
                raise UserError(
                    f"files: kind must be one_of for the folder {path}, got {self.kind}: folders "
                    "name one class per image; use dataset.kind=one_of, or a .csv"
                )
            return read_folder(path, names, self.channels, self.resize)
        if not path.is_file():
            raise UserError(f"files found nothing at {path}: path names {READS}")
        refuse_large_file(path)
        if path.suffix == ".npz":
            return read_npz(path, self.kind, names)
        if path.suffix == ".csv":
            return read_csv(path, self.kind, names, self.channels, self.resize)
        raise UserError(f"files cannot read {path}: path names {READS}")


def _digits(words: object) -> str:
    return hashlib.sha256(str(words).encode()).hexdigest()[:16]


def _outcome(kind: Kind, table: Table) -> Outcome:
    dimensions = 1 if kind == "one_of" else 2
    if table.labels.ndim != dimensions or len(table.labels) == 0:
        raise UserError(
            f"{table.source} has labels of shape {table.labels.shape}: kind={kind} needs "
            f"{'(N,)' if dimensions == 1 else '(N, columns)'} and at least one example"
        )
    names = table.class_names
    if len(names) < 2 and kind != "any_of":
        raise UserError(
            f"{table.source} has one class only ({', '.join(names) or 'without a name'}): "
            "classification needs at least 2"
        )
    if len(set(names)) < len(names):
        raise UserError(f"{table.source}: class names must differ, got {_some(names)}")
    if kind == "any_of":
        return AnyOf(table.labels.shape[1])
    return OneOf(len(names)) if kind == "one_of" else EachOneOf(table.labels.shape[1], len(names))


def _refuse_labels(table: Table, outcome: Outcome) -> None:
    names = table.class_names
    if len(names) != outcome.n:
        raise UserError(f"{table.source} names {len(names)} classes: {outcome} has {outcome.n}")
    if not isinstance(outcome, AnyOf):
        wrong = (table.labels < 0) | (table.labels >= outcome.n)
        if wrong.any():
            row = int(np.argwhere(wrong)[0][0])
            raise UserError(
                f"{table.row(row)} has label {table.labels[row].tolist()}: labels must be in "
                f"0 … {outcome.n - 1}, one per class ({_some(names)}); count classes from 0"
            )
    empty = _some(_without_example(table.labels, table, outcome))
    if empty:
        raise UserError(
            f"{table.source} has no example of {empty}: a class without "
            f"examples can be neither learnt nor evaluated; leave it out"
        )


def _some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - _MAX_NAMED
    return ", ".join(names[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def _without_example(labels: NDArray[Any], table: Table, outcome: Outcome) -> list[str]:
    """Names of the classes or labels that never occur in `labels`, over all groups."""
    if isinstance(outcome, AnyOf):
        counts = labels.sum(axis=0)
    else:
        counts = np.bincount(labels.reshape(-1), minlength=outcome.n)
    return [name for name, count in zip(table.class_names, counts, strict=True) if count == 0]


def _refuse_inputs(table: Table, inputs: NDArray[np.float32]) -> None:
    if len(inputs) != len(table.labels) or inputs.ndim not in (2, 4):
        raise UserError(
            f"{table.source} has inputs of shape {inputs.shape} for {len(table.labels)} labels: "
            f"inputs must be (N, D), or images (N, channels, H, W), one row per label"
        )
    if 0 in inputs.shape:
        raise UserError(f"{table.source}: inputs must not be empty, got shape {inputs.shape}")
    if (
        inputs.ndim == 4
        and inputs.shape[3] in (1, 3, 4)
        and inputs.shape[3] < min(inputs.shape[1:3])
    ):
        raise UserError(
            f"{table.source} has inputs of shape {inputs.shape}, which look like channels last: "
            f"images are (N, channels, H, W); write inputs.transpose(0, 3, 1, 2)"
        )
    finite = np.isfinite(inputs.reshape(len(inputs), -1)).all(axis=1)
    if not finite.all():
        row = int(np.flatnonzero(~finite)[0])
        raise UserError(
            f"{table.row(row)} has inputs that are not finite, as have {(~finite).sum() - 1} other "
            f"rows: training needs finite numbers; remove or replace NaN and infinity"
        )


def _refuse_untrained(table: Table, outcome: Outcome, train: NDArray[np.int64]) -> None:
    lost = _some(_without_example(table.labels[train], table, outcome))
    if lost:
        raise UserError(
            f"{table.source} has so few examples of {lost} that none is among the "
            f"{len(train)} that train: add examples, lower dataset.val_share and "
            f"dataset.test_share, or choose another dataset.seed"
        )


def _missing_class_notes(
    table: Table, outcome: Outcome, parts: Mapping[str, NDArray[np.int64]]
) -> tuple[str, ...]:
    """Which classes have no example in validation or test, a sentence for each split."""
    notes = []
    for part, rows in parts.items():
        lost = _without_example(table.labels[rows], table, outcome)
        if lost:
            named = ", ".join(lost[:_MAX_NAMED]) + (" …" if len(lost) > _MAX_NAMED else "")
            notes.append(
                f"no example of {len(lost)} of {outcome.n} classes ({named}) is among the "
                f"{len(rows)} of the {part} split, so these are not evaluated; add "
                f"examples, raise dataset.{part}_share or choose another dataset.seed"
            )
    return tuple(notes)


def _split(table: Table, inputs: NDArray[np.float32], rows: NDArray[np.int64]) -> Split:
    return Split(torch.from_numpy(inputs[rows]), torch.from_numpy(table.labels[rows]))


def _checksum(inputs: NDArray[np.float32], labels: NDArray[Any]) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(inputs).data)
    digest.update(np.ascontiguousarray(labels).data)
    return f"sha256 {digest.hexdigest()}"
