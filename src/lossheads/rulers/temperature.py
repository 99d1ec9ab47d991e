"""How much too timid or too bold the probabilities are: one factor on all logits."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from lossheads.outcomes import AnyOf
from lossheads.rowwise import softmax
from lossheads.rulers.core import Ruler, constant
from lossheads.rulers.facts import Facts
from lossheads.rulers.probabilistic import event_shares

# A factor beyond these is not fitted but escaping: the labels are separated, or not followed.
LEAST, MOST = 1 / 64, 64.0
ROUNDS = 60

# The likelihood's first and second derivative at a factor.
Slopes = Callable[[float], tuple[float, float]]


def _binary_slopes(facts: Facts) -> Slopes:
    log_probs = facts.p.log_probs.clamp(min=-1e4)
    odds = log_probs[..., 1] - log_probs[..., 0]
    pull = (facts.said.presence * odds).sum()

    def slopes(factor: float) -> tuple[float, float]:
        on = torch.sigmoid(factor * odds)
        moved = on * odds
        slope, curvature = torch.stack(
            [moved.sum() - pull, (moved * (odds - moved)).sum()]
        ).tolist()
        return slope, curvature

    return slopes


def _softmax_slopes(facts: Facts) -> Slopes:
    log_probs = facts.p.log_probs.clamp(min=-1e4)
    pull = (event_shares(facts) * log_probs).sum()

    def slopes(factor: float) -> tuple[float, float]:
        weights = softmax(factor * log_probs)
        moved = weights * log_probs
        mean = moved.sum(dim=-1)
        square = (moved * log_probs).sum()
        slope, curvature = torch.stack([mean.sum() - pull, square - mean.square().sum()]).tolist()
        return slope, curvature

    return slopes


def _root(slopes: Slopes) -> float:
    """Where the slope of a convex function vanishes: Newton's steps, kept inside a bracket."""
    low, high, factor = LEAST, MOST, 1.0
    if not slopes(low)[0] < 0 < slopes(high)[0]:
        return math.nan
    for _ in range(ROUNDS):
        slope, curvature = slopes(factor)
        low, high = (factor, high) if slope < 0 else (low, factor)
        step = factor - slope / curvature if curvature > 0 else math.inf
        ahead = step if low < step < high else math.sqrt(low * high)
        if abs(ahead - factor) <= 1e-10 * factor:
            return ahead
        factor = ahead
    return factor


def _fit(facts: Facts) -> Tensor:
    binary = isinstance(facts.outcome, AnyOf)
    factor = _root(_binary_slopes(facts) if binary else _softmax_slopes(facts))
    return torch.tensor(factor, dtype=torch.float64, device=facts.p.log_probs.device)


fitted_temperature = Ruler(
    name="fitted_temperature",
    says="The factor on the logits that makes these labels likeliest: 1 is honest, above 1 the "
    "probabilities were too timid, below 1 too bold (undefined outside 1/64 … 64).",
    rule=_fit,
    # Probabilities that say nothing say it at every temperature.
    floor_rule=constant(math.nan),
    cheap=False,
    side_by_side=False,  # Newton's steps stop where each member has arrived
)
