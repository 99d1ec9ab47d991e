"""Rulers of decisions and of scores cut at 1/2, for all outcomes."""

import base64

import numpy as np
import torch
from torch import Tensor

from lossheads.metrics.base import Ruler
from lossheads.metrics.per_class import (
    always_f1,
    f1_parts,
    precision_parts,
    recall_parts,
    recall_score,
)
from lossheads.metrics.stats import Facts, share
from lossheads.outcomes import AnyOf, EachOneOf, OneOf
from lossheads.predictions import Predictions


def _decisions_right(facts: Facts) -> Tensor:
    return share(facts.right)


def _commonest_class(facts: Facts) -> Tensor:
    return facts.said.by_set(facts.said.rates).amax(dim=1).mean()


accuracy_score = Ruler(
    name="accuracy_score",
    says="Share of decisions that name the true class; with several sets, share of sets right.",
    rule=_decisions_right,
    floor_rule=_commonest_class,
    serves=(OneOf, EachOneOf),
)


def _cells_right(facts: Facts) -> Tensor:
    return share(facts.over_half == facts.said.present)


def constant_cells(rates: Tensor) -> Tensor:
    """Cells that the best constant row of yes and no gets right: each column says its majority."""
    return torch.maximum(rates, 1 - rates).mean()


elementwise_accuracy_score = Ruler(
    name="elementwise_accuracy_score",
    says="Share of cells (example × class) whose score is on the right side of ½; exactly ½ is no.",
    rule=_cells_right,
    floor_rule=lambda facts: constant_cells(facts.said.rates),
)


def _whole_examples(facts: Facts) -> Tensor:
    return facts.right.reshape(facts.n, -1).all(dim=1)


def right_bits(predictions: Predictions) -> str:
    """Which examples `exact_match_score` counts, as `results.Right.bits` holds them."""
    right = _whole_examples(Facts(predictions)).cpu().numpy()
    return base64.b64encode(np.packbits(right).tobytes()).decode("ascii")


def _whole_examples_right(facts: Facts) -> Tensor:
    return share(_whole_examples(facts))


exact_match_score = Ruler(
    name="exact_match_score",
    says="Share of examples with every decision right: the whole subset, or all sets.",
    rule=_whole_examples_right,
    floor_rule=lambda facts: facts.said.commonest_share,
)


def _balanced_parts(facts: Facts) -> Tensor:
    if not isinstance(facts.outcome, AnyOf):
        return pooled_recalls(facts)
    absent = facts.n - facts.said.positives
    false_alarms = facts.decided_counts - facts.hits
    # A label that is always on (or never) has one recall only: undefined, not half right.
    return (recall_parts(facts) + (absent - false_alarms) / absent) / 2


def pooled_recalls(facts: Facts) -> Tensor:
    """(C,) or (M,): share recalled of each class, the sets counted together."""
    positives = facts.said.by_set(facts.said.positives).sum(dim=0)
    return facts.said.by_set(facts.hits).sum(dim=0) / positives


def constant_recalls(facts: Facts) -> Tensor:
    """Mean of pooled recalls when each set says the class of which it holds the largest part."""
    by_set = facts.said.by_set(facts.said.positives)
    seen = by_set.sum(dim=0)
    best = (by_set / seen.clamp(min=1)).amax(dim=1).sum()
    return best / (seen > 0).sum()


balanced_accuracy_score = Ruler(
    name="balanced_accuracy_score",
    says="Mean over classes of the share recalled, sets counted together; for labels, mean of "
    "the shares of on and of off recalled.",
    rule=_balanced_parts,
    floor_rule=lambda facts: (
        facts.said.coin if isinstance(facts.outcome, AnyOf) else constant_recalls(facts)
    ),
)


def _even_guess(facts: Facts) -> Tensor:
    return 1 / (facts.said.by_set(facts.said.positives).sum(dim=0) > 0).sum().double()


