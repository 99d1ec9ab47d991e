"""Losses on a softmax that people prefer to cross-entropy: weights, penalties, other shapes.

All have C logits for one of C classes. What each is compared with is `SoftmaxCCE`.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor

from lossheads.errors import UserError, near_matches
from lossheads.heads.base import FrameworkLoss, check_numbers
from lossheads.heads.functional import softmax_cross_entropy, softmax_focal_cost, unit_norm
from lossheads.heads.links import SoftmaxLink, safe_base_rates
from lossheads.heads.multiclass import refuse_unless_one_of
from lossheads.heads.multilabel import refuse_negative, refuse_soft
from lossheads.numerics import softmax
from lossheads.outcomes import Outcome

Shares = tuple[float, ...]


@dataclass(frozen=True)
class SoftmaxWeightedCCE(SoftmaxLink):
    """Softmax + cross-entropy with a weight per class: w_y / (mean weight in training) times CCE.

    `torch.nn.CrossEntropyLoss(weight=w)` divides by the weights of the *batch*: there a row's share
    depends on its neighbours, and in a batch of one class the weights cancel. Here the divisor is
    fixed, the mean weight over the training labels; both agree over a whole training set with hard
    labels. With soft labels t the weight is sum_k w_k t_k per term, and torch divides by N alone.

    The optimum is w p / sum(w p) for the true posterior p. As with `pos_weight`, neither scores nor
    log-probabilities undo that.

    Args:
        outcome: OneOf(C), hard or soft.
        class_weights: One number above 0 per class; their common scale has no effect. None is
            1 / (C times the class's base rate), scikit-learn's "balanced".
        base_rates: Share of each class, C shares that sum to 1. None until `with_base_rates` sets
            it from the training labels; the loss needs it.

    Source: torch's documentation of CrossEntropyLoss; pytorch issues 72047 and 40560.
    """

    outcome: Outcome
    class_weights: Shares | None = None
    base_rates: Shares | None = None

    framework_loss: ClassVar[FrameworkLoss] = "categorical_crossentropy"

    def __post_init__(self) -> None:
        refuse_unless_one_of(self, self.outcome)
        for name, sum_to_one in (("class_weights", False), ("base_rates", True)):
            given = getattr(self, name)
            if given is not None:
                # YAML gives lists; only tuples can be compared and hashed.
                object.__setattr__(self, name, _checked(self, name, given, sum_to_one))

    def with_base_rates(self, base_rates: Tensor) -> Self:
        """The same head, with these rates unless it has its own.

        Args:
            base_rates: (C,), from the training split.
        """
        if self.base_rates is not None:
            return self
        return replace(self, base_rates=tuple(base_rates.tolist()))

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """(N, C), (N, C) -> (N,) nats, whose mean weight over the training labels is 1."""
        if self.base_rates is None:
            raise UserError(
                f"{type(self).__name__} needs base rates: call "
                "head.with_base_rates(base_rates(outcome, labels))"
            )
        weights = _relative_weights(
            self.outcome, self.class_weights, self.base_rates, logits.device, logits.dtype
        )
        return softmax_cross_entropy(logits, weights * target)


@lru_cache(maxsize=64)  # kept per device: a copy from the host in every step would stall a GPU
def _relative_weights(
    outcome: Outcome,
    class_weights: Shares | None,
    base_rates: Shares,
    device: torch.device,
    dtype: torch.dtype,
) -> Tensor:
    rates = safe_base_rates(outcome, torch.tensor(base_rates, dtype=torch.float64))
    if class_weights is None:
        weights = 1 / (outcome.n * rates)
    else:
        weights = torch.tensor(class_weights, dtype=torch.float64)
    return (weights / (rates * weights).sum()).to(device=device, dtype=dtype)


def _checked(head: SoftmaxWeightedCCE, name: str, given: object, sum_to_one: bool) -> Shares:
    """C numbers as a tuple of floats.

    Raises:
        UserError: Unless there is one per class, above 0 or, if they are shares, a distribution.
    """
    try:
        numbers = torch.tensor(given, dtype=torch.float64)
        valid = numbers.shape == head.outcome.columns and bool(numbers.isfinite().all())
        if sum_to_one:
            valid = valid and bool((numbers >= 0).all()) and abs(numbers.sum().item() - 1) <= 1e-4
        else:
            valid = valid and bool((numbers > 0).all())
    except (TypeError, ValueError, RuntimeError):
        valid = False
    if not valid:
        kind = "shares that sum to 1" if sum_to_one else "numbers above 0"
        raise UserError(
            f"{type(head).__name__}: {name} must be {head.outcome.n} {kind}, got {given}; null "
            f"takes them from the training labels"
        )
    return tuple(numbers.tolist())


@dataclass(frozen=True)
class SoftmaxFocal(SoftmaxLink):
    """Softmax cross-entropy that down-weights easy examples: times (1 - p of the label)^gamma.

    Not a proper score: its optimum is under-confident. For hard labels only. `Focal` is the
    paper's loss, on sigmoids.

    Args:
        outcome: OneOf(C).
        gamma: 0 is softmax cross-entropy.
        alpha: A factor on the whole loss, as in Keras's CategoricalFocalCrossentropy (0.25 there);
            it balances nothing. None is 1.

    Source: Keras's CategoricalFocalCrossentropy; Lin et al. (2017), arXiv 1708.02002, for sigmoids.
    """

    outcome: Outcome
    gamma: float = 2.0
    alpha: float | None = None

    framework_loss: ClassVar[FrameworkLoss] = "other"

    def __post_init__(self) -> None:
        refuse_unless_one_of(self, self.outcome)
        refuse_soft(self, self.outcome)
        refuse_negative(self, gamma=self.gamma)
        if self.alpha is None:
            return
        check_numbers(self, alpha=self.alpha)
        if self.alpha <= 0:
            raise UserError(f"SoftmaxFocal: alpha must be above 0, got {self.alpha}; null is 1")

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """(N, C), (N, C) -> (N,) nats."""
        cost = softmax_focal_cost(logits, target, self.gamma)
        return cost if self.alpha is None else self.alpha * cost


@dataclass(frozen=True)
class SoftmaxPoly1CCE(SoftmaxLink):
    """Softmax cross-entropy + epsilon (1 - p of the label), the first term of its series, again.

    Linear in the label; on soft labels the optimum is not the label. Not a proper score.

    Args:
        outcome: OneOf(C), hard or soft.
        epsilon: At least -1, where the first term is gone; 0 is cross-entropy, 1 is the paper's
            first choice to try.

    Source: Leng et al. (2022), "PolyLoss", arXiv 2204.12511.
    """

    outcome: Outcome
    epsilon: float = 1.0

    framework_loss: ClassVar[FrameworkLoss] = "other"

    def __post_init__(self) -> None:
        refuse_unless_one_of(self, self.outcome)
        check_numbers(self, epsilon=self.epsilon)
        if self.epsilon < -1:
            raise UserError(f"SoftmaxPoly1CCE: epsilon must be at least -1, got {self.epsilon}")

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """(N, C), (N, C) -> (N,) nats plus epsilon times a probability."""
        missed = (target * (1 - softmax(logits))).sum(dim=-1)
        return softmax_cross_entropy(logits, target) + self.epsilon * missed


@dataclass(frozen=True)
class SoftmaxLogitPenaltyCCE(SoftmaxLink):
    """Softmax cross-entropy + beta / 2 times the squared length of the logits.

    Keeps logits small; the optimum is under-confident.

    Args:
        outcome: OneOf(C), hard or soft.
        beta: 0 is cross-entropy.

    Source: Kornblith et al. (2021), arXiv 2010.16402, formula as in the authors' code
    (google-research, loss_functions_transfer/losses.py). The default, 6e-4, is their value for
    ImageNet as we remember it, not read again.
    """

    outcome: Outcome
    beta: float = 6e-4

    framework_loss: ClassVar[FrameworkLoss] = "other"

    def __post_init__(self) -> None:
        refuse_unless_one_of(self, self.outcome)
        refuse_negative(self, beta=self.beta)

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """(N, C), (N, C) -> (N,) nats plus the penalty."""
        penalty = (self.beta / 2) * (logits * logits).sum(dim=-1)
        return softmax_cross_entropy(logits, target) + penalty


@dataclass(frozen=True)
class SoftmaxLogitNormCCE(SoftmaxLink):
    """Softmax cross-entropy of logits divided by their length and a temperature.

    Only the direction of the logits counts for the loss, so it has a least value above 0 (3e-11
    nats at 10 classes and the default temperature).

    Args:
        outcome: OneOf(C), hard or soft.
        temperature: 0.04 is what Wei et al. took for CIFAR-10.
        reading: `divided`: scores and log-probabilities are those of the divided logits, as in the
            code of Kornblith et al. `bare`: the division is part of the loss alone, as in code that
            follows Wei et al.; scores then depend on a length that nothing trained.

    Source: Wei et al. (2022), "LogitNorm", arXiv 2205.09310; Kornblith et al. (2021),
    arXiv 2010.16402, and the authors' code (google-research, loss_functions_transfer/losses.py).
    """

    outcome: Outcome
    temperature: float = 0.04
    reading: Literal["divided", "bare"] = "divided"

    framework_loss: ClassVar[FrameworkLoss] = "other"

    def __post_init__(self) -> None:
        refuse_unless_one_of(self, self.outcome)
        check_numbers(self, temperature=self.temperature)
        if self.temperature <= 0:
            raise UserError(
                f"SoftmaxLogitNormCCE: temperature must be above 0, got {self.temperature}"
            )
        if self.reading not in ("divided", "bare"):
            raise UserError(
                f"SoftmaxLogitNormCCE got reading={self.reading}: "
                f"{near_matches(str(self.reading), ('divided', 'bare'))}"
            )

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """(N, C), (N, C) -> (N,) nats."""
        return softmax_cross_entropy(self._divided(logits), target)

    def framework_outputs(self, logits: Tensor) -> Tensor:
        """(N, C) -> (N, C): the softmax layer."""
        return self.scores(logits)

    def scores(self, logits: Tensor) -> Tensor:
        """(N, C) -> (N, C): the softmax, of divided or bare logits."""
        return super().scores(self._read(logits))

    def log_odds(self, logits: Tensor) -> Tensor:
        """(N, C) -> (N, C) float64, of divided or bare logits."""
        return super().log_odds(self._read(logits.double()))

    def log_probs(self, logits: Tensor) -> Tensor:
        """(N, C) -> (N, C) float64."""
        return super().log_probs(self._read(logits.double()))

    def prior_bias(self, base_rates: Tensor) -> Tensor:
        """(C,) -> (C,): of divided logits the direction, of length 1, whose softmax is these rates.

        Log rates plus the constant that makes them 1 / temperature long. Rates so unequal that
        none does are met as nearly as their direction allows.
        """
        logs = super().prior_bias(base_rates)
        if self.reading == "bare":
            return logs
        centred = logs - logs.mean()
        missing = (self.temperature**-2 - centred.square().sum()).clamp(min=0)
        direction = centred + (missing / self.outcome.n).sqrt()
        return direction / direction.square().sum().sqrt()

    def _read(self, logits: Tensor) -> Tensor:
        return self._divided(logits) if self.reading == "divided" else logits

    def _divided(self, logits: Tensor) -> Tensor:
        return unit_norm(logits) / self.temperature
