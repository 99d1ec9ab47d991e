"""What a member said about a split, in the only form rulers see."""

from dataclasses import dataclass

from torch import Tensor

from lossheads.heads.base import FrameworkLoss, Head
from lossheads.outcomes import Outcome


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
