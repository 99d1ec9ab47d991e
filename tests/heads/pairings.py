"""Every head in configs/head with every outcome it serves, and examples to put through them."""

from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from lossheads import heads
from lossheads.errors import HeadMismatch
from lossheads.heads.base import Head
from lossheads.outcomes import AnyOf, EachOneOf, OneOf, Outcome

CONFIGS = Path(__file__).parents[2] / "configs" / "head"
NAMES = sorted(path.stem for path in CONFIGS.glob("*.yaml"))
OUTCOMES: list[Outcome] = [
    kind
    for soft in (False, True)
    for kind in (
        OneOf(2, soft),
        OneOf(3, soft),
        OneOf(10, soft),
        AnyOf(1, soft),
        AnyOf(6, soft),
        EachOneOf(1, 2, soft),
        EachOneOf(3, 4, soft),
    )
]


def config(name: str) -> dict[str, Any]:
    """The options that configs/head/<name>.yaml gives, and its target."""
    return dict(_read(name))


@cache
def _read(name: str) -> dict[str, Any]:
    return yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())


def build(name: str, outcome: Outcome) -> Head:
    """The head that configs/head/<name>.yaml makes for `outcome`, told some base rates."""
    options = config(name)
    package, _, cls = options.pop("_target_").rpartition(".")
    assert package == "lossheads.heads"
    assert options.pop("_partial_") is True
    head = getattr(heads, cls)(outcome=outcome, **options)
    return head.with_base_rates(draw_labels(replace(outcome, soft=True), 1, seed=9)[0].double())


def pairings() -> list[Any]:
    """One pytest parameter per fitting pair, called name-outcome."""
    return [pytest.param(head, id=f"{name}-{head.outcome}") for name, head in _fitting()]


def kinds_of_pairings() -> list[Any]:
    """One pytest parameter per head and kind of outcome: that of most classes, where sizes differ.

    For what no number of classes changes, such as where a tensor lies.
    """
    largest = {(name, type(head.outcome), head.outcome.soft): head for name, head in _fitting()}
    return [pytest.param(head, id=f"{name}-{head.outcome}") for (name, *_), head in largest.items()]


@cache
def _fitting() -> list[tuple[str, Head]]:
    found = []
    for name in NAMES:
        for outcome in OUTCOMES:
            with suppress(HeadMismatch):
                found.append((name, build(name, outcome)))
    return found


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw_labels(outcome: Outcome, n: int, seed: int = 0) -> Tensor:
    """Labels of n examples, typed as the outcome wants them."""
    noise = 2 * torch.randn(n, *outcome.columns, generator=generator(seed))
    if isinstance(outcome, AnyOf):
        return noise.sigmoid() if outcome.soft else noise > 0
    return noise.softmax(dim=-1) if outcome.soft else noise.argmax(dim=-1)


def draw(head: Head, n: int = 33, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits (n, U) of a natural size, and labels."""
    logits = 3 * torch.randn(n, head.num_logits, generator=generator(seed + 1))
    return logits, draw_labels(head.outcome, n, seed)


def loss_and_gradient(head: Head, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Loss per example, and the gradient of their sum with respect to the logits."""
    logits = logits.detach().clone().requires_grad_()
    loss = head.loss(logits, target)
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    return loss.detach(), gradient
