"""Published image data sets: files found, else fetched; verified by checksum; decoded once.

The order: the folder the user named; torchvision's layout in the cache folder; places of the
system; downloads. All of them hold the same files, and their checksums are verified before
anything is decoded, so the order never changes a number and no stranger's file is read.
"""

import gzip
import hashlib
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lossheads.datasets.cache import Bytes, cached_array
from lossheads.datasets.checks import check_integer
from lossheads.datasets.dataset import Dataset, Provenance, Split
from lossheads.datasets.fetching import FetchFailed
from lossheads.datasets.reading_only import MOST_BYTES, is_reading_only, refuse_large_file
from lossheads.errors import UserError, reason
from lossheads.outcomes import OneOf


@dataclass(frozen=True)
class Images:
    """Images uint8 (N, *shape) and classes int64 (N,) of one split, in the published order."""

    images: Bytes
    classes: np.ndarray[tuple[int], np.dtype[np.int64]]


@dataclass(frozen=True)
class Published:
    """What was published, where it is searched, and how its files become images.

    Attributes:
        name: Of the choice dataset=NAME.
        layout: Folder of the files in torchvision's layout.
        files: Name -> md5 of the file, which may lie there as .gz. Where the name itself ends in
            .gz, the md5 is of the archive; else archives may differ: distributors compress again,
            and gzip writes times into its header.
        decode: Contents in the order of `files`, training files first -> images uint8 (N, *shape)
            and classes (N,).
        shape: Of one image.
        train, val: Rows: the first of the training files train, those after them validate.
        fetches: Name -> download into a temporary folder; returns the folder of the files.
        archive: Name and md5 of a .tar.gz that holds `layout`, where it is published as one.
        system: Where a package of the system puts the files.
        remedy: One more way to get them, a clause.
    """

    name: str
    layout: Path
    files: Mapping[str, str]
    decode: Callable[[list[bytes]], tuple[Bytes, Bytes]]
    shape: tuple[int, ...]
    train: int
    val: int
    fetches: Mapping[str, Callable[[Path], Path]]
    archive: tuple[str, str] | None = None
    system: Path | None = None
    remedy: str = ""

    @property
    def checksum(self) -> str:
        """The md5 of what was used, in the order of `files`."""
        return "md5 " + " ".join(self.files.values())

    def read(self, data_dir: Path | None, cache: Path) -> dict[str, Images]:
        """The splits `train`, `val` and `test`.

        Args:
            data_dir: Where given, this folder or `layout` in it must hold the files; it is read
                and verified each time, without the cache.
            cache: Holds the decoded copy, and the folder in which torchvision's layout is searched.

        Raises:
            UserError: If a file is missing from `data_dir`, if any file found is damaged, or if no
                source can be reached.
        """
        if data_dir is not None:
            rows = self._rows(self._named_place(data_dir))
        else:
            rows = cached_array(cache, self.name, lambda: self._find_or_fetch(cache))
        images, classes = rows[:, :-1].reshape(-1, *self.shape), rows[:, -1].astype(np.int64)
        ends = self.train, self.train + self.val
        parts = {"train": slice(ends[0]), "val": slice(*ends), "test": slice(ends[1], None)}
        return {part: Images(images[rows], classes[rows]) for part, rows in parts.items()}

    def _missing(self, folder: Path) -> list[str]:
        return [name for name in self.files if _path(folder, name) is None]

    def _places(self, root: Path) -> list[Path]:
        """Where the files may be below a folder: in it, in `layout`, in the archive."""
        packed = [root / self.archive[0]] if self.archive else []
        return [root, root / self.layout, *(path for path in packed if path.is_file())]

    def _named_place(self, data_dir: Path) -> Path:
        best = min(self._places(data_dir), key=lambda place: len(self._absent(place)))
        if missing := self._absent(best):
            packed = all(name.endswith(".gz") for name in self.files)
            archive = "" if packed else ", plain or .gz"
            archive = f" or the archive {self.archive[0]}" if self.archive else archive
            raise UserError(
                f"{self.name} misses {', '.join(missing)} in data_dir={data_dir}: the folder, or "
                f"{self.layout} in it, must hold the published files{archive}; omit data_dir to "
                f"have them fetched"
            )
        return best

    def _absent(self, place: Path) -> list[str]:
        return [] if place.is_file() else self._missing(place)

    def _rows(self, place: Path) -> Bytes:
        """One row per image, training rows first: its bytes, then the class."""
        contents = self._archived(place) if place.is_file() else self._lying(place)
        images, classes = self.decode(contents)
        return np.concatenate([images.reshape(len(images), -1), classes[:, None]], axis=1)

    def _lying(self, folder: Path) -> list[bytes]:
        return [
            _verified(_path(folder, name) or folder / name, md5) for name, md5 in self.files.items()
        ]

    def _archived(self, path: Path) -> list[bytes]:
        """The files in the archive, whose own checksum is verified before it is unpacked."""
        assert self.archive is not None
        refuse_large_file(path)
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, _md5).hexdigest()
            _refuse_unless_published(path, found, self.archive[1], path.stat().st_size)
            with tarfile.open(path, "r:gz") as tar:
                members = [
                    tar.extractfile(f"{self.layout.as_posix()}/{name}") for name in self.files
                ]
                return [member.read() for member in members if member is not None]
        except (OSError, EOFError, KeyError, tarfile.TarError, zlib.error) as error:
            raise _unreadable(path, error) from error

    def _find_or_fetch(self, cache: Path) -> Bytes:
        tried, searched = [], [cache / self.layout, *filter(None, [self.system])]
        for folder in searched:
            missing = self._missing(folder)
            if not missing:
                return self._rows(folder)
            if len(missing) < len(self.files):
                tried.append(f"{folder} misses {', '.join(missing)}")
        if self.archive and (packed := cache / self.archive[0]).is_file():
            return self._rows(packed)
        for name, fetch in {} if is_reading_only() else self.fetches.items():
            try:
                with _scratch(cache / f".fetch-{self.name}") as folder:
                    return self._rows(fetch(folder))
            except (FetchFailed, UserError) as error:
                tried.append(f"{name}: {error}")
        raise UserError(
            f"{self.name} found its files neither in {' nor in '.join(map(str, searched))} nor by "
            f"fetching them ({'; '.join(tried)}): give data_dir=<folder with the published files>, "
            f"{self.remedy}or connect to a network so that torchvision can download them"
        )


