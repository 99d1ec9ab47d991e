"""Small files such as a user might bring."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from lossheads.datasets import Files

SOURCE = Files(
    path=None,
    kind="one_of",
    class_names=None,
    channels=1,
    resize=None,
    val_share=0.2,
    test_share=0.3,
    seed=0,
)


def npz(folder: Path, kind: str = "one_of", **arrays: np.ndarray) -> Files:
    """A source of 60 examples with four inputs, of which some arrays may be replaced."""
    rng = np.random.default_rng(0)
    labels = {
        "one_of": np.arange(60) % 3,
        "any_of": rng.random((60, 2)) < 0.5,
        "each_one_of": rng.integers(0, 3, (60, 2)),
    }
    whole = {"inputs": rng.normal(size=(60, 4)), "labels": labels[kind], **arrays}
    np.savez(folder / "mine.npz", **{k: v for k, v in whole.items() if v is not None})
    return replace(SOURCE, path=str(folder / "mine.npz"), kind=kind)


def pictures(folder: Path, size: tuple[int, int] = (6, 5)) -> list[str]:
    """30 grey images of one value each, 8 · k for image k; their names."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{k:02}.png" for k in range(30)]
    for k, name in enumerate(names):
        Image.new("L", size, 8 * k).save(folder / name)
    return names


def table(folder: Path, header: list[str], rows: list[list[object]], kind: str) -> Files:
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return replace(SOURCE, path=str(folder / "labels.csv"), kind=kind)
