"""Pictures composed of Fashion-MNIST's garments: several labels, real pixels."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lossheads.datasets import garments
from lossheads.datasets.cache import Bytes
from lossheads.datasets.checks import check_integer, check_integer_choice, check_number
from lossheads.datasets.dataset import Dataset, Provenance, Split
from lossheads.datasets.drawing import drawn_provenance, random_stream
from lossheads.datasets.garments import Garments, read_garments
from lossheads.datasets.published import pixels
from lossheads.datasets.reading_only import refuse_large
from lossheads.errors import UserError
from lossheads.outcomes import AnyOf, EachOneOf

SIDE = 28  # pixels of a garment
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Canvas:
    """Garments on a larger black canvas, none to `most` of them, never overlapping.

    Labels say which of the ten garments are present (AnyOf). An occupied canvas holds 1 to
    `most` garments, each number equally likely, all of different classes, each class equally
    likely. Each garment lies somewhere inside a cell of its own, the cells being equal squares;
    which photograph of its class it is, is drawn with replacement. A split's canvases use only
    the garments of the same split of `FashionMNIST`. Empty canvases are all alike.

    Args:
        size: Height and width of the canvas, in pixels, at least 28.
        most: Largest number of garments, at most ten and the number of cells, (size // 28)².
        empty: Share of canvases with nothing on them, 0 to 1.
        train, val, test: Canvases per split.
        seed: Of everything drawn.
    """

    size: int
    most: int
    empty: float
    train: int
    val: int
    test: int
    seed: int

    def __post_init__(self) -> None:
        check_integer("canvas", SIDE, size=self.size)
        check_integer("canvas", 1, train=self.train, val=self.val, test=self.test)
        check_integer("canvas", 0, seed=self.seed)
        check_number("canvas", 0, 1, empty=self.empty)
        check_integer("canvas", 1, len(garments.NAMES), most=self.most)
        cells = (self.size // SIDE) ** 2
        if self.most > cells:
            raise UserError(
                f"canvas: most must be at most {cells} for size={self.size}, got {self.most}: more "
                f"garments of {SIDE} pixels would overlap; enlarge size or lower most"
            )
        pictures = self.train + self.val + self.test
        refuse_large("canvas", pictures * (self.size**2 + cells) // 2)  # pixels take 4 bytes

    @property
    def outcome(self) -> AnyOf:
        return AnyOf(len(garments.NAMES))

    def load(self, data_dir: Path | None, cache: Path) -> Dataset:
        """See `DatasetSource.load`; `read_garments` documents where the files are searched."""
        parts = read_garments(data_dir, cache)
        train, val, test = (
            self._split(parts[part], rows, random_stream(self.seed, part))
            for part, rows in (("train", self.train), ("val", self.val), ("test", self.test))
        )
        return Dataset(
            outcome=self.outcome,
            train=train,
            val=val,
            test=test,
            class_names=garments.NAMES,
            provenance=composed("canvas", self.seed, (train, val, test)),
        )

    def _split(self, part: Garments, rows: int, rng: np.random.Generator) -> Split:
        per_side = self.size // SIDE
        cell = self.size // per_side
        occupied = rng.random(rows) >= self.empty
        count = np.where(occupied, rng.integers(1, self.most + 1, rows), 0)
        kinds = _first_of_shuffled(rng, rows, len(garments.NAMES), self.most)
        cells = _first_of_shuffled(rng, rows, per_side**2, self.most)
        chosen = _photographs(part, kinds, rng)
        offsets = rng.integers(0, cell - SIDE + 1, (2, rows, self.most))
        top, left = np.stack(np.divmod(cells, per_side)) * cell + offsets

        images = np.zeros((rows, self.size, self.size), dtype=np.uint8)
        labels = np.zeros((rows, len(garments.NAMES)), dtype=np.bool_)
        along = np.arange(SIDE)
        for place in range(self.most):
            here = np.flatnonzero(count > place)
            down = top[here, place, None, None] + along[:, None]
            right = left[here, place, None, None] + along
            images[here[:, None, None], down, right] = part.images[chosen[here, place]]
            labels[here, kinds[here, place]] = True
        return Split(pixels(images), torch.from_numpy(labels))


@dataclass(frozen=True)
class Quadrants:
    """A grid of positions, each empty or showing one garment (EachOneOf with background).

    Class 0 of every position is the background, classes 1 … M the first M garments. Positions
    are independent and alike. Photographs are drawn with replacement, for a split only from the
    same split of `FashionMNIST`.

    Args:
        rows, columns: Positions from top to bottom and from left to right; S = rows · columns.
        tile: Height and width of a position in pixels: 28, or 14 or 7, where garments are
            shrunk by averaging blocks of pixels.
        garments: M, 1 to 10.
        background: Share of positions that are empty, above 0 and below 1.
        imbalance: How many times more frequent the first garment is than the last; those
            between follow geometrically. 1 is balanced; up to 10,000.
        train, val, test: Pictures per split.
        seed: Of everything drawn.
    """

    rows: int
    columns: int
    tile: int
    garments: int
    background: float
    imbalance: float
    train: int
    val: int
    test: int
    seed: int

    def __post_init__(self) -> None:
        check_integer("quadrants", 1, rows=self.rows, columns=self.columns)
        check_integer("quadrants", 1, train=self.train, val=self.val, test=self.test)
        check_integer("quadrants", 0, seed=self.seed)
        check_integer("quadrants", 1, len(garments.NAMES), garments=self.garments)
        check_integer_choice("quadrants", (28, 14, 7), tile=self.tile)
        check_number("quadrants", 0.001, 0.999, background=self.background)
        check_number("quadrants", 1, 10_000, imbalance=self.imbalance)
        pictures = self.train + self.val + self.test
        refuse_large("quadrants", pictures * self.rows * self.columns * self.tile**2 // 2)

    @property
    def outcome(self) -> EachOneOf:
        return EachOneOf(self.rows * self.columns, self.garments + 1)

    def shares(self) -> NDArray[np.float64]:
        """How frequent each class is in every position, float64 (M + 1,), background first."""
        falling = np.geomspace(1, 1 / self.imbalance, self.garments)
        rest = (1 - self.background) * falling / falling.sum()
        return np.concatenate([[self.background], rest])

    def load(self, data_dir: Path | None, cache: Path) -> Dataset:
        """See `DatasetSource.load`; `read_garments` documents where the files are searched."""
        parts = read_garments(data_dir, cache)
        train, val, test = (
            self._split(parts[part], rows, random_stream(self.seed, part))
            for part, rows in (("train", self.train), ("val", self.val), ("test", self.test))
        )
        return Dataset(
            outcome=self.outcome,
            train=train,
            val=val,
            test=test,
            class_names=("background", *garments.NAMES[: self.garments]),
            provenance=composed("quadrants", self.seed, (train, val, test)),
        )

    def _split(self, part: Garments, rows: int, rng: np.random.Generator) -> Split:
        shares = self.shares()
        classes = rng.choice(len(shares), size=(rows, self.rows * self.columns), p=shares)
        shown = classes > 0
        chosen = _photographs(part, np.where(shown, classes - 1, 0), rng)
        tiles = _shrunk(part.images, self.tile)[chosen] * shown[..., None, None]
        grid = tiles.reshape(rows, self.rows, self.columns, self.tile, self.tile)
        pictures = grid.transpose(0, 1, 3, 2, 4).reshape(
            rows, 1, self.rows * self.tile, self.columns * self.tile
        )
        return Split(torch.from_numpy(np.ascontiguousarray(pictures)), torch.from_numpy(classes))


def composed(name: str, seed: int, splits: tuple[Split, Split, Split]) -> Provenance:
    """Provenance of pictures made of garments: the checksum is of the pictures and labels."""
    source = drawn_provenance(name, seed, splits, origin=f"composed of {garments.ORIGIN}")
    return Provenance(source.name, source.origin, source.checksum, garments.LICENCE)


def _first_of_shuffled(rng: np.random.Generator, rows: int, n: int, most: int) -> Whole:
    """For each row the first `most` of 0 … n − 1 in a random order of its own: (rows, most)."""
    return np.asarray(rng.permuted(np.tile(np.arange(n), (rows, 1)), axis=1)[:, :most])


def _photographs(part: Garments, kinds: Whole, rng: np.random.Generator) -> Whole:
    """A random row of `part` for each wanted class, shaped like `kinds`."""
    order = np.argsort(part.classes, kind="stable")
    counts = np.bincount(part.classes, minlength=len(garments.NAMES))
    first = np.cumsum(counts) - counts
    return np.asarray(order[first[kinds] + rng.integers(0, counts[kinds])])


def _shrunk(images: Bytes, side: int) -> NDArray[np.float32]:
    """(N, 28, 28) bytes -> (N, side, side) float32 in [0, 1], each pixel the mean of its block."""
    block = SIDE // side
    blocks = images.reshape(-1, side, block, side, block)
    return np.asarray(blocks.mean(axis=(2, 4), dtype=np.float32) / 255)
