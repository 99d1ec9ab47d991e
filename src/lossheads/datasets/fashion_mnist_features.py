"""Fashion-MNIST by the features of a tree: worn above or below, inside or outside."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from lossheads.datasets import garments as published
from lossheads.datasets.checks import check_choice
from lossheads.datasets.dataset import Dataset, Split
from lossheads.datasets.fashion_mnist import provenance
from lossheads.datasets.garments import Garments, read_garments
from lossheads.datasets.published import pixels
from lossheads.errors import UserError
from lossheads.outcomes import AnyOf, OneOf

NAME = "fashion_mnist_features"
LABELS = ("garment", "branch", "features")

# (worn on the upper half, an outer layer). Bags are worn on neither half and have no place here.
WORN = {
    "T-shirt/top": (True, False),
    "Trouser": (False, False),
    "Pullover": (True, True),
    "Dress": (True, False),
    "Coat": (True, True),
    "Sandal": (False, True),
    "Shirt": (True, False),
    "Sneaker": (False, True),
    "Ankle boot": (False, True),
}
FEATURES = ("upper", "outer")
BRANCHES = ("lower inner", "lower outer", "upper inner", "upper outer")


@dataclass(frozen=True)
class FashionMNISTFeatures:
    """Some garments, labelled by name, by branch of a tree, or by that branch's two features.

    The tree has the features that an answer to the 97-against-90 question names: worn on the
    upper or the lower half, and there an inner or an outer layer. Which garment lies on which
    branch is our reading (`WORN`); shoes are the outer layer of the lower half, dresses count as
    upper. The splits are those of `FashionMNIST` less the garments left out.

    Args:
        garments: At least two different ones; with `branch` and `features` no bags.
        labels: `garment`: which of them, OneOf(len(garments)), in the order given. `branch`:
            OneOf(4), see `BRANCHES`. `features`: AnyOf(2), upper and outer; both features right
            is the right branch, so `exact_match_score` of the two can be compared.
    """

    garments: Sequence[str]
    labels: Literal["garment", "branch", "features"]

    def __post_init__(self) -> None:
        check_choice(NAME, LABELS, labels=self.labels)
        given = self.garments
        if isinstance(given, str) or not 2 <= len(set(given)) == len(given):
            raise UserError(
                f"{NAME}: garments must be a list of at least 2 different garments, got {given}"
            )
        known = published.NAMES if self.labels == "garment" else tuple(WORN)
        for garment in given:
            check_choice(NAME, known, garments=garment)

    @property
    def outcome(self) -> OneOf | AnyOf:
        if self.labels == "features":
            return AnyOf(len(FEATURES))
        return OneOf(len(self.class_names))

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes or labels."""
        by_labels = {"garment": self.garments, "branch": BRANCHES, "features": FEATURES}
        return tuple(by_labels[self.labels])

    def load(self, data_dir: Path | None, cache: Path) -> Dataset:
        """See `DatasetSource.load`; `read_garments` documents where the files are searched."""
        parts = read_garments(data_dir, cache)
        return Dataset(
            outcome=self.outcome,
            train=self._split(parts["train"]),
            val=self._split(parts["val"]),
            test=self._split(parts["test"]),
            class_names=self.class_names,
            provenance=provenance(NAME),
        )

    def _split(self, part: Garments) -> Split:
        number = np.full(len(published.NAMES), -1)
        for place, garment in enumerate(self.garments):
            number[published.NAMES.index(garment)] = place
        chosen = number[part.classes]
        rows = chosen >= 0
        places = torch.from_numpy(chosen[rows])
        return Split(pixels(part.images[rows]), self._table()[places])

    def _table(self) -> torch.Tensor:
        """Place among `garments` -> its label."""
        if self.labels == "garment":
            return torch.arange(len(self.garments))
        features = torch.tensor([WORN[garment] for garment in self.garments])
        if self.labels == "features":
            return features
        upper, outer = features.long().unbind(dim=1)
        return 2 * upper + outer
