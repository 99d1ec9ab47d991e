"""The grouped losses as their formulas read, without any care for range or memory.

Written from the formulas, not from the code under test; float64 only.
"""

import torch
from torch import Tensor


def log_sum(s: Tensor, t: Tensor) -> Tensor:
    return _log_brackets(t * _odds_against(s)).sum(1)


def centred(s: Tensor, t: Tensor) -> Tensor:
    return _log_brackets(t * (s.mean(2, keepdim=True) - s).exp()).sum(1)


def balanced(s: Tensor, t: Tensor) -> Tensor:
    at_optimum = 1 + (t - t * t).sum(1)
    weights = at_optimum / at_optimum.mean(1, keepdim=True)
    return (weights * _log_brackets(t * t * _odds_against(s))).sum(1)


def kl_excess(s: Tensor, t: Tensor) -> Tensor:
    kl = (torch.xlogy(t, t) - t * s.log_softmax(2)).sum(2, keepdim=True)
    return _log_brackets(t * (kl.exp() - 1)).sum(1)


def pairwise(s: Tensor, t: Tensor) -> Tensor:
    total = torch.zeros(len(s), dtype=s.dtype)
    for j in range(s.shape[2]):
        for k in range(s.shape[2]):
            if j != k:
                pulls = t[:, :, j] * ((s[:, :, k] - s[:, :, j]) / 2).exp()
                total = total + (1 + pulls.sum(1)).log()
    return total


def cross_entropy(s: Tensor, t: Tensor) -> Tensor:
    return -(t * s.softmax(2).log()).sum((1, 2))


def _odds_against(s: Tensor) -> Tensor:
    others = s.unsqueeze(2) - s.unsqueeze(3)  # [.., j, k] = s_k - s_j
    return others.exp().sum(3) - 1


def _log_brackets(terms: Tensor) -> Tensor:
    return (1 + terms.sum(1)).log()
