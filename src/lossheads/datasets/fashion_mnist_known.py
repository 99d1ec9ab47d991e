"""Some garments are known classes; held-out garments, noise and digits are outliers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lossheads.datasets import garments
from lossheads.datasets.cache import Bytes
from lossheads.datasets.checks import check_choice, check_integer
from lossheads.datasets.dataset import Dataset, Split
from lossheads.datasets.digits import read_digits
from lossheads.datasets.drawing import random_stream
from lossheads.datasets.fashion_mnist import provenance
from lossheads.datasets.garments import Garments, read_garments
from lossheads.datasets.published import pixels
from lossheads.errors import UserError
from lossheads.outcomes import AnyOf, OneOf

NAME = "fashion_mnist_known"
MAX_HELD_OUT = len(garments.NAMES) - 2


@dataclass(frozen=True)
class FashionMNISTKnown:
    """Fashion-MNIST without some garments, and `outliers` that belong to no class.

    Splits are those of `FashionMNIST` less the garments held out. Validation and test hold
    known garments only, whatever `none` says, so accuracies of the variants can be compared.

    `outliers`, none of which any variant trains on:
        held_out: test images of the garments held out.
        uniform_noise: each pixel uniform in [0, 1].
        gaussian_noise: normal with mean and deviation of the known training pixels, clipped
            to [0, 1].
        blank: the 256 images of one grey, from black to white.
        digits: scikit-learn's 1,797 digits, 8 x 8 enlarged to 28 x 28, bilinear.

    Args:
        held_out: The garments held out: their names, or how many, 1 to 8, of which `seed` then
            draws the names, every choice equally likely. At least two garments must remain.
        none: How "none of the classes" enters training. `absent`: not at all, OneOf(C). `class`:
            as one more class, the last of OneOf(C + 1). `zero_rows`: as rows with every label
            off, AnyOf(C). The examples are known training garments cut into 16 squares of 7 x 7
            pixels, shuffled: the same pixels, no garment. They add to the training split.
        none_examples: How many of them there are, unless `none` is `absent`.
        noise_examples: Images of each kind of noise.
        seed: Of the shuffled garments and of the noise, and of garments held out by number.
    """

    held_out: Sequence[str] | int
    none: Literal["absent", "class", "zero_rows"]
    none_examples: int
    noise_examples: int
    seed: int

    def __post_init__(self) -> None:
        check_choice(NAME, ("absent", "class", "zero_rows"), none=self.none)
        check_integer(NAME, 1, none_examples=self.none_examples, noise_examples=self.noise_examples)
        check_integer(NAME, 0, seed=self.seed)
        if isinstance(self.held_out, int):
            check_integer(NAME, 1, MAX_HELD_OUT, held_out=self.held_out)
            return
        if isinstance(self.held_out, str) or not 1 <= len(set(self.held_out)) <= MAX_HELD_OUT:
            raise UserError(
                f"{NAME}: held_out must be a list of 1 to {MAX_HELD_OUT} different garments, so "
                f"that at least 2 remain, or their number, got {self.held_out}"
            )
        for garment in self.held_out:
            check_choice(NAME, garments.NAMES, held_out=garment)

    @property
    def outcome(self) -> OneOf | AnyOf:
        known = len(self.known)
        return AnyOf(known) if self.none == "zero_rows" else OneOf(known + (self.none == "class"))

    @property
    def strangers(self) -> tuple[str, ...]:
        """The garments held out, in the published order."""
        if isinstance(self.held_out, int):
            rng = random_stream(self.seed, "structure")
            drawn = rng.choice(len(garments.NAMES), size=self.held_out, replace=False)
            return tuple(garments.NAMES[number] for number in sorted(drawn))
        return tuple(name for name in garments.NAMES if name in self.held_out)

    @property
    def known(self) -> tuple[str, ...]:
        """The known garments, in the published order."""
        return tuple(name for name in garments.NAMES if name not in self.strangers)

    def load(self, data_dir: Path | None, cache: Path) -> Dataset:
        """See `DatasetSource.load`; `read_garments` documents where the files are searched."""
        parts = read_garments(data_dir, cache)
        train = self._known_part(parts["train"])
        outliers = {"held_out": self._held_out(parts["test"]), **self._outliers(train.images)}
        return Dataset(
            outcome=self.outcome,
            train=self._training_split(train),
            val=self._split(self._known_part(parts["val"])),
            test=self._split(self._known_part(parts["test"])),
            class_names=self.known + ("none",) * (self.none == "class"),
            provenance=provenance(NAME),
            outliers=outliers,
            none_class=len(self.known) if self.none == "class" else None,
        )

    def _known_part(self, part: Garments) -> Garments:
        """The known garments of a split, their classes renumbered without gaps."""
        number = np.full(len(garments.NAMES), -1)
        number[[garments.NAMES.index(name) for name in self.known]] = np.arange(len(self.known))
        classes = number[part.classes]
        return Garments(part.images[classes >= 0], classes[classes >= 0])

    def _held_out(self, part: Garments) -> Tensor:
        rows = [name in self.strangers for name in garments.NAMES]
        return pixels(part.images[np.array(rows)[part.classes]])

    def _split(self, part: Garments) -> Split:
        classes = torch.from_numpy(part.classes)
        if self.none != "zero_rows":
            return Split(pixels(part.images), classes)
        # One column per class; row C of this table is the all-off row of "none of the classes".
        table = torch.eye(len(self.known) + 1, len(self.known), dtype=torch.bool)
        return Split(pixels(part.images), table[classes])

    def _training_split(self, part: Garments) -> Split:
        if self.none == "absent":
            return self._split(part)
        rng = random_stream(self.seed, "train")
        chosen = rng.integers(0, len(part.images), self.none_examples)
        nothing = _shuffled_squares(part.images[chosen], rng)
        images = np.concatenate([part.images, nothing])
        classes = np.concatenate([part.classes, np.full(len(nothing), len(self.known))])
        return self._split(Garments(images, classes))

    def _outliers(self, train_images: Bytes) -> dict[str, Tensor]:
        rng = random_stream(self.seed, "test")
        shape = (self.noise_examples, 1, 28, 28)
        mean, deviation = train_images.mean() / 255, train_images.std() / 255
        uniform = rng.random(shape, dtype=np.float32)
        gaussian = (mean + deviation * rng.standard_normal(shape)).clip(0, 1).astype(np.float32)
        greys = torch.linspace(0, 1, 256).reshape(-1, 1, 1, 1).expand(-1, 1, 28, 28)
        digits = torch.from_numpy(read_digits()[0]).unsqueeze(1)
        return {
            "uniform_noise": torch.from_numpy(uniform),
            "gaussian_noise": torch.from_numpy(gaussian),
            "blank": greys.contiguous(),
            "digits": torch.nn.functional.interpolate(digits, size=(28, 28), mode="bilinear"),
        }


def _shuffled_squares(images: Bytes, rng: np.random.Generator) -> Bytes:
    """(N, 28, 28) -> the same, each image's 16 squares of 7 x 7 in a random order of its own."""
    squares = images.reshape(-1, 4, 7, 4, 7).transpose(0, 1, 3, 2, 4).reshape(-1, 16, 7, 7)
    order = rng.permuted(np.tile(np.arange(16), (len(images), 1)), axis=1)
    mixed = np.take_along_axis(squares, order[:, :, None, None], axis=1)
    back = mixed.reshape(-1, 4, 4, 7, 7).transpose(0, 1, 3, 2, 4).reshape(-1, 28, 28)
    return np.ascontiguousarray(back)
