"""Rulers of decisions and of scores cut at 1/2, for all outcomes."""

import torch
from torch import Tensor

from lossheads.outcomes import AnyOf, EachOneOf, OneOf
from lossheads.rulers.core import Ruler
from lossheads.rulers.facts import Facts
from lossheads.rulers.per_class import f1_parts, recall_parts


def _decisions_right(facts: Facts) -> Tensor:
    return facts.right.double().mean()


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
    return (facts.over_half == facts.said.present).mean(dtype=torch.float64)


def constant_cells(rates: Tensor) -> Tensor:
    """Cells that the best constant row of yes and no gets right: each column says its majority."""
    return torch.maximum(rates, 1 - rates).mean()


elementwise_accuracy_score = Ruler(
    name="elementwise_accuracy_score",
    says="Share of cells (example × class) whose score is on the right side of ½; exactly ½ is no.",
    rule=_cells_right,
    floor_rule=lambda facts: constant_cells(facts.said.rates),
)


def _whole_examples_right(facts: Facts) -> Tensor:
    return facts.right.reshape(facts.n, -1).all(dim=1).mean(dtype=torch.float64)


exact_match_score = Ruler(
    name="exact_match_score",
    says="Share of examples with every decision right: the whole subset, or all sets.",
    rule=_whole_examples_right,
    floor_rule=lambda facts: facts.said.commonest_share,
)


def _balanced_parts(facts: Facts) -> Tensor:
    if not isinstance(facts.outcome, AnyOf):
        return recall_parts(facts)
    absent = facts.n - facts.said.positives
    false_alarms = facts.decided_counts - facts.hits
    # A label that is always on (or never) has one recall only: undefined, not half right.
    return (recall_parts(facts) + (absent - false_alarms) / absent) / 2


def _one_class_recalled(facts: Facts) -> Tensor:
    # Whatever the constant decision, it recalls one class of each set fully and the others not.
    if isinstance(facts.outcome, AnyOf):
        return torch.full_like(facts.said.rates, 0.5)
    seen = facts.said.by_set(facts.said.positives > 0)
    return torch.tensor(len(seen), dtype=torch.float64, device=seen.device) / seen.sum()


balanced_accuracy_score = Ruler(
    name="balanced_accuracy_score",
    says="Mean over classes of the share recalled; for labels, of the mean of on and off recalled.",
    rule=_balanced_parts,
    floor_rule=_one_class_recalled,
)


def _best_constant_f1(facts: Facts) -> Tensor:
    rates = facts.said.rates
    always = 2 * rates / (1 + rates)
    if isinstance(facts.outcome, AnyOf):
        return torch.where(rates > 0, always, torch.nan)
    best = facts.said.by_set(always).amax(dim=1).sum()
    return best / (rates > 0).sum()


macro_f1_score = Ruler(
    name="macro_f1_score",
    says="Mean over classes of F1, the harmonic mean of precision and recall of the decisions.",
    rule=f1_parts,
    floor_rule=_best_constant_f1,
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
    macro_f1_score,
    hamming_error,
)
