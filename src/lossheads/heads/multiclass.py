"""Heads with one logit per class, for one-of-C outcomes (and, for sigmoids, any-of-L)."""

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from lossheads.errors import UserError
from lossheads.heads.base import FrameworkLoss, check_numbers, head_mismatch
from lossheads.heads.functional import (
    ClassReduction,
    check_class_reduction,
    clipped_cross_entropy,
    reduce_classes,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
)
from lossheads.heads.links import SigmoidLink, SoftmaxLink
from lossheads.heads.smoothing import SmoothTowards, check_smoothing, smoothed
from lossheads.outcomes import AnyOf, EachOneOf, OneOf, Outcome

_ONE_CLASS_ONLY = "softmax assumes that exactly one class is true"


def refuse_unless_one_of(head: object, outcome: Outcome) -> None:
    """Refuse several labels and several groups for a softmax head.

    Raises:
        HeadMismatch: Naming heads that support the outcome.
    """
    if isinstance(outcome, AnyOf):
        raise head_mismatch(
            head, outcome, _ONE_CLASS_ONLY, "use head=sigmoid_bce or head=multilabel_cce"
        )
    if isinstance(outcome, EachOneOf):
        raise head_mismatch(
            head, outcome, _ONE_CLASS_ONLY, "use head=grouped_cce, one softmax per group"
        )


@dataclass(frozen=True)
class SoftmaxCCE(SoftmaxLink):
    """C logits, one distribution: softmax + categorical cross-entropy, from logits.

    The negative log-likelihood of one-of-C labels, hard or soft. Not for several labels at once.

    Args:
        outcome: OneOf(C).
        label_smoothing: How far labels are moved before the loss sees them; metrics see them as
            they are. 0.1 is usual where it is used, 0 leaves them.
        smooth_towards: None is `uniform`, the convention of torch, Keras and timm; `others` leaves
            the true class 1 - label_smoothing, as fairseq does.
    """

    outcome: Outcome
    label_smoothing: float = 0.0
    smooth_towards: SmoothTowards | None = None

    framework_loss: ClassVar[FrameworkLoss] = "categorical_crossentropy"

    def __post_init__(self) -> None:
        refuse_unless_one_of(self, self.outcome)
        check_smoothing(self, self.label_smoothing, self.smooth_towards, ("uniform", "others"))

    def encode(self, labels: Tensor) -> Tensor:
        """Labels -> (N, C) float, rows that sum to 1."""
        present = super().encode(labels)
        if self.label_smoothing == 0:
            return present
        return smoothed(present, self.label_smoothing, self.smooth_towards or "uniform")

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """(N, C), (N, C) -> (N,) nats."""
        return softmax_cross_entropy(logits, target)


@dataclass(frozen=True)
class SoftmaxBCE(SoftmaxLink):
    """Softmax scores, binary cross-entropy on each: the mixture behind "97 % against 90 %".

    Trained in probability space with Keras's clip, as Keras 2.3 did for a softmax layer and
    `binary_crossentropy` when the loss saw probabilities. At equal probabilities its `mean` has
    1/(C - 1) of the gradient of `SoftmaxCCE`.

    Args:
        outcome: OneOf(C).
        class_reduction: Keras averages over units. The default follows it because this head exists
            to repeat what was trained there; `sum` makes gradients C times larger.
    """

    outcome: Outcome
    class_reduction: ClassReduction = "mean"

    framework_loss: ClassVar[FrameworkLoss] = "binary_crossentropy"

    def __post_init__(self) -> None:
        refuse_unless_one_of(self, self.outcome)
        check_class_reduction(self, self.class_reduction)

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """(N, C), (N, C) -> (N,) nats (nats / C under `mean`)."""
        # torch's own kernel, as Keras uses it: near 1 a last bit of p changes log(1 - p) visibly.
        per_unit = clipped_cross_entropy(F.softmax(logits, dim=-1), target)
        return reduce_classes(per_unit, self.class_reduction)


