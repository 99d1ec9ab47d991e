"""A member: one head, one seed, one set of optimizer settings, and the net they start from."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lossheads.heads.base import Head

Trunk = Callable[..., nn.Module]

# Random streams drawn from one seed; members that share a seed share a trunk, whatever their head.
_TRUNK, _READOUT, _BATCHES = range(3)


@dataclass(frozen=True)
class Member:
    """What tells one member of a cohort from another.

    Attributes:
        head: Loss, scores and decision.
        seed: Draws the trunk and the readout.
        data_seed: Draws the order of batches.
        rates: Keyword arguments of the optimizer (`lr`, `weight_decay`, ...).
        start: Logit bias (U,) to start the readout from, or None for the default start.
    """

    head: Head
    seed: int
    data_seed: int
    rates: Mapping[str, Any]
    start: Tensor | None = None


class Net(nn.Module):
    """Trunk, then readout: inputs -> logits."""

    def __init__(self, trunk: nn.Module, readout: nn.Linear) -> None:
        super().__init__()
        self.trunk = trunk
        self.readout = readout

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, *input_shape) -> (N, U)."""
        logits: Tensor = self.readout(self.trunk(inputs))
        return logits


# Modules draw their first weights from torch's one global generator: one thread at a time.
_GENERATOR = threading.Lock()


@contextmanager
def building() -> Iterator[None]:
    """Nets are built in here: nobody else draws meanwhile, and the generator is put back."""
    with _GENERATOR, torch.random.fork_rng(devices=[]):
        yield


def initial_net(trunk: Trunk, input_shape: tuple[int, ...], member: Member) -> Net:
    """The net `member` starts from, on the CPU: the same bits alone or in any company."""
    with building():
        torch.manual_seed(stream_seed(member.seed, _TRUNK))
        body = trunk(input_shape)
        width = _feature_width(body, input_shape)
        torch.manual_seed(stream_seed(member.seed, _READOUT))
        readout = nn.Linear(width, member.head.units)
    if member.start is not None:
        with torch.no_grad():
            readout.bias.copy_(member.start)
    return Net(body, readout)


def batch_seed(data_seed: int) -> int:
    """Seed of the generator that orders the batches."""
    return stream_seed(data_seed, _BATCHES)


def stream_seed(seed: int, stream: int) -> int:
    """An independent 63-bit seed for one of the streams drawn from `seed`."""
    state = np.random.SeedSequence((seed, stream)).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def _feature_width(trunk: nn.Module, input_shape: tuple[int, ...]) -> int:
    with torch.no_grad():
        return int(trunk(torch.zeros(1, *input_shape)).shape[1])
