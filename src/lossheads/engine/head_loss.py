"""The loss of one head for all members that share it, in one call per training step."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lossheads.heads.base import Head


class HeadLoss:
    """The mean losses of members that share a head and have adjacent slots."""

    def __init__(self, head: Head, slots: Sequence[int], labels: Tensor) -> None:
        self._head = head
        self._slots = slice(slots[0], slots[-1] + 1)
        self._targets = head.encode(labels)

    def __call__(self, logits: Tensor, index: Tensor, weights: Tensor) -> Tensor:
        """(slots, B, U), (S, B), (B,) -> one mean loss per slot of this head."""
        count, rows, num_logits = logits.shape
        own = index.expand(count, -1) if len(index) == 1 else index[self._slots]
        targets = self._targets.index_select(0, own.reshape(-1))
        per_row = self._head.loss(logits.reshape(count * rows, num_logits), targets)
        return (per_row.view(count, rows) * weights).sum(dim=1)

    @torch.enable_grad()
    def loss_and_gradient(
        self, logits: Tensor, index: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits (G, B, U) of all slots -> one loss per slot of this head, gradients (slots, B, U).

        The sum of the slots' losses has, for each slot, exactly that slot's gradient.
        """
        leaf = logits[self._slots].detach().requires_grad_()
        losses = self(leaf, index, weights)
        (gradient,) = torch.autograd.grad(losses.sum(), leaf)
        return losses.detach(), gradient
