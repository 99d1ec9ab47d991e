"""Data of figures: score histograms, precision-recall curves, confusion matrices."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lossheads.errors import UserError
from lossheads.metrics.stats import PredictionStats
from lossheads.outcomes import AnyOf
from lossheads.predictions import Predictions

SCORE_BINS = 30


@dataclass(frozen=True)
class ScoreHistograms:
    """How the scores of each class are spread, apart for examples that have it or lack it.

    Attributes:
        edges: (31,) float64 from 0 to 1. A score on an inner edge belongs to the bin above it;
            1 belongs to the last bin.
        present: (K, 30) int64 counts over examples that have the class.
        absent: (K, 30) int64 counts over examples that lack it.
    """

    edges: Tensor
    present: Tensor
    absent: Tensor


@dataclass(frozen=True)
class PrecisionRecallCurves:
    """Precision and recall of each class at evenly spaced thresholds, and the counts behind them.

    An example passes a threshold when its score is at least as high.

    Attributes:
        thresholds: (T,) float64 from 0 to 1.
        true_positives, false_positives, true_negatives, false_negatives: (K, T) int64.
        precision: (K, T) float64; NaN where no example passes.
        recall: (K, T) float64; NaN where the class never occurs.
    """

    thresholds: Tensor
    true_positives: Tensor
    false_positives: Tensor
    true_negatives: Tensor
    false_negatives: Tensor
    precision: Tensor
    recall: Tensor


def score_histograms(predictions: Predictions) -> ScoreHistograms:
    """Counts of the scores of each class in 30 fixed bins, on the CPU.

    Fixed bins make the histograms of two steps, heads or seeds comparable bar by bar.
    """
    stats = PredictionStats(predictions)
    counts = _binned(stats, (stats.scores * SCORE_BINS).long().clamp(0, SCORE_BINS - 1), SCORE_BINS)
    edges = torch.linspace(0, 1, SCORE_BINS + 1, dtype=torch.float64)
    return ScoreHistograms(edges=edges, present=counts[:, 1], absent=counts[:, 0])


def precision_recall_curves(
    predictions: Predictions, thresholds: int = 127
) -> PrecisionRecallCurves:
    """Precision against recall of each class, on the CPU; 127 is TensorBoard's own resolution."""
    stats = PredictionStats(predictions)
    grid = torch.linspace(0, 1, thresholds, dtype=torch.float64, device=stats.scores.device)
    # The number of thresholds at or below a score says how many of them it passes: 1 or more.
    passes = torch.bucketize(stats.scores.double(), grid, right=True) - 1
    counts = _binned(stats, passes, thresholds)
    passing = counts.flip(-1).cumsum(dim=-1).flip(-1)
    false, true = passing[:, 0], passing[:, 1]
    absent, present = false[:, :1], true[:, :1]
    return PrecisionRecallCurves(
        thresholds=grid.cpu(),
        true_positives=true,
        false_positives=false,
        true_negatives=absent - false,
        false_negatives=present - true,
        precision=true.double() / (true + false),
        recall=true.double() / present,
    )


def confusion_matrix(predictions: Predictions) -> Tensor:
    """int64 (C, C), or (S, C, C) for groups, on the CPU: row true class, column decided class.

    Raises:
        UserError: For AnyOf, whose labels are not confused with each other but missed or invented.
    """
    stats = PredictionStats(predictions)
    outcome = predictions.outcome
    if isinstance(outcome, AnyOf):
        raise UserError(
            f"confusion_matrix does not support {outcome}: several labels may be on at once, and "
            f"none is taken for another; use precision_score and recall_score of each label"
        )
    n, groups = outcome.n, stats.label_stats.hard[0].numel()
    which = stats.label_stats.hard.reshape(-1, groups) * n + predictions.decisions.reshape(
        -1, groups
    )
    which = which + n * n * torch.arange(groups, device=which.device)
    pairs = torch.bincount(which.flatten(), minlength=groups * n * n).reshape(groups, n, n).cpu()
    return pairs if stats.label_stats.hard.ndim > 1 else pairs[0]


def _binned(stats: PredictionStats, bins: Tensor, width: int) -> Tensor:
    """(N, K) bin numbers -> (K, 2, width) counts on the CPU, absent first."""
    columns = bins.shape[1]
    where = stats.label_stats.present.long() * width + bins
    where += 2 * width * torch.arange(columns, device=bins.device)
    counts = torch.bincount(where.flatten(), minlength=columns * 2 * width)
    return counts.reshape(columns, 2, width).cpu()
