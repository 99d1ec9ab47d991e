"""torchvision's ResNet-18 as a backbone. In a module of its own: importing torchvision is slow."""

from functools import partial

from torch import nn
from torchvision.models import resnet18 as torchvision_resnet18

from lossheads.errors import UserError


def resnet18(input_shape: tuple[int, ...], groups: int) -> nn.Module:
    """ResNet-18 from random weights, first layer for any number of channels, GroupNorm.

    The classifier is taken off: features are the 512 averaged channels.

    Args:
        input_shape: (channels, height, width).
        groups: Groups per GroupNorm; must divide 64.

    Raises:
        UserError: If the inputs are not images or `groups` does not divide 64.
    """
    if len(input_shape) != 3:
        raise UserError(
            f"resnet18 got inputs of shape {tuple(input_shape)}: it needs (channels, height, "
            f"width); for other inputs use model=mlp"
        )
    if type(groups) is not int or groups < 1 or 64 % groups:
        raise UserError(f"resnet18 got groups={groups}: it must divide 64; the usual value is 32")
    net: nn.Module = torchvision_resnet18(norm_layer=partial(nn.GroupNorm, groups))
    net.conv1 = nn.Conv2d(input_shape[0], 64, 7, stride=2, padding=3, bias=False)
    net.fc = nn.Identity()
    return net
