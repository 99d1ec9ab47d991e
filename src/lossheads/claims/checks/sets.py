"""Computations on the losses for sets of classes: where loss-1 comes from and what it does.

Loss-1 is `grouped_logsum_cce`, loss-3 `grouped_centred_cce`; float64, fixed draws.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from lossheads.claims.checks.support import grouped_head, minimised, normal, soft_labels


def set_entropy_rewritten_gap(sets: int, classes: int) -> float:
    """Summed cross-entropy of sets against sum_j log prod_i (1 + others_ij) ^ t_ij.

    others_ij is the sum over k != j of exp(s_ik - s_ij); one row of soft labels.
    """
    scores, target = 2 * normal(1, sets, classes), soft_labels(sets, classes)
    products = (1 + _others(scores)).pow(target).prod(dim=1)
    loss = grouped_head("grouped_cce", sets, classes).loss(scores.flatten(1), target)
    return abs(float(products.log().sum() - loss.sum()))


def truncation_order() -> float:
    """Power of the size of the others at which log prod (1 + x) ^ t leaves log (1 + sum t x).

    Ten terms with random x and t, x scaled by 1e-3 and by half of it: 2 when what is cut off
    begins with products and squares.
    """
    x, t = normal(10).abs(), torch.sigmoid(normal(20)[10:])

    def cut_off(scale: float) -> float:
        whole = (t * (scale * x).log1p()).sum()
        return float(whole - (t * scale * x).sum().log1p())

    return math.log2(cut_off(1e-3) / cut_off(5e-4))


def loss_1_from_truncation_gap(sets: int, classes: int) -> float:
    """Loss-1 against sum_j log(1 + sum_i t_ij others_ij), soft labels."""
    scores, target = 2 * normal(1, sets, classes), soft_labels(sets, classes)
    cut = (target * _others(scores)).sum(dim=1).log1p().sum()
    loss = grouped_head("grouped_logsum_cce", sets, classes).loss(scores.flatten(1), target)
    return abs(float(cut - loss.sum()))


def loss_1_gradient_gap(sets: int, classes: int) -> float:
    """Loss-1's gradient by autograd against the formula in the article, entry by entry."""
    scores, target = 2 * normal(1, sets, classes), soft_labels(sets, classes)
    leaf = scores.flatten(1).requires_grad_()
    head = grouped_head("grouped_logsum_cce", sets, classes)
    (found,) = torch.autograd.grad(head.loss(leaf, target).sum(), leaf)
    s, t = scores[0], target[0]
    bracket = 1 + (t * _others(scores)[0]).sum(dim=0)
    gaps = []
    for i in range(sets):
        for j in range(classes):
            own = -t[i, j] * _others(scores)[0, i, j] / bracket[j]
            of_others = sum(
                t[i, h] * (s[i, j] - s[i, h]).exp() / bracket[h] for h in range(classes) if h != j
            )
            gaps.append(abs(float(own + of_others - found.view(sets, classes)[i, j])))
    return max(gaps)


def loss_1_implicit_optimum_gap(sets: int, classes: int) -> float:
    """At loss-1's minimum: softmax_j(2 s_ij + log G_j), G_j the j-th bracket, against t_ij."""
    target = soft_labels(sets, classes)
    head = grouped_head("grouped_logsum_cce", sets, classes)
    scores = minimised(head, normal(1, sets * classes), target).view(1, sets, classes)
    bracket = 1 + (target * _others(scores)).sum(dim=1, keepdim=True)
    return float(((2 * scores + bracket.log()).softmax(dim=2) - target).abs().max())


def least_loss_when_wrong(head: str) -> float:
    """Least loss of one set of three when the true class does not beat another, in nats.

    At the border the two are equal, at 0; the third is put from 0 to 100 below them.
    """
    low = -torch.linspace(0, 100, 401, dtype=torch.float64).unsqueeze(1)
    scores = torch.cat([torch.zeros_like(low), torch.zeros_like(low), low], dim=1)
    target = functional.one_hot(torch.zeros(len(low)).long(), 3).double().unsqueeze(1)
    return float(grouped_head(head, 1, 3).loss(scores, target).min())


def class_cost(head: str, sets: int, odds: float) -> float:
    """Loss of so many sets of two, all of one class, with odds to 1 against it, in nats."""
    scores = torch.tensor([0.0, -math.log(odds)], dtype=torch.float64).repeat(1, sets)
    target = torch.tensor([0.0, 1.0], dtype=torch.float64).repeat(1, sets, 1)
    return float(grouped_head(head, sets, 2).loss(scores, target).sum())


def class_cost_ratio(head: str, sets: int, odds: float) -> float:
    """The same, over what a single set costs."""
    return class_cost(head, sets, odds) / class_cost(head, 1, odds)


def _others(scores: Tensor) -> Tensor:
    """(1, sets, classes) -> the same: sum over k != j of exp(s_k - s_j)."""
    odds = (scores.unsqueeze(2) - scores.unsqueeze(3)).exp()  # [..., j, k] = exp(s_k - s_j)
    return odds.sum(dim=3) - 1
