"""Computations on this project's heads, in float64: is one loss another in disguise?

Each returns one number, usually the largest gap over a grid, so that a claim can hold it against
a stated tolerance. Random inputs come from a generator with a fixed seed.
"""

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

from lossheads.heads import SigmoidBCE, SingleLogitBCE, SoftmaxCCE, TwoLogitCCE
from lossheads.heads.base import Head
from lossheads.outcomes import OneOf

_HEADS: dict[str, Callable[[int], Head]] = {
    "softmax_cce": lambda classes: SoftmaxCCE(OneOf(classes)),
    "sigmoid_bce": lambda classes: SigmoidBCE(OneOf(classes)),
    "sigmoid_bce_mean": lambda classes: SigmoidBCE(OneOf(classes), class_reduction="mean"),
}
_BINARY = OneOf(2)


def one_two_loss_gap(reach: float) -> float:
    """Loss of one logit z against two logits (-z/2, z/2), z from -reach to reach, both labels."""
    z, labels = _both_labels(reach)
    one = _losses(SingleLogitBCE(_BINARY), z, labels)
    two = _losses(TwoLogitCCE(_BINARY), torch.cat([-z / 2, z / 2], dim=1), labels)
    return _gap(one, two)


def one_two_fixed_zero_gap(reach: float) -> float:
    """Probability of class 1: sigmoid of z against the softmax of (0, z)."""
    z = _grid(reach)
    one = SingleLogitBCE(_BINARY).log_probs(z)
    two = SoftmaxCCE(_BINARY).log_probs(torch.cat([torch.zeros_like(z), z], dim=1))
    return _gap(one.exp(), two.exp())


def one_two_gradient_gap(reach: float) -> float:
    """Gradient on z against that on the second of the logits (0, z)."""
    z, labels = _both_labels(reach)
    one = _gradient(SingleLogitBCE(_BINARY), z, labels)
    two = _gradient(TwoLogitCCE(_BINARY), torch.cat([torch.zeros_like(z), z], dim=1), labels)
    return _gap(one[:, 0], two[:, 1])


def one_two_trajectory_gap(ratio: float, steps: int, weight_decay: float = 0.0) -> float:
    """How far linear models of one and of two logits drift apart under SGD.

    Args:
        ratio: Learning rate of the one-logit model over that of the two-logit model (0.25).
        steps: Full-batch steps on 64 random points in 5 dimensions.

    Returns:
        Largest difference between z and z_1 - z_0 on those points afterwards.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64, 5, generator=generator, dtype=torch.float64)
    noise = torch.randn(64, generator=generator, dtype=torch.float64)
    labels = (x[:, 0] + noise > 0).long()
    start = torch.randn(5, 1, generator=generator, dtype=torch.float64)
    one = _train_linear(
        SingleLogitBCE(_BINARY), x, labels, start, 0.25 * ratio, steps, weight_decay
    )
    pair = torch.cat([-start / 2, start / 2], dim=1)
    two = _train_linear(TwoLogitCCE(_BINARY), x, labels, pair, 0.25, steps, weight_decay)
    return _gap(one[:, 0], two[:, 1] - two[:, 0])


def two_class_cce_gap(reach: float) -> float:
    """Two-class cross-entropy of free logits (a, b) against the sigmoid loss of b - a."""
    axis = torch.linspace(-reach, reach, 21, dtype=torch.float64)
    pairs = torch.cartesian_prod(axis, axis)
    gaps = []
    for label in (0, 1):
        labels = torch.full((len(pairs),), label)
        two = _losses(TwoLogitCCE(_BINARY), pairs, labels)
        one = _losses(SingleLogitBCE(_BINARY), pairs[:, 1:] - pairs[:, :1], labels)
        gaps.append(_gap(one, two))
    return max(gaps)


def sigmoid_given_one_on_gap(classes: int) -> float:
    """Sigmoid units, conditioned by brute force on "exactly one is on", against the softmax.

    All 2**classes patterns of units are weighed; the weight of those with a single unit on is
    divided by its sum.
    """
    z = 3 * torch.randn(50, classes, generator=_seeded(), dtype=torch.float64)
    s = torch.sigmoid(z)
    weights = torch.zeros_like(z)
    for pattern in itertools.product((0, 1), repeat=classes):
        if sum(pattern) == 1:
            on = torch.tensor(pattern, dtype=torch.bool)
            weights[:, pattern.index(1)] = torch.where(on, s, 1 - s).prod(dim=1)
    return _gap(
        weights / weights.sum(dim=1, keepdim=True), SoftmaxCCE(OneOf(classes)).log_probs(z).exp()
    )


def loss_at_zero(head: str, classes: int) -> float:
    """Loss of one example when every logit is 0, in nats."""
    return float(_losses(_head(head, classes), _zeros(classes), torch.zeros(1).long()))


def gradient_at_zero(head: str, classes: int) -> float:
    """L2 norm of the loss gradient on one example's logits, all of them 0."""
    made = _head(head, classes)
    return float(_gradient(made, _zeros(classes), torch.zeros(1).long()).norm())


