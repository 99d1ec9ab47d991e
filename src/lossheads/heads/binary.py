"""Heads for two classes: one logit, two logits, and the one-logit softmax that cannot learn."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from lossheads.heads.base import FrameworkLoss, head_mismatch
from lossheads.heads.functional import sigmoid_cross_entropy, softmax_cross_entropy
from lossheads.heads.links import Link, safe_base_rates
from lossheads.heads.multiclass import SoftmaxCCE
from lossheads.numerics import sigmoid, softmax
from lossheads.outcomes import AnyOf, EachOneOf, OneOf, Outcome


def _refuse_unless_two_classes(head: object, outcome: Outcome, logits: str) -> None:
    if isinstance(outcome, OneOf) and outcome.n == 2:
        return
    instead = "use head=softmax_cce or head=sigmoid_bce"
    if isinstance(outcome, AnyOf):
        instead = "use head=sigmoid_bce or head=multilabel_cce"
    if isinstance(outcome, EachOneOf):
        instead = "use head=grouped_cce"
    raise head_mismatch(head, outcome, f"{logits} can represent two classes only", instead)


class _SingleLogit(Link):
    """One logit for OneOf(2); the target is the 0/1 column that says how present class 1 is."""

    @property
    def num_logits(self) -> int:
        """1."""
        return 1

    def encode(self, labels: Tensor) -> Tensor:
        """Labels -> (N, 1) float: how present class 1 is."""
        return self.outcome.indicators(labels)[:, 1:]

    def framework_target(self, labels: Tensor) -> Tensor:
        """Labels -> (N, 1) float: the column of zeros and ones."""
        return self.encode(labels)


@dataclass(frozen=True)
class SingleLogitBCE(_SingleLogit):
    """One logit, two classes: sigmoid + binary cross-entropy.

    The same function as `TwoLogitCCE` of (-z/2, z/2). Scores and log-probabilities carry both
    classes, so the number of logits has no effect downstream.

    Args:
        outcome: OneOf(2).
    """

    outcome: Outcome

    framework_loss: ClassVar[FrameworkLoss] = "binary_crossentropy"

    def __post_init__(self) -> None:
        _refuse_unless_two_classes(self, self.outcome, "one logit")

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """(N, 1), (N, 1) -> (N,) nats."""
        return sigmoid_cross_entropy(logits, target).sum(dim=-1)

    def framework_outputs(self, logits: Tensor) -> Tensor:
        """(N, 1) -> (N, 1): the sigmoid unit."""
        return sigmoid(logits)

    def scores(self, logits: Tensor) -> Tensor:
        """(N, 1) -> (N, 2): sigmoid(-z), sigmoid(z)."""
        return sigmoid(torch.cat([-logits, logits], dim=-1))

    def log_odds(self, logits: Tensor) -> Tensor:
        """(N, 1) -> (N, 2): -z, z."""
        return torch.cat([-logits, logits], dim=-1)

    def log_probs(self, logits: Tensor) -> Tensor:
        """(N, 1) -> (N, 2) float64."""
        z = logits.double()
        return F.logsigmoid(torch.cat([-z, z], dim=-1))

    def decide(self, logits: Tensor) -> Tensor:
        """(N, 1) -> (N,) int64: class 1 above zero; a tie is class 0."""
        return (logits[:, 0] > 0).long()

    def prior_bias(self, base_rates: Tensor) -> Tensor:
        """(2,) -> (1,): the log-odds of class 1."""
        logs = safe_base_rates(self.outcome, base_rates).log()
        return logs[1:] - logs[:1]


@dataclass(frozen=True)
class TwoLogitCCE(SoftmaxCCE):
    """Two logits, two classes: `SoftmaxCCE` for two classes only, the counterpart of one logit.

    Args:
        outcome: OneOf(2).
        label_smoothing, smooth_towards: As in `SoftmaxCCE`.
    """

    def __post_init__(self) -> None:
        _refuse_unless_two_classes(self, self.outcome, "two logits")
        super().__post_init__()


@dataclass(frozen=True)
class SingleLogitSoftmaxCCE(_SingleLogit):
    """One logit with softmax + categorical cross-entropy: broken, and kept on purpose.

    A softmax over one logit is always 1, so the loss is 0, its gradient is exactly 0 and nothing
    is learned. Compared with a 0/1 column, the constant 1 is "class 1 for
    sure": accuracy is the base rate of class 1, from the first step to the last, and the
    log-probability of class 0 is -inf. Use it to see that failure, never to train.

    Args:
        outcome: OneOf(2).
    """

    outcome: Outcome

    framework_loss: ClassVar[FrameworkLoss] = "categorical_crossentropy"

    def __post_init__(self) -> None:
        _refuse_unless_two_classes(self, self.outcome, "one logit")

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """(N, 1), (N, 1) -> (N,): zero, with a gradient of zero."""
        return softmax_cross_entropy(logits, target)

    def framework_outputs(self, logits: Tensor) -> Tensor:
        """(N, 1) -> (N, 1): ones."""
        return softmax(logits)

    def scores(self, logits: Tensor) -> Tensor:
        """(N, 1) -> (N, 2): 0 for class 0, 1 for class 1."""
        one = softmax(logits)
        return torch.cat([1 - one, one], dim=-1)

    def log_probs(self, logits: Tensor) -> Tensor:
        """(N, 1) -> (N, 2) float64: -inf and 0."""
        return self.scores(logits.double()).log()

    def decide(self, logits: Tensor) -> Tensor:
        """(N, 1) -> (N,) int64: ones."""
        return torch.ones_like(logits[:, 0], dtype=torch.int64)

    def prior_bias(self, base_rates: Tensor) -> Tensor:
        """(2,) -> (1,): zero: the logit of this head has no effect."""
        return torch.zeros_like(base_rates[:1])
