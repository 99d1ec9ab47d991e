"""The backbones: none, dense layers, convolutions, torchvision's ResNet-18."""

from collections.abc import Sequence
from functools import partial
from math import prod

from torch import nn

from lossheads.errors import UserError


def linear(input_shape: tuple[int, ...]) -> nn.Sequential:
    """No backbone: the output layer gets the flattened inputs."""
    return nn.Sequential(nn.Flatten())


def mlp(input_shape: tuple[int, ...], hidden: Sequence[int]) -> nn.Sequential:
    """Dense layers of the given widths, each followed by a ReLU.

    Raises:
        UserError: If `hidden` is empty or holds a width below 1.
    """
    if not are_widths(hidden):
        raise UserError(
            f"mlp: hidden must be a list of widths of at least 1, as in model.hidden=[128], got "
            f"{hidden}; for no hidden layer use model=linear"
        )
    layers: list[nn.Module] = [nn.Flatten()]
    width = prod(input_shape)
    for wider in hidden:
        layers += [nn.Linear(width, wider), nn.ReLU()]
        width = wider
    return nn.Sequential(*layers)


def are_widths(values: object) -> bool:
    """Whether these are layer widths: a list of integers of at least 1, not empty."""
    if not isinstance(values, list | tuple) or not values:
        return False
    return all(type(value) is int and value >= 1 for value in values)


def cnn(input_shape: tuple[int, ...], channels: Sequence[int], dense: int) -> nn.Sequential:
    """3×3 convolutions, each with ReLU and 2×2 max pooling, then one dense layer with ReLU.

    Raises:
        UserError: If a width is below 1, or the inputs are not images, or too small to be halved
            once per convolution.
    """
    if not are_widths(channels) or not are_widths([dense]):
        raise UserError(
            f"cnn: channels must be a list of widths of at least 1 and dense one such width, as in "
            f"model.channels=[32,64] model.dense=128, got channels={channels} and dense={dense}; "
            f"for no convolution use model=mlp"
        )
    if len(input_shape) != 3 or min(input_shape[1:]) < 2 ** len(channels):
        raise UserError(
            f"cnn needs inputs of shape (channels, height, width) with sides of at least "
            f"{2 ** len(channels)}, got {tuple(input_shape)}; for other inputs use model=mlp"
        )
    layers: list[nn.Module] = []
    depth, height, width = input_shape
    for deeper in channels:
        layers += [nn.Conv2d(depth, deeper, 3, padding=1), nn.MaxPool2d(2), nn.ReLU()]
        depth, height, width = deeper, height // 2, width // 2
    layers += [nn.Flatten(), nn.Linear(depth * height * width, dense), nn.ReLU()]
    return nn.Sequential(*layers)


def resnet18(input_shape: tuple[int, ...], groups: int) -> nn.Module:
    """ResNet-18 from random weights, first layer for any number of channels, GroupNorm.

    Without its classifier: features are the 512 averaged channels.

    Args:
        input_shape: (channels, height, width).
        groups: Groups per GroupNorm; must divide 64.

    Raises:
        UserError: If the inputs are not images or `groups` does not divide 64.
    """
    if len(input_shape) != 3:
        raise UserError(
            f"resnet18 needs inputs of shape (channels, height, width), got {tuple(input_shape)}; "
            "for other inputs use model=mlp"
        )
    if type(groups) is not int or groups < 1 or 64 % groups:
        raise UserError(f"resnet18: groups must divide 64, got {groups!r}; the usual value is 32")
    # Here, not above: importing torchvision takes seconds.
    from torchvision.models import resnet18 as torchvision_resnet18

    net: nn.Module = torchvision_resnet18(norm_layer=partial(nn.GroupNorm, groups))
    net.conv1 = nn.Conv2d(input_shape[0], 64, 7, stride=2, padding=3, bias=False)
    net.fc = nn.Identity()
    return net
