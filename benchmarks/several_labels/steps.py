"""What a loss costs: milliseconds of the loss with its gradient, and of a whole training step."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor, nn

from lossheads.heads.base import Head
from lossheads.outcomes import base_rates
from lossheads.runs.build import build_head
from lossheads.runs.config import compose


@dataclass(frozen=True)
class Size:
    """`groups` groups of `classes` classes, `batch` rows of `features` inputs, `rounds` turns."""

    groups: int = 64
    classes: int = 100
    batch: int = 256
    features: int = 128
    rounds: int = 15


@dataclass(frozen=True)
class Cost:
    """Seconds, one per round, in the order of the rounds."""

    loss: list[float]
    step: list[float]


def measure_steps(names: Sequence[str], size: Size) -> dict[str, Cost]:
    """Cost of each head on one CPU thread; heads take turns, so that all share its changes.

    The loss alone is its value and its gradient by the logits. The step is that of a linear model
    of random inputs: products, loss, gradients, fused Adam.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        turns = {name: _turns(name, size) for name in names}
        costs = {name: Cost([], []) for name in names}
        for _ in range(size.rounds):
            for name, (loss, step) in turns.items():
                costs[name].loss.append(_timed(loss))
                costs[name].step.append(_timed(step))
        return costs
    finally:
        torch.set_num_threads(threads)


def ratio(mine: Sequence[float], theirs: Sequence[float]) -> float:
    """Median over rounds of one cost over another in the same round."""
    return median(a / b for a, b in zip(mine, theirs, strict=True))


def _turns(name: str, size: Size) -> tuple[Callable[[], None], Callable[[], None]]:
    overrides = [f"dataset.groups={size.groups}", f"dataset.classes={size.classes}", f"head={name}"]
    head = build_head(compose(["dataset=synthetic_groups", *overrides]))
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(size.classes, (size.batch, size.groups), generator=generator)
    head = head.with_base_rates(base_rates(head.outcome, labels))
    target = head.encode(labels)
    logits = torch.randn(size.batch, head.num_logits, generator=generator).requires_grad_()
    inputs = torch.randn(size.batch, size.features, generator=generator)

    def loss() -> None:
        torch.autograd.grad(head.loss(logits, target).sum(), logits)

    return loss, _step(head, inputs, target)


def _step(head: Head, inputs: Tensor, target: Tensor) -> Callable[[], None]:
    model = nn.Linear(inputs.shape[1], head.num_logits)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        head.loss(model(inputs), target).mean().backward()
        optimizer.step()

    return step


def _timed(work: Callable[[], None]) -> float:
    work()  # untimed: caches as its own work leaves them, not as the head before it did
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
