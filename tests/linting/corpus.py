"""Right and wrong combinations of model, labels, loss and metric, written before the linter.

Each case is a function without arguments that returns what `lossheads check MODULE:FUNCTION` wants:
(model, inputs, labels, loss) or with a metric as fifth; loss None where the model holds its own. A
wrong one names the codes that must be found, a right one none. Where one mistake shows in more than
one code, `expected` names the one that tells what to mend.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Make = Callable[[], Any]


@dataclass(frozen=True)
class Case:
    name: str
    framework: str
    make: Make
    expected: tuple[str, ...] = ()


CASES: dict[str, Case] = {}


def right(framework: str) -> Callable[[Make], Make]:
    return _register(framework, ())


def wrong(framework: str, *codes: str) -> Callable[[Make], Make]:
    assert codes
    return _register(framework, codes)


def _register(framework: str, codes: tuple[str, ...]) -> Callable[[Make], Make]:
    def add(make: Make) -> Make:
        name = make.__name__
        assert name not in CASES, name
        CASES[name] = Case(name, framework, make, codes)
        return make

    return add


N, C, L = 48, 4, 6


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


X = torch.randn(N, 8, generator=generator(1))
IMAGES = torch.randn(N, 3, 16, 16, generator=generator(2))
PHOTOS = torch.randn(4, 3, 64, 64, generator=generator(9))
CLASSES = torch.arange(N)[torch.randperm(N, generator=generator(3))] % C
ONE_HOT = nn.functional.one_hot(CLASSES, C).float()
SOFT = torch.softmax(2 * torch.randn(N, C, generator=generator(4)), dim=1)
BINARY = CLASSES % 2
RARE = (torch.arange(N) % 8 == 0).long()  # 6 ones of 48
MANY = (torch.rand(N, L, generator=generator(5)) < 0.3).float()
SKEWED = torch.tensor([0] * 33 + [1] * 9 + [2] * 4 + [3] * 2)[
    torch.randperm(N, generator=generator(6))
]
PIXELS = torch.randint(C, (8, 6, 6), generator=generator(7))
MAPS = torch.randn(8, 3, 6, 6, generator=generator(8))


def net(outputs: int, *last: nn.Module, inputs: int = 8) -> nn.Sequential:
    """Two dense layers with the same weights at every call, and what stands behind them."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(inputs, 16), nn.ReLU(), nn.Linear(16, outputs), *last)


def convolutions(*last: nn.Module, outputs: int = C) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, outputs, 1), *last
        )


class Then(nn.Module):
    """A function as the last layer."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)
