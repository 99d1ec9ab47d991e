"""Rulers of several labels: decisions counted over all labels together, or label by label."""

import torch
from torch import Tensor

from lossheads.outcomes import AnyOf
from lossheads.rulers.core import Ruler
from lossheads.rulers.facts import Facts
from lossheads.rulers.per_class import recall_parts, recall_score


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

RULERS = (micro_f1_score, micro_precision_score, micro_recall_score, macro_recall_score)
