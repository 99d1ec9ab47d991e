"""Kept predictions of a test split as plain arrays: what pictures of curves and examples need.

Somebody who knows heads makes them of logits (`evaluation.kept_tests`); nothing here does.
N examples; K columns: classes, labels, or groups times classes, one after the other.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lossheads.errors import UserError


class NoneReadable(UserError):
    """Runs kept their predictions, and none can be read: why not the first of them."""


@dataclass(frozen=True)
class KeptRun:
    """What one run said of every example.

    Attributes:
        scores: (N, K) in [0, 1], as the head scores.
        probabilities: (N, K); those of one group of classes sum to 1, labels stand alone.
        sigmoids: (N, K), the sigmoid of every logit; None where logits are no columns.
        decided: (N, K) bool.
        present: (N, K) bool.
        digest: Runs with equal digests are about the same examples.
    """

    scores: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    sigmoids: NDArray[np.float32] | None
    decided: NDArray[np.bool_]
    present: NDArray[np.bool_]
    digest: str


@dataclass(frozen=True)
class KeptTest:
    """The runs of a sweep that kept their predictions.

    Attributes:
        runs: By key.
        rows: (N,) row numbers in the test split; every nth where all are too many.
        per_group: How many columns exclude each other: all, those of a group, or 1.
        image: (height, width, 3) of a row of the test split of one digest, or None.
        notes: What is missing and why.
    """

    runs: Mapping[str, KeptRun]
    rows: NDArray[np.int64]
    per_group: int
    image: Callable[[str, int], NDArray[np.uint8] | None]
    notes: tuple[str, ...] = ()
