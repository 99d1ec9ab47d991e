"""What a member, or each of several, said about a split, in the only form rulers see."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from lossheads.heads.base import FrameworkLoss, Head
from lossheads.outcomes import Outcome

# What differs between members; the rest of `Predictions` is a matter of head and labels.
ANSWERS = ("scores", "log_probs", "decisions", "outputs", "logits")


@dataclass(frozen=True)
class Predictions:
    """One member's answers on N examples. No ruler sees more than this.

    Attributes:
        outcome: What the labels can be.
        labels: As the data give them, hard or soft.
        scores: (N, *outcome.columns) in [0, 1], the head's per-class score.
        log_probs: (N, *outcome.events) float64.
        decisions: Shaped and typed like hard labels.
        outputs: (N, U) in [0, 1], the last layer as a framework would print it.
        framework_target: (N, U) float, the target a framework user would pass.
        framework_loss: Name of the loss in Keras's words.
        logits: (N, U) float32 as trained; for detection rulers and temperatures.
        truth: The true posterior, float64 (N, *outcome.columns), where the data know it.
    """

    outcome: Outcome
    labels: Tensor
    scores: Tensor
    log_probs: Tensor
    decisions: Tensor
    outputs: Tensor
    framework_target: Tensor
    framework_loss: FrameworkLoss
    logits: Tensor
    truth: Tensor | None = None


def predict(head: Head, logits: Tensor, labels: Tensor, truth: Tensor | None = None) -> Predictions:
    """Everything `head` says about `logits` (N, U), beside the labels of the same rows."""
    return Predictions(
        outcome=head.outcome,
        labels=labels,
        scores=head.scores(logits),
        log_probs=head.log_probs(logits),
        decisions=head.decide(logits),
        outputs=head.outputs(logits),
        framework_target=head.framework_target(labels),
        framework_loss=head.framework_loss,
        logits=logits,
        truth=truth,
    )


@dataclass(frozen=True)
class CohortPredictions:
    """What K members of one head said about the same N examples.

    Attributes:
        stacked: The fields named in `ANSWERS` begin with K; the others are shared by all.
    """

    stacked: Predictions

    def __len__(self) -> int:
        return len(self.stacked.logits)

    def __getitem__(self, k: int) -> Predictions:
        return self.member([answer[k] for answer in self.answers])

    def __iter__(self) -> Iterator[Predictions]:
        return (self[k] for k in range(len(self)))

    @property
    def answers(self) -> list[Tensor]:
        """The fields that begin with K, in the order of `ANSWERS`."""
        return [getattr(self.stacked, name) for name in ANSWERS]

    def member(self, answers: Iterable[Tensor]) -> Predictions:
        """The predictions of the member who gave these answers, in the order of `ANSWERS`."""
        own: dict[str, Any] = dict(zip(ANSWERS, answers, strict=True))
        return replace(self.stacked, **own)


def predict_cohort(
    head: Head, logits: Tensor, labels: Tensor, truth: Tensor | None = None
) -> CohortPredictions:
    """Everything `head` says about the logits (K, N, U) of K members, all rows at once."""
    members, n, units = logits.shape
    rows = predict(head, logits.reshape(members * n, units), labels, truth)
    by_member: dict[str, Any] = {
        name: getattr(rows, name).unflatten(0, (members, n)) for name in ANSWERS
    }
    return CohortPredictions(replace(rows, **by_member))
