"""Losses as pure functions of logits and targets, in nats, reduced over nothing but an example.

Rows of several cohort members are stacked, and a member's bits must not depend on its
neighbours: formulas use only the operations that `numerics` names as safe.
"""

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from lossheads.errors import UserError, near_matches
from lossheads.numerics import log_softmax, sigmoid

ClassReduction = Literal["sum", "mean"]

KERAS_EPSILON = 1e-7

# Below every probability that matters, above the smallest normal float32: its log is finite.
_TINY = 1e-30

# Keeps the gradient of a norm finite at 0; a vector of norm 1 loses 5e-13 of it.
_TINY_SQUARE = 1e-12


def reduce_classes(per_unit: Tensor, class_reduction: ClassReduction) -> Tensor:
    """(N, U) -> (N,): the sum is a log-likelihood in nats, the mean is 1/U of it."""
    return per_unit.sum(dim=-1) if class_reduction == "sum" else per_unit.mean(dim=-1)


def check_class_reduction(head: object, class_reduction: str) -> None:
    """Refuse a reduction other than `sum` and `mean`.

    Raises:
        UserError: Naming the head, the word it got, and the near matches.
    """
    known = get_args(ClassReduction)
    if class_reduction not in known:
        raise UserError(
            f"{type(head).__name__} got class_reduction={class_reduction}: "
            f"{near_matches(str(class_reduction), known)}"
        )


def softmax_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """-sum_k t_k log softmax(z)_k over the last dimension: (..., C), (..., C) -> (...)."""
    return -(target * log_softmax(logits)).sum(dim=-1)


def sigmoid_cross_entropy(logits: Tensor, target: Tensor, pos_weight: float = 1.0) -> Tensor:
    """-w t log s(z) - (1 - t) log s(-z) for each unit, exact in both tails; shape unchanged.

    Two log-sigmoids instead of the usual max(z, 0) - t z + log1p(exp(-|z|)): that one loses the
    value and the gradient of a confident correct answer to cancellation.
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


def log1p_sum_exp(exponents: Tensor, dim: int, factors: Tensor | None = None) -> Tensor:
    """log(1 + sum_i f_i exp(x_i)) over `dim`, at any size of x; small values keep their digits.

    Args:
        exponents: May hold -inf, a summand of 0 whose gradient is 0.
        factors: Optional f in [0, 1]; f_i must be at least 1 - exp(-x_i).
    """
    # The shift is a constant of the derivative: the value does not depend on it.
    shift = exponents.detach().amax(dim=dim, keepdim=True).clamp(min=0)
    summands = (exponents - shift).exp()
    if factors is not None:
        summands = summands * factors
    total = torch.expm1(-shift).squeeze(dim) + summands.sum(dim=dim)
    return shift.squeeze(dim) + torch.log1p(total)


def log_sum_of_others(logits: Tensor) -> Tensor:
    """log sum_{k != j} exp(z_k) for each j of the last dimension (at least 2); shape unchanged.

    Leaves one out without an (M, M) table: the largest summand is held apart, so that taking any
    other from the total loses at most one bit.
    """
    peak, top = logits.detach().max(dim=-1, keepdim=True)
    is_top = torch.arange(logits.shape[-1], device=logits.device) == top
    summands = (logits - peak).exp()
    rest = summands.sum(dim=-1, keepdim=True) - summands
    # Where the top is left out, `rest` is a difference of near equals: summed afresh instead.
    below_top = torch.logsumexp(logits.masked_fill(is_top, -torch.inf), dim=-1, keepdim=True)
    return torch.where(is_top, below_top, rest.masked_fill(is_top, 1).log() + peak)


def multilabel_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """log(1 + sum t exp(-s)) + log(1 + sum (1 - t) exp(s)): (N, L), (N, L) -> (N,)."""
    present = log1p_sum_exp(target.log() - logits, dim=-1)
    absent = log1p_sum_exp((1 - target).log() + logits, dim=-1)
    return present + absent


def focal_cost(logits: Tensor, gamma: float) -> Tensor:
    """-(1 - p)^gamma log p, the focal cost of a present unit; shape unchanged.

    An absent unit costs the same with its logit negated. The power is an exponential of a
    log-sigmoid because `pow` rounds by place too.
    """
    return -(gamma * F.logsigmoid(-logits)).exp() * F.logsigmoid(logits)


def shifted_focal_cost(logits: Tensor, gamma: float, margin: float) -> Tensor:
    """-q^gamma log(1 - q) with q = max(p - margin, 0), margin > 0: an absent unit's cost in ASL."""
    shifted = (sigmoid(logits) - margin).clamp(min=_TINY)
    return -(gamma * shifted.log()).exp() * torch.log1p(-shifted)


def softmax_focal_cost(logits: Tensor, target: Tensor, gamma: float) -> Tensor:
    """-sum_k t_k (1 - p_k)^gamma log p_k with p = softmax(z): (N, C), (N, C) -> (N,)."""
    log_others = log_sum_of_others(logits) - logits.logsumexp(dim=-1, keepdim=True)
    return -(target * (gamma * log_others).exp() * log_softmax(logits)).sum(dim=-1)


