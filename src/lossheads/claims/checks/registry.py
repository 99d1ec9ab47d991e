"""Algebraic checks: numbers that need no training, by name.

A claim file names a computation and gives its arguments; it can name nothing else.
"""

from collections.abc import Callable, Sequence
from types import ModuleType

from lossheads.claims.checks import heads, labels, practice, scores, sets, weights
from lossheads.claims.judge import CheckRow, judge_check
from lossheads.claims.schema import Check
from lossheads.errors import UserError, near_matches

Computation = Callable[..., float]


def _public(module: ModuleType) -> dict[str, Computation]:
    return {
        name: value
        for name, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__ and not name.startswith("_")
    }


COMPUTATIONS: dict[str, Computation] = {
    name: value
    for module in (heads, labels, practice, scores, sets, weights)
    for name, value in _public(module).items()
}


def refuse_unknown(checks: Sequence[Check]) -> None:
    """Refuse checks that name no computation, before anything runs."""
    for check in checks:
        if check.compute not in COMPUTATIONS:
            raise UserError(
                f"{check.location}: computation {check.compute!r} is unknown; "
                f"{near_matches(check.compute, COMPUTATIONS)}"
            )


def run_checks(checks: Sequence[Check]) -> tuple[CheckRow, ...]:
    """Compute and judge each check.

    Raises:
        UserError: If a computation does not take its arguments.
    """
    return tuple(judge_check(check, _computed(check)) for check in checks)


def _computed(check: Check) -> float:
    try:
        return float(COMPUTATIONS[check.compute](*check.of))
    except (TypeError, ValueError, RuntimeError, IndexError, ArithmeticError) as error:
        raise UserError(
            f"{check.location}: {check.compute} does not accept {list(check.of)}: {error}"
        ) from error
