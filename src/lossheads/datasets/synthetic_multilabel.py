"""Drawn multi-label data: linear scores, logistic noise, known posteriors."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import scipy  # whose parts are imported at their first use
import torch
from numpy.typing import NDArray

from lossheads.datasets.checks import check_choice, check_integer, check_number
from lossheads.datasets.dataset import Dataset, Split
from lossheads.datasets.drawing import Floats, drawn_provenance, random_stream
from lossheads.datasets.reading_only import refuse_large
from lossheads.errors import UserError
from lossheads.outcomes import AnyOf

NAME = "synthetic_multilabel"


@dataclass(frozen=True)
class SyntheticMultilabel:
    """Any subset of L labels, each on where a linear score plus noise passes its threshold.

    Inputs x are D standard normal numbers. Label l has a unit vector w_l, and is on when
    w_l·x + noise · (a standard logistic number) > threshold_l. So P(l on | x) =
    sigmoid((w_l·x − threshold_l) / noise): linear logits, labels independent given x.

    `bayes_score` is the best `elementwise_accuracy_score` of the distribution: the mean over
    labels of E max(P, 1 − P), a one-dimensional integral over w_l·x. It needs no joint
    probability. The best exact match is not known in closed form; on the test split it is the
    mean over rows of the product over labels of max(true_posterior, 1 − true_posterior).

    Args:
        labels: L, 1 to 1,000.
        dimensions: D, inputs per example, at least 2.
        prevalence: Share of examples in which a label is on, 0.001 to 0.999: one number for all
            labels, or the two ends of a range that the labels divide geometrically. Thresholds
            are solved for it, so it is the prevalence of the distribution.
        correlation: Of the scores of two labels, 0 to 1, on average over pairs of labels: a
            common direction has this share of every score's variance.
        noise: Scale of the logistic noise beside scores of standard deviation 1: 0 (labels are
            a function of the inputs; the Bayes score is 1), or 0.01 to 10.
        training_labels: `hard`: the drawn labels. `soft`: the exact P(l on | x); the outcome is
            then soft, and validation and test labels are the drawn ones as 0 and 1, so that
            metrics measure the same thing whatever was trained on. Inputs and drawn labels are
            the same for both.
        train, val, test: Examples per split.
        seed: Of the directions and of the examples.
    """

    labels: int
    dimensions: int
    prevalence: float | Sequence[float]
    correlation: float
    noise: float
    training_labels: Literal["hard", "soft"]
    train: int
    val: int
    test: int
    seed: int

    def __post_init__(self) -> None:
        check_integer(NAME, 1, 1_000, labels=self.labels)
        check_integer(NAME, 2, dimensions=self.dimensions)
        check_integer(NAME, 1, train=self.train, val=self.val, test=self.test)
        check_integer(NAME, 0, seed=self.seed)
        check_number(NAME, 0, 1, correlation=self.correlation)
        if self.noise != 0:
            check_number(NAME, 0.01, 10, noise=self.noise)
        check_choice(NAME, ("hard", "soft"), training_labels=self.training_labels)
        rows = self.train + self.val + self.test
        refuse_large(NAME, (rows + self.labels) * (self.dimensions + self.labels))
        self.prevalences()

    @property
    def outcome(self) -> AnyOf:
        return AnyOf(self.labels, soft=self.training_labels == "soft")

    def prevalences(self) -> Floats:
        """P(label on) of the distribution, float64 (L,), rising where a range was given."""
        given = self.prevalence
        ends = tuple(given) if isinstance(given, Sequence) else (given,)
        if len(ends) not in (1, 2):
            raise UserError(
                f"{NAME}: prevalence must be one number, or the lower and upper end of a range, "
                f"got {len(ends)} numbers"
            )
        low, high = ends[0], ends[-1]
        check_number(NAME, 0.001, 0.999, prevalence=low)
        check_number(NAME, low, 0.999, prevalence=high)
        return np.geomspace(low, high, self.labels)

    def load(self, data_dir: Path | None, cache: Path) -> Dataset:
        """See `DatasetSource.load`; draws, and touches neither folder."""
        thresholds = _thresholds(self.prevalences(), self.noise)
        directions = self._directions()
        train, val, test = (
            self._split(part, directions, thresholds, rows)
            for part, rows in (("train", self.train), ("val", self.val), ("test", self.test))
        )
        return Dataset(
            outcome=self.outcome,
            train=train,
            val=val,
            test=test,
            class_names=tuple(f"label {k}" for k in range(self.labels)),
            provenance=drawn_provenance(NAME, self.seed, (train, val, test)),
            bayes_score=_bayes_elementwise(thresholds, self.noise),
        )

    def _directions(self) -> Floats:
        """Unit vectors (L, D): a common one and one's own at right angles to it."""
        draws = random_stream(self.seed, "structure").standard_normal(
            (self.labels + 1, self.dimensions)
        )
        common = draws[0] / np.linalg.norm(draws[0])
        own = draws[1:] - np.outer(draws[1:] @ common, common)
        own /= np.linalg.norm(own, axis=1, keepdims=True)
        return np.asarray(np.sqrt(self.correlation) * common + np.sqrt(1 - self.correlation) * own)

    def _split(self, part: str, directions: Floats, thresholds: Floats, rows: int) -> Split:
        rng = random_stream(self.seed, part)
        inputs = rng.standard_normal((rows, self.dimensions)).astype(np.float32)
        true_posterior = _on(inputs.astype(np.float64) @ directions.T - thresholds, self.noise)
        drawn_labels = rng.random(true_posterior.shape) < true_posterior
        labels = torch.from_numpy(drawn_labels)
        if self.outcome.soft:
            labels = torch.from_numpy(true_posterior if part == "train" else drawn_labels).float()
        return Split(torch.from_numpy(inputs), labels, torch.from_numpy(true_posterior))


