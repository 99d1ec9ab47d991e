"""Softmaxes for any subset of L labels: one that works, and one that is a known mistake."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lossheads.heads.base import FrameworkLoss
from lossheads.heads.functional import (
    log_odds_of_classes,
    log_sum_of_others,
    softmax_cross_entropy,
)
from lossheads.heads.links import Link, safe_base_rates
from lossheads.heads.multilabel import default_mismatch, refuse_unless_any_of
from lossheads.numerics import log_softmax, sigmoid, softmax
from lossheads.outcomes import Outcome


@dataclass(frozen=True)
class PerLabelCCE(Link):
    """Two logits per label, off and on, each pair its own softmax + cross-entropy.

    The same likelihood as `SigmoidBCE` of the pair's difference, with twice the units.

    Args:
        outcome: AnyOf(L).
    """

    outcome: Outcome

    # A framework shapes this as (L, 2) and takes the softmax of the last axis; flattened, as
    # `framework_outputs` is, no Keras loss name describes it.
    framework_loss: ClassVar[FrameworkLoss] = "other"

    def __post_init__(self) -> None:
        refuse_unless_any_of(self, self.outcome)

    @property
    def num_logits(self) -> int:
        """2 L."""
        return 2 * self.outcome.n

    def encode(self, labels: Tensor) -> Tensor:
        """(N, L) -> (N, L, 2) float: how absent and how present each label is."""
        present = self.outcome.indicators(labels)
        return torch.stack([1 - present, present], dim=-1)

    def framework_target(self, labels: Tensor) -> Tensor:
        """(N, L) -> (N, 2 L) float: off, on, off, on …"""
        return self.encode(labels).flatten(1)

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """(N, 2 L), (N, L, 2) -> (N,) nats."""
        return softmax_cross_entropy(_pairs(logits), target).sum(dim=-1)

    def framework_outputs(self, logits: Tensor) -> Tensor:
        """(N, 2 L) -> (N, 2 L): the pairs' softmaxes."""
        return softmax(_pairs(logits)).flatten(1)

    def scores(self, logits: Tensor) -> Tensor:
        """(N, 2 L) -> (N, L): the probability of "on"."""
        off, on = _pairs(logits).unbind(dim=-1)
        return sigmoid(on - off)

    def log_odds(self, logits: Tensor) -> Tensor:
        """(N, 2 L) -> (N, L): "on" less "off"."""
        off, on = _pairs(logits).unbind(dim=-1)
        return on - off

    def log_probs(self, logits: Tensor) -> Tensor:
        """(N, 2 L) -> (N, L, 2), holding [off, on]; float64."""
        return log_softmax(_pairs(logits).double())

    def decide(self, logits: Tensor) -> Tensor:
        """(N, 2 L) -> (N, L) bool: on where its logit is the larger; a tie is off."""
        off, on = _pairs(logits).unbind(dim=-1)
        return on > off

    def prior_bias(self, base_rates: Tensor) -> Tensor:
        """(L,) -> (2 L,): log of 1 - rate, log of rate."""
        rates = safe_base_rates(self.outcome, base_rates)
        return torch.stack([1 - rates, rates], dim=-1).log().flatten()


@dataclass(frozen=True)
class SoftmaxMultihot(Link):
    """Softmax + categorical cross-entropy on multi-hot rows over their sum: wrong, on purpose.

    Forum threads do this with labels that may be true together. The optimum spreads probability 1
    evenly over the labels that are on, so with k of them no score passes 1/k, a threshold of one
    half misses all of them from k = 2 on, and an example without labels has no gradient. Use it
    to see that failure.

    Args:
        outcome: AnyOf(L) with L of at least 2.
    """

    outcome: Outcome

    framework_loss: ClassVar[FrameworkLoss] = "categorical_crossentropy"

    def __post_init__(self) -> None:
        refuse_unless_any_of(self, self.outcome)
        if self.outcome.n < 2:
            raise default_mismatch(self, self.outcome, "a softmax over one unit is always 1")

    @property
    def num_logits(self) -> int:
        """L."""
        return self.outcome.n

    def encode(self, labels: Tensor) -> Tensor:
        """(N, L) -> (N, L) float: rows that sum to 1, or to 0 where no label is on."""
        indicators = self.outcome.indicators(labels)
        return indicators / indicators.sum(dim=-1, keepdim=True).clamp(min=1e-12)

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """(N, L), (N, L) -> (N,) nats."""
        return softmax_cross_entropy(logits, target)

    def framework_outputs(self, logits: Tensor) -> Tensor:
        """(N, L) -> (N, L): the softmax layer."""
        return softmax(logits)

    def scores(self, logits: Tensor) -> Tensor:
        """(N, L) -> (N, L): the softmax, which sums to 1 over labels."""
        return softmax(logits)

    def log_odds(self, logits: Tensor) -> Tensor:
        """(N, L) -> (N, L) float64: of each label against all others."""
        return log_odds_of_classes(logits)

    def log_probs(self, logits: Tensor) -> Tensor:
        """(N, L) -> (N, L, 2), holding [off, on]: each softmax score read as P(on); float64."""
        z = logits.double()
        on = log_softmax(z)
        off = log_sum_of_others(z) - z.logsumexp(dim=-1, keepdim=True)
        return torch.stack([off, on], dim=-1)

    def decide(self, logits: Tensor) -> Tensor:
        """(N, L) -> (N, L) bool: on above one half, so never two labels at once."""
        return softmax(logits.double()) > 0.5

    def prior_bias(self, base_rates: Tensor) -> Tensor:
        """(L,) -> (L,): log of the rates divided by their sum: a softmax cannot sum to more."""
        rates = safe_base_rates(self.outcome, base_rates)
        return (rates / rates.sum()).log()


def _pairs(logits: Tensor) -> Tensor:
    return logits.reshape(*logits.shape[:-1], -1, 2)
