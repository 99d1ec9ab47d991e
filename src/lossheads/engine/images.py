"""Layers on images of several members: each member's own calls, one small chunk after another.

Torch has no product of several members' convolutions that is as fast as one member's, so members
take turns. What makes this fast is the layout (channels last), chunks of rows that stay in the
processor's cache from the first layer to the last, and passes by hand, which skip what autograd
allocates and adds.

The rows of a batch are two halves, each some chunks, by their number alone. The gradient of a
weight is the sum of two sums, one over the chunks of each half, whoever computes them: a lone
member may have its halves in two threads (see `stacking`), and gets the same bits.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn

from lossheads.engine.team import Team
from lossheads.models.resnet9 import AveragePool as AveragePoolModule
from lossheads.models.resnet9 import Residual as ResidualModule

# Most rows per chunk on a CPU. Fewer would stay in smaller caches, but every call of torch takes
# its time (one thread, batch 128, ms a step with chunks of 16, 32, 64 rows: cnn-32-64 34.6, 32.2,
# 31.4, resnet9 28.5, 20.6, 17.7).
_CHUNK = 64
# Halves are multiples of this where the rows of a batch are (cohort.ROW_MULTIPLE).
_ROW_MULTIPLE = 16

# What a chunk's forward pass leaves for its backward pass: pushed, then popped.
Saved = list[tuple[Tensor, ...]]

_aten = torch.ops.aten


@dataclass(frozen=True, eq=False)
class Weight:
    """One weight of all members, as torch's functions take it: views, one per member.

    Attributes:
        values: The weight.
        sums: Its gradient over the rows of each half.
    """

    values: list[Tensor]
    sums: tuple[list[Tensor], list[Tensor]]

    @classmethod
    def of(cls, value: Tensor, *sums: Tensor) -> "Weight":
        """From views of the flat buffers: (G, 1, out) or (G, out, height, width, in)."""
        first, second = map(_views, sums)
        return cls(_views(value), (first, second))


class Turn:
    """A chunk's backward pass: whose it is, and the gradients it has found so far."""

    def __init__(self, k: int, half: int) -> None:
        self.k, self._half = k, half
        self._sums: list[Tensor] = []
        self._grads: list[Tensor] = []

    def found(self, weight: Weight, grad: Tensor) -> None:
        """Remember the gradient of a weight."""
        self._sums.append(weight.sums[self._half][self.k])
        self._grads.append(grad)

    def finish(self, first: bool) -> None:
        """Add all to the sums of their half, or begin them: one call of torch instead of many.

        Args:
            first: Whether this is the first chunk of the half.
        """
        (torch._foreach_copy_ if first else torch._foreach_add_)(self._sums, self._grads)


def _views(weight: Tensor) -> list[Tensor]:
    """(G, out, height, width, in) or (G, 1, out) -> of each member (out, in, ...) or (out,)."""
    if weight.dim() == 3:
        return [*weight[:, 0]]
    return [*weight.permute(0, 1, 4, 2, 3)]


class ImageLayer(Protocol):
    """One layer on images (B, C, H, W), channels last, of one member at a time."""

    def forward(self, k: int, x: Tensor, saved: Saved | None) -> Tensor:
        """Member k's output, and into `saved` what `backward` needs."""

    def backward(self, turn: Turn, grad: Tensor, saved: Saved, needs_input_grad: bool) -> Tensor:
        """Gradient at the output -> at the input; undefined unless `needs_input_grad`.

        Adds to the gradients of the member's weights.
        """