@dataclass(frozen=True)
class PublishedImages:
    """A data set of images with exactly one of C classes each, read by `Published`.

    Attributes:
        published: Its files.
        names: Of its classes.
        origin, licence: For the provenance.
    """

    classes: int

    published: ClassVar[Published]
    names: ClassVar[tuple[str, ...]]
    origin: ClassVar[str]
    licence: ClassVar[str]

    def __post_init__(self) -> None:
        check_integer(self.published.name, 2, len(self.names), classes=self.classes)

    @property
    def outcome(self) -> OneOf:
        return OneOf(self.classes)

    def load(self, data_dir: Path | None, cache: Path) -> Dataset:
        """See `DatasetSource.load`; `Published.read` documents where the files are searched."""
        parts = self.published.read(data_dir, cache)
        return Dataset(
            outcome=self.outcome,
            train=self._split(parts["train"]),
            val=self._split(parts["val"]),
            test=self._split(parts["test"]),
            class_names=self.names[: self.classes],
            provenance=Provenance(
                self.published.name, self.origin, self.published.checksum, self.licence
            ),
        )

    def _split(self, part: Images) -> Split:
        rows = part.classes < self.classes
        return Split(pixels(part.images[rows]), torch.from_numpy(part.classes[rows]))


def pixels(images: Bytes) -> Tensor:
    """(N, H, W) or (N, 3, H, W) bytes -> (N, 1 or 3, H, W) float32 in [0, 1]: value / 255.

    Nothing is centred.
    """
    given = torch.from_numpy(images)
    return (given if given.ndim == 4 else given.unsqueeze(1)).to(torch.float32).div_(255)


def decode_idx(contents: list[bytes]) -> tuple[Bytes, Bytes]:
    """Four idx files: training images, their labels, test images, their labels.

    Source: the format description at the end of LeCun's MNIST page: two zero bytes, a type byte
    (8 = unsigned byte), the number of dimensions, each size as big-endian int32, then the data.
    """
    arrays = [_idx(content) for content in contents]
    return np.concatenate(arrays[::2]), np.concatenate(arrays[1::2])


def _idx(content: bytes) -> NDArray[np.uint8]:
    dimensions = content[3]
    shape = np.frombuffer(content, dtype=">i4", count=dimensions, offset=4)
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def _path(folder: Path, name: str) -> Path | None:
    plain, gzipped = folder / name, folder / f"{name}.gz"
    return next((path for path in (plain, gzipped) if path.is_file()), None)


def _md5(content: bytes = b"") -> "hashlib._Hash":
    return hashlib.md5(content, usedforsecurity=False)


def _verified(path: Path, md5: str) -> bytes:
    """The content of a file, gunzipped where it is a .gz.

    Raises:
        UserError: If it cannot be read or decompressed, or neither it nor its content has `md5`.
    """
    refuse_large_file(path)
    try:
        packed = path.read_bytes()
        content = _unpacked(packed) if path.suffix == ".gz" else packed
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from error
    if _md5(packed).hexdigest() != md5:
        _refuse_unless_published(path, _md5(content).hexdigest(), md5, len(content))
    return content


def _unpacked(packed: bytes) -> bytes:
    with gzip.open(BytesIO(packed)) as file:
        return file.read(MOST_BYTES)  # what would be longer has another checksum


def _refuse_unless_published(path: Path, found: str, md5: str, size: int) -> None:
    if found != md5:
        raise UserError(
            f"{path} holds {size:,} bytes with md5 {found}, the published content has {md5}: it is "
            f"damaged or another file; {_remedy(path)}"
        )


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(
        f"{path} cannot be read ({reason(error)}): it is truncated or damaged; {_remedy(path)}"
    )


def _remedy(path: Path) -> str:
    return f"delete {path} and get it again, or omit data_dir to have the files fetched"


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    # One fixed name, guarded by the lock of `cached_array`: what a killed process left is removed.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder.resolve()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
