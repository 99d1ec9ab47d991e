"""The plain backbones: none, dense layers, two convolutions."""

from collections.abc import Sequence
from math import prod

from torch import nn

from lossheads.errors import UserError


def linear(input_shape: tuple[int, ...]) -> nn.Sequential:
    """No backbone at all: the output layer sees the flattened inputs."""
    return nn.Sequential(nn.Flatten())


def mlp(input_shape: tuple[int, ...], hidden: Sequence[int]) -> nn.Sequential:
    """Dense layers of the given widths, each followed by a ReLU.

    Raises:
        UserError: If `hidden` is empty or holds a width below 1.
    """
    if not _are_widths(hidden):
        raise UserError(
            f"mlp got hidden={hidden}: it needs one width of at least 1 per layer, as in "
            f"model.hidden=[128]; for no hidden layer use model=linear"
        )
    layers: list[nn.Module] = [nn.Flatten()]
    width = prod(input_shape)
    for wider in hidden:
        layers += [nn.Linear(width, wider), nn.ReLU()]
        width = wider
    return nn.Sequential(*layers)


def _are_widths(values: object) -> bool:
    """Whether these are layer widths: a list of whole numbers from 1 on, at least one."""
    if not isinstance(values, list | tuple) or not values:
        return False
    return all(type(value) is int and value >= 1 for value in values)


def cnn(input_shape: tuple[int, ...], channels: Sequence[int], dense: int) -> nn.Sequential:
    """3×3 convolutions, each with ReLU and 2×2 max pooling, then one dense layer with ReLU.

    Raises:
        UserError: If a width is below 1, or the inputs are not images, or too small to be halved
            once per convolution.
    """
    if not _are_widths(channels) or not _are_widths([dense]):
        raise UserError(
            f"cnn cannot be built for inputs of shape {tuple(input_shape)} with "
            f"channels={channels} and dense={dense}: it needs one width of at least 1 per "
            f"convolution and one for the dense layer, as in model.channels=[32,64] "
            f"model.dense=128; for no convolution use model=mlp"
        )
    if len(input_shape) != 3 or min(input_shape[1:]) < 2 ** len(channels):
        raise UserError(
            f"cnn got inputs of shape {tuple(input_shape)}: it needs (channels, height, width) "
            f"with sides of at least {2 ** len(channels)}; for other inputs use model=mlp"
        )
    layers: list[nn.Module] = []
    depth, height, width = input_shape
    for deeper in channels:
        layers += [nn.Conv2d(depth, deeper, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        depth, height, width = deeper, height // 2, width // 2
    layers += [nn.Flatten(), nn.Linear(depth * height * width, dense), nn.ReLU()]
    return nn.Sequential(*layers)
