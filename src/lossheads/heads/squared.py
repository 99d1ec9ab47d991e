"""Squared error for classification: one number per class, near M for the true one, 0 for others."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from lossheads.errors import UserError
from lossheads.heads.base import FrameworkLoss, check_numbers
from lossheads.heads.functional import (
    KERAS_EPSILON,
    ClassReduction,
    check_class_reduction,
    nearest_distribution,
    reduce_classes,
)
from lossheads.heads.links import Link, safe_base_rates
from lossheads.heads.multiclass import refuse_unless_one_of
from lossheads.outcomes import Outcome


@dataclass(frozen=True)
class LinearSquaredError(Link):
    """No activation, squared error: kappa (z_y - M)^2 + the squares of all other outputs.

    The loss is no likelihood and has no unit of nats. At kappa 1 the optimum is z = M times the
    posterior, so z / M is read as a distribution: the nearest one, whose small classes are exactly
    0. Log-probabilities are kept above ln 1e-7, as Keras keeps them; their level says how often
    that bound was met, and comparing it with a cross-entropy's means little (compare accuracy,
    brier_sum_loss or a ranking). A kappa above 1 makes the true class's outputs too large, which
    no reading undoes.

    Args:
        outcome: OneOf(C), hard or soft.
        kappa: Factor on the true class's term.
        target: M, the output wanted for the true class.
        scale: Factor on the whole loss.
        class_reduction: `mean` divides by C, as torch's MSELoss on one-hot rows and Hui and Belkin
            do; `sum` as Kornblith et al. do.

    Source: Hui and Belkin (2021), arXiv 2006.07322 (kappa, M for many classes; 1 and 1 for few);
    Kornblith et al. (2021), arXiv 2010.16402, formula as in the authors' code.
    """

    outcome: Outcome
    kappa: float = 1.0
    target: float = 1.0
    scale: float = 1.0
    class_reduction: ClassReduction = "mean"

    framework_loss: ClassVar[FrameworkLoss] = "other"
    loss_unit: ClassVar[str] = "squares"

    def __post_init__(self) -> None:
        refuse_unless_one_of(self, self.outcome)
        check_class_reduction(self, self.class_reduction)
        options = {"kappa": self.kappa, "target": self.target, "scale": self.scale}
        check_numbers(self, **options)
        for name, value in options.items():
            if value <= 0:
                raise UserError(
                    f"LinearSquaredError: {name} must be above 0, got {value}; 1.0 leaves it out"
                )

    @property
    def num_logits(self) -> int:
        """C."""
        return self.outcome.n

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """(N, C), (N, C) -> (N,), squares of outputs."""
        above = logits - self.target
        per_unit = self.kappa * target * above * above + (1 - target) * logits * logits
        return self.scale * reduce_classes(per_unit, self.class_reduction)

    def framework_outputs(self, logits: Tensor) -> Tensor:
        """(N, C) -> (N, C): the scores, for a layer without activation has no bounds."""
        return self.scores(logits)

    def scores(self, logits: Tensor) -> Tensor:
        """(N, C) -> (N, C): the distribution nearest to z / M; most are exactly 0."""
        return nearest_distribution(logits / self.target)

    def log_probs(self, logits: Tensor) -> Tensor:
        """(N, C) -> (N, C) float64, at least ln 1e-7."""
        share = self.scores(logits.double()) + KERAS_EPSILON
        return (share / (1 + self.outcome.n * KERAS_EPSILON)).log()

    def decide(self, logits: Tensor) -> Tensor:
        """(N, C) -> (N,) int64: the largest output; a tie goes to the lower class."""
        return logits.argmax(dim=-1)

    def prior_bias(self, base_rates: Tensor) -> Tensor:
        """(C,) -> (C,): M times the rates (less what keeps log-probabilities finite)."""
        rates = safe_base_rates(self.outcome, base_rates)
        share = (1 + self.outcome.n * KERAS_EPSILON) * rates - KERAS_EPSILON
        return self.target * share
