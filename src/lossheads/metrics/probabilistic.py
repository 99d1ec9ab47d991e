"""Metrics of the probabilities of the outcome's events: likelihood, Brier score, calibration."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from lossheads.metrics.base import POSITIVE, SHARE, constant_baseline, metric
from lossheads.metrics.stats import PredictionStats
from lossheads.numerics import softmax
from lossheads.outcomes import AnyOf

BINS = 15


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


@metric(
    baseline=lambda stats: _entropy(base_rate_events(stats)),
    higher_is_better=False,
    perfect=0.0,
    range=POSITIVE,
)
def nll_loss(stats: PredictionStats) -> Tensor:
    """Negative log-likelihood of the labels, in nats per example, summed over labels or groups.

    For OneOf the value of scikit-learn's log_loss and of torch's nll_loss, except that a true
    class of probability 0 gives inf here: log_loss clips probabilities. For AnyOf log_loss
    divides by the number of labels and this sum does not, nor does it for EachOneOf. Soft labels
    give the cross-entropy, which log_loss does not have.
    """
    log_probs = stats.predictions.log_probs
    if stats.outcome.soft:
        return _cross_entropy(label_events(stats), log_probs) / stats.n
    target = stats.label_stats.labels.long().unsqueeze(-1)
    return -log_probs.gather(-1, target).sum() / stats.n


def _num_variables(stats: PredictionStats) -> int:
    """Random variables in one example: 1, L or S."""
    return stats.predictions.log_probs[0].numel() // stats.predictions.log_probs.shape[-1]


def _baseline_brier_sum(stats: PredictionStats) -> Tensor:
    # E (t - mean t)^2, summed over events; for hard labels E t^2 is the rate itself.
    if not stats.outcome.soft:
        events = base_rate_events(stats)
        return (events * (1 - events)).sum() / _num_variables(stats)
    shares = label_events(stats)
    return (shares - base_rate_events(stats)).square().sum() / (stats.n * _num_variables(stats))


@metric(baseline=_baseline_brier_sum, higher_is_better=False, perfect=0.0, range=POSITIVE)
def brier_sum_loss(stats: PredictionStats) -> Tensor:
    """Brier score summed over events (0 to 2), mean over labels or groups.

    Brier's own definition (1950). scikit-learn's brier_score_loss is the same for three and more
    classes, and half of it for two and for each label: it counts one of the two events.
    """
    squares = (stats.class_probs - stats.label_stats.indicators).square().sum()
    events = 2 if isinstance(stats.outcome, AnyOf) else 1  # off misses by as much as on
    return events * squares / (stats.n * _num_variables(stats))


def binned_calibration_error(confidence: Tensor, correct: Tensor) -> Tensor:
    """Gap between mean confidence and accuracy, weighted mean over 15 equal-width bins, per column.

    Args:
        confidence: (N, K) float64 in [0, 1].
        correct: (N, K) in [0, 1].

    Returns:
        (K,) float64 in [0, 1].

    Source: Naeini, Cooper and Hauskrecht (2015), "Obtaining well calibrated probabilities using
    Bayesian binning".
    """
    columns = confidence.shape[1]
    # Confidence 1 joins the last bin; NaN needs some bin, and the result is masked to NaN later.
    which = (confidence * BINS).long().clamp(0, BINS - 1)
    which += BINS * torch.arange(columns, device=which.device)
    gaps = torch.zeros(columns * BINS, dtype=torch.float64, device=which.device)
    gaps = gaps.index_add(0, which.flatten(), (correct - confidence).flatten())
    return gaps.abs().reshape(columns, BINS).sum(dim=1) / len(confidence)


@metric(
    # Predicting the base rates is perfectly calibrated, so no skill is defined.
    baseline=constant_baseline(0.0),
    higher_is_better=False,
    perfect=0.0,
    range=SHARE,
)
def expected_calibration_error(stats: PredictionStats) -> Tensor:
    """Expected calibration error (ECE) with 15 equal-width bins: of the decided class's
    probability, groups pooled; for AnyOf, of each label's probability, mean over labels.

    For OneOf the usual top-label ECE of Guo et al. (2017), where bins are closed on the right;
    here they are closed on the left, which differs only for a confidence on an inner edge. For
    AnyOf it is the binary ECE of Naeini et al. (2015), P(label) against its frequency, label by
    label. For EachOneOf the decisions of all groups share the bins. A soft label counts as right
    by the share of the decided class. The last two have no published definition.
    """
    if isinstance(stats.outcome, AnyOf):
        return binned_calibration_error(stats.class_probs, stats.label_stats.indicators)
    decided = stats.predictions.decisions.unsqueeze(-1)
    confidence = stats.probs.gather(-1, decided).reshape(-1, 1)
    target = stats.label_stats.indicators.reshape(stats.predictions.log_probs.shape)
    return binned_calibration_error(confidence, target.gather(-1, decided).reshape(-1, 1))


def _true_posterior_events(stats: PredictionStats) -> Tensor:
    if stats.predictions.true_posterior is None:
        raise ValueError("posterior_kl_loss needs predictions with a true posterior, got none")
    return _as_events(stats, stats.predictions.true_posterior)


def _baseline_kl(stats: PredictionStats) -> Tensor:
    posterior = _true_posterior_events(stats)
    return _entropy(posterior.mean(dim=0)) - _entropy(posterior) / stats.n


@metric(
    baseline=_baseline_kl,
    higher_is_better=False,
    perfect=0.0,
    range=POSITIVE,
    needs_true_posterior=True,
)
def posterior_kl_loss(stats: PredictionStats) -> Tensor:
    """KL divergence from the true posterior to the predicted probabilities, in nats per example,
    summed over labels or groups.
    """
    posterior = _true_posterior_events(stats)
    return (_cross_entropy(posterior, stats.predictions.log_probs) - _entropy(posterior)) / stats.n


METRICS = (nll_loss, brier_sum_loss, expected_calibration_error, posterior_kl_loss)


# Newton's method looks for the factor on the logits, 1 / temperature, in which the likelihood is
# convex. A factor beyond these means that no finite optimum exists: labels are perfectly
# separated, or unrelated to the scores.
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


@metric(
    # Constant probabilities fit no particular temperature.
    baseline=constant_baseline(math.nan),
    higher_is_better=None,
    perfect=1.0,
    range=POSITIVE,
    at_every_validation=False,
    supports_vmap=False,  # Newton's steps stop where each member has converged
)
def fitted_temperature(stats: PredictionStats) -> Tensor:
    """The temperature that minimises the negative log-likelihood when logits are divided by it:
    1 is calibrated, above 1 over-confident, below 1 under-confident; undefined outside 1/64 … 64.

    Source: Guo et al. (2017), "On calibration of modern neural networks".
    """
    binary = isinstance(stats.outcome, AnyOf)
    factor = _root(_binary_slopes(stats) if binary else _softmax_slopes(stats))
    return torch.tensor(1 / factor, dtype=torch.float64, device=stats.predictions.log_probs.device)
