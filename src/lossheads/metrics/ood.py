"""Out-of-distribution detection: test examples of known classes against outliers."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lossheads.errors import UserError
from lossheads.heads.base import Head
from lossheads.metrics.base import SHARE
from lossheads.metrics.stats import roc_auc_and_average_precision
from lossheads.records import Measurement, MetricInfo

SCORE_NAMES = ("max_score", "max_logit", "energy")


def ood_scores(head: Head, logits: Tensor, none_class: int | None = None) -> dict[str, Tensor]:
    """Three out-of-distribution scores, float64 (N,); higher means more in-distribution.

    Args:
        logits: (N, U).
        none_class: Column trained to mean "none of the classes", left out of all three.

    Returns:
        By `SCORE_NAMES`: "max_score", the highest per-class score; "max_logit"; and "energy", the
        log of the sum of exponentials (minus the free energy of Liu et al., 2020: their sign is
        the opposite).
    """
    scores = head.scores(logits).flatten(1).double()
    logits = logits.double()
    if none_class is not None:
        if scores.shape != logits.shape or not 0 <= none_class < scores.shape[1]:
            raise UserError(
                f"ood_scores got none_class={none_class} for {type(head).__name__} with "
                f"{logits.shape[1]} logits and {scores.shape[1]} scores: a class can be left out "
                f"only where each has a logit of its own, numbered from 0"
            )
        kept = torch.arange(scores.shape[1], device=scores.device) != none_class
        scores, logits = scores[:, kept], logits[:, kept]
    return {
        "max_score": scores.amax(dim=1),
        "max_logit": logits.amax(dim=1),
        "energy": logits.logsumexp(dim=1),
    }


def _auroc(known: Tensor, outliers: Tensor) -> float:
    scores = torch.cat([known, outliers]).unsqueeze(1)
    if scores.isnan().any():
        return math.nan
    is_known = torch.arange(len(scores), device=scores.device).unsqueeze(1) < len(known)
    return roc_auc_and_average_precision(scores, is_known)[0].item()


def _fpr_at_95_tpr(known: Tensor, outliers: Tensor) -> float:
    if known.isnan().any() or outliers.isnan().any():
        return math.nan
    enough = -(-95 * len(known) // 100)  # whole examples, rounded up without floating point
    threshold = known.sort(descending=True).values[enough - 1]
    return (outliers >= threshold).double().mean().item()


@dataclass(frozen=True)
class _OODMetric:
    """How well a score separates known examples (first argument) from outliers."""

    function: Callable[[Tensor, Tensor], float]
    baseline: float
    info: MetricInfo


_OOD_METRICS = {
    "auroc_score": _OODMetric(_auroc, 0.5, MetricInfo(True, 1.0, *SHARE)),
    "fpr95_error": _OODMetric(_fpr_at_95_tpr, 0.95, MetricInfo(False, 0.0, *SHARE)),
}


def _nothing_said(known: Tensor, outliers: Tensor) -> float:
    if known.isnan().any() or outliers.isnan().any():
        return math.nan
    return (outliers <= 0.5).double().mean().item()


def _nothing_said_of_known(known: Tensor, outliers: Tensor) -> float:
    return _nothing_said(outliers, known)


# Whether a model says "nothing is here": no per-class score above 1/2. The baselines are the best
# constants: always, never.
_NOTHING_METRICS = {
    "nothing_said_score": _OODMetric(_nothing_said, 1.0, MetricInfo(True, 1.0, *SHARE)),
    "nothing_said_of_known_error": _OODMetric(
        _nothing_said_of_known, 0.0, MetricInfo(False, 0.0, *SHARE)
    ),
}


def ood_metric_info() -> dict[str, MetricInfo]:
    """What a reader of results has to know of every metric of `evaluate_ood`."""
    return {
        f"{score_name}_{name}": metric.info
        for score_name in SCORE_NAMES
        for name, metric in _OOD_METRICS.items()
    } | {name: metric.info for name, metric in _NOTHING_METRICS.items()}


def evaluate_ood(
    head: Head, known: Tensor, outliers: Tensor, none_class: int | None = None
) -> Measurement:
    """How well each of `ood_scores` separates known examples from outliers.

    Args:
        known: (N, U) logits of test examples of the classes that were trained.
        outliers: (M, U) logits of examples of none of them.
        none_class: See `ood_scores`.

    Returns:
        For each score, `<score>_auroc_score` (probability that a known example has the higher
        score; baseline 1/2) and `<score>_fpr95_error` (share of outliers above the threshold that
        95 % of the known examples reach; baseline 0.95). Then `nothing_said_score`, the share of
        outliers with no per-class score above 1/2, and `nothing_said_of_known_error`, that share
        of the known examples; baselines 1 (always said) and 0 (never). NaN where a logit is.

    Raises:
        UserError: If either side is empty.
    """
    if len(known) == 0 or len(outliers) == 0:
        raise UserError(
            f"evaluate_ood needs at least 1 known example and 1 outlier, got {len(known)} known "
            f"examples and {len(outliers)} outliers"
        )
    inside, outside = (ood_scores(head, logits, none_class) for logits in (known, outliers))
    metrics: dict[str, float] = {}
    baselines: dict[str, float] = {}
    for score_name, of_known in inside.items():
        for name, metric in _OOD_METRICS.items():
            metrics[f"{score_name}_{name}"] = metric.function(of_known, outside[score_name])
            baselines[f"{score_name}_{name}"] = metric.baseline
    for name, metric in _NOTHING_METRICS.items():
        metrics[name] = metric.function(inside["max_score"], outside["max_score"])
        baselines[name] = metric.baseline
    return Measurement(
        metrics=metrics,
        baselines=baselines,
        per_class={},
        undefined={name: 1 for name, value in metrics.items() if math.isnan(value)},
        n=len(known) + len(outliers),
    )
