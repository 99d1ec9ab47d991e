"""How logits are read, apart from any loss: scores, log-probabilities, decision, prior bias.

A link is the half of a head that several losses share. Heads inherit one and add their loss.
"""

import math
from typing import Any, Self, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from lossheads.errors import HeadMismatch
from lossheads.heads.base import Head
from lossheads.heads.criterion import mean_loss
from lossheads.heads.functional import log_odds_of_classes
from lossheads.numerics import log_softmax, sigmoid, softmax
from lossheads.outcomes import AnyOf, Outcome

# copy and pickle make an object first and fill it afterwards.
_COPYING = object()

# A class that no training example shows still needs a finite bias.
_MIN_RATE = 1e-6


class Link:
    """What every link has: the outcome, and indicators as the target of loss and framework."""

    outcome: Outcome

    # Before a head looks at its options: 12 where AnyOf(12) is due is the commonest slip.
    def __new__(cls, outcome: Any = _COPYING, *options: Any, **named: Any) -> Self:
        if outcome is not _COPYING and not isinstance(outcome, Outcome):
            raise HeadMismatch(
                f"{cls.__name__} got outcome={outcome!r}: it must say what the labels can be; pass "
                f"OneOf(C) for one class of C, AnyOf(L) for L labels or EachOneOf(S, M) for groups"
            )
        return super().__new__(cls)

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean loss over the batch, in nats per example: a criterion, see `criterion.mean_loss`.

        Args:
            logits: (N, U); grouped ones may be (N, S, M).
            labels: Integers are class indices or 0/1 labels, floats are distributions.
        """
        return mean_loss(cast(Head, self), logits, labels)

    def with_base_rates(self, base_rates: Tensor) -> Self:
        """The head that knows how often each class is present: itself, unless its loss uses them.

        Args:
            base_rates: outcome.columns, from the training split.
        """
        return self

    def encode(self, labels: Tensor) -> Tensor:
        """Labels -> how present each class is: (N, *outcome.columns) float in [0, 1]."""
        return self.outcome.indicators(labels)

    def framework_target(self, labels: Tensor) -> Tensor:
        """Labels -> (N, U) float: one-hot rows, or multi-hot rows for several labels."""
        return self.outcome.indicators(labels).flatten(1)


class SoftmaxLink(Link):
    """C logits, read as one distribution over C classes (OneOf)."""

    @property
    def num_logits(self) -> int:
        """C."""
        return self.outcome.n

    def framework_outputs(self, logits: Tensor) -> Tensor:
        """(N, C) -> (N, C): the softmax layer."""
        return softmax(logits)

    def scores(self, logits: Tensor) -> Tensor:
        """(N, C) -> (N, C): the softmax probabilities."""
        return softmax(logits)

    def log_odds(self, logits: Tensor) -> Tensor:
        """(N, C) -> (N, C) float64: of each class against all others."""
        return log_odds_of_classes(logits)

    def log_probs(self, logits: Tensor) -> Tensor:
        """(N, C) -> (N, C) float64."""
        return log_softmax(logits.double())

    def decide(self, logits: Tensor) -> Tensor:
        """(N, C) -> (N,) int64: the largest logit; a tie goes to the lower class."""
        return logits.argmax(dim=-1)

    def prior_bias(self, base_rates: Tensor) -> Tensor:
        """(C,) -> (C,): log rates."""
        return safe_base_rates(self.outcome, base_rates).log()


class SigmoidLink(Link):
    """One logit per class or label, each read on its own (OneOf or AnyOf)."""

    @property
    def num_logits(self) -> int:
        """C or L."""
        return self.outcome.n

    def framework_outputs(self, logits: Tensor) -> Tensor:
        """(N, U) -> (N, U): the sigmoid layer."""
        return sigmoid(logits)

    def scores(self, logits: Tensor) -> Tensor:
        """(N, U) -> (N, U): the sigmoids; for OneOf they need not sum to 1."""
        return sigmoid(logits)

    def log_odds(self, logits: Tensor) -> Tensor:
        """(N, U) -> (N, U): the logits."""
        return logits

    def log_probs(self, logits: Tensor) -> Tensor:
        """(N, U) -> (N, C), or (N, L, 2) holding [off, on]; float64.

        For OneOf this is "given that exactly one unit is on": p_k is proportional to
        s_k prod_{j != k} (1 - s_j), that is to s_k / (1 - s_k) = exp(z_k), the softmax.
        """
        z = logits.double()
        if isinstance(self.outcome, AnyOf):
            return F.logsigmoid(torch.stack([-z, z], dim=-1))
        return log_softmax(z)

    def decide(self, logits: Tensor) -> Tensor:
        """(N, C) -> (N,) int64, the largest logit; or (N, L) -> bool, on above zero."""
        return logits > 0 if isinstance(self.outcome, AnyOf) else logits.argmax(dim=-1)

    def prior_bias(self, base_rates: Tensor) -> Tensor:
        """(U,) -> (U,): log-odds of each label; for OneOf log rates, shifted.

        The log-probabilities of OneOf leave one shift free. It is chosen so that the scores sum
        to 1, as base rates do: at equal rates every bias is then -ln(C - 1).
        """
        rates = safe_base_rates(self.outcome, base_rates)
        if isinstance(self.outcome, AnyOf):
            return torch.logit(rates)
        return rates.log() + _shift_to_unit_sum(rates.log())


class GroupedLink(Link):
    """S * M logits, read as one distribution over M classes in each of S groups (EachOneOf)."""

    @property
    def num_logits(self) -> int:
        """S * M."""
        return math.prod(self.outcome.columns)

    def in_groups(self, logits: Tensor) -> Tensor:
        """(N, S * M) -> (N, S, M)."""
        return logits.reshape(*logits.shape[:-1], *self.outcome.columns)

    def framework_outputs(self, logits: Tensor) -> Tensor:
        """(N, S * M) -> (N, S * M): a softmax layer per group, side by side."""
        return self.scores(logits).flatten(1)

    def scores(self, logits: Tensor) -> Tensor:
        """(N, S * M) -> (N, S, M): the softmax probabilities of each group."""
        return softmax(self.in_groups(logits))

    def log_odds(self, logits: Tensor) -> Tensor:
        """(N, S * M) -> (N, S, M) float64: of each class against its group's others."""
        return log_odds_of_classes(self.in_groups(logits))

    def log_probs(self, logits: Tensor) -> Tensor:
        """(N, S * M) -> (N, S, M) float64."""
        return log_softmax(self.in_groups(logits).double())

    def decide(self, logits: Tensor) -> Tensor:
        """(N, S * M) -> (N, S) int64: each group's largest logit; a tie goes to the lower class."""
        return self.in_groups(logits).argmax(dim=-1)

    def prior_bias(self, base_rates: Tensor) -> Tensor:
        """(S, M) -> (S * M,): log rates."""
        return safe_base_rates(self.outcome, base_rates).log().flatten()


def safe_base_rates(outcome: Outcome, base_rates: Tensor) -> Tensor:
    """Base rates moved off 0 (and 1, for labels), so that their logarithms are finite."""
    if isinstance(outcome, AnyOf):
        return base_rates.clamp(_MIN_RATE, 1 - _MIN_RATE)
    rates = base_rates.clamp(min=_MIN_RATE)
    return rates / rates.sum(dim=-1, keepdim=True)


def _shift_to_unit_sum(logits: Tensor) -> Tensor:
    """The scalar c with sum_k sigmoid(z_k + c) = 1, for logs of rates z; by bisection."""
    low, high = torch.zeros_like(logits[0]), -logits.min()  # at `high` every sigmoid is >= 1/2
    for _ in range(60):
        middle = (low + high) / 2
        enough = torch.sigmoid(logits + middle).sum() >= 1
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    return high
