"""Losses as pure functions of logits and targets, in nats, reduced over nothing but an example.

Rows of several cohort members are stacked, and a member's bits must not depend on its
neighbours. torch's CPU kernels of `sigmoid`, `softplus`, `logaddexp` and the backward of
`binary_cross_entropy_with_logits` break that: their vector body and their scalar tail round
differently, so a value depends on its place in the tensor (measured with torch 2.14).
`logsigmoid`, `exp`, `log`, `log1p` and everything softmax over the last dimension keep it.
Hence the formulas below, and hence `sigmoid` is written as exp(logsigmoid).
"""

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from lossheads.errors import UserError, near_matches

OverUnits = Literal["sum", "mean"]

KERAS_EPSILON = 1e-7


def sigmoid(logits: Tensor) -> Tensor:
    """1 / (1 + exp(-z)), with bits that do not depend on an element's place in the tensor."""
    return F.logsigmoid(logits).exp()


def over_units(per_unit: Tensor, how: OverUnits) -> Tensor:
    """(N, U) -> (N,): the sum is a log-likelihood in nats, the mean is 1/U of it."""
    return per_unit.sum(dim=-1) if how == "sum" else per_unit.mean(dim=-1)


def check_over_units(head: object, how: str) -> None:
    """Refuse a reduction other than `sum` and `mean`.

    Raises:
        UserError: Naming the head, the word it got, and the near matches.
    """
    known = get_args(OverUnits)
    if how not in known:
        raise UserError(f"{type(head).__name__} got over_units={how}: {near_matches(how, known)}")


def softmax_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """-sum_k t_k log softmax(z)_k over the last dimension: (..., C), (..., C) -> (...)."""
    return -(target * F.log_softmax(logits, dim=-1)).sum(dim=-1)


def sigmoid_cross_entropy(logits: Tensor, target: Tensor, pos_weight: float = 1.0) -> Tensor:
    """-w t log s(z) - (1 - t) log s(-z) for each unit, exact in both tails; shape unchanged.

    Two log-sigmoids instead of the usual max(z, 0) - t z + log1p(exp(-|z|)): that one loses the
    value and the gradient of a confident right answer to cancellation.
    """
    on, off = F.logsigmoid(logits), F.logsigmoid(-logits)
    return -(pos_weight * target * on + (1 - target) * off)


def clipped_cross_entropy(
    probabilities: Tensor, target: Tensor, epsilon: float = KERAS_EPSILON
) -> Tensor:
    """Binary cross-entropy in probability space, clipped as Keras clips it; shape unchanged.

    Probabilities are moved into [epsilon, 1 - epsilon] first, so the loss of a unit never
    exceeds -ln(epsilon) = 16.1 nats and its gradient is exactly 0 beyond the clip.
    """
    p = probabilities.clamp(epsilon, 1 - epsilon)
    return -(target * torch.log(p) + (1 - target) * torch.log(1 - p))
