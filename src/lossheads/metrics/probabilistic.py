"""Metrics of probabilities: how good, and how honest, the likelihood of the outcome's events is."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from lossheads.metrics.base import Metric, constant_baseline
from lossheads.metrics.stats import PredictionStats
from lossheads.numerics import softmax
from lossheads.outcomes import AnyOf

BINS = 15


def _negative_log_likelihood(stats: PredictionStats) -> Tensor:
    log_probs = stats.predictions.log_probs
    if stats.outcome.soft:
        return _cross_entropy(label_events(stats), log_probs) / stats.n
    truth = stats.label_stats.labels.long().unsqueeze(-1)
    return -log_probs.gather(-1, truth).sum() / stats.n


def _cross_entropy(shares: Tensor, log_probs: Tensor) -> Tensor:
    # An event with share 0 costs nothing, even where its log-probability is -inf.
    return -torch.where(shares > 0, shares * log_probs, 0).sum()


def _entropy(shares: Tensor) -> Tensor:
    nats: Tensor = torch.special.entr(shares).sum()
    return nats


def label_events(stats: PredictionStats) -> Tensor:
    """The labels as a distribution over events: float64, shaped like `log_probs`."""
    return _as_events(stats, stats.label_stats.indicators.double())


def _as_events(stats: PredictionStats, shares: Tensor) -> Tensor:
    """(N, K) or (N, *columns) -> shaped like `log_probs`."""
    if isinstance(stats.outcome, AnyOf):
        return torch.stack([1 - shares, shares], dim=-1)
    return shares.reshape(stats.predictions.log_probs.shape)


def base_rate_events(stats: PredictionStats) -> Tensor:
    """Base rates as a distribution over events: float64, one example of `log_probs`."""
    base_rates = stats.label_stats.base_rates
    if isinstance(stats.outcome, AnyOf):
        return torch.stack([1 - base_rates, base_rates], dim=-1)
    return base_rates.reshape(stats.predictions.log_probs.shape[1:])


nll_loss = Metric(
    name="nll_loss",
    description="Minus the log-probability of the truth, in nats per example, summed over labels or groups.",
    function=_negative_log_likelihood,
    baseline_function=lambda stats: _entropy(base_rate_events(stats)),
    perfect=0.0,
)


def _num_variables(stats: PredictionStats) -> int:
    """Random variables in one example: 1, L or S."""
    return stats.predictions.log_probs[0].numel() // stats.predictions.log_probs.shape[-1]


def _brier_sum(stats: PredictionStats) -> Tensor:
    squares = (stats.class_probs - stats.label_stats.indicators).square().sum()
    events = 2 if isinstance(stats.outcome, AnyOf) else 1  # off misses by as much as on
    return events * squares / (stats.n * _num_variables(stats))


def _baseline_brier_sum(stats: PredictionStats) -> Tensor:
    # E (t - mean t)^2, summed over events; for hard labels E t^2 is the rate itself.
    if not stats.outcome.soft:
        events = base_rate_events(stats)
        return (events * (1 - events)).sum() / _num_variables(stats)
    shares = label_events(stats)
    return (shares - base_rate_events(stats)).square().sum() / (stats.n * _num_variables(stats))


brier_sum_loss = Metric(
    name="brier_sum_loss",
    description="Squared error of the probabilities summed over events (0 to 2), mean of labels or groups.",
    function=_brier_sum,
    baseline_function=_baseline_brier_sum,
    perfect=0.0,
)


def _expected_calibration_error(stats: PredictionStats) -> Tensor:
    if isinstance(stats.outcome, AnyOf):
        return binned_calibration_error(stats.class_probs, stats.label_stats.indicators)
    decided = stats.predictions.decisions.unsqueeze(-1)
    confidence = stats.probs.gather(-1, decided).reshape(-1, 1)
    truth = stats.label_stats.indicators.reshape(stats.predictions.log_probs.shape)
    return binned_calibration_error(confidence, truth.gather(-1, decided).reshape(-1, 1))


def binned_calibration_error(confidence: Tensor, right: Tensor) -> Tensor:
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
    # Confidence 1 joins the last bin; NaN must land somewhere, though no metric will tell where.
    which = (confidence * BINS).long().clamp(0, BINS - 1)
    which += BINS * torch.arange(columns, device=which.device)
    gaps = torch.zeros(columns * BINS, dtype=torch.float64, device=which.device)
    gaps = gaps.index_add(0, which.flatten(), (right - confidence).flatten())
    return gaps.abs().reshape(columns, BINS).sum(dim=1) / len(confidence)


expected_calibration_error = Metric(
    name="expected_calibration_error",
    description="Gap between the probability of the decided class and how often it is right, over 15 "
    "bins; for labels, between the probability of on and its frequency, mean of labels.",
    function=_expected_calibration_error,
    # Saying the base rates is perfectly calibrated: this metric has no skill to state.
    baseline_function=constant_baseline(0.0),
    perfect=0.0,
)


def _true_posterior_events(stats: PredictionStats) -> Tensor:
    if stats.predictions.true_posterior is None:
        raise ValueError("posterior_kl_loss was asked without a true posterior")
    return _as_events(stats, stats.predictions.true_posterior)


def _posterior_kl(stats: PredictionStats) -> Tensor:
    truth = _true_posterior_events(stats)
    return (_cross_entropy(truth, stats.predictions.log_probs) - _entropy(truth)) / stats.n


def _baseline_kl(stats: PredictionStats) -> Tensor:
    truth = _true_posterior_events(stats)
    return _entropy(truth.mean(dim=0)) - _entropy(truth) / stats.n


posterior_kl_loss = Metric(
    name="posterior_kl_loss",
    description="Divergence KL(truth ‖ probabilities) from the known posterior, in nats per example, "
    "summed over labels or groups.",
    function=_posterior_kl,
    baseline_function=_baseline_kl,
    perfect=0.0,
    needs_true_posterior=True,
)

METRICS = (nll_loss, brier_sum_loss, expected_calibration_error, posterior_kl_loss)


# A factor beyond these is not fitted but escaping: the labels are separated, or not followed.
MIN_FACTOR, MAX_FACTOR = 1 / 64, 64.0
MAX_ITERATIONS = 60

# The likelihood's first and second derivative at a factor.
Slopes = Callable[[float], tuple[float, float]]


def _binary_slopes(stats: PredictionStats) -> Slopes:
    log_probs = stats.predictions.log_probs.clamp(min=-1e4)
    odds = log_probs[..., 1] - log_probs[..., 0]
    pull = (stats.label_stats.indicators * odds).sum()

    def slopes(factor: float) -> tuple[float, float]:
        on = torch.sigmoid(factor * odds)
        moved = on * odds
        slope, curvature = torch.stack(
            [moved.sum() - pull, (moved * (odds - moved)).sum()]
        ).tolist()
        return slope, curvature

    return slopes


def _softmax_slopes(stats: PredictionStats) -> Slopes:
    log_probs = stats.predictions.log_probs.clamp(min=-1e4)
    pull = (label_events(stats) * log_probs).sum()

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
    low, high, factor = MIN_FACTOR, MAX_FACTOR, 1.0
    if not slopes(low)[0] < 0 < slopes(high)[0]:
        return math.nan
    for _ in range(MAX_ITERATIONS):
        slope, curvature = slopes(factor)
        low, high = (factor, high) if slope < 0 else (low, factor)
        step = factor - slope / curvature if curvature > 0 else math.inf
        ahead = step if low < step < high else math.sqrt(low * high)
        if abs(ahead - factor) <= 1e-10 * factor:
            return ahead
        factor = ahead
    return factor


def _fit_temperature(stats: PredictionStats) -> Tensor:
    binary = isinstance(stats.outcome, AnyOf)
    factor = _root(_binary_slopes(stats) if binary else _softmax_slopes(stats))
    return torch.tensor(factor, dtype=torch.float64, device=stats.predictions.log_probs.device)


fitted_temperature = Metric(
    name="fitted_temperature",
    description="The factor on the logits that makes these labels likeliest: 1 is honest, above 1 the "
    "probabilities were too timid, below 1 too bold (undefined outside 1/64 … 64).",
    function=_fit_temperature,
    # Probabilities that say nothing say it at every temperature.
    baseline_function=constant_baseline(math.nan),
    at_every_validation=False,
    supports_vmap=False,  # Newton's steps stop where each member has arrived
)
