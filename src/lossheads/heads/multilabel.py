"""Heads for any subset of L labels (and focal, also for one of C classes)."""

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from torch import Tensor

from lossheads.errors import HeadMismatch, UserError, near_matches
from lossheads.heads.base import FrameworkLoss, check_numbers, head_mismatch
from lossheads.heads.functional import (
    ClassReduction,
    check_class_reduction,
    focal_cost,
    multilabel_cross_entropy,
    reduce_classes,
    shifted_focal_cost,
)
from lossheads.heads.links import SigmoidLink
from lossheads.outcomes import AnyOf, EachOneOf, OneOf, Outcome

AlphaAs = Literal["balance", "swapped", "factor"]


def default_mismatch(head: object, outcome: Outcome, rule: str) -> HeadMismatch:
    """The error that names the usual head for `outcome`; the caller raises it."""
    usual = "grouped_cce" if isinstance(outcome, EachOneOf) else "sigmoid_bce"
    if isinstance(outcome, OneOf):
        usual = "softmax_cce or head=sigmoid_bce"
    return head_mismatch(head, outcome, rule, f"use head={usual}")


def refuse_unless_any_of(head: object, outcome: Outcome) -> None:
    """Refuse one-of-C and grouped outcomes for a head that thresholds each label.

    Raises:
        HeadMismatch: Naming a head that supports the outcome.
    """
    if not isinstance(outcome, AnyOf):
        raise default_mismatch(head, outcome, "it scores each label independently")


def refuse_soft(head: object, outcome: Outcome) -> None:
    """Refuse distributions as labels.

    Raises:
        HeadMismatch: Naming the usual head of the outcome.
    """
    if outcome.soft:
        raise default_mismatch(head, outcome, "it is defined for hard labels only")


def refuse_negative(head: object, **options: float) -> None:
    """Refuse an option below 0.

    Raises:
        UserError: Naming the head, the option and what it got.
    """
    check_numbers(head, **options)
    for name, value in options.items():
        if value < 0:
            raise UserError(f"{type(head).__name__}: {name} must be at least 0, got {value}")


@dataclass(frozen=True)
class MultilabelCCE(SigmoidLink):
    """Log-sum loss over all labels at once: every absent logit below 0, every present one above.

    The sums stand inside the logarithms, so a thousand absent labels weigh about as much as a
    few present ones. Hard labels: predict s > 0. Soft labels t: the
    optimum is t = sigmoid(2 s).

    Args:
        outcome: AnyOf(L).
        score_scale: Scores are sigmoid(score_scale * s). 1 leaves the logits as they are; with
            hard labels it is under-confident, the more so the larger L is. 2 is the soft optimum.
            It is 1 / temperature.

    Source: Su, kexue.fm 7359 and 9064; Su et al. (2022), "ZLPR", arXiv 2208.02955.
    """

    outcome: Outcome
    score_scale: float = 1.0

    framework_loss: ClassVar[FrameworkLoss] = "other"

    def __post_init__(self) -> None:
        refuse_unless_any_of(self, self.outcome)
        check_numbers(self, score_scale=self.score_scale)
        if self.score_scale <= 0:
            raise UserError(
                f"MultilabelCCE: score_scale must be above 0, got {self.score_scale}; use 1.0, or "
                "2.0 for soft labels"
            )

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """(N, L), (N, L) -> (N,) nats."""
        return multilabel_cross_entropy(logits, target)

    def framework_outputs(self, logits: Tensor) -> Tensor:
        """(N, L) -> (N, L): the sigmoid layer of the scaled logits."""
        return super().framework_outputs(self.score_scale * logits)

    def scores(self, logits: Tensor) -> Tensor:
        """(N, L) -> (N, L): sigmoid(score_scale * s)."""
        return super().scores(self.score_scale * logits)

    def log_odds(self, logits: Tensor) -> Tensor:
        """(N, L) -> (N, L): score_scale * s."""
        return super().log_odds(self.score_scale * logits)

    def log_probs(self, logits: Tensor) -> Tensor:
        """(N, L) -> (N, L, 2), holding [off, on]; float64."""
        return super().log_probs(self.score_scale * logits.double())

    def prior_bias(self, base_rates: Tensor) -> Tensor:
        """(L,) -> (L,): log-odds over score_scale."""
        return super().prior_bias(base_rates) / self.score_scale


