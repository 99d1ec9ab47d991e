"""Classes that split like a tree, and their flat twin of the same Bayes accuracy."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import scipy  # whose parts are imported at their first use

from lossheads.datasets.checks import check_choice, check_integer, check_number
from lossheads.datasets.dataset import Dataset
from lossheads.datasets.drawing import (
    Floats,
    drawn_provenance,
    equidistant_bayes,
    orthogonal,
    random_stream,
    tree_bayes,
    tree_means,
)
from lossheads.datasets.reading_only import refuse_large
from lossheads.datasets.synthetic_blobs import mixture_split
from lossheads.errors import UserError
from lossheads.outcomes import OneOf

NAME = "synthetic_tree"
MAX_BRANCH = 100  # standard deviations; beyond, nothing is ever confused
MAX_CLASSES = 1_000


@dataclass(frozen=True)
class SyntheticTree:
    """Unit Gaussians around the leaves of a tree of means; equally frequent, randomly rotated.

    Two leaves are the further apart the further up their paths part: siblings, then cousins.
    The flat twin has the same number of classes, inputs, examples and the same seed, its means
    all equally far apart, at the distance that gives the tree's Bayes accuracy. What differs
    between the two is the hierarchy alone.

    Args:
        shape: `tree`, or `flat` for the twin.
        depth: Levels below the root, 1 to 10.
        branching: Children of each node, 2 to 10; there are branching ** depth classes.
        separation: Distance of two sibling leaves of the tree, in standard deviations.
        growth: How much longer the branches of each level are than those below, 1 to 10; the
            top ones stay within 100 standard deviations.
        train, val, test: Examples per split.
        seed: Of the rotation and of the examples.
    """

    shape: Literal["tree", "flat"]
    depth: int
    branching: int
    separation: float
    growth: float
    train: int
    val: int
    test: int
    seed: int

    def __post_init__(self) -> None:
        check_choice(NAME, ("tree", "flat"), shape=self.shape)
        check_integer(NAME, 1, 10, depth=self.depth)
        check_integer(NAME, 2, 10, branching=self.branching)
        check_number(NAME, 0.1, 10, separation=self.separation)
        check_number(NAME, 1, 10, growth=self.growth)
        check_integer(NAME, 1, train=self.train, val=self.val, test=self.test)
        check_integer(NAME, 0, seed=self.seed)
        if self.separation * self.growth ** (self.depth - 1) > MAX_BRANCH:
            raise UserError(
                f"{NAME}: growth={self.growth} with depth={self.depth} makes top branches "
                f"over {MAX_BRANCH} standard deviations long; lower one of the two"
            )
        if self.classes > MAX_CLASSES:
            raise UserError(
                f"{NAME}: branching ** depth must be at most {MAX_CLASSES:,} classes, got "
                f"{self.branching} ** {self.depth} = {self.classes:,}; lower one of them"
            )
        rows = self.train + self.val + self.test
        refuse_large(NAME, 3 * rows * self.classes)  # a tree has less than twice as many nodes

    @property
    def classes(self) -> int:
        return int(self.branching**self.depth)

    @property
    def outcome(self) -> OneOf:
        return OneOf(self.classes)

    def load(self, data_dir: Path | None, cache: Path) -> Dataset:
        """See `DatasetSource.load`; draws, and touches neither folder."""
        means, shares = self._means(), np.full(self.classes, 1 / self.classes)
        train = mixture_split(means, shares, self.train, random_stream(self.seed, "train"))
        val = mixture_split(means, shares, self.val, random_stream(self.seed, "val"))
        test = mixture_split(means, shares, self.test, random_stream(self.seed, "test"))
        return Dataset(
            outcome=self.outcome,
            train=train,
            val=val,
            test=test,
            class_names=tuple(self._name(leaf) for leaf in range(self.classes)),
            provenance=drawn_provenance(NAME, self.seed, (train, val, test)),
            bayes_score=tree_bayes(self._amplitudes(), self.branching),
        )

    def _amplitudes(self) -> Floats:
        """Length of a branch at each level, top first; siblings are √2 of the last one apart."""
        powers = np.arange(self.depth)[::-1]
        return np.asarray(self.separation / np.sqrt(2) * self.growth**powers, dtype=np.float64)

    def _means(self) -> Floats:
        tree = tree_means(self._amplitudes(), self.branching)
        turn = orthogonal(tree.shape[1], self.seed)
        if self.shape == "tree":
            return np.asarray(tree @ turn)
        return np.asarray(self.flat_separation() / np.sqrt(2) * turn[: self.classes])

    def flat_separation(self) -> float:
        """Distance of any two means of the flat twin, in standard deviations."""
        shares = np.full(self.classes, 1 / self.classes)
        wanted = tree_bayes(self._amplitudes(), self.branching)

        def excess(apart: float) -> float:
            return equidistant_bayes(apart, shares) - wanted

        # No settings allowed above make a task harder than the one end or easier than the other.
        return float(scipy.optimize.brentq(excess, 1e-3, 100, xtol=1e-12))

    def _name(self, leaf: int) -> str:
        if self.shape == "flat":
            return f"class {leaf}"
        digits = [leaf // self.branching**power % self.branching for power in range(self.depth)]
        return "leaf " + ".".join(str(digit) for digit in reversed(digits))
