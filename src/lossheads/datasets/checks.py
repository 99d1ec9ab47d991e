"""Checks of settings, each raising one sentence that names the setting, the rule and the value."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from lossheads.errors import UserError, near_matches


def check_integer(name: str, low: int, high: int | None = None, **settings: object) -> None:
    """Refuse the first setting that is not an integer in low … high."""
    for setting, value in settings.items():
        valid = isinstance(value, int) and not isinstance(value, bool)
        _refuse_unless(valid, name, setting, value, f"an integer {_range(low, high)}", low, high)


def check_number(name: str, low: float, high: float | None = None, **settings: object) -> None:
    """Refuse the first setting that is not a number in low … high."""
    for setting, value in settings.items():
        valid = isinstance(value, int | float) and not isinstance(value, bool)
        _refuse_unless(valid, name, setting, value, f"a number {_range(low, high)}", low, high)


def check_choice(name: str, known: Iterable[str], **settings: object) -> None:
    """Refuse the first setting that is not one of the known words, naming near matches."""
    words = tuple(known)
    for setting, value in settings.items():
        if value not in words:
            raise UserError(f"{name} got {setting}={value}: {near_matches(str(value), words)}")


def check_integer_choice(name: str, known: Iterable[int], **settings: object) -> None:
    """Refuse the first setting that is not one of the known integers."""
    sizes = tuple(known)
    for setting, value in settings.items():
        if type(value) is not int or value not in sizes:
            words = " or ".join(map(str, sizes))
            raise UserError(f"{name}: {setting} must be {words}, got {value!r}")


def class_shares(name: str, given: Sequence[float] | None, classes: int) -> NDArray[np.float64]:
    """Class shares float64 (C,): as given, or equal where nothing is given.

    Raises:
        UserError: Unless there is one positive share per class and they sum to 1 within 1e-6.
    """
    if given is None:
        return np.full(classes, 1 / classes)
    rule = (
        f"must be {classes} positive numbers, one per class, that sum to 1; null means equal shares"
    )
    try:
        shares = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise UserError(f"{name}: shares {rule}, got {given}") from None
    if shares.shape != (classes,) or not (shares > 0).all() or abs(shares.sum() - 1) > 1e-6:
        raise UserError(f"{name}: shares {rule}, got {shares.tolist()}")
    return np.asarray(shares / shares.sum())


def _range(low: float, high: float | None) -> str:
    return f"of at least {low}" if high is None else f"from {low} to {high}"


def _refuse_unless(
    valid: bool, name: str, setting: str, value: object, rule: str, low: float, high: float | None
) -> None:
    # `valid` is tested before comparing, so value is a number by then; NaN fails the comparison.
    if not (valid and low <= value and (high is None or value <= high)):  # type: ignore[operator]
        raise UserError(f"{name}: {setting} must be {rule}, got {value!r}")