@dataclass(frozen=True)
class Focal(SigmoidLink):
    """Sigmoid cross-entropy that down-weights easy examples: times (1 - p of the label)^gamma.

    Not a proper score: its optimum is under-confident. For hard labels only.

    Args:
        outcome: OneOf(C), one sigmoid per class, or AnyOf(L).
        gamma: 0 is sigmoid cross-entropy; the paper uses 2.
        alpha: None leaves both sides as they are. What a number does, `alpha_as` says.
        alpha_as: `balance`: alpha on present units, 1 - alpha on absent ones, as in the paper,
            torchvision and Keras (whose 0.25 thus weighs *present* ones down). `swapped`: the other
            way round, as where alpha is the weight of "class 0". `factor`: alpha on both, which
            scales the loss and balances nothing.
        class_reduction: `sum`, or `mean` for 1/U of it.

    Source: Lin et al. (2017), "Focal Loss for Dense Object Detection", arXiv 1708.02002.
    """

    outcome: Outcome
    gamma: float = 2.0
    alpha: float | None = None
    class_reduction: ClassReduction = "sum"
    alpha_as: AlphaAs = "balance"

    framework_loss: ClassVar[FrameworkLoss] = "other"

    def __post_init__(self) -> None:
        if isinstance(self.outcome, EachOneOf):
            raise default_mismatch(self, self.outcome, "it scores each class independently")
        refuse_soft(self, self.outcome)
        refuse_negative(self, gamma=self.gamma)
        check_class_reduction(self, self.class_reduction)
        if self.alpha_as not in get_args(AlphaAs):
            raise UserError(
                f"{type(self).__name__} got alpha_as={self.alpha_as}: "
                f"{near_matches(str(self.alpha_as), get_args(AlphaAs))}"
            )
        if self.alpha is None:
            return
        check_numbers(self, alpha=self.alpha)
        if self.alpha <= 0 or (self.alpha >= 1 and self.alpha_as != "factor"):
            raise UserError(
                f"Focal: alpha must be between 0 and 1, got {self.alpha}; use alpha=null for no "
                "weights"
            )

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """(N, U), (N, U) -> (N,) nats (nats / U under `mean`)."""
        present, absent = self._weights()
        per_unit = present * target * focal_cost(logits, self.gamma)
        per_unit = per_unit + absent * (1 - target) * focal_cost(-logits, self.gamma)
        return reduce_classes(per_unit, self.class_reduction)

    def _weights(self) -> tuple[float, float]:
        """Of present and of absent units."""
        if self.alpha is None:
            return 1.0, 1.0
        if self.alpha_as == "factor":
            return self.alpha, self.alpha
        pair = (self.alpha, 1 - self.alpha)
        return pair if self.alpha_as == "balance" else pair[::-1]


@dataclass(frozen=True)
class Asymmetric(SigmoidLink):
    """Focal loss with an exponent per side; absent labels below a margin cost nothing (ASL).

    Not a proper score. For hard labels only.

    Args:
        outcome: AnyOf(L).
        gamma_on: Exponent for present labels.
        gamma_off: Exponent for absent labels.
        margin: Probability below which an absent label costs nothing; in [0, 1).

    Source: Ridnik et al. (2021), "Asymmetric Loss For Multi-Label Classification",
    arXiv 2009.14119.
    """

    outcome: Outcome
    gamma_on: float = 1.0
    gamma_off: float = 4.0
    margin: float = 0.05

    framework_loss: ClassVar[FrameworkLoss] = "other"

    def __post_init__(self) -> None:
        refuse_unless_any_of(self, self.outcome)
        refuse_soft(self, self.outcome)
        refuse_negative(self, gamma_on=self.gamma_on, gamma_off=self.gamma_off)
        check_numbers(self, margin=self.margin)
        if not 0 <= self.margin < 1:
            raise UserError(f"Asymmetric: margin must be in [0, 1), got {self.margin}")

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """(N, L), (N, L) -> (N,) nats."""
        present = focal_cost(logits, self.gamma_on)
        if self.margin > 0:
            absent = shifted_focal_cost(logits, self.gamma_off, self.margin)
        else:
            absent = focal_cost(-logits, self.gamma_off)
        return (target * present + (1 - target) * absent).sum(dim=-1)
