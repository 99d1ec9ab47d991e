"""Rulers with one value per class, label, or class of each set.

A value is NaN where the class gives nothing to measure: a class that never occurs has no recall,
one that is never decided has no precision. scikit-learn prints 0 (and warns) in these places.
"""

import torch
from torch import Tensor

from lossheads.metrics.base import ClassRuler
from lossheads.metrics.probabilistic import calibration_gaps
from lossheads.metrics.stats import Facts


def recall_parts(facts: Facts) -> Tensor:
    """(K,) share of the examples of each class that are decided to be of it."""
    return facts.hits / facts.said.positives


def precision_parts(facts: Facts) -> Tensor:
    """(K,) share of the examples decided to be of each class that are of it."""
    return facts.hits / facts.decided_counts


def f1_parts(facts: Facts) -> Tensor:
    """(K,) harmonic mean of precision and recall; NaN where a class neither occurs nor is named."""
    return 2 * facts.hits / (facts.said.positives + facts.decided_counts)


def always_f1(facts: Facts) -> Tensor:
    """(K,) F1 of an answer that always names the class: the best blind one for a single class."""
    rates = facts.said.rates
    return torch.where(rates > 0, 2 * rates / (1 + rates), torch.nan)


precision_score = ClassRuler(
    name="precision_score",
    says="Of the examples decided to be of the class, the share that are.",
    rule=precision_parts,
    floor_rule=lambda facts: facts.said.rates,
)

recall_score = ClassRuler(
    name="recall_score",
    says="Of the examples of the class, the share decided to be of it.",
    rule=recall_parts,
    # Always saying yes recalls everything: recall alone can be had by talking.
    floor_rule=lambda facts: torch.where(facts.said.rates > 0, 1.0, torch.nan),
)

f1_score = ClassRuler(
    name="f1_score",
    says="Harmonic mean of the class's precision and recall.",
    rule=f1_parts,
    floor_rule=always_f1,
)


def _mean_score(facts: Facts, weight: Tensor) -> Tensor:
    return (facts.scores * weight).sum(dim=0, dtype=torch.float64) / weight.sum(
        dim=0, dtype=torch.float64
    )


score_when_present = ClassRuler(
    name="score_when_present",
    says="Mean score of the class over examples that have it (soft labels weigh by their share).",
    rule=lambda facts: _mean_score(facts, facts.said.presence),
    floor_rule=lambda facts: facts.said.base_rates,
)

score_when_absent = ClassRuler(
    name="score_when_absent",
    says="Mean score of the class over examples that lack it (soft labels weigh by the rest).",
    rule=lambda facts: _mean_score(facts, 1 - facts.said.presence),
    floor_rule=lambda facts: facts.said.base_rates,
    perfect=0.0,
)

roc_auc_score = ClassRuler(
    name="roc_auc_score",
    says="Chance that an example of the class scores above one that is not of it; ties count half.",
    rule=lambda facts: facts.order[0],
    floor_rule=lambda facts: facts.said.coin,
    cheap=False,
)

average_precision_score = ClassRuler(
    name="average_precision_score",
    says="Precision averaged over the class's examples, each at the threshold that just finds it.",
    rule=lambda facts: facts.order[1],
    floor_rule=lambda facts: torch.where(facts.said.rates > 0, facts.said.rates, torch.nan),
    cheap=False,
)

label_calibration_error = ClassRuler(
    name="label_calibration_error",
    says="Gap between the probability of the class and its frequency, over 15 equal bins.",
    rule=lambda facts: calibration_gaps(facts.class_probs, facts.said.presence),
    floor_rule=lambda facts: torch.zeros_like(facts.said.rates),
    perfect=0.0,
    cheap=False,
)

CLASS_RULERS = (
    precision_score,
    recall_score,
    f1_score,
    score_when_present,
    score_when_absent,
    roc_auc_score,
    average_precision_score,
    label_calibration_error,
)
