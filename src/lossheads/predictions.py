"""Predictions of one member or several on a split: the only input of metrics."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import Tensor

from lossheads.heads.base import FrameworkLoss, Head, log_odds
from lossheads.outcomes import Outcome

# What differs between members; the rest of `Predictions` depends on head and labels alone.
PER_MEMBER_FIELDS = ("scores", "log_probs", "decisions", "framework_outputs", "logits")


@dataclass(frozen=True)
class Predictions:
    """Predictions of one member for N examples. No metric sees more than this.

    Attributes:
        outcome: What the labels can be.
        labels: As the data give them, hard or soft.
        scores: (N, *outcome.columns) in [0, 1], the head's per-class score.
        log_probs: (N, *outcome.events) float64.
        decisions: Shaped and typed like hard labels.
        framework_outputs: (N, U) in [0, 1], the last layer as a framework would print it.
        framework_target: (N, U) float, the target a framework user would pass.
        framework_loss: Keras's name of the loss.
        logits: (N, U) float32 as trained; for OOD metrics and framework metrics.
        log_odds: Reads logits (N, U) as what rises with the scores and does not saturate, shaped
            like them; None where scores are all that is known.
        true_posterior: The true posterior, float64 (N, *outcome.columns), where the data know it.
    """

    outcome: Outcome
    labels: Tensor
    scores: Tensor
    log_probs: Tensor
    decisions: Tensor
    framework_outputs: Tensor
    framework_target: Tensor
    framework_loss: FrameworkLoss
    logits: Tensor
    true_posterior: Tensor | None = None
    log_odds: Callable[[Tensor], Tensor] | None = None


def predict(
    head: Head, logits: Tensor, labels: Tensor, true_posterior: Tensor | None = None
) -> Predictions:
    """All outputs of `head` for `logits` (N, U), with the labels of the same rows."""
    return Predictions(
        outcome=head.outcome,
        labels=labels,
        scores=head.scores(logits),
        log_probs=head.log_probs(logits),
        decisions=head.decide(logits),
        framework_outputs=head.framework_outputs(logits),
        framework_target=head.framework_target(labels),
        framework_loss=head.framework_loss,
        logits=logits,
        true_posterior=true_posterior,
        log_odds=partial(log_odds, head),
    )


@dataclass(frozen=True)
class CohortPredictions:
    """Predictions of K members that share a head, for the same N examples.

    Attributes:
        stacked: The fields named in `PER_MEMBER_FIELDS` begin with K; the others are shared.
    """

    stacked: Predictions

    def __len__(self) -> int:
        return len(self.stacked.logits)

    def __getitem__(self, k: int) -> Predictions:
        return self.member([tensor[k] for tensor in self.per_member])

    def __iter__(self) -> Iterator[Predictions]:
        return (self[k] for k in range(len(self)))

    @property
    def per_member(self) -> list[Tensor]:
        """The fields that begin with K, in the order of `PER_MEMBER_FIELDS`."""
        return [getattr(self.stacked, name) for name in PER_MEMBER_FIELDS]

    def member(self, per_member: Iterable[Tensor]) -> Predictions:
        """Predictions of the member whose fields these are, in the order of `PER_MEMBER_FIELDS`."""
        own: dict[str, Any] = dict(zip(PER_MEMBER_FIELDS, per_member, strict=True))
        return replace(self.stacked, **own)


def predict_cohort(
    head: Head, logits: Tensor, labels: Tensor, true_posterior: Tensor | None = None
) -> CohortPredictions:
    """All outputs of `head` for the logits (K, N, U) of K members, all rows at once."""
    members, n, num_logits = logits.shape
    rows = predict(head, logits.reshape(members * n, num_logits), labels, true_posterior)
    by_member: dict[str, Any] = {
        name: getattr(rows, name).unflatten(0, (members, n)) for name in PER_MEMBER_FIELDS
    }
    return CohortPredictions(replace(rows, **by_member))
