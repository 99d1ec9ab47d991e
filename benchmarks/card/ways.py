"""Ways of training K nets on a card: this project's, and what its convolutions could become.

Every way takes equal nets on equal rows, so the losses of the first steps tell whether two of them
compute the same. `one by one` is the reference; with one member it is the plain loop.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.card.work import LEARNING_RATE, NETS, SHAPE, Step, Work
from lossheads.engine.batches import batch_stream
from lossheads.engine.cohort import build_cohort
from lossheads.engine.cuda_graph import CUDAGraphStep
from lossheads.engine.member import Member
from lossheads.heads import SoftmaxCCE
from lossheads.outcomes import OneOf

MAX_STREAMS = 8

# The stacked weights of all members, by name -> logits (K, B, 10) of their rows (K, B, ...).
Forward = Callable[[dict[str, Tensor], Tensor], Tensor]


def lossheads(work: Work) -> Callable[[], Any]:
    """This project's cohort on batches of its own stream; one by one where it does not stack."""
    inputs, labels = work.rows()
    members = [
        Member(SoftmaxCCE(OneOf(10)), seed, seed, {"lr": LEARNING_RATE, "fused": True})
        for seed in range(work.members)
    ]
    build = partial(
        build_cohort,
        NETS[work.net],
        SHAPE,
        labels=labels,
        optimizer=partial(torch.optim.Adam),
        device=work.device,
        compute_dtype=torch.bfloat16 if work.precision == "bfloat16" else torch.float32,
        graph=work.graph,
    )
    try:
        groups = [(build(members=members), members)]
    except ValueError:
        groups = [(build(members=[member]), [member]) for member in members]
    streams = [
        batch_stream(len(inputs), work.batch, [member.data_seed for member in group], work.device)
        for _, group in groups
    ]

    def step() -> None:
        for (cohort, _), batches in zip(groups, streams, strict=True):
            cohort.scale_learning_rates(1.0)  # as `train` does at every step
            cohort.step(inputs, next(batches))

    return step


def random_rows(work: Work, way: Callable[[Work], Step]) -> Callable[[], Any]:
    """A way of this module on rows drawn once: the cost of an order is no part of it."""
    rows = len(work.rows()[0])
    draw = torch.Generator().manual_seed(1)
    index = torch.randint(0, rows, (work.members, work.batch), generator=draw).to(work.device)
    step = way(work)
    replayed = CUDAGraphStep(step) if work.graph else step
    return lambda: replayed(index)


def one_by_one(work: Work) -> Step:
    """Each member its own net and optimizer, one after the other."""
    return _side_by_side(work, lambda k: torch.enable_grad())


def streams(work: Work) -> Step:
    """The same, on streams of the card: small kernels of several members may run at once."""
    own = [torch.cuda.Stream() for _ in range(min(work.members, MAX_STREAMS))]
    step = _side_by_side(work, lambda k: torch.cuda.stream(own[k % len(own)]))

    def forked(index: Tensor) -> Tensor:
        here = torch.cuda.current_stream()
        for stream in own:
            stream.wait_stream(here)
        losses = step(index)
        for stream in own:
            here.wait_stream(stream)
        return losses

    return forked


def _side_by_side(work: Work, place: Callable[[int], AbstractContextManager[Any]]) -> Step:
    inputs, labels = work.rows()
    nets = work.nets()
    optimizers = [_adam(work, list(net.parameters())) for net in nets]
    losses = torch.zeros(work.members, device=work.device)

    def step(index: Tensor) -> Tensor:
        for k, (net, optimizer) in enumerate(zip(nets, optimizers, strict=True)):
            with place(k):
                loss = functional.cross_entropy(net(inputs[index[k]]), labels[index[k]])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                losses[k] = loss.detach()
        return losses.clone()

    return step


def vmap(work: Work) -> Step:
    """`torch.func.vmap` over the members of one functional net."""
    net = work.nets()[0]

    def forward(weights: dict[str, Tensor], rows: Tensor) -> Tensor:
        def one(own: dict[str, Tensor], x: Tensor) -> Tensor:
            logits: Tensor = torch.func.functional_call(net, own, (x,))
            return logits

        logits: Tensor = torch.func.vmap(one)(weights, rows)
        return logits

    return _stacked(work, forward)


def grouped(work: Work) -> Step:
    """Convolutions of all members as one convolution of K groups."""
    return _stacked(work, partial(_chain, chain_of(work), _grouped_convolution))


def unfold(work: Work) -> Step:
    """Convolutions as batched products of unfolded rows."""
    return _stacked(work, partial(_chain, chain_of(work), _unfolded_convolution))


CANDIDATES: dict[str, Callable[[Work], Step]] = {
    "one by one": one_by_one,
    "streams": streams,
    "grouped": grouped,
    "unfold + bmm": unfold,
    "vmap": vmap,
}


def _stacked(work: Work, forward: Forward) -> Step:
    """A step on stacked weights: one autograd pass and one optimizer for all members."""
    inputs, labels = work.rows()
    stacked, _ = torch.func.stack_module_state(work.nets())
    weights = {name: value.detach().requires_grad_() for name, value in stacked.items()}
    optimizer = _adam(work, list(weights.values()))

    def step(index: Tensor) -> Tensor:
        logits = forward(weights, inputs[index])
        targets = labels[index]
        each = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        losses = each.view(targets.shape).mean(dim=1)
        optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        optimizer.step()
        return losses.detach().clone()

    return step


def _adam(work: Work, parameters: list[Tensor]) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=LEARNING_RATE, fused=True, capturable=work.graph)


def _chain(
    layers: list[nn.Module],
    convolution: Callable[[Tensor, Tensor, Tensor], Tensor],
    weights: dict[str, Tensor],
    rows: Tensor,
) -> Tensor:
    """The layers one after the other for all members; x is (K, B, ...) throughout."""
    x = rows
    for name, layer in enumerate(layers):
        if isinstance(layer, nn.Conv2d):
            x = convolution(x, weights[f"{name}.weight"], weights[f"{name}.bias"])
        elif isinstance(layer, nn.Linear):
            weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
            x = torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2))
        elif isinstance(layer, nn.Flatten):
            x = x.flatten(2)
        else:  # ReLU and pooling know no members
            x = layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])
    return x


def chain_of(work: Work) -> list[nn.Module]:
    """The layers of a member's net, in order.

    Raises:
        ValueError: If it is no chain that these ways understand.
    """
    layers = [*NETS[work.net](SHAPE), nn.Linear(1, 1)]
    known = (nn.Conv2d, nn.Linear, nn.Flatten, nn.ReLU, nn.MaxPool2d)
    if not all(isinstance(layer, known) for layer in layers):
        raise ValueError(f"{work.net} is no plain chain of layers")
    return layers


def _grouped_convolution(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    members, rows = x.shape[:2]
    side_by_side = x.transpose(0, 1).flatten(1, 2)  # (B, K C, H, W)
    out = functional.conv2d(
        side_by_side, weight.flatten(0, 1), bias.flatten(), padding=1, groups=members
    )
    return out.view(rows, members, -1, *out.shape[2:]).transpose(0, 1)


def _unfolded_convolution(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    members, rows, _, height, width = x.shape
    columns = functional.unfold(x.flatten(0, 1), 3, padding=1)  # (K B, 9 C, H W)
    columns = columns.unflatten(0, (members, rows)).transpose(1, 2).flatten(2)  # (K, 9 C, B H W)
    out = torch.baddbmm(bias.unsqueeze(2), weight.flatten(2), columns)
    return out.view(members, -1, rows, height, width).transpose(1, 2)
