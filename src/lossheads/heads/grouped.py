"""Heads for one of M classes in each of S groups; docs/open-question.md compares them.

All apply a softmax to the logits of a group and take hard or soft labels; they differ in the loss
alone.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar, Self

import torch
from torch import Tensor

from lossheads.errors import UserError
from lossheads.heads.base import FrameworkLoss, head_mismatch
from lossheads.heads.functional import (
    balanced_cross_entropy,
    centred_cross_entropy,
    grouped_cross_entropy,
    kl_excess,
    log_sum_cross_entropy,
    pairwise_cross_entropy,
)
from lossheads.heads.links import GroupedLink, safe_base_rates
from lossheads.numerics import log_softmax
from lossheads.outcomes import EachOneOf, OneOf, Outcome


@dataclass(frozen=True)
class _Grouped(GroupedLink):
    """Base of the heads below.

    Args:
        outcome: EachOneOf(S, M), hard or soft.
    """

    outcome: Outcome

    # Frameworks have no loss for several softmaxes side by side in one layer.
    framework_loss: ClassVar[FrameworkLoss] = "other"

    def __post_init__(self) -> None:
        if not isinstance(self.outcome, EachOneOf):
            instead = "softmax_cce" if isinstance(self.outcome, OneOf) else "sigmoid_bce"
            rule = "it needs an EachOneOf outcome, one true class in each group"
            raise head_mismatch(self, self.outcome, rule, f"use head={instead}")


@dataclass(frozen=True)
class GroupedCCE(_Grouped):
    """One softmax + cross-entropy per group, summed: the negative log-likelihood of all groups.

    Soft labels t: the optimum is softmax(s_i) = t_i. No balancing.
    """

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """(N, S * M), (N, S, M) -> (N,) nats."""
        return grouped_cross_entropy(self.in_groups(logits), target)


@dataclass(frozen=True)
class GroupedLogitAdjustedCCE(_Grouped):
    """`GroupedCCE` with each class's log base rate added to its logit while training.

    The rates carry the imbalance, so the bare logits decide as if classes were equally frequent.
    Scores and decisions are those of the bare logits; `log_probs` are those of the adjusted ones,
    for they are what the loss valid to the labels. The likeliest event and the decision therefore
    differ, on purpose.

    Args:
        outcome: EachOneOf(S, M), hard or soft.
        base_rates: Base rate of each class in each group, S rows of M shares that sum to 1. None
            until `with_base_rates` sets it from the training labels; the loss and the
            log-probabilities need it. Rates that are given stay, such as another population's.

    Source: Menon et al. (2021), "Long-tail learning via logit adjustment", arXiv 2007.07314.
    """

    base_rates: tuple[tuple[float, ...], ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.base_rates is not None:
            # YAML gives lists; only tuples can be compared and hashed.
            object.__setattr__(self, "base_rates", _checked_base_rates(self, self.base_rates))

    def with_base_rates(self, base_rates: Tensor) -> Self:
        """The same head, adjusted by these rates unless it has its own.

        Args:
            base_rates: (S, M), from the training split.
        """
        if self.base_rates is not None:
            return self
        return replace(self, base_rates=tuple(map(tuple, base_rates.tolist())))

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """(N, S * M), (N, S, M) -> (N,) nats."""
        return grouped_cross_entropy(self._adjusted(logits), target)

    def log_probs(self, logits: Tensor) -> Tensor:
        """(N, S * M) -> (N, S, M) float64, base rates included."""
        return log_softmax(self._adjusted(logits.double()))

    def prior_bias(self, base_rates: Tensor) -> Tensor:
        """(S, M) -> (S * M,): log rates less what the adjustment adds; zeros for its own rates."""
        bias = safe_base_rates(self.outcome, base_rates).log()
        return (bias - self._log_base_rates(bias)).flatten()

    def _adjusted(self, logits: Tensor) -> Tensor:
        return self.in_groups(logits) + self._log_base_rates(logits)

    def _log_base_rates(self, like: Tensor) -> Tensor:
        if self.base_rates is None:
            raise UserError(
                f"{type(self).__name__} needs base rates: call "
                "head.with_base_rates(base_rates(outcome, labels))"
            )
        return _log_base_rates(self.outcome, self.base_rates, like.device, like.dtype)


def _checked_base_rates(
    head: GroupedLogitAdjustedCCE, given: object
) -> tuple[tuple[float, ...], ...]:
    """Rates as tuples of floats.

    Raises:
        UserError: Unless there is one row per group that holds one share per class and sums to 1.
    """
    try:
        rates = torch.tensor(given, dtype=torch.float64)
        valid = rates.shape == head.outcome.columns and bool((rates >= 0).all())
        valid = valid and bool(((rates.sum(dim=-1) - 1).abs() <= 1e-4).all())
    except (TypeError, ValueError, RuntimeError):
        valid = False
    if not valid:
        groups, classes = head.outcome.columns
        raise UserError(
            f"{type(head).__name__}: base_rates must be {groups} rows of {classes} shares that sum "
            f"to 1, got {given}; null takes them from the training labels"
        )
    return tuple(map(tuple, rates.tolist()))


# Kept per device: a copy from the host in every step would stall a GPU.
@lru_cache(maxsize=64)
def _log_base_rates(
    outcome: Outcome,
    base_rates: tuple[tuple[float, ...], ...],
    device: torch.device,
    dtype: torch.dtype,
) -> Tensor:
    exact = torch.tensor(base_rates, dtype=torch.float64)
    return safe_base_rates(outcome, exact).log().to(device=device, dtype=dtype)


@dataclass(frozen=True)
class GroupedLogSumCCE(_Grouped):
    """sum_j log(1 + sum_i t_ij sum_{k != j} exp(s_ik - s_ij)): the log-sum loss of 9158, loss-1.

    The sum over groups stands inside the logarithm, so a class costs about the logarithm of how
    often it is true: frequent and rare classes are balanced. Hard labels: zero loss means that
    every decision is right. Soft labels: it keeps balancing, so its optimum is not t.

    Source: Su, kexue.fm 9158, its first formula.
    """

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """(N, S * M), (N, S, M) -> (N,) nats."""
        return log_sum_cross_entropy(self.in_groups(logits), target)


@dataclass(frozen=True)
class GroupedCentredCCE(_Grouped):
    """sum_j log(1 + sum_i t_ij exp(mean_k s_ik - s_ij)): the reverse-engineered loss-3 of 9158.

    Soft labels t: the optimum is softmax(s_i) = t_i. Hard labels: the loss can be near zero
    while the decision is wrong, because it asks a class to beat the mean, not the others.

    Source: Su, kexue.fm 9158, its third formula.
    """

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """(N, S * M), (N, S, M) -> (N,) nats."""
        return centred_cross_entropy(self.in_groups(logits), target)


@dataclass(frozen=True)
class GroupedBalancedCCE(_Grouped):
    """sum_j w_j log(1 + sum_i t_ij^2 (1 / p_ij - 1)): balancing, and an optimum at p = t.

    Answers the question that 9158 leaves open. Convex. Hard labels: `GroupedLogSumCCE` itself.
    Soft labels t: the optimum is softmax(s_i) = t_i, hence nothing is rebalanced that the model
    can fit exactly.

    Source: docs/open-question.md.
    """

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """(N, S * M), (N, S, M) -> (N,) nats."""
        return balanced_cross_entropy(self.in_groups(logits), target)


@dataclass(frozen=True)
class GroupedKLExcess(_Grouped):
    """sum_j log(1 + sum_i t_ij (exp(KL(t_i || p_i)) - 1)): cross-entropy, reweighted per group.

    Hard labels: `GroupedLogSumCCE` itself. Soft labels t: the optimum is softmax(s_i) = t_i. Not
    convex.

    Source: docs/open-question.md.
    """

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """(N, S * M), (N, S, M) -> (N,) nats."""
        return kl_excess(self.in_groups(logits), target)


@dataclass(frozen=True)
class GroupedPairwiseCCE(_Grouped):
    """sum_{j != k} log(1 + sum_i t_ij exp((s_ik - s_ij) / 2)): a logarithm per pair of classes.

    Convex. Soft labels t: the optimum is softmax(s_i) = t_i, with no weight that depends on the
    labels. Hard labels: zero loss means that every decision is right. Costs a matrix product
    over groups, and N * M^2 numbers of memory.

    Source: docs/open-question.md.
    """

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """(N, S * M), (N, S, M) -> (N,) nats."""
        return pairwise_cross_entropy(self.in_groups(logits), target)
