"""What the three plain PyTorch peers share: the net, and torchvision's own data set object."""

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn

from bench.setting import MODELS, Setting, dense_widths


def plain_net(setting: Setting) -> nn.Sequential:
    """The net as one writes it by hand; ten logits."""
    model = MODELS[setting.model]
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for narrow, wide in pairwise((1, *model.channels)):
        layers += [nn.Conv2d(narrow, wide, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    layers.append(nn.Flatten())
    for narrow, wide in pairwise(dense_widths(model)):
        layers += [nn.Linear(narrow, wide), nn.ReLU()]
    return nn.Sequential(*layers[:-1])  # no ReLU after the logits


def endless(loader: torch.utils.data.DataLoader[list[Tensor]]) -> Iterator[list[Tensor]]:
    """Epoch after epoch."""
    while True:
        yield from loader
