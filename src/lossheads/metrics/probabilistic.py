"""Rulers of probabilities: how good, and how honest, the likelihood of the outcome's events is."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from lossheads.metrics.base import Ruler, constant
from lossheads.metrics.stats import Facts
from lossheads.numerics import softmax
from lossheads.outcomes import AnyOf

BINS = 15


def _nll(facts: Facts) -> Tensor:
    log_probs = facts.p.log_probs
    if facts.outcome.soft:
        return _cross_entropy(event_shares(facts), log_probs) / facts.n
    truth = facts.said.labels.long().unsqueeze(-1)
    return -log_probs.gather(-1, truth).sum() / facts.n


def _cross_entropy(shares: Tensor, log_probs: Tensor) -> Tensor:
    # An event with share 0 costs nothing, even where its log-probability is -inf.
    return -torch.where(shares > 0, shares * log_probs, 0).sum()


def _entropy(shares: Tensor) -> Tensor:
    nats: Tensor = torch.special.entr(shares).sum()
    return nats


def event_shares(facts: Facts) -> Tensor:
    """The labels as a distribution over events: float64, shaped like `log_probs`."""
    return _as_events(facts, facts.said.presence.double())


def _as_events(facts: Facts, shares: Tensor) -> Tensor:
    """(N, K) or (N, *columns) -> shaped like `log_probs`."""
    if isinstance(facts.outcome, AnyOf):
        return torch.stack([1 - shares, shares], dim=-1)
    return shares.reshape(facts.p.log_probs.shape)


def constant_events(facts: Facts) -> Tensor:
    """Base rates as a distribution over events: float64, one example of `log_probs`."""
    rates = facts.said.base_rates
    if isinstance(facts.outcome, AnyOf):
        return torch.stack([1 - rates, rates], dim=-1)
    return rates.reshape(facts.p.log_probs.shape[1:])


nll_loss = Ruler(
    name="nll_loss",
    says="Minus the log-probability of the truth, in nats per example, summed over labels or sets.",
    rule=_nll,
    floor_rule=lambda facts: _entropy(constant_events(facts)),
    perfect=0.0,
)


def _variables(facts: Facts) -> int:
    """Random variables in one example: 1, L or S."""
    return facts.p.log_probs[0].numel() // facts.p.log_probs.shape[-1]


def _brier(facts: Facts) -> Tensor:
    squares = (facts.class_probs - facts.said.presence).square().sum()
    events = 2 if isinstance(facts.outcome, AnyOf) else 1  # off misses by as much as on
    return events * squares / (facts.n * _variables(facts))


def _constant_brier(facts: Facts) -> Tensor:
    # E (t - mean t)^2, summed over events; for hard labels E t^2 is the rate itself.
    if not facts.outcome.soft:
        events = constant_events(facts)
        return (events * (1 - events)).sum() / _variables(facts)
    shares = event_shares(facts)
    return (shares - constant_events(facts)).square().sum() / (facts.n * _variables(facts))


brier_loss = Ruler(
    name="brier_loss",
    says="Squared error of the probabilities summed over events (0 to 2), mean of labels or sets.",
    rule=_brier,
    floor_rule=_constant_brier,
    perfect=0.0,
)


def _calibration_parts(facts: Facts) -> Tensor:
    if isinstance(facts.outcome, AnyOf):
        return calibration_gaps(facts.class_probs, facts.said.presence)
    decided = facts.p.decisions.unsqueeze(-1)
    confidence = facts.probs.gather(-1, decided).reshape(-1, 1)
    truth = facts.said.presence.reshape(facts.p.log_probs.shape)
    return calibration_gaps(confidence, truth.gather(-1, decided).reshape(-1, 1))


def calibration_gaps(confidence: Tensor, right: Tensor) -> Tensor:
    """Gap between confidence and truth, averaged over 15 bins of equal width, for each column.

    Args:
        confidence: (N, K) float64 in [0, 1].
        right: (N, K) in [0, 1].

    Returns:
        (K,) float64 in [0, 1].

    Source: Naeini, Cooper and Hauskrecht (2015), "Obtaining well calibrated probabilities using
    Bayesian binning".
    """
    columns = confidence.shape[1]
    # Confidence 1 joins the last bin; NaN must land somewhere, though no ruler will tell where.
    which = (confidence * BINS).long().clamp(0, BINS - 1)
    which += BINS * torch.arange(columns, device=which.device)
    gaps = torch.zeros(columns * BINS, dtype=torch.float64, device=which.device)
    gaps = gaps.index_add(0, which.flatten(), (right - confidence).flatten())
    return gaps.abs().reshape(columns, BINS).sum(dim=1) / len(confidence)


calibration_error = Ruler(
    name="calibration_error",
    says="Gap between the probability of the decided class and how often it is right, over 15 "
    "bins; for labels, between the probability of on and its frequency, mean of labels.",
    rule=_calibration_parts,
    # Saying the base rates is perfectly calibrated: this ruler has no skill to state.
    floor_rule=constant(0.0),
    perfect=0.0,
)


def _true_events(facts: Facts) -> Tensor:
    if facts.p.truth is None:
        raise ValueError("posterior_kl_loss was asked without a true posterior")
    return _as_events(facts, facts.p.truth)


def _posterior_kl(facts: Facts) -> Tensor:
    truth = _true_events(facts)
    return (_cross_entropy(truth, facts.p.log_probs) - _entropy(truth)) / facts.n


def _constant_kl(facts: Facts) -> Tensor:
    truth = _true_events(facts)
    return _entropy(truth.mean(dim=0)) - _entropy(truth) / facts.n


posterior_kl_loss = Ruler(
    name="posterior_kl_loss",
    says="Divergence KL(truth ‖ probabilities) from the known posterior, in nats per example, "
    "summed over labels or sets.",
    rule=_posterior_kl,
    floor_rule=_constant_kl,
    perfect=0.0,
    needs_truth=True,
)

RULERS = (nll_loss, brier_loss, calibration_error, posterior_kl_loss)


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