worst_recall_score = Ruler(
    name="worst_recall_score",
    says="Share recalled of the class that is recalled least, sets counted together.",
    rule=pooled_recalls,
    # Any one answer forgets the other classes; an even guess recalls 1/C of each.
    floor_rule=_even_guess,
    serves=(OneOf, EachOneOf),
    over_parts="min",
)


def _best_blind_f1(facts: Facts) -> Tensor:
    if isinstance(facts.outcome, AnyOf):
        return always_f1(facts)
    # Guessing classes with probabilities q gives F1 = 2qr / (q + r), concave in q: the mean is
    # largest at q = r, where each F1 is r and the rates of a set add up to 1.
    by_set = facts.said.by_set(facts.said.positives > 0)
    return len(by_set) / by_set.sum().double()


macro_f1_score = Ruler(
    name="macro_f1_score",
    says="Mean over classes of F1, the harmonic mean of precision and recall of the decisions.",
    rule=f1_parts,
    floor_rule=_best_blind_f1,
)

macro_precision_score = Ruler(
    name="macro_precision_score",
    says="Mean of precision over the classes that are decided at all.",
    rule=precision_parts,
    # Naming nothing but the commonest class is enough: precision alone can be had by silence.
    floor_rule=lambda facts: (
        facts.said.rates.max() if isinstance(facts.outcome, AnyOf) else _commonest_class(facts)
    ),
)


def _decisions_wrong(facts: Facts) -> Tensor:
    return 1 - _decisions_right(facts)


hamming_error = Ruler(
    name="hamming_error",
    says="Share of decisions that are wrong, label by label or set by set.",
    rule=_decisions_wrong,
    floor_rule=lambda facts: (
        1 - constant_cells(facts.said.rates)
        if isinstance(facts.outcome, AnyOf)
        else 1 - _commonest_class(facts)
    ),
    perfect=0.0,
    serves=(AnyOf, EachOneOf),
)

RULERS = (
    accuracy_score,
    elementwise_accuracy_score,
    exact_match_score,
    balanced_accuracy_score,
    worst_recall_score,
    macro_f1_score,
    macro_precision_score,
    hamming_error,
)


def _micro_f1(facts: Facts) -> Tensor:
    return 2 * facts.hits.sum() / (facts.said.positives.sum() + facts.decided_counts.sum())


def _best_blind_micro_f1(facts: Facts) -> Tensor:
    # Some number of the commonest labels is always named; the best number is among them all.
    rates = facts.said.rates.sort(descending=True).values
    named = torch.arange(1, len(rates) + 1, device=rates.device)
    best = (2 * rates.cumsum(dim=0) / (rates.sum() + named)).max()
    return torch.where(rates.sum() > 0, best, torch.nan)


micro_f1_score = Ruler(
    name="micro_f1_score",
    says="F1 of all labels counted together: 2 hits / (labels present + labels decided).",
    rule=_micro_f1,
    floor_rule=_best_blind_micro_f1,
    serves=(AnyOf,),
)

micro_precision_score = Ruler(
    name="micro_precision_score",
    says="Of all labels decided to be on, the share that are.",
    rule=lambda facts: facts.hits.sum() / facts.decided_counts.sum(),
    floor_rule=lambda facts: facts.said.rates.max(),
    serves=(AnyOf,),
)


def _all_recalled(facts: Facts) -> Tensor:
    return torch.where(facts.said.rates.sum() > 0, 1.0, torch.nan)


micro_recall_score = Ruler(
    name="micro_recall_score",
    says="Of all labels that are on, the share decided to be; always saying yes recalls all.",
    rule=lambda facts: facts.hits.sum() / facts.said.positives.sum(),
    floor_rule=_all_recalled,
    serves=(AnyOf,),
)

macro_recall_score = Ruler(
    name="macro_recall_score",
    says="Mean over labels of the share recalled; always saying yes recalls all.",
    rule=recall_parts,
    floor_rule=recall_score.floor_rule,
    serves=(AnyOf,),
)

MULTILABEL_RULERS = (micro_f1_score, micro_precision_score, micro_recall_score, macro_recall_score)
