"""The formulas that `lossheads explain` shows say what the heads compute."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from heads.pairings import draw, loss_and_gradient, pairings
from lossheads.heads import SoftmaxCCE, SoftmaxLogitNormCCE
from lossheads.heads.base import Head
from lossheads.heads.formulas import formula, terms
from lossheads.outcomes import OneOf

PARTS = ("encode", "scores", "loss", "gradient", "decide")


def numbers(head: Head, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    logits, labels = draw(head, 5, seed)
    return logits.double(), head.encode(labels).double()


@pytest.mark.parametrize("head", pairings())
def test_every_shipped_head_has_its_formulas(head: Head) -> None:
    for part in PARTS:
        shown = formula(head, part)
        assert shown
        assert f".{part}" not in shown, f"{type(head).__name__} has no formula of {part}"
    assert formula(head, "loss").startswith("L = ")


# By name, so that none is left out because the code under test knows nothing of it.
WITHOUT_TERMS = {"SingleLogitSoftmaxCCE", "SoftmaxFocal", "SoftmaxWeightedCCE"}
WITHOUT_TERMS |= {"SoftmaxLogitNormCCE", "SoftmaxLogitPenaltyCCE", "GroupedBalancedCCE"}
WITHOUT_TERMS |= {"GroupedKLExcess", "GroupedLogitAdjustedCCE", "GroupedPairwiseCCE"}
WITH_GRADIENT = {"SoftmaxCCE", "SigmoidBCE", "SigmoidOffsetBCE", "SingleLogitBCE", "TwoLogitCCE"}
WITH_GRADIENT |= {"GroupedCCE", "SingleLogitSoftmaxCCE"}


@pytest.mark.parametrize("head", pairings())
def test_the_terms_sum_to_the_loss(head: Head) -> None:
    logits, target = numbers(head)
    for row in range(len(logits)):
        found = terms(head, logits[row : row + 1], target[row : row + 1])
        assert (found is None) == (type(head).__name__ in WITHOUT_TERMS)
        if found is None:
            continue
        loss = head.loss(logits[row : row + 1], target[row : row + 1])
        torch.testing.assert_close(found.sum(), loss[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("head", pairings())
def test_a_gradient_that_has_a_formula_follows_it(head: Head) -> None:
    shown = formula(head, "gradient")
    assert ("=" in shown) == (type(head).__name__ in WITH_GRADIENT)
    if "=" not in shown:
        return
    logits, target = numbers(head)
    _, gradient = loss_and_gradient(head, logits, target)
    scores = head.scores(logits).flatten(1)
    wanted = {
        "s_k - t_k": lambda: scores - target,
        "s_ik - t_ik": lambda: scores - target.flatten(1),
        "(s_k - t_k) / U": lambda: (scores - target) / head.num_logits,
        "s_1 - t": lambda: scores[:, 1:] - target,
        "0, so nothing is learned": lambda: torch.zeros_like(logits),
    }[shown.partition(" = ")[2]]
    torch.testing.assert_close(gradient, wanted(), rtol=1e-6, atol=1e-6)


@dataclass(frozen=True)
class Own(SoftmaxCCE):
    def loss(self, logits, target):
        return 2 * super().loss(logits, target)


@dataclass(frozen=True)
class Told(Own):
    formulas: ClassVar[Mapping[str, str]] = {"loss": "L = 2 x cross-entropy"}

    def loss(self, logits, target):
        return super().loss(logits, target)


def test_a_head_of_ones_own_says_its_formula_or_is_named() -> None:
    assert formula(Own(OneOf(3)), "loss") == "Own.loss"
    assert formula(Told(OneOf(3)), "loss") == "L = 2 x cross-entropy"
    assert formula(Own(OneOf(3)), "gradient") == "by automatic differentiation"
    assert formula(Own(OneOf(3)), "scores").startswith("s_k = exp(z_k)")
    assert terms(Own(OneOf(3)), torch.zeros(1, 3), torch.zeros(1, 3)) is None


def test_the_division_by_the_length_stands_where_it_is_read() -> None:
    divided, bare = (SoftmaxLogitNormCCE(OneOf(3), 0.5, reading) for reading in ("divided", "bare"))
    assert "z / |z| / 0.5" in formula(divided, "scores")
    assert "|z|" not in formula(bare, "scores")
    assert "z / |z| / 0.5" in formula(bare, "loss")