def _on(excess: Floats, noise: float) -> Floats:
    """P(label on), given how far its score lies above its threshold."""
    return np.asarray(
        scipy.special.expit(excess / noise) if noise else (excess > 0).astype(np.float64)
    )


def _thresholds(prevalences: Floats, noise: float) -> Floats:
    """Thresholds (L,) that a standard normal score plus noise passes with these probabilities."""
    logistic, step = np.linspace(-40, 40, 1601, retstep=True)
    # The density of the logistic distribution.
    weights = scipy.special.expit(logistic) * scipy.special.expit(-logistic) * step

    def too_often(threshold: float, prevalence: float) -> float:
        return float(weights @ scipy.special.ndtr(noise * logistic - threshold)) - prevalence

    far = 10 + 40 * noise
    solved = {
        p: scipy.optimize.brentq(too_often, -far, far, args=(p,), xtol=1e-12)
        for p in set(prevalences)
    }
    return np.array([solved[p] for p in prevalences])


def _bayes_elementwise(thresholds: Floats, noise: float) -> float:
    """Mean over labels of E max(P, 1 − P), by Gauss-Legendre on either side of the threshold."""
    if noise == 0:
        return 1.0
    nodes, weights = np.polynomial.legendre.leggauss(256)
    turn = thresholds.clip(-12, 12)

    def side(low: NDArray[np.float64], high: NDArray[np.float64], sign: int) -> Floats:
        half = (high - low) / 2
        score = (low + high) / 2 + np.outer(nodes, half)
        density = np.exp(-(score**2) / 2) / np.sqrt(2 * np.pi)
        # Beyond the threshold "on" is the better bet, before it "off".
        right = scipy.special.expit(sign * (score - thresholds) / noise)
        return np.asarray(half * (weights @ (density * right)))

    ends = np.full_like(turn, 12)
    return float((side(turn, ends, 1) + side(-ends, turn, -1)).mean())