@dataclass(frozen=True)
class SigmoidBCE(SigmoidLink):
    """One logit per class or label, each its own Bernoulli: sigmoid + binary cross-entropy.

    For `AnyOf` this is the likelihood of independent labels. For `OneOf` it is the
    one-versus-rest model: the units ignore that exactly one of them is true, and the sigmoids
    need not sum to 1.

    Args:
        outcome: OneOf(C) or AnyOf(L).
        class_reduction: `sum` is the negative log-likelihood, in nats per example. `mean` divides
            it, and every gradient, by U, as `torch.nn.BCEWithLogitsLoss` and Keras do by default.
        pos_weight: Factor on the term of present classes; moves the optimal logit by its
            logarithm, which neither scores nor log-probabilities undo.
        label_smoothing: How far labels are moved before the loss sees them; metrics see them as
            they are.
        smooth_towards: Has no default because frameworks disagree: `half` (Keras), or for one class
            of C `uniform` (timm's BinaryCrossEntropy) or `others`.
    """

    outcome: Outcome
    class_reduction: ClassReduction = "sum"
    pos_weight: float = 1.0
    label_smoothing: float = 0.0
    smooth_towards: SmoothTowards | None = None

    framework_loss: ClassVar[FrameworkLoss] = "binary_crossentropy"

    def __post_init__(self) -> None:
        if isinstance(self.outcome, EachOneOf):
            rule = "independent sigmoids ignore that each group has one true class"
            raise head_mismatch(self, self.outcome, rule, "use head=grouped_cce")
        check_class_reduction(self, self.class_reduction)
        check_numbers(self, pos_weight=self.pos_weight)
        if self.pos_weight <= 0:
            raise UserError(
                f"SigmoidBCE: pos_weight must be above 0, got {self.pos_weight}; 1.0 weighs "
                "present and absent classes equally"
            )
        one_class = not isinstance(self.outcome, AnyOf)
        allowed: tuple[SmoothTowards, ...] = ("half", "uniform", "others")
        allowed = allowed if one_class else allowed[:1]
        check_smoothing(self, self.label_smoothing, self.smooth_towards, allowed)
        if self.label_smoothing and self.smooth_towards is None:
            raise UserError(
                f"{type(self).__name__}: label_smoothing={self.label_smoothing} needs "
                f"smooth_towards, half as in Keras or uniform as in timm: frameworks disagree"
            )

    def encode(self, labels: Tensor) -> Tensor:
        """Labels -> (N, U) float in [0, 1]."""
        present = super().encode(labels)
        if self.label_smoothing == 0 or self.smooth_towards is None:
            return present
        return smoothed(present, self.label_smoothing, self.smooth_towards)

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """(N, U), (N, U) -> (N,) nats (nats / U under `mean`)."""
        per_unit = sigmoid_cross_entropy(logits, target, self.pos_weight)
        return reduce_classes(per_unit, self.class_reduction)


@dataclass(frozen=True)
class SigmoidOffsetBCE(SigmoidLink):
    """Sigmoid + binary cross-entropy, summed, of the logits less ln C: it starts near 1 / C each.

    `SigmoidBCE` of shifted logits. The offset is fixed where `output_layer.prior_bias` only sets
    the start; no learning rate moves it. Kornblith et al. multiply by C a mean over classes and
    examples, which is this sum over classes.

    Args:
        outcome: OneOf(C).

    Source: Kornblith et al. (2021), arXiv 2010.16402, as in the authors' code
    (google-research, loss_functions_transfer/losses.py).
    """

    outcome: Outcome

    framework_loss: ClassVar[FrameworkLoss] = "binary_crossentropy"

    def __post_init__(self) -> None:
        if not isinstance(self.outcome, OneOf):
            rule = "its offset supposes that one class of C is true"
            instead = "grouped_cce" if isinstance(self.outcome, EachOneOf) else "sigmoid_bce"
            raise head_mismatch(self, self.outcome, rule, f"use head={instead}")

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """(N, C), (N, C) -> (N,) nats."""
        return sigmoid_cross_entropy(logits - self._offset, target).sum(dim=-1)

    def framework_outputs(self, logits: Tensor) -> Tensor:
        """(N, C) -> (N, C): the sigmoid layer after the offset."""
        return super().framework_outputs(logits - self._offset)

    def scores(self, logits: Tensor) -> Tensor:
        """(N, C) -> (N, C): sigmoid(z - ln C); they need not sum to 1."""
        return super().scores(logits - self._offset)

    def log_odds(self, logits: Tensor) -> Tensor:
        """(N, C) -> (N, C): z - ln C."""
        return super().log_odds(logits - self._offset)

    def prior_bias(self, base_rates: Tensor) -> Tensor:
        """(C,) -> (C,): that of `SigmoidBCE` plus the offset."""
        return super().prior_bias(base_rates) + self._offset

    @property
    def _offset(self) -> float:
        return math.log(self.outcome.n)
