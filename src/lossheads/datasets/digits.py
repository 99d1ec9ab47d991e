"""Scikit-learn's 1,797 handwritten digits: real images, at hand wherever this project runs."""

import hashlib
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lossheads.datasets.checks import check_integer
from lossheads.datasets.dataset import Dataset, Provenance, Split
from lossheads.outcomes import OneOf


def read_digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Images float32 (1797, 8, 8) in [0, 1] and digits int64 (1797,), in scikit-learn's order."""
    # What `load_digits` reads; importing scikit-learn takes as long as some trainings.
    found = distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")
    rows = np.loadtxt(str(found), delimiter=",")
    # Counts of dark pixels in 4 x 4 blocks, 0 … 16; then the digit.
    return (rows[:, :-1].reshape(-1, 8, 8) / 16).astype(np.float32), rows[:, -1].astype(np.int64)


@dataclass(frozen=True)
class Digits:
    """1,797 handwritten digits, 8 x 8 grey: exactly one of C classes.

    Splits are fixed. Of every five images of a digit, in scikit-learn's order, the first three
    train, the fourth validates, the fifth tests (1,085, 357 and 355 images for C = 10). Writers
    are not told apart by the source, so one writer's hand is in all three splits.

    Args:
        classes: Keep the digits below C, 2 to 10, in all splits.

    Source: Alpaydin and Kaynak (1998), UCI Optical Recognition of Handwritten Digits, its test
    part, as shipped by scikit-learn.
    """

    classes: int

    def __post_init__(self) -> None:
        check_integer("digits", 2, 10, classes=self.classes)

    @property
    def outcome(self) -> OneOf:
        return OneOf(self.classes)

    def load(self, data_dir: Path | None, cache: Path) -> Dataset:
        """See `DatasetSource.load`; touches neither folder."""
        images, digits = read_digits()
        used = hashlib.sha256(images.tobytes() + digits.tobytes()).hexdigest()
        turn = _rank_in_class(digits) % 5

        def split(chosen: NDArray[np.bool_]) -> Split:
            rows = chosen & (digits < self.classes)
            inputs = torch.from_numpy(images[rows]).unsqueeze(1)
            return Split(inputs, torch.from_numpy(digits[rows]))

        return Dataset(
            outcome=self.outcome,
            train=split(turn < 3),
            val=split(turn == 3),
            test=split(turn == 4),
            class_names=tuple(str(digit) for digit in range(self.classes)),
            provenance=Provenance(
                name="digits",
                origin="UCI Optical Recognition of Handwritten Digits (test part), scikit-learn",
                checksum=f"sha256 {used}",
                licence="CC BY 4.0",
            ),
        )


def _rank_in_class(classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many earlier rows have the same class: int64 (N,)."""
    order = np.argsort(classes, kind="stable")
    start = np.searchsorted(classes[order], classes[order])
    rank = np.empty_like(classes)
    rank[order] = np.arange(len(classes)) - start
    return rank
