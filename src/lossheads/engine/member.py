"""A member: one head, one seed, one set of optimizer settings, and its initial network."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lossheads.heads.base import Head

BackboneBuilder = Callable[..., nn.Module]

# Random streams of one seed; members with equal seeds start from the same backbone, whatever their
# head.
_BACKBONE, _OUTPUT_LAYER, _BATCHES, _AUGMENTATION, _DRAWS = range(5)


@dataclass(frozen=True)
class Member:
    """What distinguishes one member of a cohort from another.

    Attributes:
        head: Loss, scores and decision.
        seed: Initialises the backbone and the output layer.
        data_seed: Draws the order of batches.
        optimizer_kwargs: Keyword arguments of the optimizer (`lr`, `weight_decay`, ...).
        initial_bias: Initial bias (U,) of the output layer, or None for torch's default.
        cosine_temperature: Logits are cosines of features and weights, divided by it; None: linear.
    """

    head: Head
    seed: int
    data_seed: int
    optimizer_kwargs: Mapping[str, Any]
    initial_bias: Tensor | None = None
    cosine_temperature: float | None = None


class Cosine(nn.Module):
    """The output layer of cosine softmax: cosine of features and a class's weights / temperature.

    No bias. Of features that are all 0 the cosine is 0.

    Source: Kornblith et al. (2021), arXiv 2010.16402, who take 0.05 (as we remember it).
    """

    def __init__(self, width: int, num_logits: int, temperature: float) -> None:
        super().__init__()
        linear = nn.Linear(width, num_logits)  # its initial weights; their lengths have no effect
        self.weight, self.temperature = linear.weight, temperature

    def forward(self, features: Tensor) -> Tensor:
        """(N, width) -> (N, U), in -1/temperature … 1/temperature."""
        weight = functional.normalize(self.weight, dim=1)
        return functional.linear(functional.normalize(features, dim=1), weight) / self.temperature


class Net(nn.Module):
    """Backbone, then output layer: inputs -> logits."""

    def __init__(self, backbone: nn.Module, output_layer: nn.Linear | Cosine) -> None:
        super().__init__()
        self.backbone = backbone
        self.output_layer = output_layer

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, *input_shape) -> (N, U)."""
        logits: Tensor = self.output_layer(self.backbone(inputs))
        return logits


# Modules draw their initial weights from torch's global generator: one thread at a time.
_RNG_LOCK = threading.Lock()


@contextmanager
def isolated_rng() -> Iterator[None]:
    """Build networks here: torch's global generator is locked, and restored afterwards."""
    with _RNG_LOCK, torch.random.fork_rng(devices=[]):
        yield


def initial_net(backbone: BackboneBuilder, input_shape: tuple[int, ...], member: Member) -> Net:
    """The initial network of `member`, on the CPU: the same bits in every cohort."""
    with isolated_rng():
        torch.manual_seed(stream_seed(member.seed, _BACKBONE))
        module = backbone(input_shape)
        width = _num_features(module, input_shape)
        torch.manual_seed(stream_seed(member.seed, _OUTPUT_LAYER))
        if member.cosine_temperature is not None:
            return Net(module, Cosine(width, member.head.num_logits, member.cosine_temperature))
        output_layer = nn.Linear(width, member.head.num_logits)
    if member.initial_bias is not None:
        with torch.no_grad():
            output_layer.bias.copy_(member.initial_bias)
    return Net(module, output_layer)


def batch_seed(data_seed: int) -> int:
    """Seed of the generator that orders the batches."""
    return stream_seed(data_seed, _BATCHES)


def augmentation_seed(data_seed: int) -> int:
    """Seed of the generator that crops and mirrors."""
    return stream_seed(data_seed, _AUGMENTATION)


def draws_seed(seed: int) -> int:
    """Seed of what a backbone draws while it trains, such as dropout."""
    return stream_seed(seed, _DRAWS)


def stream_seed(seed: int, stream: int) -> int:
    """An independent 63-bit seed for one of the streams drawn from `seed`."""
    state = np.random.SeedSequence((seed, stream)).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def _num_features(backbone: nn.Module, input_shape: tuple[int, ...]) -> int:
    with torch.no_grad():
        return int(backbone(torch.zeros(1, *input_shape)).shape[1])
