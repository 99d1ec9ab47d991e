"""Learning-rate schedules: functions of progress in [0, 1] giving a factor on the rate."""

from math import cos, pi

from lossheads.errors import UserError


def constant(progress: float) -> float:
    """The configured rate, all the way."""
    return 1.0


def cosine(progress: float, warmup: float, floor: float) -> float:
    """Linear warm-up from 0, then half a cosine from 1 down to `floor`.

    Args:
        progress: Share of the steps taken, in [0, 1].
        warmup: Share of the steps spent warming up, in [0, 1).
        floor: Last factor, in [0, 1].

    Raises:
        UserError: If `warmup` or `floor` leaves its range.
    """
    right = all(isinstance(value, int | float) for value in (warmup, floor))
    if not right or not 0 <= warmup < 1 or not 0 <= floor <= 1:
        raise UserError(
            f"schedule cosine got warmup={warmup} and floor={floor}: warmup lies in [0, 1), floor "
            f"in [0, 1]"
        )
    if progress < warmup:
        return progress / warmup
    return floor + (1 - floor) * (1 + cos(pi * (progress - warmup) / (1 - warmup))) / 2
