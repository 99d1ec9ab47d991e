"""Influence functions of rankings and calibration: what each example moves the value."""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata

from lossheads.metrics.probabilistic import BINS, fitted_temperature, label_events
from lossheads.metrics.stats import PredictionStats
from lossheads.numerics import softmax
from lossheads.outcomes import AnyOf

Floats = NDArray[np.float64]


def macro(
    stats: PredictionStats, one: Callable[[Floats, NDArray[np.bool_]], tuple[float, Floats]]
) -> tuple[float, Floats]:
    """Mean over the columns that have a value."""
    scores, present = stats.ranks.double().numpy(), stats.label_stats.present.numpy()
    values, total = [], np.zeros(stats.n)
    for column in range(scores.shape[1]):
        value, influence = one(scores[:, column], present[:, column])
        if not math.isnan(value):
            values.append(value)
            total += influence
    if not values:
        return math.nan, np.full(stats.n, np.nan)
    return math.fsum(values) / len(values), total / len(values)


def area(scores: Floats, present: NDArray[np.bool_]) -> tuple[float, Floats]:
    """Area under the ROC curve; each example's placement among those of the other side.

    Source: DeLong, DeLong and Clarke-Pearson (1988), "Comparing the areas under two or more
    correlated receiver operating characteristic curves".
    """
    positives, negatives = int(present.sum()), int((~present).sum())
    if not positives or not negatives:
        return math.nan, np.full(len(scores), np.nan)
    overall = rankdata(scores)
    within = np.empty(len(scores))
    within[present], within[~present] = rankdata(scores[present]), rankdata(scores[~present])
    placement = overall - within  # of the other side, how many lie below; ties count half
    value = float(placement[present].mean() / negatives)
    influence = np.where(
        present,
        (placement / negatives - value) / positives,
        (1 - placement / positives - value) / negatives,
    )
    return value, influence


def average_precision(scores: Floats, present: NDArray[np.bool_]) -> tuple[float, Floats]:
    """Average precision, and its derivative by the weight of each example."""
    positives = int(present.sum())
    if not positives:
        return math.nan, np.full(len(scores), np.nan)
    order = np.argsort(-scores, kind="stable")
    ranked, y = scores[order], present[order].astype(float)
    ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
    last = ends[np.searchsorted(ends, np.arange(len(ranked)))]  # the end of each one's tie
    above, hits = (last + 1).astype(float), np.cumsum(y)[last]
    precision = hits / above
    value = float((y * precision).sum() / positives)
    # An example of score s changes the precision at every positive of score s or below.
    tails = [np.cumsum((y * f)[::-1])[::-1] for f in (1 / above, precision / above)]
    first = np.append(0, ends[:-1] + 1)[np.searchsorted(ends, np.arange(len(ranked)))]
    moved = y * (precision - value) + y * tails[0][first] - tails[1][first]
    influence = np.empty(len(scores))
    influence[order] = moved / positives
    return value, influence


def calibration(stats: PredictionStats) -> tuple[float, Floats, float]:
    """Expected calibration error, its influence function and its bias if calibrated.

    A binned error is positive even for perfect calibration; the bias is the mean of that, from
    the normal approximation of each bin.
    """
    if isinstance(stats.outcome, AnyOf):
        confidence, correct = stats.class_probs, stats.label_stats.indicators.double()
    else:
        decided = stats.predictions.decisions.unsqueeze(-1)
        confidence = stats.probs.gather(-1, decided).reshape(-1, 1)
        target = stats.label_stats.indicators.reshape(stats.predictions.log_probs.shape)
        correct = target.gather(-1, decided).reshape(-1, 1).double()
    which = (confidence * BINS).long().clamp(0, BINS - 1)
    gap, columns = correct - confidence, confidence.shape[1]
    influence = torch.zeros(len(gap), dtype=torch.float64)
    value = bias = 0.0
    for column in range(columns):
        bins, gaps, p = which[:, column], gap[:, column], confidence[:, column]
        total = torch.zeros(BINS, dtype=torch.float64).index_add(0, bins, gaps)
        spread = torch.zeros(BINS, dtype=torch.float64).index_add(0, bins, p * (1 - p))
        value += float(total.abs().sum()) / len(gap)
        bias += math.sqrt(2 / math.pi) * float(spread.sqrt().sum()) / len(gap)
        influence += total.sign()[bins] * gaps
    value, bias = value / columns, bias / columns
    influence = influence / (columns * len(gap))
    folded = influence.reshape(stats.n, -1).sum(dim=1)  # groups of an example share the bins
    return value, folded.numpy() - value / stats.n, bias


def temperature(stats: PredictionStats) -> tuple[float, Floats]:
    """The fitted temperature T; each example's pull on 1 / T, at which the likelihood is flat."""
    value = float(fitted_temperature.values(stats))
    if math.isnan(value):
        return value, np.full(stats.n, np.nan)
    log_probs = stats.predictions.log_probs.clamp(min=-1e4)
    weights = softmax(log_probs / value)
    mean = (weights * log_probs).sum(dim=-1)
    slopes = (mean - (label_events(stats) * log_probs).sum(dim=-1)).reshape(stats.n, -1)
    curvature = ((weights * log_probs.square()).sum(dim=-1) - mean.square()).sum()
    pulls = slopes.sum(dim=1) * value**2 / curvature
    return value, np.asarray(pulls.double().numpy())
