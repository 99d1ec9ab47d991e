"""Losses for S sets of M classes: logits and targets (N, S, M), value (N,) in nats.

Rows of a target sum to 1 and may hold exact zeros and ones. With p = softmax of each set's
logits, 1 / p_j - 1 = sum_{k != j} exp(s_k - s_j): the odds against class j, on which most of
these losses are built. docs/open-question.md derives them.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from lossheads.heads.functional import log1p_sum_exp, log_sum_of_others, softmax_cross_entropy
from lossheads.rowwise import log_softmax

# Matrices whose rows start on cache lines multiply to the same bits wherever they lie; others
# do not (measured with MKL), and a row would feel its neighbours.
_LINE = 16

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

    The inner sum is a matrix product over sets, (M, S) by (S, M), so nothing of size S M^2 is
    made. In float32 it is exact as long as no class with t > 0 trails the top of its set by more
    than 250; beyond, value and gradient stay finite but pairs dwarfed by such a set drop out.
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
    sets, classes = matrices.shape[1:]
    return F.pad(matrices, (0, -classes % _LINE, 0, -sets % _LINE))
