"""Algebraic checks: numbers that need no training, by name, in float64.

A claim file names a computation and gives its arguments; it can name nothing else.
"""

import math
from collections.abc import Callable, Sequence

import torch

from lossheads.claims.claim import Check
from lossheads.claims.verdict import CheckRow, judge_check
from lossheads.errors import UserError, near_matches

COMPUTATIONS: dict[str, Callable[..., float]] = {}


def computation(function: Callable[..., float]) -> Callable[..., float]:
    """Make a function nameable in a claim's `compute`."""
    COMPUTATIONS[function.__name__] = function
    return function


def refuse_unknown(checks: Sequence[Check]) -> None:
    """Refuse checks that name no computation, before anything runs."""
    for check in checks:
        if check.compute not in COMPUTATIONS:
            raise UserError(
                f"{check.place}: computation {check.compute!r} is unknown; "
                f"{near_matches(check.compute, COMPUTATIONS)}"
            )


def run_checks(checks: Sequence[Check]) -> tuple[CheckRow, ...]:
    """Compute and judge each check."""
    return tuple(judge_check(check, _computed(check)) for check in checks)


def _computed(check: Check) -> float:
    try:
        return float(COMPUTATIONS[check.compute](*check.of))
    except (TypeError, ValueError, RuntimeError, IndexError, ArithmeticError) as error:
        raise UserError(
            f"{check.place}: {check.compute} does not take {list(check.of)}: {error}"
        ) from error


@computation
def sigmoid(z: float) -> float:
    """σ(z), exact to the last bits of float64 on both sides."""
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


@computation
def softmax(z: Sequence[float], k: int) -> float:
    """The k-th probability of the softmax of z."""
    return float(torch.tensor(z, dtype=torch.float64).softmax(dim=0)[k])
