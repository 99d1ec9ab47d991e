"""How far apart a head's logits hold the classes.

Measured where a run asks for it: extra_metrics=[lossheads.metrics.logit_separation_score].
"""

import torch
from torch import Tensor

from lossheads.metrics.base import metric
from lossheads.metrics.stats import PredictionStats
from lossheads.outcomes import OneOf

# Directions that differ by less are one direction: what is left is rounding.
_SAME = 1e-9

# Of an event that a head calls impossible: its logarithm has no direction.
_LEAST_LOG = -100.0


@metric(
    baseline=lambda stats: torch.zeros((), dtype=torch.float64),
    higher_is_better=None,
    perfect=1.0,
    outcomes=(OneOf,),
    at_every_validation=False,
)
def logit_separation_score(stats: PredictionStats) -> Tensor:
    """1 - (mean cosine distance within classes) / (mean cosine distance overall), of logits.

    1 where all examples of a class have logits of one direction; 0 where classes share theirs, as
    with every constant prediction. Every class counts alike, and a pair of an example with itself
    counts. Kornblith et al. (2021, arXiv 2010.16402) measure it on penultimate features as R²; a
    metric sees predictions alone, so here it is on logits less their mean (a softmax does not see
    that mean), or on log-probabilities where there are fewer logits than classes.
    """
    predictions = stats.predictions
    logits = predictions.logits.double()
    if logits.shape[-1] != stats.outcome.n:
        logits = predictions.log_probs.clamp(min=_LEAST_LOG)
    centred = logits - logits.mean(dim=-1, keepdim=True)
    unit = torch.nn.functional.normalize(centred, dim=-1)
    present = stats.label_stats.present.double()
    sizes = present.sum(dim=0)
    seen = sizes > 0
    means = present.T @ unit / sizes.clamp(min=1).unsqueeze(1)  # (C, C), 0 for classes not seen
    # The mean cosine of all pairs of two sets of directions is the product of their means.
    within = 1 - means.square().sum() / seen.sum()
    overall = 1 - (means.sum(dim=0) / seen.sum()).square().sum()
    apart = overall > _SAME
    return torch.where(apart, 1 - within / torch.where(apart, overall, 1.0), 0.0)
