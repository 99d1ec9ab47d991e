"""What the plain PyTorch peers share: the net, its precision, an endless loader."""

from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn

from benchmarks.training_speed.setting import MODELS, Setting, dense_widths


def plain_net(setting: Setting) -> nn.Sequential:
    """The net as one writes it by hand; ten logits."""
    model = MODELS[setting.model]
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for stage, (narrow, wide) in enumerate(pairwise((1, *model.channels))):
        if model.blocks:
            layers += [*_convolution(narrow, wide, nn.MaxPool2d(2))]
        else:
            layers += [nn.Conv2d(narrow, wide, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        if stage in model.blocks:
            layers.append(Residual(wide))
    layers += [nn.AdaptiveAvgPool2d(1)] if model.blocks else []
    layers.append(nn.Flatten())
    for narrow, wide in pairwise(dense_widths(model)):
        layers += [nn.Linear(narrow, wide), nn.ReLU()]
    return nn.Sequential(*layers[:-1])  # no ReLU after the logits


class Residual(nn.Module):
    """Two convolutions, added to their input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.block = nn.Sequential(*_convolution(width, width), *_convolution(width, width))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.block(x)
        return out


def _convolution(narrow: int, wide: int, *pool: nn.Module) -> Iterator[nn.Module]:
    yield nn.Conv2d(narrow, wide, 3, padding=1, bias=False)
    yield from (*pool, nn.GroupNorm(4, wide), nn.ReLU())


def in_precision(net: nn.Module, setting: Setting) -> Callable[[Tensor], Tensor]:
    """The net with products in the precision of the setting; logits are float32."""
    torch.set_float32_matmul_precision("high" if setting.precision == "tf32" else "highest")
    if setting.precision != "bfloat16":
        return net

    def forward(inputs: Tensor) -> Tensor:
        with torch.autocast(setting.device, torch.bfloat16):
            logits: Tensor = net(inputs)
        return logits.float()

    return forward


def wait_for_card(setting: Setting) -> None:
    """A card computes while Python goes on: wait for it before reading a clock."""
    if setting.device == "cuda":
        torch.cuda.synchronize()


def endless(loader: torch.utils.data.DataLoader[list[Tensor]]) -> Iterator[list[Tensor]]:
    """Epoch after epoch."""
    while True:
        yield from loader
