"""Label smoothing: frameworks agree on the word, not on what a label is moved towards."""

from typing import Literal, get_args

from torch import Tensor

from lossheads.errors import UserError, near_matches
from lossheads.heads.base import check_numbers

SmoothTowards = Literal["uniform", "others", "half"]


def smoothed(indicators: Tensor, amount: float, towards: SmoothTowards) -> Tensor:
    """How present each class is, moved by `amount`; shape and type unchanged.

    Args:
        indicators: (N, C) in [0, 1].
        towards: `uniform`: (1 - a) t + a / C (torch, Keras's categorical losses, timm). `others`:
            (1 - a) t + (1 - t) a / (C - 1): the true class keeps 1 - a (fairseq). `half`:
            (1 - a) t + a / 2 for each unit (Keras's binary loss).
    """
    if towards == "half":
        return (1 - amount) * indicators + amount / 2
    classes = indicators.shape[-1]
    if towards == "uniform":
        return (1 - amount) * indicators + amount / classes
    return (1 - amount) * indicators + (1 - indicators) * (amount / (classes - 1))


def check_smoothing(
    head: object, amount: float, towards: str | None, allowed: tuple[SmoothTowards, ...]
) -> None:
    """Refuse an amount outside [0, 1) and a convention that the head does not have.

    Args:
        towards: None where it is not said.
        allowed: What the head and its outcome allow.

    Raises:
        UserError: Naming the head, the option, what it got and the choices.
    """
    who = type(head).__name__
    check_numbers(head, label_smoothing=amount)
    if not 0 <= amount < 1:
        raise UserError(f"{who}: label_smoothing must be at least 0 and below 1, got {amount}")
    if towards is not None and towards not in get_args(SmoothTowards):
        raise UserError(
            f"{who} got smooth_towards={towards}: {near_matches(str(towards), allowed)}"
        )
    if towards is not None and towards not in allowed:
        raise UserError(
            f"{who} got smooth_towards={towards}: its smoothed labels would be no target of this "
            f"loss; choose from {', '.join(allowed)}"
        )