def gradient_at_prior(head: str, classes: int) -> float:
    """The same with every logit at the head's own prior bias for equally frequent classes."""
    made = _head(head, classes)
    bias = made.prior_bias(torch.full((classes,), 1 / classes, dtype=torch.float64))
    return float(_gradient(made, bias.double().unsqueeze(0), torch.zeros(1).long()).norm())


def loss_at_prior(head: str, classes: int) -> float:
    """Loss of one example with every logit at the head's prior bias for equal classes, in nats."""
    made = _head(head, classes)
    bias = made.prior_bias(torch.full((classes,), 1 / classes, dtype=torch.float64))
    return float(_losses(made, bias.double().unsqueeze(0), torch.zeros(1).long()))


def double_softmax_gradient_ratio(classes: int) -> float:
    """Gradient norm of softmax-then-cross-entropy over that of cross-entropy, all logits 0."""
    head, labels = SoftmaxCCE(OneOf(classes)), torch.zeros(1).long()
    leaf = _zeros(classes).requires_grad_()
    loss = head.loss(leaf.softmax(dim=1), head.encode(labels).double()).sum()
    (doubled,) = torch.autograd.grad(loss, leaf)
    return float(doubled.norm() / _gradient(head, _zeros(classes), labels).norm())


def log_softmax_twice_gap(classes: int) -> float:
    """Cross-entropy of log-softmax outputs against that of the logits themselves."""
    z = 5 * torch.randn(50, classes, generator=_seeded(), dtype=torch.float64)
    labels = torch.arange(50) % classes
    head = SoftmaxCCE(OneOf(classes))
    return _gap(_losses(head, z.log_softmax(dim=1), labels), _losses(head, z, labels))


def double_sigmoid_loss(label: int, z: float) -> float:
    """Loss of the sigmoid head fed with sigmoid(z) in place of z, in nats."""
    logit = torch.sigmoid(torch.tensor([[z]], dtype=torch.float64))
    return float(_losses(SingleLogitBCE(_BINARY), logit, torch.tensor([label])))


def double_sigmoid_share_of_ones(reach: float) -> float:
    """Share of logits z in -reach … reach for which sigmoid(sigmoid(z)) exceeds one half."""
    once = torch.sigmoid(_grid(reach))
    return float((torch.sigmoid(once) > 0.5).double().mean())


def _head(name: str, classes: int) -> Head:
    if name not in _HEADS:
        raise ValueError(f"{name!r} is not one of {', '.join(_HEADS)}")
    return _HEADS[name](classes)


def _losses(head: Head, logits: Tensor, labels: Tensor) -> Tensor:
    return head.loss(logits, head.encode(labels).double())


def _gradient(head: Head, logits: Tensor, labels: Tensor) -> Tensor:
    leaf = logits.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(_losses(head, leaf, labels).sum(), leaf)
    return gradient


def _train_linear(
    head: Head, x: Tensor, labels: Tensor, start: Tensor, rate: float, steps: int, decay: float
) -> Tensor:
    weights = start.clone().requires_grad_()
    optimizer = torch.optim.SGD([weights], lr=rate, weight_decay=decay)
    for _ in range(steps):
        optimizer.zero_grad()
        _losses(head, x @ weights, labels).mean().backward()
        optimizer.step()
    return (x @ weights).detach()


def _both_labels(reach: float) -> tuple[Tensor, Tensor]:
    z = _grid(reach)
    return torch.cat([z, z]), torch.arange(2).repeat_interleave(len(z))


def _grid(reach: float) -> Tensor:
    return torch.linspace(-reach, reach, 401, dtype=torch.float64).unsqueeze(1)


def _zeros(classes: int) -> Tensor:
    return torch.zeros(1, classes, dtype=torch.float64)


def _gap(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)
