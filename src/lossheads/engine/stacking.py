"""Several networks of one shape as one: stacked weights, batched products, one flat buffer.

Everything here is written so that a member's bits do not depend on the other members: products
are batched per member, the rest is elementwise or per row, shapes are fixed, and one thread does
it all. Forward and backward are written by hand into buffers that are allocated once: autograd
would allocate a tensor per layer and step, and the pages of a new tensor cost more than filling
it. The heads' losses, where mistakes are likely, use autograd.

A network is a chain: layers on images, if there are any (`images`), then dense layers.
"""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor, nn

from lossheads.engine.images import (
    ImageNet,
    Weight,
    build_image_layers,
    image_weights,
    is_image_layer,
    num_channels,
    split_chain,
)
from lossheads.engine.member import Net
from lossheads.engine.team import Team

# A member's part of a layer is padded to a multiple of this in the flat buffer: one cache line of
# float32. Vector loops then have no remainder, whose rounding would depend on the slot.
_PAD_MULTIPLE = 16


class Layer(Protocol):
    """One layer of all members."""

    def forward(self, x: Tensor, save: bool) -> Tensor:
        """The layer's output; with `save`, in the layer's own buffer, which is reused."""

    def backward(self, x: Tensor, grad: Tensor, needs_input_grad: bool) -> Tensor:
        """Gradient at the output -> gradient at `x`; undefined unless `needs_input_grad`.

        Fills the gradients of the layer's weights. `grad` may be overwritten.
        """


class Dense:
    """A linear layer of G members: weight (G, out, in), bias (G, 1, out), views of flat buffers.

    Weights are laid out as in `nn.Linear`: for a narrow output layer, products with (in, out) take
    twice as long (measured: 458 against 183 us a step, eight members of 128-10, one thread).

    Args:
        weight, bias: Value and gradient.
    """

    def __init__(
        self,
        weight: tuple[Tensor, Tensor],
        bias: tuple[Tensor, Tensor],
        compute_dtype: torch.dtype,
    ) -> None:
        self._weight, self._weight_grad = weight
        self._bias, self._bias_grad = bias
        self._compute_dtype = compute_dtype
        # Outside a batch, torch computes the product of a matrix and a vector by another routine
        # (measured with torch 2.14): a lone layer with a single input or output, such as one
        # logit, is multiplied in a batch of two, beside itself. How the result lies in memory
        # counts as well, so its gradient is padded like those in a batch.
        self._twin = len(self._weight) == 1 and 1 in self._weight.shape[1:]
        if self._twin:
            _, out, width = self._weight.shape
            strides = (_padded(out * width), width, 1)
            self._twin_grad = self._weight.new_empty_strided((2, out, width), strides)
        self._buffer, self._grad_buffer = (self._weight.new_empty(0) for _ in range(2))

    def forward(self, x: Tensor, save: bool) -> Tensor:
        """(G or 1, B, in) -> (G, B, out)."""
        rows, columns = x.expand(len(self._weight), -1, -1), self._weight.transpose(1, 2)
        out = self._buffer if save else None
        if self._compute_dtype is not torch.float32:
            return self._matmul(rows, columns, out).add_(self._bias)
        if self._twin:
            return _keep(torch.baddbmm(*map(_pair, (self._bias, rows, columns)))[:1], out)
        return torch.baddbmm(self._bias, rows, columns, out=out)

    def backward(self, x: Tensor, grad: Tensor, needs_input_grad: bool) -> Tensor:
        rows = x.expand(len(self._weight), -1, -1)
        if self._twin and self._compute_dtype is torch.float32:
            torch.bmm(_pair(grad.transpose(1, 2)), _pair(rows), out=self._twin_grad)
            self._weight_grad.copy_(self._twin_grad[:1])
        else:
            self._matmul(grad.transpose(1, 2), rows, self._weight_grad)
        torch.sum(grad, dim=1, keepdim=True, out=self._bias_grad)
        return self._matmul(grad, self._weight, self._grad_buffer) if needs_input_grad else grad

    def _matmul(self, a: Tensor, b: Tensor, out: Tensor | None) -> Tensor:
        """Batched product in `compute_dtype`; factors and result stay float32 elsewhere."""
        if self._compute_dtype is torch.float32 and not self._twin:
            return torch.bmm(a, b, out=out)
        if self._twin:
            a, b = _pair(a), _pair(b)
        product = torch.bmm(a.to(self._compute_dtype), b.to(self._compute_dtype))
        return _keep(product[: len(self._weight)].float(), out)


def _pair(x: Tensor) -> Tensor:
    """(1, ...) -> (2, ...)"""
    return x.expand(2, *x.shape[1:])


