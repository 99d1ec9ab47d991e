"""n groups of m classes with known posteriors; training labels hard, smoothed or exact."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import scipy  # whose parts are imported at their first use
import torch
from numpy.typing import NDArray

from lossheads.datasets.checks import check_choice, check_integer, check_number, class_shares
from lossheads.datasets.dataset import Dataset, Split
from lossheads.datasets.drawing import (
    Floats,
    drawn_provenance,
    equidistant_bayes,
    orthogonal,
    random_stream,
)
from lossheads.datasets.reading_only import refuse_large
from lossheads.outcomes import EachOneOf

NAME = "synthetic_groups"


@dataclass(frozen=True)
class SyntheticGroups:
    """S groups, each one of M classes, each M equidistant Gaussians in directions of its own.

    Sets are independent; the random rotation mixes all directions, so no input belongs to one
    set. The logits of the posteriors are linear in the inputs: a linear model can reach them.
    Inputs have S·M dimensions.

    `bayes_score` is the best `accuracy_score` of the distribution, the share of groups right.

    Args:
        groups: S, at least 1.
        classes: M, at least 2.
        separation: Distance of any two means of a group, in standard deviations, 0.01 to 40.
        shares: How frequent each class is, the same in every group, M numbers that sum to 1;
            None for equal shares.
        labels: What the training labels are. `hard`: the drawn classes. `smoothed`: their
            one-hot rows, of which `smoothing` is spread evenly over all M classes. `soft`: the
            exact posterior. Except for `hard` the outcome is soft; validation and test labels
            are then one-hot rows of the drawn classes, so that metrics measure the same thing
            whatever was trained on. Inputs and drawn classes are the same for all three.
        smoothing: 0 to 1, for `labels=smoothed` only.
        train, val, test: Examples per split.
        seed: Of the rotation and of the examples.
    """

    groups: int
    classes: int
    separation: float
    shares: Sequence[float] | None
    labels: Literal["hard", "smoothed", "soft"]
    smoothing: float
    train: int
    val: int
    test: int
    seed: int

    def __post_init__(self) -> None:
        check_integer(NAME, 1, groups=self.groups, train=self.train, val=self.val, test=self.test)
        check_integer(NAME, 2, classes=self.classes)
        check_integer(NAME, 0, seed=self.seed)
        check_number(NAME, 0.01, 40, separation=self.separation)
        check_number(NAME, 0, 1, smoothing=self.smoothing)
        check_choice(NAME, ("hard", "smoothed", "soft"), labels=self.labels)
        rows = self.train + self.val + self.test
        turns = 10 * (self.groups**2 + self.classes**2)
        refuse_large(NAME, 2 * rows * self.groups * self.classes + turns)
        class_shares(NAME, self.shares, self.classes)

    @property
    def outcome(self) -> EachOneOf:
        return EachOneOf(self.groups, self.classes, soft=self.labels != "hard")

    def load(self, data_dir: Path | None, cache: Path) -> Dataset:
        """See `DatasetSource.load`; draws, and touches neither folder."""
        shares = class_shares(NAME, self.shares, self.classes)
        turn = orthogonal(self.groups, self.seed), orthogonal(self.classes, self.seed)
        train, val, test = (
            self._split(part, rows, shares, turn)
            for part, rows in (("train", self.train), ("val", self.val), ("test", self.test))
        )
        return Dataset(
            outcome=self.outcome,
            train=train,
            val=val,
            test=test,
            class_names=tuple(f"class {k}" for k in range(self.classes)),
            provenance=drawn_provenance(NAME, self.seed, (train, val, test)),
            bayes_score=equidistant_bayes(self.separation, shares),
        )

    def _split(self, part: str, rows: int, shares: Floats, turn: tuple[Floats, Floats]) -> Split:
        rng = random_stream(self.seed, part)
        amplitude = self.separation / np.sqrt(2)
        classes = rng.choice(self.classes, size=(rows, self.groups), p=shares)
        one_hot = np.eye(self.classes)[classes]
        straight = amplitude * one_hot + rng.standard_normal(one_hot.shape)
        # Turning groups among themselves, then classes, is one rotation of all S·M directions (the
        # Kronecker product of the two), without a matrix of (S·M)² numbers.
        of_groups, of_classes = turn
        inputs = (of_groups.T @ straight @ of_classes).astype(np.float32)
        # Of the inputs as rounded; the equal lengths of the means cancel in the softmax.
        seen = of_groups @ inputs.astype(np.float64) @ of_classes.T
        true_posterior = np.asarray(
            scipy.special.softmax(amplitude * seen + np.log(shares), axis=2)
        )
        return Split(
            torch.from_numpy(inputs.reshape(rows, -1)),
            self._labels(part, classes, one_hot, true_posterior),
            torch.from_numpy(true_posterior),
        )

    def _labels(
        self, part: str, classes: NDArray[np.int64], one_hot: Floats, true_posterior: Floats
    ) -> torch.Tensor:
        if self.labels == "hard":
            return torch.from_numpy(classes)
        rows = one_hot
        if part == "train" and self.labels == "soft":
            rows = true_posterior
        if part == "train" and self.labels == "smoothed":
            rows = (1 - self.smoothing) * one_hot + self.smoothing / self.classes
        return torch.from_numpy(rows.astype(np.float32))
