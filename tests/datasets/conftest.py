"""Tiny stand-ins for Fashion-MNIST's files, so that no test needs the real ones."""

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lossheads.datasets import garments

TRAIN_FILE, TEST_FILE, VAL = 300, 100, 60

Place = Callable[..., Path]


def idx(array: np.ndarray) -> bytes:
    """The idx file of an array of bytes."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, bytes]:
    """Four tiny idx files that garments.py now holds for the published ones; no place has them."""
    rng = np.random.default_rng(5)
    contents = {}
    for part, rows in (("train", TRAIN_FILE), ("t10k", TEST_FILE)):
        images = rng.integers(0, 256, (rows, 28, 28), dtype=np.uint8)
        classes = (np.arange(rows) % 10).astype(np.uint8)  # each split balanced
        contents[f"{part}-images-idx3-ubyte"] = idx(images)
        contents[f"{part}-labels-idx1-ubyte"] = idx(classes)
    known = {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setattr(garments, "FILES", known)
    monkeypatch.setattr(garments, "TRAIN", TRAIN_FILE - VAL)
    monkeypatch.setattr(garments, "VAL", VAL)
    monkeypatch.setattr(garments, "DEBIAN", tmp_path / "debian")
    monkeypatch.setattr(garments, "FETCHES", {})
    return contents


@pytest.fixture
def place(files: dict[str, bytes]) -> Place:
    """A function that puts the four files into a folder, gzipped if asked to."""

    def put(folder: Path, gzipped: bool = False) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            if gzipped:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)
        return folder

    return put


@pytest.fixture
def cache(tmp_path: Path, place: Place) -> Path:
    """A cache folder in which the files of torchvision's layout already lie."""
    folder = tmp_path / "cache"
    place(folder / garments.TORCHVISION)
    return folder
