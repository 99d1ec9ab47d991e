"""Several nets of one shape as one: stacked weights, batched products, one flat buffer.

Everything here is written so that a member's bits do not depend on its companions: products are
batched per member, the rest is elementwise or row by row, and shapes are fixed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lossheads.members import Net

# Modules that act on each number alone: stacked, they are themselves.
# Torch computes tanh and its kin differently at the ragged ends of threads' shares: not here.
ELEMENTWISE = (nn.ReLU, nn.LeakyReLU, nn.Identity)

# Numbers a member's part of a layer is padded to in the flat buffer: one cache line of float32.
# Vector loops then have no ragged end, which would be computed differently by seat.
_LANE = 16


class _DenseProduct(torch.autograd.Function):
    """(G, B, in) -> (G, B, out); the backward pass writes into gradients that already exist.

    Autograd would allocate and fill a fresh gradient per step; for stacked weights that is the
    largest single cost after the products themselves.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, layer: "Dense") -> Tensor:
        ctx.save_for_backward(x)
        ctx.layer = layer
        return torch.baddbmm(bias, x, weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, None, None]:
        (x,) = ctx.saved_tensors
        layer: Dense = ctx.layer
        (grad,) = grads
        torch.bmm(x.transpose(1, 2), grad, out=layer.weight_grad)
        torch.sum(grad, dim=1, keepdim=True, out=layer.bias_grad)
        if not ctx.needs_input_grad[0]:
            return None, None, None, None
        return torch.bmm(grad, layer.weight.detach().transpose(1, 2)), None, None, None


@dataclass(frozen=True, eq=False)
class Dense:
    """A linear layer of G members; weight (G, in, out), bias (G, 1, out), views of flat buffers."""

    weight: Tensor
    bias: Tensor
    weight_grad: Tensor
    bias_grad: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """(G or 1, B, in) -> (G, B, out)."""
        x = x.expand(len(self.weight), -1, -1)
        if torch.is_grad_enabled():
            out: Tensor = _DenseProduct.apply(x, self.weight, self.bias, self)
            return out
        return torch.baddbmm(self.bias, x, self.weight)


def stackable(trunk: nn.Module) -> bool:
    """Whether the trunk is a plain chain of Flatten, Linear with bias, and elementwise modules."""
    return type(trunk) is nn.Sequential and all(map(_known, trunk))


def _known(layer: nn.Module) -> bool:
    # Exact types: a subclass may compute anything.
    if type(layer) is nn.Flatten:
        return (layer.start_dim, layer.end_dim) == (1, -1)
    if type(layer) is nn.Linear:
        return layer.bias is not None
    return type(layer) in ELEMENTWISE


class StackedNet:
    """G nets of one shape, side by side.

    Attributes:
        parameters: All weights in one flat buffer, layer by layer, members side by side.
        gradients: The same layout.
    """

    def __init__(self, nets: Sequence[Net], device: torch.device) -> None:
        self.size = len(nets)
        shapes = [column.shape for column in _columns_of(nets[0])]
        self._strides = [-(-shape.numel() // _LANE) * _LANE for shape in shapes]
        self.parameters = torch.zeros(self.size * sum(self._strides), device=device)
        self.gradients = torch.zeros_like(self.parameters)
        self._views = self._carve(self.parameters, shapes)
        self._grad_views = self._carve(self.gradients, shapes)
        for k, net in enumerate(nets):
            self.fill(k, net)
        self._layers = self._assemble(_chain(nets[0]))

    def __call__(self, inputs: Tensor) -> Tensor:
        """(G or 1, B, *input_shape) -> (G, B, U); 1 means that all members see the same batch."""
        x = inputs
        for layer in self._layers:
            x = layer(x)
        return x

    def slices(self, k: int) -> list[tuple[Tensor, Tensor]]:
        """Member k's own (parameter, gradient), flat views with their padding."""
        return [
            (p[k], g[k])
            for p, g in zip(self._rows(self.parameters), self._rows(self.gradients), strict=True)
        ]

    @torch.no_grad()
    def unstack(self, k: int, into: Net) -> Net:
        """Copy member k's weights into a net of the same shape."""
        for plain, own in zip(_columns_of(into), self._views, strict=True):
            plain.copy_(own[k])
        return into

    @torch.no_grad()
    def fill(self, k: int, source: Net) -> None:
        """Copy a net's weights into member k."""
        for plain, own in zip(_columns_of(source), self._views, strict=True):
            own[k].copy_(plain)

    def _rows(self, flat: Tensor) -> list[Tensor]:
        """The flat buffer layer by layer, one padded row per member."""
        parts = flat.split([self.size * stride for stride in self._strides])
        return [part.view(self.size, -1) for part in parts]

    def _carve(self, flat: Tensor, shapes: list[torch.Size]) -> list[Tensor]:
        return [
            rows[:, : shape.numel()].unflatten(1, shape)
            for rows, shape in zip(self._rows(flat), shapes, strict=True)
        ]

    def _assemble(self, chain: list[nn.Module]) -> list[Any]:
        views, grads = iter(self._views), iter(self._grad_views)
        layers: list[Any] = []
        for layer in chain:
            if isinstance(layer, nn.Linear):
                weight, bias = next(views), next(views)
                layers.append(
                    Dense(weight.requires_grad_(), bias.requires_grad_(), next(grads), next(grads))
                )
            elif isinstance(layer, nn.Flatten):
                layers.append(_flatten_rows)
            else:
                layers.append(layer)
        return layers


def _chain(net: Net) -> list[nn.Module]:
    return [*net.trunk.children(), net.readout]


def _columns_of(net: Net) -> list[Tensor]:
    """Weights as (in, out) and biases as (1, out), in the order of the chain: views."""
    columns: list[Tensor] = []
    for layer in _chain(net):
        if isinstance(layer, nn.Linear):
            columns += [layer.weight.detach().T, layer.bias.detach().unsqueeze(0)]
    return columns


def _flatten_rows(x: Tensor) -> Tensor:
    return x.flatten(2)