def log_odds_of_classes(logits: Tensor) -> Tensor:
    """log p_k - log(1 - p_k) of softmax(z) over the last dimension: float64, shape unchanged.

    Rounded to 11 decimals, for classes in another order, or all logits moved by one number, change
    the last bits of equal odds, and equal odds must stay ties.
    """
    z = logits.double()
    odds = z - log_sum_of_others(z)
    # Beyond, float64 itself is about as coarse, and rounding would overflow.
    return torch.where(odds.abs() < 1e4, odds.round(decimals=11), odds)


def unit_norm(logits: Tensor) -> Tensor:
    """z / |z| over the last dimension, 0 at 0; shape unchanged, at most 1e-12 shorter than 1."""
    return logits / ((logits * logits).sum(dim=-1, keepdim=True) + _TINY_SQUARE).sqrt()


def nearest_distribution(values: Tensor) -> Tensor:
    """The distribution with the least squared distance to `values`, over the last dimension.

    Distributions stay as they are; classes far below the top become exactly 0.

    Source: the projection onto the simplex, Martins and Astudillo (2016), arXiv 1602.02068.
    """
    shifted = values - values.amax(dim=-1, keepdim=True)
    ordered = shifted.sort(dim=-1, descending=True).values
    excess = ordered.cumsum(dim=-1) - 1
    counts = torch.arange(1, values.shape[-1] + 1, device=values.device, dtype=values.dtype)
    held = (ordered * counts > excess).sum(dim=-1, keepdim=True)
    threshold = excess.gather(-1, held - 1) / held
    return (shifted - threshold).clamp(0, 1)


# Matrices whose rows start on cache lines multiply to the same bits wherever they lie; others
# do not (measured with MKL), and a row would feel its neighbours.
_PAD_MULTIPLE = 16

# Factors of a matrix product reach up to exp(40), so that as little as possible falls below
# float32; the sum of a thousand of their products still fits.
_HEADROOM = 40.0


def grouped_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """sum_i CE(t_i, p_i)."""
    return softmax_cross_entropy(logits, target).sum(dim=1)


def log_sum_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """sum_j log(1 + sum_i t_ij (1 / p_ij - 1))."""
    return log1p_sum_exp(target.log() + _log_odds_against(logits), dim=1).sum(dim=1)


def centred_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """sum_j log(1 + sum_i t_ij exp(-(s_ij - mean_j s_ij)))."""
    centred = logits - logits.mean(dim=2, keepdim=True)
    return log1p_sum_exp(target.log() - centred, dim=1).sum(dim=1)


def balanced_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """sum_j w_j log(1 + sum_i t_ij^2 (1 / p_ij - 1)), w_j = G_j / mean_k G_k.

    G_j = 1 + sum_i t_ij (1 - t_ij) is what the j-th logarithm holds when p = t. On one-hot
    rows t^2 = t and w = 1: `log_sum_cross_entropy` itself, to the bit.
    """
    at_optimum = 1 + (target * (1 - target)).sum(dim=1)
    weights = at_optimum / at_optimum.mean(dim=1, keepdim=True)
    per_class = log1p_sum_exp(2 * target.log() + _log_odds_against(logits), dim=1)
    return (weights * per_class).sum(dim=1)


def kl_excess(logits: Tensor, target: Tensor) -> Tensor:
    """sum_j log(1 + sum_i t_ij (exp(KL(t_i || p_i)) - 1))."""
    log_target = target.log()
    surprise = log_target.masked_fill(target == 0, 0) - log_softmax(logits)
    divergence = (target * surprise).sum(dim=2, keepdim=True)
    # exp(KL) - 1 = exp(KL) (1 - exp(-KL)): the first factor may be huge, the second loses no
    # digits near the optimum, where a logarithm of exp(KL) - 1 would be -inf.
    factors = -torch.expm1(-divergence)
    return log1p_sum_exp(log_target + divergence, dim=1, factors=factors).sum(dim=1)


def pairwise_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """sum_{j != k} log(1 + sum_i t_ij exp((s_ik - s_ij) / 2)).

    The inner sum is a matrix product over groups, (M, S) by (S, M), so nothing of size S M^2 is
    made. In float32 it is exact as long as no class with t > 0 trails the top of its group by more
    than 250; beyond, value and gradient stay finite but pairs dwarfed by such a group drop out.
    """
    top = logits.detach().amax(dim=2, keepdim=True)
    pull = target.log() + (top - logits) / 2
    scale = pull.detach().amax(dim=1).clamp(min=0)
    pulls = _on_cache_lines((pull - scale.unsqueeze(1) + _HEADROOM).exp())
    pushes = _on_cache_lines(((logits - top) / 2 + _HEADROOM).exp())
    classes = logits.shape[2]
    sums = torch.bmm(pulls.transpose(1, 2), pushes)[:, :classes, :classes]
    sums = sums.masked_fill(torch.eye(classes, dtype=torch.bool, device=logits.device), 0)
    felt = sums > 0
    exponents = scale.unsqueeze(2) - 2 * _HEADROOM + sums.masked_fill(~felt, 1).log()
    return torch.where(felt, -F.logsigmoid(-exponents), 0).sum(dim=(1, 2))


def _log_odds_against(logits: Tensor) -> Tensor:
    """log(1 / p_ij - 1)."""
    return log_sum_of_others(logits) - logits


def _on_cache_lines(matrices: Tensor) -> Tensor:
    """(N, S, M) with zeros appended to S and M up to a multiple of 16."""
    groups, classes = matrices.shape[1:]
    return F.pad(matrices, (0, -classes % _PAD_MULTIPLE, 0, -groups % _PAD_MULTIPLE))
