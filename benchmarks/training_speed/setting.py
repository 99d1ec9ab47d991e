"""The work that is the same for everyone: nets, rows, and what a step must compute.

Nothing here imports a framework: every peer reads this module inside its own process.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

SIDE, CLASSES = 28, 10
LEARNING_RATE = 1e-3

# Images in an epoch: the published training file. Peers hold fewer rows (whole batches of the
# training split), so their seconds are scaled to this number; no ratio depends on it.
EPOCH = 60_000

# Rows and columns of the matrices whose product measures the machine's arithmetic rate; small
# ones do not fill a card.
GEMM_SIZE: dict[str, int] = {"cpu": 2048, "cuda": 8192}

# Untimed steps where a round begins cold: more than a loader fetches ahead.
WARM_STEPS = 5

Order = Literal["own", "shared"]
Device = Literal["cpu", "cuda"]
Precision = Literal["float32", "tf32", "bfloat16"]


@dataclass(frozen=True)
class Model:
    """3×3 convolutions with ReLU and 2×2 max pooling, dense layers with ReLU, ten logits.

    Attributes:
        blocks: Stages after which two more convolutions are added to their input; with any, every
            convolution is followed by GroupNorm and has no bias, and channels are averaged before
            the first dense layer.
    """

    channels: tuple[int, ...]
    hidden: tuple[int, ...]
    blocks: tuple[int, ...] = ()


MODELS = {
    "mlp-128": Model(channels=(), hidden=(128,)),
    "mlp-512-512": Model(channels=(), hidden=(512, 512)),
    "cnn-32-64": Model(channels=(32, 64), hidden=(128,)),
    "resnet9": Model(channels=(8, 16, 32, 64), hidden=(), blocks=(1, 3)),
}


@dataclass(frozen=True)
class Setting:
    """What a peer trains, and on what.

    Attributes:
        model: Key of `MODELS`.
        batch: Images per step.
        order: Whether each of K members sees batches of its own or all see the same.
        threads: Threads a peer may use.
        rows: Path of the .npz that `save_rows` wrote.
        device: `cuda` for the peers that follow it (see `Peer.any_device`).
        precision: Of matrix products, likewise; weights and optimizer stay float32.
        graph: Whether this project replays its step as a CUDA graph.
    """

    model: str
    batch: int
    order: Order
    threads: int
    rows: str
    device: Device = "cpu"
    precision: Precision = "float32"
    graph: bool = False

    @property
    def title(self) -> str:
        return f"{self.model}, batch {self.batch}"


def dense_widths(model: Model) -> list[int]:
    """Widths from the first dense layer's inputs to the logits."""
    side = 1 if model.blocks else SIDE // 2 ** len(model.channels)
    depth = model.channels[-1] if model.channels else 1
    return [depth * side * side, *model.hidden, CLASSES]


def gemm_flops(setting: Setting) -> int:
    """Floating-point operations of the product that measures the machine."""
    return 2 * GEMM_SIZE[setting.device] ** 3


def flops_per_image(model: Model) -> int:
    """Exact floating-point operations of the products of one training step, per image.

    Every layer multiplies three times: forward, for its weights' gradient, for its inputs'
    gradient; the first layer's inputs need none. Biases, activations, loss and optimizer are
    left out: they are not what a matrix product's rate could pay for.
    """
    side, layers = SIDE, []
    for stage, (narrow, wide) in enumerate(pairwise((1, *model.channels))):
        layers.append(2 * prod((3, 3, narrow, wide, side, side)))
        side //= 2
        layers += [2 * prod((3, 3, wide, wide, side, side))] * (2 * (stage in model.blocks))
    layers += [2 * narrow * wide for narrow, wide in pairwise(dense_widths(model))]
    return 3 * sum(layers) - layers[0]


def save_rows(path: Path, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
    """Write (N, 28, 28) bytes and (N,) classes for the peers to read."""
    np.savez(path, images=images, labels=labels)


def load_rows(setting: Setting) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (N, 28, 28) bytes and classes (N,): as many as make whole batches."""
    with np.load(setting.rows) as stored:
        images, labels = stored["images"], stored["labels"]
    kept = len(images) // setting.batch * setting.batch
    return images[:kept], labels[:kept]
