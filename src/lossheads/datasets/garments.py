"""Fashion-MNIST's files: found, else fetched; verified by checksum; decoded once.

The order: the folder the user named; torchvision's layout in the cache folder; the place of
Debian's package; torchvision's download; a download of Debian's package. All of them hold the
same four files, and their checksums are verified, so the order never changes a number.
"""

import gzip
import hashlib
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lossheads.datasets.cache import Bytes, cached_array
from lossheads.datasets.fetching import PACKAGE, FetchFailed, from_debian, from_torchvision
from lossheads.errors import UserError, reason

NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

# md5 of the uncompressed files, in the order: training images, labels, test images, labels.
FILES = {
    "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
}
TRAIN, VAL = 55_000, 5_000
ORIGIN = "Fashion-MNIST (zalandoresearch/fashion-mnist), the four published idx files"
LICENCE = "MIT (c) 2017 Zalando SE"

TORCHVISION = Path("FashionMNIST/raw")
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
FETCHES = {"torchvision": from_torchvision, "apt-get": from_debian}


@dataclass(frozen=True)
class Garments:
    """Images uint8 (N, 28, 28) and classes int64 (N,) of one split, in the published order."""

    images: Bytes
    classes: np.ndarray[tuple[int], np.dtype[np.int64]]


def checksum() -> str:
    """The four md5 of what was used, in the order of `FILES`."""
    return "md5 " + " ".join(FILES.values())


def read_garments(data_dir: Path | None, cache: Path) -> dict[str, Garments]:
    """The splits `train` (first 55,000 of the training file), `val` (its last 5,000), `test`.

    Args:
        data_dir: Where given, this folder or FashionMNIST/raw in it must hold the four files,
            plain or .gz; it is read and verified each time, without the cache.
        cache: Holds the decoded copy, and the folder in which torchvision's layout is searched.

    Raises:
        UserError: If a file is missing from `data_dir`, if any file found is damaged, or if no
            source can be reached.
    """
    if data_dir is not None:
        rows = _decode(_named_folder(data_dir))
    else:
        rows = cached_array(cache, "fashion_mnist", lambda: _find_or_fetch(cache))
    images, classes = rows[:, :-1].reshape(-1, 28, 28), rows[:, -1].astype(np.int64)
    parts = {
        "train": slice(TRAIN),
        "val": slice(TRAIN, TRAIN + VAL),
        "test": slice(TRAIN + VAL, None),
    }
    return {part: Garments(images[rows], classes[rows]) for part, rows in parts.items()}


def _path(folder: Path, name: str) -> Path | None:
    plain, gzipped = folder / name, folder / f"{name}.gz"
    return next((path for path in (plain, gzipped) if path.is_file()), None)


def _missing(folder: Path) -> list[str]:
    return [name for name in FILES if _path(folder, name) is None]


def _named_folder(data_dir: Path) -> Path:
    folders = (data_dir, data_dir / TORCHVISION)
    best = min(folders, key=lambda folder: len(_missing(folder)))
    missing = _missing(best)
    if missing:
        raise UserError(
            f"fashion_mnist misses {', '.join(missing)} in data_dir={data_dir}: the folder, or "
            f"{TORCHVISION} in it, must hold the four idx files, plain or .gz; omit data_dir to "
            f"have them fetched"
        )
    return best


def _decode(folder: Path) -> Bytes:
    """One row per image, training rows first: 784 pixels, then the class."""
    arrays = [_read_idx(_path(folder, name) or folder / name, md5) for name, md5 in FILES.items()]
    images = np.concatenate([arrays[0], arrays[2]])
    classes = np.concatenate([arrays[1], arrays[3]])
    return np.concatenate([images.reshape(len(images), -1), classes[:, None]], axis=1)


def _read_idx(path: Path, md5: str) -> NDArray[np.uint8]:
    """The bytes of an idx file, plain or gzipped, verified by checksum, in its header's shape.

    Args:
        md5: Of the *uncompressed* content. Archives of the same content differ: distributors
            compress again, and gzip writes times into its header.

    Raises:
        UserError: If the file cannot be read or decompressed, or holds anything else.

    Source: the format description at the end of LeCun's MNIST page: two zero bytes, a type byte
    (8 = unsigned byte), the number of dimensions, each size as big-endian int32, then the data.
    """
    remedy = f"delete {path} and get it again, or omit data_dir to have the files fetched"
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(
            f"{path} cannot be read ({reason(error)}): it is truncated or damaged; {remedy}"
        ) from error
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise UserError(
            f"{path} holds {len(content):,} bytes with md5 {found}, the published content has "
            f"{md5}: it is damaged or another file; {remedy}"
        )
    dimensions = content[3]
    shape = np.frombuffer(content, dtype=">i4", count=dimensions, offset=4)
    data = np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * dimensions)
    return data.reshape(shape)


def _find_or_fetch(cache: Path) -> Bytes:
    tried = []
    for folder in (cache / TORCHVISION, DEBIAN):
        missing = _missing(folder)
        if not missing:
            return _decode(folder)
        if len(missing) < len(FILES):
            tried.append(f"{folder} misses {', '.join(missing)}")
    for name, fetch in FETCHES.items():
        try:
            with _scratch(cache / ".fetch-fashion_mnist") as folder:
                return _decode(fetch(folder))
        except (FetchFailed, UserError) as error:
            tried.append(f"{name}: {error}")
    raise UserError(
        f"fashion_mnist found its files neither in {cache / TORCHVISION} nor in {DEBIAN}, and "
        f"fetching failed ({'; '.join(tried)}): give data_dir=<folder with the four idx files>, "
        f"or install them with `apt-get install {PACKAGE}`, or connect to a network so "
        f"that torchvision can download them"
    )


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    # One fixed name, guarded by the lock of `cached_array`: what a killed process left is removed.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder.resolve()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
