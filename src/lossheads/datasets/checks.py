"""Checks of settings, each ending in one sentence that names the setting, the value, the rule."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from lossheads.errors import UserError, near_matches


def check_whole(name: str, low: int, high: int | None = None, **settings: object) -> None:
    """Refuse the first setting that is not a whole number in low … high."""
    for setting, value in settings.items():
        right = isinstance(value, int) and not isinstance(value, bool)
        _refuse_unless(
            right, name, setting, value, f"a whole number {_range(low, high)}", low, high
        )


def check_number(name: str, low: float, high: float | None = None, **settings: object) -> None:
    """Refuse the first setting that is not a number in low … high."""
    for setting, value in settings.items():
        right = isinstance(value, int | float) and not isinstance(value, bool)
        _refuse_unless(right, name, setting, value, f"a number {_range(low, high)}", low, high)


def check_word(name: str, known: Iterable[str], **settings: object) -> None:
    """Refuse the first setting that is not one of the known words, with near matches."""
    words = tuple(known)
    for setting, value in settings.items():
        if value not in words:
            raise UserError(f"{name} got {setting}={value}: {near_matches(str(value), words)}")


def check_size(name: str, known: Iterable[int], **settings: object) -> None:
    """Refuse the first setting that is not one of the known whole numbers."""
    sizes = tuple(known)
    for setting, value in settings.items():
        if type(value) is not int or value not in sizes:
            words = " or ".join(map(str, sizes))
            raise UserError(f"{name} got {setting}={value}: it needs {words}, a whole number")


def shares_of(name: str, given: Sequence[float] | None, classes: int) -> NDArray[np.float64]:
    """Class shares float64 (C,): as given, or equal where nothing is given.

    Raises:
        UserError: Unless there is one positive share per class and they sum to 1 within 1e-6.
    """
    if given is None:
        return np.full(classes, 1 / classes)
    rule = (
        f"it needs {classes} positive shares, one per class, that sum to 1; leave it at null "
        f"for equal shares"
    )
    try:
        shares = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise UserError(f"{name} got shares={given}: {rule}") from None
    if shares.shape != (classes,) or not (shares > 0).all() or abs(shares.sum() - 1) > 1e-6:
        raise UserError(f"{name} got shares={shares.tolist()}: {rule}")
    return np.asarray(shares / shares.sum())


def _range(low: float, high: float | None) -> str:
    return f"of at least {low}" if high is None else f"in {low} … {high}"


def _refuse_unless(
    right: bool, name: str, setting: str, value: object, rule: str, low: float, high: float | None
) -> None:
    # `right` holds before comparing, so value is a number by then; NaN fails the comparison.
    if not (right and low <= value and (high is None or value <= high)):  # type: ignore[operator]
        raise UserError(f"{name} got {setting}={value}: it needs {rule}")
