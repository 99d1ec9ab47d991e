"""The interface of heads, and the error for outcomes that a head does not support.

A head holds every consequence of choosing it. Nothing outside this package may ask which head
it is: what the program needs to know about heads belongs into this interface.
"""

import math
from typing import Literal, Protocol, runtime_checkable

from torch import Tensor

from lossheads.errors import HeadMismatch, UserError
from lossheads.outcomes import Outcome

FrameworkLoss = Literal["categorical_crossentropy", "binary_crossentropy", "other"]


@runtime_checkable
class Head(Protocol):
    """Output encoding, loss, scores and decision of one classification head.

    Heads are frozen dataclasses: built from an outcome (and options), they raise
    `HeadMismatch` for an outcome they do not support, before any data is read. All methods are
    pure and take any number N of rows; a row's result never depends on other rows, so rows of
    several members can be stacked.
    """

    @property
    def outcome(self) -> Outcome:
        """What the labels can be."""

    @property
    def num_logits(self) -> int:
        """U, the number of logits per example."""

    @property
    def framework_loss(self) -> FrameworkLoss:
        """Keras's name of the loss; old versions of Keras chose the accuracy by this name."""

    def with_base_rates(self, base_rates: Tensor) -> "Head":
        """The head that knows how often each class is present in training (outcome.columns).

        Itself, unless its loss uses them.
        """

    def encode(self, labels: Tensor) -> Tensor:
        """Labels -> target, first dimension N: what `loss` eats."""

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """(N, U), target -> (N,): never reduced over examples; its unit is `loss_unit(head)`."""

    def framework_outputs(self, logits: Tensor) -> Tensor:
        """(N, U) -> (N, U) in [0, 1]: what a framework's last layer returns (sigmoid or "
        "softmax)."""

    def framework_target(self, labels: Tensor) -> Tensor:
        """Labels -> (N, U) float: the target that a framework's loss gets for these labels."""

    def scores(self, logits: Tensor) -> Tensor:
        """(N, U) -> (N, *outcome.columns) in [0, 1]: the head's per-class score."""

    def log_probs(self, logits: Tensor) -> Tensor:
        """(N, U) -> (N, *outcome.events) float64; exp sums to 1 over the last dimension."""

    def decide(self, logits: Tensor) -> Tensor:
        """(N, U) -> decisions shaped and typed like hard labels."""

    def prior_bias(self, base_rates: Tensor) -> Tensor:
        """Base rates (outcome.columns) -> (U,): logits whose `log_probs` are these rates."""


def head_mismatch(head: object, outcome: Outcome, rule: str, instead: str) -> HeadMismatch:
    """The error for a head and an outcome that do not fit; the caller raises it."""
    return HeadMismatch(f"{type(head).__name__} does not support {outcome}: {rule}; {instead}")


def loss_unit(head: object) -> str:
    """Of its loss, per example: nats, unless a class attribute `loss_unit` says another."""
    return str(getattr(head, "loss_unit", "nats"))


def check_numbers(head: object, **options: object) -> None:
    """Refuse an option that is not a finite number.

    Raises:
        UserError: Naming the head, the option and what it got.
    """
    for name, value in options.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value):  # type: ignore[arg-type]
            raise UserError(f"{type(head).__name__}: {name} must be a finite number, got {value!r}")


def log_odds(head: Head, logits: Tensor) -> Tensor:
    """(N, U) -> (N, *outcome.columns): rises with the head's scores, and does not saturate.

    In float32 the sigmoid of every logit above 17 is 1; rankings need the order beyond. A head
    says it by a method `log_odds` beside `scores`. One of your own need not have it, and where it
    overrides `scores` alone, an inherited `log_odds` is of another reading: scores then stand in.
    """
    for kind in type(head).__mro__:
        if "log_odds" in vars(kind):
            read: Tensor = head.log_odds(logits)  # type: ignore[attr-defined]
            return read
        if "scores" in vars(kind):
            break
    return head.scores(logits)


# How logits are read; a loss that means something else by them needs its own.
_READING = ("scores", "log_probs", "decide")


def inherited_reading(head: object) -> str:
    """A warning for a head of one's own whose loss is new and whose scores are inherited.

    A squared error below softmax scores trains one thing and is measured as another. It may be
    meant (a variant of cross-entropy keeps its scores), so it is told, not refused. Empty for
    heads of this project, and where nothing is inherited by accident.
    """
    kinds = type(head).__mro__
    owner = {
        name: next((kind for kind in kinds if name in vars(kind)), object)
        for name in ("loss", *_READING)
    }

    def ours(kind: type) -> bool:
        return kind.__module__.split(".")[0] == "lossheads"

    kept = [name for name in _READING if ours(owner[name])]
    if ours(owner["loss"]) or not kept:
        return ""
    return (
        f"{type(head).__name__} has a loss of its own and inherits {', '.join(kept)} from "
        f"{owner[kept[0]].__name__}: override them if its logits mean something else"
    )