def _keep(result: Tensor, out: Tensor | None) -> Tensor:
    return result if out is None else out.resize_(result.shape).copy_(result)


class ReLU:
    """max(x, 0), elementwise."""

    def __init__(self, buffer: Tensor) -> None:
        self._buffer = buffer

    def forward(self, x: Tensor, save: bool) -> Tensor:
        out: Tensor = torch.clamp_min(x, 0, out=self._buffer if save else None)
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
    """Whether the backbone is a chain of layers on images, if there are any, then dense ones.

    The dense ones are Flatten, Linear with bias, and ReLU; the others are those of `images`. Not
    tanh and similar functions: torch rounds them differently in the remainder of a loop.
    """
    if type(backbone) is not nn.Sequential:
        return False
    on_images, dense = split_chain(_flat(backbone))
    if not (all(map(is_image_layer, on_images)) and all(map(_is_dense_layer, dense))):
        return False
    # A layer that occurs twice has its weights once.
    weights = [weight for layer in on_images for weight in image_weights(layer)]
    weights += [weight for layer in dense for weight in layer.parameters()]
    return len(weights) == sum(1 for _ in backbone.parameters())


def has_images(backbone: nn.Module) -> bool:
    """Whether a stackable backbone begins with layers on images."""
    return bool(split_chain(_flat(backbone))[0])


def _is_dense_layer(layer: nn.Module) -> bool:
    # Exact types: a subclass may compute anything.
    if type(layer) is nn.Flatten:
        return (layer.start_dim, layer.end_dim) == (1, -1)
    if type(layer) is nn.Linear:
        return layer.bias is not None
    return type(layer) is nn.ReLU


class DenseStack:
    """A chain of dense layers of some of the members."""

    def __init__(self, layers: Sequence[Layer], members: slice) -> None:
        self._layers, self._members = layers, members
        # Below the first layer with weights no gradient is needed, except that of images.
        self._first = next(i for i, layer in enumerate(layers) if isinstance(layer, Dense))
        self._activations: list[Tensor] = []
        self.output = self.grad = torch.empty(0)

    def forward(self, inputs: Tensor, save: bool) -> None:
        """Inputs (G or 1, B, ...) of all members -> `output`, logits of these."""
        x = inputs if len(inputs) == 1 else inputs[self._members]
        activations = [x]
        for layer in self._layers:
            activations.append(layer.forward(activations[-1], save))
        self.output = activations.pop()
        if save:
            self._activations = activations

    def backward(self, grad: Tensor, needs_input_grad: bool) -> None:
        """Gradient (G, B, U) of all members -> those of weights, and `grad` at the inputs."""
        grad, last = grad[self._members], 0 if needs_input_grad else self._first
        for i in range(len(self._layers) - 1, last - 1, -1):
            grad = self._layers[i].backward(
                self._activations[i], grad, needs_input_grad=needs_input_grad or i > self._first
            )
        self.grad = grad