class Convolution:
    """A convolution, and the max pooling after it if there is one.

    The gradient of the bias is summed over the pooled images, which are fewer.
    """

    def __init__(
        self, layer: nn.Conv2d, weight: Weight, bias: Weight | None, compute_dtype: torch.dtype
    ) -> None:
        self._weight, self._bias, self._compute_dtype = weight, bias, compute_dtype
        assert not isinstance(layer.padding, str)  # `is_image_layer` has seen to it
        self._geometry = layer.stride, layer.padding, layer.dilation
        self._groups = layer.groups
        self.pool: MaxPool | None = None

    def forward(self, k: int, x: Tensor, saved: Saved | None) -> Tensor:
        weight, bias = self._weight.values[k], None if self._bias is None else self._bias.values[k]
        if self._compute_dtype is torch.float32:
            y = torch.conv2d(x, weight, bias, *self._geometry, self._groups)
        else:
            x, y = self._convolve_roughly(x, weight, bias)
        if saved is not None:
            saved.append((x,))
        return y if self.pool is None else self.pool.forward(k, y, saved)

    def backward(self, turn: Turn, grad: Tensor, saved: Saved, needs_input_grad: bool) -> Tensor:
        if self._bias is not None:
            turn.found(self._bias, grad.sum((0, 2, 3)))
        if self.pool is not None:
            grad = self.pool.backward(turn, grad, saved, needs_input_grad=True)
        (x,), weight = saved.pop(), self._weight.values[turn.k]
        if self._compute_dtype is not torch.float32:
            grad, weight = grad.to(self._compute_dtype), weight.to(self._compute_dtype)
        input_grad: Tensor
        input_grad, weight_grad, _ = _aten.convolution_backward(
            *(grad, x, weight, None, *self._geometry, False, [0, 0], self._groups),
            [needs_input_grad, True, False],
        )
        turn.found(self._weight, weight_grad)
        if not needs_input_grad:
            return grad
        return input_grad if self._compute_dtype is torch.float32 else input_grad.float()

    def _convolve_roughly(
        self, x: Tensor, weight: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Inputs in `compute_dtype`, and the result in float32."""
        x, weight = x.to(self._compute_dtype), weight.to(self._compute_dtype)
        bias = None if bias is None else bias.to(self._compute_dtype)
        return x, torch.conv2d(x, weight, bias, *self._geometry, self._groups).float()


class MaxPool:
    """Max pooling; the gradient goes to the first of the largest."""

    def __init__(self, layer: nn.MaxPool2d) -> None:
        sizes = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
        self._window = (*map(_both, sizes), layer.ceil_mode)
        # Torch asks the backward pass for the input, of which it reads the shape alone: memory
        # that is never touched, instead of images that would be kept.
        self._stand_ins: dict[torch.Size, Tensor] = {}

    def forward(self, k: int, x: Tensor, saved: Saved | None) -> Tensor:
        pooled: Tensor
        pooled, index = _aten.max_pool2d_with_indices(x, *self._window)
        if saved is not None:
            if x.shape not in self._stand_ins:
                self._stand_ins[x.shape] = torch.empty_like(x)
            saved.append((self._stand_ins[x.shape], index))
        return pooled

    def backward(self, turn: Turn, grad: Tensor, saved: Saved, needs_input_grad: bool) -> Tensor:
        stand_in, index = saved.pop()
        input_grad: Tensor = _aten.max_pool2d_with_indices_backward(
            grad, stand_in, *self._window, index
        )
        return input_grad


def _both(size: int | tuple[int, int]) -> list[int]:
    return [size, size] if isinstance(size, int) else [*size]


class GroupNorm:
    """Each image normalised over groups of channels, then scaled and shifted by channel."""

    def __init__(self, layer: nn.GroupNorm, weight: Weight, bias: Weight) -> None:
        self._weight, self._bias = weight, bias
        self._groups, self._eps = layer.num_groups, layer.eps

    def forward(self, k: int, x: Tensor, saved: Saved | None) -> Tensor:
        y: Tensor
        y, mean, rstd = _aten.native_group_norm(
            x, self._weight.values[k], self._bias.values[k], *self._sizes(x), self._eps
        )
        if saved is not None:
            saved.append((x, mean, rstd))
        return y

    def backward(self, turn: Turn, grad: Tensor, saved: Saved, needs_input_grad: bool) -> Tensor:
        x, mean, rstd = saved.pop()
        input_grad: Tensor
        input_grad, weight_grad, bias_grad = _aten.native_group_norm_backward(
            *(grad, x, mean, rstd, self._weight.values[turn.k], *self._sizes(x)),
            [True, True, True],
        )
        turn.found(self._weight, weight_grad)
        turn.found(self._bias, bias_grad)
        return input_grad

    def _sizes(self, x: Tensor) -> tuple[int, int, int, int]:
        rows, channels, height, width = x.shape
        return rows, channels, height * width, self._groups


class ImageReLU:
    """max(x, 0).

    Args:
        in_place: False where its input is needed: as the first layer, of all or of a block.
    """

    def __init__(self, in_place: bool) -> None:
        self._in_place = in_place

    def forward(self, k: int, x: Tensor, saved: Saved | None) -> Tensor:
        y = x.clamp_min_(0) if self._in_place else x.clamp_min(0)
        if saved is not None:
            saved.append((y,))
        return y

    def backward(self, turn: Turn, grad: Tensor, saved: Saved, needs_input_grad: bool) -> Tensor:
        (y,) = saved.pop()
        input_grad: Tensor = _aten.threshold_backward(grad, y, 0)
        return input_grad


class AveragePool:
    """(B, C, H, W) -> (B, C, 1, 1): the mean of each channel."""

    def forward(self, k: int, x: Tensor, saved: Saved | None) -> Tensor:
        if saved is not None:
            saved.append((x,))
        return x.mean((2, 3), keepdim=True)

    def backward(self, turn: Turn, grad: Tensor, saved: Saved, needs_input_grad: bool) -> Tensor:
        (x,) = saved.pop()
        return torch.empty_like(x).copy_(grad / (x.shape[2] * x.shape[3]))


class Residual:
    """x + block(x)."""

    def __init__(self, block: Sequence[ImageLayer]) -> None:
        self._block = block

    def forward(self, k: int, x: Tensor, saved: Saved | None) -> Tensor:
        y = x
        for layer in self._block:
            y = layer.forward(k, y, saved)
        return x + y

    def backward(self, turn: Turn, grad: Tensor, saved: Saved, needs_input_grad: bool) -> Tensor:
        inner = grad
        for layer in reversed(self._block):
            inner = layer.backward(turn, inner, saved, needs_input_grad=True)
        return inner.add_(grad)


def split_chain(chain: Sequence[nn.Module]) -> tuple[list[nn.Module], list[nn.Module]]:
    """The layers on images, if there are any, and the dense ones after them.

    Images end at a Flatten, which is left out, for features are laid out flat, or at a global
    average.
    """
    end = next((i for i, layer in enumerate(chain) if _ends_images(layer)), 0)
    if not any(image_weights(layer) for layer in chain[:end]):
        return [], list(chain)
    average = [chain[end]] if type(chain[end]) is AveragePoolModule else []
    return [*chain[:end], *average], [*chain[end + 1 :]]


def _ends_images(layer: nn.Module) -> bool:
    if type(layer) is nn.Flatten:
        return (layer.start_dim, layer.end_dim) == (1, -1)
    return type(layer) is AveragePoolModule


def is_image_layer(layer: nn.Module) -> bool:
    """Whether it is supported. Exact types: a subclass may compute anything."""
    if type(layer) is nn.Conv2d:
        return layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    if type(layer) is nn.MaxPool2d:
        return not layer.return_indices
    if type(layer) is nn.GroupNorm:
        return layer.affine
    if type(layer) is ResidualModule:
        return all(map(is_image_layer, layer.block))
    return type(layer) in (nn.ReLU, AveragePoolModule)


def image_weights(layer: nn.Module) -> list[Tensor]:
    """Views of a layer's weights: of convolutions (out, height, width, in), of others (1, out)."""
    if isinstance(layer, ResidualModule):
        return [weight for each in layer.block for weight in image_weights(each)]
    if isinstance(layer, nn.Conv2d):
        bias = [] if layer.bias is None else [layer.bias.detach().unsqueeze(0)]
        return [layer.weight.detach().permute(0, 2, 3, 1), *bias]
    if isinstance(layer, nn.GroupNorm):
        return [layer.weight.detach().unsqueeze(0), layer.bias.detach().unsqueeze(0)]
    return []


def num_channels(layers: Sequence[nn.Module]) -> int:
    """Channels of the last image."""
    found = [each for layer in layers for each in layer.modules()]
    return next(
        each.out_channels if isinstance(each, nn.Conv2d) else each.num_channels
        for each in reversed(found)
        if isinstance(each, nn.Conv2d | nn.GroupNorm)
    )


def build_image_layers(
    chain: Sequence[nn.Module], weights: Iterator[Weight], compute_dtype: torch.dtype
) -> list[ImageLayer]:
    """The layers of a chain, which take their weights from `weights` one after another."""
    layers: list[ImageLayer] = []
    for module in chain:
        before = layers[-1] if layers else None
        if isinstance(module, nn.Conv2d):
            weight, biased = next(weights), module.bias is not None
            bias = next(weights) if biased else None
            layers.append(Convolution(module, weight, bias, compute_dtype))
        elif isinstance(module, nn.MaxPool2d):
            if isinstance(before, Convolution) and before.pool is None:
                before.pool = MaxPool(module)
            else:
                layers.append(MaxPool(module))
        elif isinstance(module, nn.GroupNorm):
            layers.append(GroupNorm(module, next(weights), next(weights)))
        elif isinstance(module, ResidualModule):
            layers.append(Residual(build_image_layers([*module.block], weights, compute_dtype)))
        elif isinstance(module, nn.ReLU):
            layers.append(ImageReLU(in_place=before is not None))
        else:
            layers.append(AveragePool())
    return layers


class ImageNet:
    """A chain of image layers of G members, from rows to features.

    Features are laid out (height, width, channels), in a buffer (G, B, features).

    Args:
        layers: Of all members.
        sums: Gradients of the flat buffer over the rows of each half.
        num_features: Features of a row.
        team: Threads that share the halves of all members.
    """

    def __init__(
        self,
        layers: Sequence[ImageLayer],
        sums: tuple[Tensor, Tensor],
        size: int,
        num_features: int,
        team: Team,
    ) -> None:
        self._layers, self._sums, self._team = layers, sums, team
        self._size, self._num_features = size, num_features
        # Below the first layer with weights no gradient is needed.
        self._first = next(i for i, layer in enumerate(layers) if not isinstance(layer, _BARE))
        self._buffer = torch.empty(0)
        self._shape = torch.Size()  # of features: (channels, height, width)
        self._saved: dict[tuple[int, int], list[Saved]] = {}  # by member and half: its chunks

    def forward(self, x: Tensor, save: bool) -> Tensor:
        """(G or 1, B, C, H, W) -> (G, B, features)."""
        shape = (self._size, x.shape[1], self._num_features)
        if save and self._buffer.shape != shape:
            self._buffer = x.new_empty(shape)
        out = self._buffer if save else x.new_empty(shape)

        def run(k: int, half: int, chunks: Sequence[slice]) -> None:
            rows = x[k if len(x) > 1 else 0]
            kept = [self._forward_chunk(k, rows[at], out[k, at], save) for at in chunks]
            if save:
                self._saved[k, half] = kept

        self._run(run, x)
        return out

    def backward(self, x: Tensor, grads: Sequence[Tensor]) -> None:
        """Gradients (B, features) of the members -> those of their weights."""

        def run(k: int, half: int, chunks: Sequence[slice]) -> None:
            for i, (at, saved) in enumerate(zip(chunks, self._saved.pop((k, half)), strict=True)):
                turn = Turn(k, half)
                self._backward_chunk(turn, grads[k][at], saved)
                turn.finish(first=i == 0)

        self._run(run, x)
        self._sums[0].add_(self._sums[1])

    def _run(self, run: Callable[[int, int, Sequence[slice]], None], x: Tensor) -> None:
        """Call `run` for every member and half, with its chunks."""
        halves = _halves(x.shape[1], x.device)
        self._team.run(
            partial(run, k, half, chunks)
            for k in range(self._size)
            for half, chunks in enumerate(halves)
        )

    def _forward_chunk(self, k: int, x: Tensor, out: Tensor, save: bool) -> Saved:
        saved: Saved = []
        y = x.contiguous(memory_format=torch.channels_last)
        for layer in self._layers:
            y = layer.forward(k, y, saved if save else None)
        self._shape = y.shape[1:]
        out.copy_(y.permute(0, 2, 3, 1).flatten(1))
        return saved

    def _backward_chunk(self, turn: Turn, grad: Tensor, saved: Saved) -> None:
        channels, height, width = self._shape
        grad = grad.view(len(grad), height, width, channels).permute(0, 3, 1, 2)
        for i in range(len(self._layers) - 1, self._first - 1, -1):
            grad = self._layers[i].backward(turn, grad, saved, needs_input_grad=i > self._first)


_BARE = (MaxPool, ImageReLU, AveragePool)


def _halves(rows: int, device: torch.device) -> list[list[slice]]:
    """The chunks of each half. A card has no use for chunks: it takes all rows at once."""
    if device.type != "cpu":
        return [[slice(0, rows)], []]
    middle = min(rows, -(-rows // (2 * _ROW_MULTIPLE)) * _ROW_MULTIPLE)
    return [
        [slice(at, min(at + _CHUNK, stop)) for at in range(start, stop, _CHUNK)]
        for start, stop in ((0, middle), (middle, rows))
    ]
