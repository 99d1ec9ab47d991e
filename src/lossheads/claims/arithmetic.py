"""Computations on plain numbers, to check what a page prints; float64 unless told otherwise."""

import math

import torch


def total(*values: float) -> float:
    """Their sum."""
    return math.fsum(values)


def sigmoid(z: float) -> float:
    """1 / (1 + exp(-z)), accurate in both tails."""
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


def sigmoid_slope(z: float, kind: str = "float64") -> float:
    """The derivative of the sigmoid as autograd computes it in this floating-point type."""
    leaf = torch.tensor(z, dtype=_kind(kind), requires_grad=True)
    (slope,) = torch.autograd.grad(torch.sigmoid(leaf), leaf)
    return float(slope)


def softmax(k: int, *z: float) -> float:
    """The k-th probability, counted from 0, of the softmax of z."""
    return float(torch.tensor(z, dtype=torch.float64).softmax(dim=0)[k])


def softmax_shift_gap(by: float, *z: float) -> float:
    """Largest difference between the softmax of z and of z + by."""
    logits = torch.tensor(z, dtype=torch.float64)
    return float((logits.softmax(0) - (logits + by).softmax(0)).abs().max())


def surprisal_bits(p: float) -> float:
    """-log2 p."""
    return -math.log2(p)


def softmax_floor(classes: int, logit: float) -> float:
    """Cross-entropy of the right class when its logit is `logit` and all others are 0, in nats.

    With logit 1 this is the least that a softmax fed into a softmax can reach.
    """
    return math.log(math.exp(logit) + classes - 1) - logit


def smoothed_gap(epsilon: float, classes: int) -> float:
    """Gap between the right logit and the others where smoothed cross-entropy is least.

    The target is 1 - epsilon + epsilon / C for the right class, epsilon / C for each other.
    """
    off = epsilon / classes
    return math.log((1 - epsilon + off) / off)


def smoothed_floor(epsilon: float, classes: int) -> float:
    """The least smoothed cross-entropy, in nats: the entropy of the smoothed target."""
    off = epsilon / classes
    on = 1 - epsilon + off
    return -on * math.log(on) - (classes - 1) * off * math.log(off)


def _kind(name: str) -> torch.dtype:
    kinds = {"float32": torch.float32, "float64": torch.float64}
    if name not in kinds:
        raise ValueError(f"{name!r} is not one of {', '.join(kinds)}")
    return kinds[name]