class StackedNet:
    """G networks of one shape, stacked.

    Attributes:
        parameters: All weights in one flat buffer: layer by layer, in each one row per member.
        gradients: The same layout; written by `backward`.

    Args:
        compute_dtype: Type of the matrix products; everything else is float32.
        threads: Threads that share the layers on images, whatever they are.
    """

    def __init__(
        self,
        nets: Sequence[Net],
        device: torch.device,
        compute_dtype: torch.dtype = torch.float32,
        threads: int = 1,
    ) -> None:
        self.size, self._compute_dtype = len(nets), compute_dtype
        shapes = [weight.shape for weight in _weights_of(nets[0])]
        self._strides = [_padded(shape.numel()) for shape in shapes]
        self.parameters = torch.zeros(self.size * sum(self._strides), device=device)
        self.gradients = torch.zeros_like(self.parameters)
        self._views = self._split_views(self.parameters, shapes)
        self._grad_views = self._split_views(self.gradients, shapes)
        for k, net in enumerate(nets):
            self.fill(k, net)
        self._team = Team(threads)
        self._images, self._stacks = self._build(nets[0], threads)
        self._inputs = torch.empty(0)

    def logits(self, inputs: Tensor) -> Tensor:
        """(G or 1, B, *input_shape) -> (G, B, U); 1 means that all members see the same rows."""
        return self._run(inputs, save=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """The same for a training step: kept for `backward`, overwritten by the next call.

        The inputs of all calls must have the same shape.
        """
        self._inputs = inputs
        return self._run(inputs, save=True)

    def _run(self, inputs: Tensor, save: bool) -> Tensor:
        x = self._images.forward(inputs, save) if self._images else inputs
        self._team.run(partial(stack.forward, x, save) for stack in self._stacks)
        outputs = [stack.output for stack in self._stacks]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)

    def backward(self, grad: Tensor) -> None:
        """Fill `gradients` from the gradient (G, B, U) at the logits of the last `forward`."""
        needed = self._images is not None
        self._team.run(partial(stack.backward, grad, needed) for stack in self._stacks)
        if self._images:
            self._images.backward(self._inputs, [g for stack in self._stacks for g in stack.grad])

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

    def _rows(self, flat: Tensor, count: int | None = None) -> list[Tensor]:
        """The flat buffer, or its first weights, layer by layer: one padded row per member."""
        sizes = [self.size * stride for stride in self._strides[:count]]
        return [part.view(self.size, -1) for part in flat.split_with_sizes(sizes)]

    def _split_views(self, flat: Tensor, shapes: list[torch.Size]) -> list[Tensor]:
        return [
            rows[:, : shape.numel()].unflatten(1, shape)
            for rows, shape in zip(self._rows(flat, len(shapes)), shapes, strict=True)
        ]

    def _build(self, net: Net, threads: int) -> tuple[ImageNet | None, list[DenseStack]]:
        on_images, dense = _layers_of(net)
        shapes = [weight.shape for layer in on_images for weight in image_weights(layer)]
        count = len(shapes)
        pairs = [*zip(self._views, self._grad_views, strict=True)]
        if not on_images:
            return None, [self._dense_stack(dense, pairs, slice(0, self.size))]
        # The rows' second half has gradients of its own, zero where a half is empty.
        second = torch.zeros_like(self.gradients[: self.size * sum(self._strides[:count])])
        first = self.gradients[: len(second)]
        weights = [
            Weight.of(*views)
            for views in zip(
                *(self._views[:count], self._grad_views[:count]),
                self._split_views(second, shapes),
                strict=True,
            )
        ]
        layers = build_image_layers(on_images, iter(weights), self._compute_dtype)
        features = next(each.in_features for each in dense if isinstance(each, nn.Linear))
        images = ImageNet(layers, (first, second), self.size, features, self._team)
        parts = min(threads, self.size)
        borders = [self.size * part // parts for part in range(parts + 1)]
        return images, [
            self._dense_stack(dense, pairs[count:], slice(*members))
            for members in pairwise(borders)
        ]

    def _dense_stack(
        self, chain: Sequence[nn.Module], pairs: Sequence[tuple[Tensor, Tensor]], members: slice
    ) -> DenseStack:
        """Dense layers of some members, from (value, gradient) of the weights of all."""
        # The first layer after images lies as (out, pixels, channels).
        own = iter([(v[members].flatten(2), g[members].flatten(2)) for v, g in pairs])
        layers: list[Layer] = []
        for layer in chain:
            if isinstance(layer, nn.Linear):
                layers.append(Dense(next(own), next(own), self._compute_dtype))
            elif isinstance(layer, nn.ReLU):
                layers.append(ReLU(self.parameters.new_empty(0)))  # its shape comes with a step
            else:
                layers.append(Flatten())
        return DenseStack(layers, members)


def _padded(numbers: int) -> int:
    """Numbers of a member's part of a layer in the flat buffer."""
    return -(-numbers // _PAD_MULTIPLE) * _PAD_MULTIPLE


def _flat(backbone: nn.Module) -> list[nn.Module]:
    """The layers of nested chains, one after another, without those that do nothing."""
    if type(backbone) is nn.Sequential:
        return [layer for each in backbone for layer in _flat(each)]
    return [] if type(backbone) is nn.Identity else [backbone]


def _layers_of(net: Net) -> tuple[list[nn.Module], list[nn.Module]]:
    """Layers on images, and dense ones."""
    return split_chain([*_flat(net.backbone), net.output_layer])


def _weights_of(net: Net) -> list[Tensor]:
    """The weights in the order of the chain: views.

    Those on images as `image_weights` has them; of dense layers weight (out, in) and bias (1, out).
    Features of images are laid out (pixels, channels), so the first dense layer's weight is
    (out, pixels, channels).
    """
    on_images, dense = _layers_of(net)
    weights = [weight for layer in on_images for weight in image_weights(layer)]
    channels = num_channels(on_images) if on_images else 0
    for layer in dense:
        if isinstance(layer, nn.Linear):
            weight = layer.weight.detach()
            if channels:
                weight, channels = weight.unflatten(1, (channels, -1)).transpose(1, 2), 0
            weights += [weight, layer.bias.detach().unsqueeze(0)]
    return weights
