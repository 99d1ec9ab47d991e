"""A residual net for two cores: eight convolutions, at most 2 million multiply-adds an image."""

from collections.abc import Sequence

from torch import Tensor, nn

from lossheads.errors import UserError
from lossheads.models.backbones import are_widths

_STAGES = 4  # each halves the sides


def resnet9(input_shape: tuple[int, ...], channels: Sequence[int], groups: int) -> nn.Sequential:
    """Four stages of convolution, pooling, GroupNorm, ReLU; a residual block after two of them.

    Features are the averaged channels of the last stage. With channels [8, 16, 32, 64] an image of
    3×32×32 takes 1.70 million multiply-adds (1×28×28: 0.97), and there are 103 thousand weights.
    Pooling comes before normalisation and ReLU, which then have a quarter of the numbers to do.

    Args:
        input_shape: (channels, height, width), sides of at least 16.
        channels: Widths of the four stages.
        groups: Groups per GroupNorm; must divide every width.

    Raises:
        UserError: If the inputs are not such images, or the widths and groups do not fit.

    Source: He et al. (2016) for the residual block; the arrangement, with eight convolutions and a
    linear output layer, is the one that became known from DAWNBench's CIFAR-10 entries.
    """
    if not are_widths(channels) or len(channels) != _STAGES:
        raise UserError(
            f"resnet9: channels must be a list of {_STAGES} widths of at least 1, as in "
            f"model.channels=[8,16,32,64], got {channels}"
        )
    if type(groups) is not int or groups < 1 or any(width % groups for width in channels):
        raise UserError(
            f"resnet9: groups must divide every one of channels={list(channels)}, got {groups!r}"
        )
    if len(input_shape) != 3 or min(input_shape[1:]) < 2**_STAGES:
        raise UserError(
            f"resnet9 needs inputs of shape (channels, height, width) with sides of at least "
            f"{2**_STAGES}, got {tuple(input_shape)}; for other inputs use model=mlp"
        )
    first, second, third, last = channels
    return nn.Sequential(
        _stage(input_shape[0], first, groups),
        _stage(first, second, groups),
        Residual(second, groups),
        _stage(second, third, groups),
        _stage(third, last, groups),
        Residual(last, groups),
        AveragePool(),
    )


class Residual(nn.Module):
    """Two convolutions, each with GroupNorm and ReLU, added to their input."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            *(_convolution(width, width), nn.GroupNorm(groups, width), nn.ReLU()),
            *(_convolution(width, width), nn.GroupNorm(groups, width), nn.ReLU()),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, height, width), returned in that shape."""
        out: Tensor = x + self.block(x)
        return out


class AveragePool(nn.Module):
    """(N, channels, height, width) -> (N, channels)."""

    def forward(self, x: Tensor) -> Tensor:
        """The mean of each channel: a plain sum, repeatable on a card."""
        return x.mean(dim=(2, 3))


def _stage(narrow: int, wide: int, groups: int) -> nn.Sequential:
    return nn.Sequential(
        _convolution(narrow, wide), nn.MaxPool2d(2), nn.GroupNorm(groups, wide), nn.ReLU()
    )


def _convolution(narrow: int, wide: int) -> nn.Conv2d:
    # GroupNorm has a bias of its own.
    return nn.Conv2d(narrow, wide, 3, padding=1, bias=False)
