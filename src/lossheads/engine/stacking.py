"""Several nets of one shape as one: stacked weights, batched compute_dtype, one flat buffer.

Everything here is written so that a member's bits do not depend on its companions: compute_dtype are
batched per member, the rest is elementwise or row by row, shapes are fixed, and one thread does
it all. Training walks forward and backward by hand, in buffer that is made once: autograd would
make a fresh tensor per layer and step, and the pages of a fresh tensor cost more than filling
it. The heads' losses, where mistakes are made, stay with autograd.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from lossheads.engine.member import Net

# Numbers a member's part of a layer is padded to in the flat buffer: one cache line of float32.
# Vector loops then have no ragged end, which would be computed differently by slot.
_LANE = 16


class Layer(Protocol):
    """One layer of all members."""

    def forward(self, x: Tensor, save: bool) -> Tensor:
        """What the layer makes of `x`; with `save`, in buffer of its own that is used again."""

    def backward(self, x: Tensor, grad: Tensor, needs_input_grad: bool) -> Tensor:
        """From the gradient at the layer's result to the one at `x`; anything unless `needs_input_grad`.

        `grad` may be overwritten.
        """


@dataclass(frozen=True, eq=False)
class Dense:
    """A linear layer of G members: weight (G, out, in), bias (G, 1, out), views of flat buffers.

    Weights lie as in `nn.Linear`: for a narrow output layer the compute_dtype with (in, out) take twice
    as long (measured: 458 against 183 us a step, eight members of 128-10, one thread).
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
        rough = torch.bmm(a.to(self.compute_dtype), b.to(self.compute_dtype))
        return rough.float() if out is None else out.resize_(rough.shape).copy_(rough)


@dataclass(frozen=True, eq=False)
class ReLU:
    """max(x, 0), number by number."""

    buffer: Tensor

    def forward(self, x: Tensor, save: bool) -> Tensor:
        out: Tensor = torch.clamp_min(x, 0, out=self.buffer if save else None)
        return out

    def backward(self, x: Tensor, grad: Tensor, needs_input_grad: bool) -> Tensor:
        torch.ops.aten.threshold_backward.grad_input(grad, x, 0, grad_input=grad)
        return grad


class Flatten:
    """(G or 1, B, ...) -> (G or 1, B, numbers): a view."""

    def forward(self, x: Tensor, save: bool) -> Tensor:
        return x.flatten(2)

    def backward(self, x: Tensor, grad: Tensor, needs_input_grad: bool) -> Tensor:
        return grad.view(len(grad), *x.shape[1:])


def stackable(backbone: nn.Module) -> bool:
    """Whether the backbone is a plain chain of Flatten, Linear with bias, and ReLU.

    Torch computes tanh and its kin differently at the ragged ends of vector loops: not here.
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
    """Whether a lone net of this shape would be computed otherwise than one of several.

    A product of a matrix and a vector goes to another routine when it is not one of a batch
    (measured with torch 2.14): layers with a single input or output, such as one logit.
    """
    return any(1 in weight.shape for weight in _weights_of(net)[::2])


class StackedNet:
    """G nets of one shape, side by side.

    Attributes:
        parameters: All weights in one flat buffer, layer by layer, members side by side.
        gradients: The same layout; written by `backward`.

    Args:
        compute_dtype: What the layers multiply in; everything else is float32.
    """

    def __init__(
        self, nets: Sequence[Net], device: torch.device, compute_dtype: torch.dtype = torch.float32
    ) -> None:
        self.size, self._compute_dtype = len(nets), compute_dtype
        shapes = [weight.shape for weight in _weights_of(nets[0])]
        self._strides = [-(-shape.numel() // _LANE) * _LANE for shape in shapes]
        self.parameters = torch.zeros(self.size * sum(self._strides), device=device)
        self.gradients = torch.zeros_like(self.parameters)
        self._views = self._split_views(self.parameters, shapes)
        self._grad_views = self._split_views(self.gradients, shapes)
        for k, net in enumerate(nets):
            self.fill(k, net)
        self._layers = self._build_layers(_layers_of(nets[0]))
        # Nobody asks for gradients below the first layer that has weights.
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
        """The same for a training step: overwritten by the next one, remembered for `backward`.

        All calls must have inputs of one shape.
        """
        self._activations = [inputs]
        for layer in self._layers:
            self._activations.append(layer.forward(self._activations[-1], save=True))
        return self._activations.pop()

    def backward(self, grad: Tensor) -> None:
        """From the gradient (G, B, U) at the logits of the last `forward` to `gradients`."""
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

    @torch.no_grad()
    def unstack(self, k: int, into: Net) -> Net:
        """Copy member k's weights into a net of the same shape."""
        for plain, own in zip(_weights_of(into), self._views, strict=True):
            plain.copy_(own[k])
        return into

    @torch.no_grad()
    def fill(self, k: int, source: Net) -> None:
        """Copy a net's weights into member k."""
        for plain, own in zip(_weights_of(source), self._views, strict=True):
            own[k].copy_(plain)

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

        def buffer() -> Tensor:
            return self.parameters.new_empty(0)  # takes its shape at the first step

        layers: list[Layer] = []
        for layer in chain:
            if isinstance(layer, nn.Linear):
                own = next(weights), next(weights), next(grads), next(grads)
                layers.append(Dense(*own, buffer(), buffer(), self._compute_dtype))
            else:
                layers.append(ReLU(buffer()) if isinstance(layer, nn.ReLU) else Flatten())
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
