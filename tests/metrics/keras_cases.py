"""The problems of ask_keras.py, trained again by lossheads alone."""

from functools import cache

import torch
from torch import Tensor

from lossheads.heads.base import Head
from lossheads.heads.binary import SingleLogitBCE, SingleLogitSoftmaxCCE, TwoLogitCCE
from lossheads.heads.grouped import GroupedCCE
from lossheads.heads.multiclass import SigmoidBCE, SoftmaxBCE, SoftmaxCCE
from lossheads.outcomes import AnyOf, EachOneOf, OneOf
from lossheads.predictions import Predictions, predict

from .ask_keras import BATCH, CASES, EPOCHS, RATE, ROWS, problem

HEADS: dict[str, Head] = {
    "one sigmoid unit": SingleLogitBCE(OneOf(2)),
    "one sigmoid unit, targets in a list": SingleLogitBCE(OneOf(2)),
    "one sigmoid unit at one half": SingleLogitBCE(OneOf(2)),
    "one sigmoid unit, soft targets": SingleLogitBCE(OneOf(2, soft=True)),
    "one softmax unit": SingleLogitSoftmaxCCE(OneOf(2)),
    "one softmax unit, bce": SingleLogitSoftmaxCCE(OneOf(2)),
    "two softmax units": TwoLogitCCE(OneOf(2)),
    "softmax, one-hot": SoftmaxCCE(OneOf(4)),
    "softmax, one-hot, bce": SoftmaxBCE(OneOf(4)),
    "softmax, one-hot, all equal": SoftmaxCCE(OneOf(4)),
    "softmax, soft rows": SoftmaxCCE(OneOf(4, soft=True)),
    "softmax, soft rows, bce": SoftmaxBCE(OneOf(4, soft=True)),
    "softmax, integers": SoftmaxCCE(OneOf(4)),
    "softmax, integers in a column": SoftmaxCCE(OneOf(4)),
    "sigmoid, one-hot, bce": SigmoidBCE(OneOf(4), class_reduction="mean"),
    "sigmoid, multi-hot": SigmoidBCE(AnyOf(4), class_reduction="mean"),
    "softmax in sets": GroupedCCE(EachOneOf(2, 3)),
}
# A binary cross-entropy of a constant: no head has it, and nothing is trained by it.
WITHOUT_A_HEAD = "one softmax unit, bce"


def labels_of(case: str) -> Tensor:
    labels, outcome = torch.as_tensor(problem(case)[1]), HEADS[case].outcome
    if outcome.soft:
        return labels.float()
    return labels.bool() if isinstance(outcome, AnyOf) else labels


def losses(case: str, logits: Tensor, rows: slice = slice(None)) -> Tensor:
    """What Keras's loss of the case is, per row: (N, U) -> (N,)."""
    head, labels = HEADS[case], labels_of(case)[rows]
    each = head.loss(logits, head.encode(labels))
    # Keras means over sets where our head, a log-likelihood, adds up.
    return each / head.outcome.groups if isinstance(head.outcome, EachOneOf) else each


def batches() -> list[slice]:
    return [slice(start, start + BATCH) for start in range(0, ROWS, BATCH)]


@cache
def train(case: str) -> Tensor:
    """Logits (N, U) of a linear model after the same steps from the same start."""
    features, _, _, *start = problem(case)
    x = torch.as_tensor(features)
    kernel, bias = (torch.tensor(part, dtype=torch.float32, requires_grad=True) for part in start)
    optimizer = torch.optim.SGD([kernel, bias], lr=RATE)
    trained = CASES[case][-1]
    for rows in batches() * (EPOCHS if trained else 0):
        optimizer.zero_grad()
        losses(case, x[rows] @ kernel + bias, rows).mean().backward()
        optimizer.step()
    return (x @ kernel + bias).detach()


def predictions(case: str, logits: Tensor) -> Predictions:
    return predict(HEADS[case], logits, labels_of(case))
