"""One tiny example per head name, computed by the heads themselves; `lossheads heads` prints it.

Heads for the same kind of label share their logits, so the rows can be compared.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from lossheads.errors import HeadMismatch
from lossheads.heads.base import Head, inherited_reading, loss_unit
from lossheads.heads.binary import SingleLogitBCE, SingleLogitSoftmaxCCE, TwoLogitCCE
from lossheads.heads.grouped import (
    GroupedBalancedCCE,
    GroupedCCE,
    GroupedCentredCCE,
    GroupedKLExcess,
    GroupedLogitAdjustedCCE,
    GroupedLogSumCCE,
    GroupedPairwiseCCE,
)
from lossheads.heads.multiclass import SigmoidBCE, SigmoidOffsetBCE, SoftmaxBCE, SoftmaxCCE
from lossheads.heads.multilabel import Asymmetric, Focal, MultilabelCCE
from lossheads.heads.multilabel_softmax import PerLabelCCE, SoftmaxMultihot
from lossheads.heads.softmax_losses import (
    SoftmaxFocal,
    SoftmaxLogitNormCCE,
    SoftmaxLogitPenaltyCCE,
    SoftmaxPoly1CCE,
    SoftmaxWeightedCCE,
)
from lossheads.heads.squared import LinearSquaredError
from lossheads.outcomes import AnyOf, EachOneOf, OneOf, Outcome


@dataclass(frozen=True)
class HeadExample:
    """One head on one example.

    Attributes:
        name: As in `head=name` on the command line.
        outcome: What the label can be, as text.
        labels: The example's label: a class, a list of bools, or a class per group.
        logits: U numbers.
        loss: In `unit`.
        scores: Per class, label, or group and class; in [0, 1].
        decision: Shaped like `labels`.
        explanation: One line.
    """

    name: str
    outcome: str
    labels: Any
    logits: list[float]
    loss: float
    unit: str
    scores: Any
    decision: Any
    explanation: str


_TWO, _THREE, _TAGS, _GROUPS = OneOf(2), OneOf(3), AnyOf(3), EachOneOf(2, 3)
_LABELS = {
    _TWO: torch.tensor([1]),
    _THREE: torch.tensor([0]),
    _TAGS: torch.tensor([[True, False, True]]),
    _GROUPS: torch.tensor([[0, 0]]),
}
_ONE_LOGIT = [0.8]
_TWO_LOGITS = [-0.4, 0.4]
_THREE_LOGITS = [2.0, -1.0, 0.5]
_PAIRS = [-1.0, 1.0, 0.5, -0.5, -0.25, 0.25]  # on less off gives the three logits
_GROUP_LOGITS = [2.0, -1.0, 0.5, 0.5, 1.0, -1.0]  # the first group is right, the second wrong
_BASE_RATES = torch.tensor([[0.75, 0.125, 0.125]] * 2, dtype=torch.float64)


def worked_examples() -> list[HeadExample]:
    """One example per head name: multi-class, binary, multi-label, grouped."""
    return _multiclass() + _other_multiclass() + _binary() + _multilabel() + _grouped()


def own_example(name: str, build: Callable[[Outcome], Head]) -> HeadExample:
    """An example for a head of one's own, on the first kind of outcome that it supports.

    Raises:
        HeadMismatch: If it supports none of one class of 3, one of 2, 3 labels, 2 groups of 3.
    """
    refused: HeadMismatch | None = None
    for outcome in (_THREE, _TWO, _TAGS, _GROUPS):
        try:
            head = build(outcome)
        except HeadMismatch as error:
            refused = error
            continue
        logits = {1: _ONE_LOGIT, 2: _TWO_LOGITS, 3: _THREE_LOGITS}.get(head.num_logits)
        if logits is None:
            logits = torch.linspace(-1, 1, head.num_logits).tolist()
        told = (inspect.getdoc(type(head)) or type(head).__name__).splitlines()[0].rstrip(".")
        return _example(
            name, head, logits, "; ".join(filter(None, [told, inherited_reading(head)]))
        )
    assert refused is not None
    raise refused


def _example(name: str, head: Head, logits: list[float], explanation: str) -> HeadExample:
    labels, row = _LABELS[head.outcome], torch.tensor([logits])
    return HeadExample(
        name=name,
        outcome=str(head.outcome),
        labels=labels[0].tolist(),
        logits=logits,
        loss=head.loss(row, head.encode(labels)).item() + 0.0,  # a loss of -0.0 prints badly
        unit=loss_unit(head),
        scores=head.scores(row)[0].tolist(),
        decision=head.decide(row)[0].tolist(),
        explanation=explanation,
    )


def _multiclass() -> list[HeadExample]:
    return [
        _example(
            "softmax_cce",
            SoftmaxCCE(_THREE),
            _THREE_LOGITS,
            "scores sum to 1 over classes; loss = -ln of the true class's score",
        ),
        _example(
            "softmax_bce",
            SoftmaxBCE(_THREE),
            _THREE_LOGITS,
            "softmax scores with binary cross-entropy per class, averaged over classes",
        ),
        _example(
            "sigmoid_bce",
            SigmoidBCE(_THREE),
            _THREE_LOGITS,
            "independent sigmoid per class: scores need not sum to 1, every class adds to the loss",
        ),
        _example(
            "sigmoid_bce_mean",
            SigmoidBCE(_THREE, class_reduction="mean"),
            _THREE_LOGITS,
            "sigmoid_bce divided by the number of classes, as frameworks do by default",
        ),
    ]


def _other_multiclass() -> list[HeadExample]:
    return [
        _example(
            "softmax_weighted_cce",
            SoftmaxWeightedCCE(_THREE).with_base_rates(_BASE_RATES[0]),
            _THREE_LOGITS,
            "softmax_cce times the class's weight over the mean one (here class 0 is frequent)",
        ),
        _example(
            "softmax_focal",
            SoftmaxFocal(_THREE),
            _THREE_LOGITS,
            "softmax_cce with less weight on examples that are already right",
        ),
        _example(
            "softmax_poly1_cce",
            SoftmaxPoly1CCE(_THREE),
            _THREE_LOGITS,
            "softmax_cce + (1 - the true class's score)",
        ),
        _example(
            "softmax_logit_penalty_cce",
            SoftmaxLogitPenaltyCCE(_THREE),
            _THREE_LOGITS,
            "softmax_cce + a little of the squared length of the logits",
        ),
        _example(
            "softmax_logit_norm_cce",
            SoftmaxLogitNormCCE(_THREE),
            _THREE_LOGITS,
            "softmax_cce of logits divided by their length: only their direction counts",
        ),
        _example(
            "sigmoid_offset_bce",
            SigmoidOffsetBCE(_THREE),
            _THREE_LOGITS,
            "sigmoid_bce of logits less ln C: untrained, every score is near 1/C, not 1/2",
        ),
        _example(
            "linear_squared_error",
            LinearSquaredError(_THREE),
            _THREE_LOGITS,
            "no likelihood: output 1 wanted for the true class and 0 for the others",
        ),
    ]


def _binary() -> list[HeadExample]:
    return [
        _example(
            "single_logit_bce",
            SingleLogitBCE(_TWO),
            _ONE_LOGIT,
            "one logit for two classes: above zero is class 1",
        ),
        _example(
            "two_logit_cce",
            TwoLogitCCE(_TWO),
            _TWO_LOGITS,
            "two logits, of which only the difference counts: the same loss as single_logit_bce",
        ),
        _example(
            "single_logit_softmax_cce",
            SingleLogitSoftmaxCCE(_TWO),
            _ONE_LOGIT,
            "broken on purpose: softmax over one logit is always 1, so no loss and no gradient",
        ),
    ]


def _multilabel() -> list[HeadExample]:
    return [
        _example(
            "multilabel_cce",
            MultilabelCCE(_TAGS),
            _THREE_LOGITS,
            "pushes present logits above 0 and absent ones below, one log-sum for each side",
        ),
        _example(
            "focal",
            Focal(_TAGS),
            _THREE_LOGITS,
            "sigmoid_bce with less weight on labels that are already right",
        ),
        _example(
            "asymmetric",
            Asymmetric(_TAGS),
            _THREE_LOGITS,
            "focal with one exponent per side; absent labels below a margin cost nothing",
        ),
        _example(
            "per_label_cce",
            PerLabelCCE(_TAGS),
            _PAIRS,
            "an off and an on logit per label: the same loss as sigmoid_bce of their difference",
        ),
        _example(
            "softmax_multihot",
            SoftmaxMultihot(_TAGS),
            _THREE_LOGITS,
            "wrong on purpose: scores sum to 1 over labels, so at most one exceeds 1/2",
        ),
    ]


def _grouped() -> list[HeadExample]:
    return [
        _example(
            "grouped_cce",
            GroupedCCE(_GROUPS),
            _GROUP_LOGITS,
            "softmax_cce per group, summed over groups",
        ),
        _example(
            "grouped_logit_adjusted_cce",
            GroupedLogitAdjustedCCE(_GROUPS).with_base_rates(_BASE_RATES),
            _GROUP_LOGITS,
            "grouped_cce trained with log base rates added (here class 0 is frequent)",
        ),
        _example(
            "grouped_logsum_cce",
            GroupedLogSumCCE(_GROUPS),
            _GROUP_LOGITS,
            "odds against the true class, summed over groups inside one logarithm per class",
        ),
        _example(
            "grouped_centred_cce",
            GroupedCentredCCE(_GROUPS),
            _GROUP_LOGITS,
            "pushes the true class above its group's mean, not above the other classes",
        ),
        _example(
            "grouped_balanced_cce",
            GroupedBalancedCCE(_GROUPS),
            _GROUP_LOGITS,
            "grouped_logsum_cce on hard labels; on soft ones its optimum is the label",
        ),
        _example(
            "grouped_kl_excess",
            GroupedKLExcess(_GROUPS),
            _GROUP_LOGITS,
            "grouped_logsum_cce on hard labels; on soft ones it weighs each group's cross-entropy",
        ),
        _example(
            "grouped_pairwise_cce",
            GroupedPairwiseCCE(_GROUPS),
            _GROUP_LOGITS,
            "a logarithm for every ordered pair of classes, over half the difference of logits",
        ),
    ]
