"""Several networks of one shape as one: stacked weights, batched products, one flat buffer.

Everything here is written so that a member's bits do not depend on the other members: products
are batched per member, the rest is elementwise or per row, shapes are fixed, and one thread does
it all. Forward and backward are written by hand into buffers that are allocated once: autograd
would allocate a tensor per layer and step, and the pages of a new tensor cost more than filling
it. The heads' losses, where mistakes are likely, use autograd.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from lossheads.engine.member import Net

# A member's part of a layer is padded to a multiple of this in the flat buffer: one cache line of
# float32. Vector loops then have no remainder, whose rounding would depend on the slot.
_PAD_MULTIPLE = 16


class Layer(Protocol):
    """One layer of all members."""

    def forward(self, x: Tensor, save: bool) -> Tensor:
        """The layer's output; with `save`, in the layer's own buffer, which is reused."""

    def backward(self, x: Tensor, grad: Tensor, needs_input_grad: bool) -> Tensor:
        """Gradient at the output -> gradient at `x`; undefined unless `needs_input_grad`.

        `grad` may be overwritten.
        """


@dataclass(frozen=True, eq=False)
class Dense:
    """A linear layer of G members: weight (G, out, in), bias (G, 1, out), views of flat buffers.

    Weights are laid out as in `nn.Linear`: for a narrow output layer, products with (in, out) take
    twice as long (measured: 458 against 183 us a step, eight members of 128-10, one thread).
    """

    weight: Tensor
    bias: Tensor
    weight_grad: Tensor
    bias_grad: Tensor
    buffer: Tensor
    grad_buffer: Tensor
    compute_dtype: torch.dtype

    def forward(self, x: Tensor, save: bool) -> Tensor:
        """(G or 1, B, in) -> (G, B, out)."""
        rows, columns = x.expand(len(self.weight), -1, -1), self.weight.transpose(1, 2)
        out = self.buffer if save else None
        if self.compute_dtype is torch.float32:
            return torch.baddbmm(self.bias, rows, columns, out=out)
        return self._matmul(rows, columns, out).add_(self.bias)

    def backward(self, x: Tensor, grad: Tensor, needs_input_grad: bool) -> Tensor:
        rows = x.expand(len(self.weight), -1, -1)
        self._matmul(grad.transpose(1, 2), rows, self.weight_grad)
        torch.sum(grad, dim=1, keepdim=True, out=self.bias_grad)
        return self._matmul(grad, self.weight, self.grad_buffer) if needs_input_grad else grad

    def _matmul(self, a: Tensor, b: Tensor, out: Tensor | None) -> Tensor:
        """Batched product in `compute_dtype`; factors and result stay float32 elsewhere."""
        if self.compute_dtype is torch.float32:
            return torch.bmm(a, b, out=out)
        low_precision = torch.bmm(a.to(self.compute_dtype), b.to(self.compute_dtype))
        return (
            low_precision.float()
            if out is None
            else out.resize_(low_precision.shape).copy_(low_precision)
        )


@dataclass(frozen=True, eq=False)
class ReLU:
    """max(x, 0), elementwise."""

    buffer: Tensor

    def forward(self, x: Tensor, save: bool) -> Tensor:
        out: Tensor = torch.clamp_min(x, 0, out=self.buffer if save else None)
        return out

    def backward(self, x: Tensor, grad: Tensor, needs_input_grad: bool) -> Tensor:
        torch.ops.aten.threshold_backward.grad_input(grad, x, 0, grad_input=grad)
        return grad


class Flatten:
    """(G or 1, B, ...) -> (G or 1, B, features): a view."""

    def forward(self, x: Tensor, save: bool) -> Tensor:
        return x.flatten(2)

    def backward(self, x: Tensor, grad: Tensor, needs_input_grad: bool) -> Tensor:
        return grad.view(len(grad), *x.shape[1:])


def stackable(backbone: nn.Module) -> bool:
    """Whether the backbone is a chain of Flatten, Linear with bias, and ReLU.

    Not of tanh and similar functions: torch rounds them differently in the remainder of a loop.
    """
    return type(backbone) is nn.Sequential and all(map(_is_supported, backbone))


def _is_supported(layer: nn.Module) -> bool:
    # Exact types: a subclass may compute anything.
    if type(layer) is nn.Flatten:
        return (layer.start_dim, layer.end_dim) == (1, -1)
    if type(layer) is nn.Linear:
        return layer.bias is not None
    return type(layer) is nn.ReLU


def pad_single(net: Net) -> bool:
    """Whether a single network of this shape must be padded to two to give the same bits.

    Outside a batch, torch computes the product of a matrix and a vector by another routine
    (measured with torch 2.14): layers with a single input or output, such as one logit.
    """
    return any(1 in weight.shape for weight in _weights_of(net)[::2])


class StackedNet:
    """G networks of one shape, stacked.

    Attributes:
        parameters: All weights in one flat buffer: layer by layer, in each one row per member.
        gradients: The same layout; written by `backward`.

    Args:
        compute_dtype: Type of the matrix products; everything else is float32.
    """

    def __init__(
        self, nets: Sequence[Net], device: torch.device, compute_dtype: torch.dtype = torch.float32
    ) -> None:
        self.size, self._compute_dtype = len(nets), compute_dtype
        shapes = [weight.shape for weight in _weights_of(nets[0])]
        self._strides = [-(-shape.numel() // _PAD_MULTIPLE) * _PAD_MULTIPLE for shape in shapes]
        self.parameters = torch.zeros(self.size * sum(self._strides), device=device)
        self.gradients = torch.zeros_like(self.parameters)
        self._views = self._split_views(self.parameters, shapes)
        self._grad_views = self._split_views(self.gradients, shapes)
        for k, net in enumerate(nets):
            self.fill(k, net)
        self._layers = self._build_layers(_layers_of(nets[0]))
        # Below the first layer with weights no gradient is needed.
        self._first_dense = next(
            i for i, layer in enumerate(self._layers) if isinstance(layer, Dense)
        )
        self._activations: list[Tensor] = []

    def logits(self, inputs: Tensor) -> Tensor:
        """(G or 1, B, *input_shape) -> (G, B, U); 1 means that all members see the same rows."""
        x = inputs
        for layer in self._layers:
            x = layer.forward(x, save=False)
        return x

    def forward(self, inputs: Tensor) -> Tensor:
        """The same for a training step: kept for `backward`, overwritten by the next call.

        The inputs of all calls must have the same shape.
        """
        self._activations = [inputs]
        for layer in self._layers:
            self._activations.append(layer.forward(self._activations[-1], save=True))
        return self._activations.pop()

    def backward(self, grad: Tensor) -> None:
        """Fill `gradients` from the gradient (G, B, U) at the logits of the last `forward`."""
        for i in range(len(self._layers) - 1, self._first_dense - 1, -1):
            grad = self._layers[i].backward(
                self._activations[i], grad, needs_input_grad=i > self._first_dense
            )

    def slices(self, k: int) -> list[tuple[Tensor, Tensor]]:
        """Member k's own (parameter, gradient), flat views with their padding."""
        return [
            (p[k], g[k])
            for p, g in zip(self._rows(self.parameters), self._rows(self.gradients), strict=True)
        ]

    def read(self, flat: Tensor, k: int) -> Tensor:
        """Member k's part of a buffer that is laid out as `parameters`, in one piece."""
        return torch.cat([rows[k] for rows in self._rows(flat)])

    def write(self, flat: Tensor, k: int, values: Tensor) -> None:
        """Put back what `read` returned."""
        for rows, part in zip(self._rows(flat), values.split(self._strides), strict=True):
            rows[k].copy_(part)

    @torch.no_grad()
    def unstack(self, k: int, into: Net) -> Net:
        """Copy member k's weights into a network of the same shape."""
        for weight, stacked in zip(_weights_of(into), self._views, strict=True):
            weight.copy_(stacked[k])
        return into

    @torch.no_grad()
    def fill(self, k: int, source: Net) -> None:
        """Copy a network's weights into member k."""
        for weight, stacked in zip(_weights_of(source), self._views, strict=True):
            stacked[k].copy_(weight)

    def _rows(self, flat: Tensor) -> list[Tensor]:
        """The flat buffer layer by layer, one padded row per member."""
        parts = flat.split([self.size * stride for stride in self._strides])
        return [part.view(self.size, -1) for part in parts]

    def _split_views(self, flat: Tensor, shapes: list[torch.Size]) -> list[Tensor]:
        return [
            rows[:, : shape.numel()].unflatten(1, shape)
            for rows, shape in zip(self._rows(flat), shapes, strict=True)
        ]

    def _build_layers(self, chain: list[nn.Module]) -> list[Layer]:
        weights, grads = iter(self._views), iter(self._grad_views)

        def new_buffer() -> Tensor:
            return self.parameters.new_empty(0)  # gets its shape in the first step

        layers: list[Layer] = []
        for layer in chain:
            if isinstance(layer, nn.Linear):
                own = next(weights), next(weights), next(grads), next(grads)
                layers.append(Dense(*own, new_buffer(), new_buffer(), self._compute_dtype))
            else:
                layers.append(ReLU(new_buffer()) if isinstance(layer, nn.ReLU) else Flatten())
        return layers


def _layers_of(net: Net) -> list[nn.Module]:
    return [*net.backbone.children(), net.output_layer]


def _weights_of(net: Net) -> list[Tensor]:
    """Weights (out, in) and biases (1, out), in the order of the chain: views."""
    weights: list[Tensor] = []
    for layer in _layers_of(net):
        if isinstance(layer, nn.Linear):
            weights += [layer.weight.detach(), layer.bias.detach().unsqueeze(0)]
    return weights
