"""What several computations share: drawn numbers, grouped heads by name, a minimiser.

Not computations themselves: a claim file cannot name these.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from lossheads.heads import (
    GroupedBalancedCCE,
    GroupedCCE,
    GroupedCentredCCE,
    GroupedKLExcess,
    GroupedLogSumCCE,
    GroupedPairwiseCCE,
)
from lossheads.heads.base import Head
from lossheads.outcomes import EachOneOf

_GROUPED: dict[str, Callable[[EachOneOf], Head]] = {
    "grouped_cce": GroupedCCE,
    "grouped_logsum_cce": GroupedLogSumCCE,
    "grouped_centred_cce": GroupedCentredCCE,
    "grouped_balanced_cce": GroupedBalancedCCE,
    "grouped_kl_excess": GroupedKLExcess,
    "grouped_pairwise_cce": GroupedPairwiseCCE,
}


def seeded() -> torch.Generator:
    """A generator in the same state each time."""
    return torch.Generator().manual_seed(0)


def normal(*shape: int) -> Tensor:
    """Standard normal numbers, float64, the same at each call."""
    return torch.randn(*shape, generator=seeded(), dtype=torch.float64)


def grid(reach: float) -> Tensor:
    """(401,) float64 from -reach to reach, zero among them."""
    return torch.linspace(-reach, reach, 401, dtype=torch.float64)


def grouped_head(head: str, groups: int, classes: int) -> Head:
    """The grouped head of this name, for soft labels.

    Raises:
        ValueError: If there is none.
    """
    if head not in _GROUPED:
        raise ValueError(f"{head!r} is not one of {', '.join(_GROUPED)}")
    return _GROUPED[head](EachOneOf(groups, classes, soft=True))


def soft_labels(groups: int, classes: int) -> Tensor:
    """(1, groups, classes) soft labels whose first classes are common and whose last are rare."""
    tilt = -0.7 * torch.arange(classes, dtype=torch.float64)
    return (normal(1, groups, classes) + tilt).softmax(dim=2)


def minimised(head: Head, scores: Tensor, target: Tensor) -> Tensor:
    """The scores to which L-BFGS brings the head's loss from these."""
    scores = scores.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [scores],
        max_iter=2_000,
        tolerance_grad=1e-13,
        tolerance_change=1e-16,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = head.loss(scores, target).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return scores.detach()
