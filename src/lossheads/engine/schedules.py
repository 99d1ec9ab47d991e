"""Learning-rate schedules: functions of progress in [0, 1] giving a factor on the learning rate."""

from math import cos, pi

from lossheads.errors import UserError


def constant(progress: float) -> float:
    """Constant learning rate."""
    return 1.0


def cosine(progress: float, warmup: float, floor: float) -> float:
    """Linear warm-up from 0 to 1, then half a cosine from 1 down to `floor`.

    Args:
        progress: Share of the steps taken, in [0, 1].
        warmup: Share of the steps spent warming up, in [0, 1).
        floor: Last factor, in [0, 1].

    Raises:
        UserError: If `warmup` or `floor` is out of range.
    """
    valid = all(isinstance(value, int | float) for value in (warmup, floor))
    if not valid or not 0 <= warmup < 1 or not 0 <= floor <= 1:
        raise UserError(
            f"schedule cosine: warmup must be in [0, 1) and floor in [0, 1], got warmup={warmup} "
            f"and floor={floor}"
        )
    if progress < warmup:
        return progress / warmup
    return floor + (1 - floor) * (1 + cos(pi * (progress - warmup) / (1 - warmup))) / 2
