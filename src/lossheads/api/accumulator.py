"""Metrics over batches, exact: rows are kept, never means of batches averaged."""

from typing import Any

import torch
from torch import Tensor

from lossheads.api.evaluation import Evaluation, evaluate
from lossheads.errors import UserError
from lossheads.evaluation.inputs import HeadLike, as_tensor, checked, resolve_head
from lossheads.heads.base import Head
from lossheads.outcomes import Outcome


class Accumulator:
    """Collects logits and labels batch by batch; `compute` is `evaluate` of all rows at once.

    A mean of batch means weighs the last, smaller batch like the others, and means nothing for
    metrics such as F1 or ROC AUC. Rows are kept on the CPU as they came: 4 bytes a logit in
    float32, 400 MB for a million examples of 100 classes.

    Args:
        head: A head, or the name of a shipped one; with a name the first batch says the outcome.
        outcome: For a head given by name.
    """

    def __init__(self, head: HeadLike, outcome: Outcome | None = None) -> None:
        self._given, self._outcome = head, outcome
        self._head: Head | None = None
        self._logits: list[Tensor] = []
        self._labels: list[Tensor] = []
        if not isinstance(head, str):  # refused now, not at the first batch
            self._head = resolve_head(head, outcome, torch.empty(0), torch.empty(0), "Accumulator")

    def update(self, logits: Any, labels: Any) -> None:
        """Add a batch; its values are checked here, so the error names the batch that is wrong.

        Raises:
            UserError: As `evaluate`; the batch is not added.
        """
        who = f"Accumulator (batch {len(self._logits)})"
        rows, truth = as_tensor(logits, "logits", who), as_tensor(labels, "labels", who)
        head = self._head or resolve_head(self._given, self._outcome, rows, truth, who)
        ready, rows, truth = checked(head, rows, truth, who)
        if self._labels and ready.outcome.soft != self._labels[0].is_floating_point():
            raise UserError(f"{who} got soft labels after hard ones, or the reverse: use one kind")
        self._head = head
        # A copy: the caller may write into the same tensor for the next batch.
        self._logits.append(rows.cpu().clone())
        self._labels.append(truth.cpu().clone())

    def compute(self) -> Evaluation:
        """Every metric over all rows so far.

        Raises:
            UserError: If nothing was added.
        """
        if self._head is None or not self._logits:
            raise UserError("Accumulator has no rows yet: call update(logits, labels) first")
        return evaluate(torch.cat(self._logits), torch.cat(self._labels), head=self._head)

    def reset(self) -> None:
        """Forget all rows."""
        self._logits.clear()
        self._labels.clear()

    def __len__(self) -> int:
        """Rows so far."""
        return sum(map(len, self._labels))
