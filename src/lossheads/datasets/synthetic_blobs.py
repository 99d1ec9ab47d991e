"""Gaussian blobs, one of C classes, with known posteriors and known Bayes accuracy."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lossheads.datasets.checks import check_integer, check_number, class_shares
from lossheads.datasets.dataset import Dataset, Split
from lossheads.datasets.drawing import (
    Floats,
    draw,
    drawn_provenance,
    equidistant_bayes,
    orthogonal,
    posterior,
    random_stream,
)
from lossheads.datasets.reading_only import refuse_large
from lossheads.errors import UserError
from lossheads.outcomes import OneOf


@dataclass(frozen=True)
class SyntheticBlobs:
    """C unit Gaussians whose means all lie equally far apart, turned by a random rotation.

    The logits of the posterior are linear in the inputs: a linear model can reach the Bayes
    accuracy. `bayes_score` is that of the distribution, by quadrature.

    Args:
        classes: C, at least 2.
        dimensions: D, inputs per example, at least C (each mean has its own direction).
        separation: Distance of any two means, in standard deviations, 0.01 to 40.
        shares: How frequent each class is, C numbers that sum to 1; None for equal shares.
        train, val, test: Examples per split.
        seed: Of the rotation and of the examples.
    """

    classes: int
    dimensions: int
    separation: float
    shares: Sequence[float] | None
    train: int
    val: int
    test: int
    seed: int

    def __post_init__(self) -> None:
        name = "synthetic_blobs"
        check_integer(name, 2, classes=self.classes, dimensions=self.dimensions)
        check_integer(name, 1, train=self.train, val=self.val, test=self.test)
        check_integer(name, 0, seed=self.seed)
        check_number(name, 0.01, 40, separation=self.separation)
        if self.dimensions < self.classes:
            raise UserError(
                f"{name}: dimensions must be at least {self.classes} for {self.classes} classes, "
                f"one direction per class, got {self.dimensions}"
            )
        rows = self.train + self.val + self.test
        refuse_large(name, rows * (self.dimensions + self.classes) + 10 * self.dimensions**2)
        class_shares(name, self.shares, self.classes)

    @property
    def outcome(self) -> OneOf:
        return OneOf(self.classes)

    def load(self, data_dir: Path | None, cache: Path) -> Dataset:
        """See `DatasetSource.load`; draws, and touches neither folder."""
        shares = class_shares("synthetic_blobs", self.shares, self.classes)
        amplitude = self.separation / np.sqrt(2)
        means = amplitude * orthogonal(self.dimensions, self.seed)[: self.classes]
        train = mixture_split(means, shares, self.train, random_stream(self.seed, "train"))
        val = mixture_split(means, shares, self.val, random_stream(self.seed, "val"))
        test = mixture_split(means, shares, self.test, random_stream(self.seed, "test"))
        return Dataset(
            outcome=self.outcome,
            train=train,
            val=val,
            test=test,
            class_names=tuple(f"blob {k}" for k in range(self.classes)),
            provenance=drawn_provenance("synthetic_blobs", self.seed, (train, val, test)),
            bayes_score=equidistant_bayes(self.separation, shares),
        )


def mixture_split(means: Floats, shares: Floats, rows: int, rng: np.random.Generator) -> Split:
    """Drawn examples of a Gaussian mixture, with their true posteriors."""
    inputs, classes = draw(means, shares, rows, rng)
    true_posterior = torch.from_numpy(posterior(inputs, means, shares))
    return Split(torch.from_numpy(inputs), torch.from_numpy(classes), true_posterior)
