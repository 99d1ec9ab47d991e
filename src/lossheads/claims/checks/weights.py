"""Computations on weights per class, in float64: against torch, and against sampling by class."""

import torch
from torch.nn import functional as F

from lossheads.claims.checks.support import normal
from lossheads.heads import SoftmaxCCE, SoftmaxWeightedCCE
from lossheads.outcomes import OneOf, base_rates


def weight_in_a_batch_of_one(weight: float) -> float:
    """Torch's weighted mean loss over its unweighted one, for one row of a class of that weight."""
    logits, labels = torch.tensor([[0.3, -1.0]], dtype=torch.float64), torch.tensor([1])
    weights = torch.tensor([1.0, weight], dtype=torch.float64)
    ratio = F.cross_entropy(logits, labels, weight=weights) / F.cross_entropy(logits, labels)
    return ratio.item()


def sampling_by_class_gap(share: float) -> float:
    """Largest difference of two gradients on the logits of 200 rows of two classes.

    One is of balanced class weights; the other is what a sampler that draws both classes equally
    often has on average.

    Args:
        share: Of the rarer class, in (0, 1/2].
    """
    rows = 200
    rare = round(rows * share)
    labels = torch.tensor([1] * rare + [0] * (rows - rare))
    outcome = OneOf(2)
    logits = normal(rows, 2).requires_grad_()
    weighted = SoftmaxWeightedCCE(outcome).with_base_rates(base_rates(outcome, labels))
    target = weighted.encode(labels).double()
    (balanced,) = torch.autograd.grad(weighted.loss(logits, target).mean(), logits)
    plain = SoftmaxCCE(outcome).loss(logits, target)
    drawn = sum(plain[labels == k].mean() / 2 for k in (0, 1))
    assert isinstance(drawn, torch.Tensor)
    (sampled,) = torch.autograd.grad(drawn, logits)
    return (balanced - sampled).abs().max().item()
