"""A head as a criterion: `head(logits, labels)` is the mean loss, for anybody's training loop.

It looks at shapes and dtypes alone. Values (a class out of range, a NaN) are not looked at: on a
GPU that would wait for the device at every step. `lossheads.evaluate` and `Accumulator` check them.
"""

from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor

from lossheads.errors import UserError
from lossheads.heads.base import Head
from lossheads.outcomes import AnyOf, EachOneOf, Outcome

_ROUGH = (torch.float16, torch.bfloat16)


def mean_loss(head: Head, logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over the batch of the head's loss, in nats per example: 0-d, differentiable.

    Args:
        logits: (N, U), or (N, S, M) for groups. Half precisions are widened to float32 first, as
            torch's own losses are under autocast.
        labels: Integers (N,) class indices; integers or bools (N, L) labels; integers (N, S) one
            class per group; floats of the outcome's shape: distributions.

    Raises:
        UserError: If a shape or dtype does not fit the outcome.
        HeadMismatch: If the head has no loss for distributions.
    """
    for what, given in (("logits", logits), ("labels", labels)):
        if not isinstance(given, Tensor):
            raise UserError(
                f"{type(head).__name__} got {what} of type {type(given).__name__}: a criterion "
                f"takes tensors; lossheads.evaluate takes arrays and lists as well"
            )
    flat = logits.flatten(1) if logits.ndim == 3 else logits
    if flat.ndim != 2 or flat.shape[1] != head.num_logits or not flat.is_floating_point():
        raise UserError(
            f"{type(head).__name__} got logits of shape {tuple(logits.shape)} and type "
            f"{logits.dtype}: for {head.outcome} it needs floats of shape (N, {head.num_logits})"
        )
    ready = for_labels(head, labels, len(flat))
    if flat.dtype in _ROUGH:
        flat = flat.float()
    return ready.loss(flat, ready.encode(labels)).mean()


def for_labels(head: Head, labels: Tensor, n: int) -> Head:
    """The head for hard or soft labels, whichever these are by their dtype.

    Raises:
        UserError: If their shape or dtype does not fit the outcome.
    """
    soft = labels.is_floating_point()
    outcome = head.outcome
    wanted = (n, *(outcome.columns if soft else hard_shape(outcome)))
    if tuple(labels.shape) != wanted or labels.is_complex():
        raise UserError(
            f"{type(head).__name__} got labels of shape {tuple(labels.shape)} and type "
            f"{labels.dtype} for {n} rows of logits: {outcome} takes {label_rule(outcome)}"
        )
    if labels.dtype == torch.bool and not isinstance(outcome, AnyOf):
        raise UserError(
            f"{type(head).__name__} got bool labels: {outcome} takes {label_rule(outcome)}"
        )
    return head if soft == outcome.soft else with_softness(head, soft)


def with_softness(head: Head, soft: bool) -> Head:
    """The same head for soft labels, or for hard ones.

    Raises:
        HeadMismatch: If the head has no reading for them.
    """
    changed: Any = replace(cast(Any, head), outcome=replace(head.outcome, soft=soft))
    return cast(Head, changed)


def hard_shape(outcome: Outcome) -> tuple[int, ...]:
    """Shape of one example's hard label: (), (L,) or (S,)."""
    return outcome.columns if isinstance(outcome, AnyOf) else outcome.columns[:-1]


def label_rule(outcome: Outcome) -> str:
    """What labels may be, for sentences."""
    soft = f"floats (N, {', '.join(map(str, outcome.columns))}) as distributions"
    if isinstance(outcome, AnyOf):
        return f"integers or bools (N, {outcome.n}) as labels, or floats of that shape in [0, 1]"
    if isinstance(outcome, EachOneOf):
        return f"integers (N, {outcome.groups}) as class indices, or {soft}"
    return f"integers (N,) as class indices, or {soft}"
