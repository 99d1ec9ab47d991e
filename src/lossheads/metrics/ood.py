"""Can the head tell that nothing it knows is here? Known examples against outliers."""

import math

import torch
from torch import Tensor

from lossheads.errors import UserError
from lossheads.heads.base import Head
from lossheads.metrics.stats import roc_auc_and_average_precision
from lossheads.records import Measurement


def ood_scores(head: Head, logits: Tensor, none_class: int | None = None) -> dict[str, Tensor]:
    """Three readings of "this is something I know", higher is more familiar, float64 (N,).

    Args:
        logits: (N, U).
        none_class: Column trained to mean "nothing of this", left out of all three.

    Returns:
        "max_score", the highest per-class score; "max_logit"; and "energy", the log of the sum
        of exponentials (minus the free energy of Liu et al., 2020).
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


def evaluate_ood(
    head: Head, known: Tensor, outliers: Tensor, none_class: int | None = None
) -> Measurement:
    """How well each reading of ood_scores separates known examples from outliers.

    Args:
        known: (N, U) logits of test examples of the classes that were trained.
        outliers: (M, U) logits of examples of none of them.
        none_class: See `ood_scores`.

    Returns:
        For each reading, `<reading>_auroc_score` (chance that a known example is the more
        familiar; baseline 1/2) and `<reading>_fpr95_error` (share of outliers that pass the
        threshold which 95 % of the known pass; baseline 0.95). NaN where a logit is.

    Raises:
        UserError: If either side is empty.
    """
    if len(known) == 0 or len(outliers) == 0:
        raise UserError(
            f"evaluate_ood got {len(known)} known examples and {len(outliers)} outliers: it needs at "
            f"least one of each"
        )
    inside, outside = (ood_scores(head, logits, none_class) for logits in (known, outliers))
    metrics: dict[str, float] = {}
    for reading, of_known in inside.items():
        metrics[f"{reading}_auroc_score"] = _auroc(of_known, outside[reading])
        metrics[f"{reading}_fpr95_error"] = _fpr_at_95_tpr(of_known, outside[reading])
    return Measurement(
        metrics=metrics,
        baselines={name: 0.5 if name.endswith("_score") else 0.95 for name in metrics},
        per_class={},
        undefined={name: 1 for name, value in metrics.items() if math.isnan(value)},
        n=len(known) + len(outliers),
    )


def _auroc(known: Tensor, outliers: Tensor) -> float:
    readings = torch.cat([known, outliers]).unsqueeze(1)
    if readings.isnan().any():
        return math.nan
    is_known = torch.arange(len(readings), device=readings.device).unsqueeze(1) < len(known)
    return roc_auc_and_average_precision(readings, is_known)[0].item()


def _fpr_at_95_tpr(known: Tensor, outliers: Tensor) -> float:
    if known.isnan().any() or outliers.isnan().any():
        return math.nan
    enough = -(-95 * len(known) // 100)  # whole examples, rounded up without floating point
    threshold = known.sort(descending=True).values[enough - 1]
    return (outliers >= threshold).double().mean().item()
