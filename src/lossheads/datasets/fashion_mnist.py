"""Fashion-MNIST: ten garments, or two of them at a chosen balance."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lossheads.datasets import garments
from lossheads.datasets.checks import check_choice, check_integer, check_number
from lossheads.datasets.dataset import Dataset, Provenance, Split
from lossheads.datasets.garments import Garments, read_garments
from lossheads.datasets.published import pixels
from lossheads.errors import UserError
from lossheads.outcomes import OneOf


def provenance(name: str) -> Provenance:
    return Provenance(name, garments.ORIGIN, garments.checksum(), garments.LICENCE)


@dataclass(frozen=True)
class FashionMNIST:
    """70,000 photographs of garments, 28 x 28 grey: exactly one of C classes.

    Splits are fixed: the first 55,000 of the published training file train, its last 5,000
    validate, the published 10,000 test. The order within is the published one.

    Args:
        classes: Keep the first C of the ten garments, 2 to 10, in all splits.

    Source: Xiao, Rasul, Vollgraf (2017), arXiv 1708.07747.
    """

    classes: int

    def __post_init__(self) -> None:
        check_integer("fashion_mnist", 2, len(garments.NAMES), classes=self.classes)

    @property
    def outcome(self) -> OneOf:
        return OneOf(self.classes)

    def load(self, data_dir: Path | None, cache: Path) -> Dataset:
        """See `DatasetSource.load`; `read_garments` documents where the files are searched."""
        parts = read_garments(data_dir, cache)
        return Dataset(
            outcome=self.outcome,
            train=self._split(parts["train"]),
            val=self._split(parts["val"]),
            test=self._split(parts["test"]),
            class_names=garments.NAMES[: self.classes],
            provenance=provenance("fashion_mnist"),
        )

    def _split(self, part: Garments) -> Split:
        rows = part.classes < self.classes
        return Split(pixels(part.images[rows]), torch.from_numpy(part.classes[rows]))


@dataclass(frozen=True)
class FashionMNISTPair:
    """Two garments of Fashion-MNIST, at a chosen share of positives.

    The splits are those of `FashionMNIST`. In each of them the garment that is too frequent for
    `positive_rate` loses its last examples; nothing is drawn, so nothing depends on a seed.

    Args:
        negative: Garment that becomes class 0.
        positive: Garment that becomes class 1.
        positive_rate: Share of `positive` in every split, 0.001 to 0.999; met to within
            half an example.
    """

    negative: str
    positive: str
    positive_rate: float

    def __post_init__(self) -> None:
        check_choice(
            "fashion_mnist_pair", garments.NAMES, negative=self.negative, positive=self.positive
        )
        if self.negative == self.positive:
            raise UserError(
                f"fashion_mnist_pair: negative and positive must differ, got {self.positive} twice"
            )
        check_number("fashion_mnist_pair", 0.001, 0.999, positive_rate=self.positive_rate)

    @property
    def outcome(self) -> OneOf:
        return OneOf(2)

    def load(self, data_dir: Path | None, cache: Path) -> Dataset:
        """See `DatasetSource.load`; `read_garments` documents where the files are searched."""
        parts = read_garments(data_dir, cache)
        return Dataset(
            outcome=self.outcome,
            train=self._split("train", parts["train"]),
            val=self._split("val", parts["val"]),
            test=self._split("test", parts["test"]),
            class_names=(self.negative, self.positive),
            provenance=provenance("fashion_mnist_pair"),
        )

    def _split(self, name: str, part: Garments) -> Split:
        negatives, positives = (
            np.flatnonzero(part.classes == garments.NAMES.index(garment))
            for garment in (self.negative, self.positive)
        )
        odds = self.positive_rate / (1 - self.positive_rate)
        most_negatives, most_positives = round(len(positives) / odds), round(len(negatives) * odds)
        negatives, positives = negatives[:most_negatives], positives[:most_positives]
        if len(negatives) == 0 or len(positives) == 0:
            raise UserError(
                f"fashion_mnist_pair: positive_rate={self.positive_rate} leaves no example of one "
                f"garment in the {name} split; choose a rate nearer to 0.5"
            )
        rows = np.sort(np.concatenate([negatives, positives]))
        labels = part.classes[rows] == garments.NAMES.index(self.positive)
        return Split(pixels(part.images[rows]), torch.from_numpy(labels).long())
