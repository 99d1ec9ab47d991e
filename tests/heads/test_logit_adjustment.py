"""Logit adjustment: the loss, whose rates it takes, and rates that are none."""

import pytest
import torch
from torch.nn import functional as F

from lossheads.errors import UserError
from lossheads.heads import GroupedCCE, GroupedLogitAdjustedCCE
from lossheads.outcomes import EachOneOf

from .pairings import draw, draw_labels


def test_logit_adjustment_is_cross_entropy_of_logits_plus_log_rates():
    outcome = EachOneOf(3, 4)
    rates = draw_labels(EachOneOf(3, 4, soft=True), 1, seed=5)[0]
    head = GroupedLogitAdjustedCCE(outcome).with_base_rates(rates)
    logits, labels = draw(head)
    target = head.encode(labels)
    shifted = (logits.view(-1, 3, 4) + rates.log()).flatten(1)
    plain = GroupedCCE(outcome)
    torch.testing.assert_close(head.loss(logits, target), plain.loss(shifted, target))
    torch.testing.assert_close(head.log_probs(logits), plain.log_probs(shifted), atol=1e-6, rtol=0)
    assert torch.equal(head.decide(logits), plain.decide(logits))
    assert torch.equal(head.scores(logits), plain.scores(logits))


def test_logit_adjustment_starts_from_zero_bias_at_its_own_rates():
    rates = draw_labels(EachOneOf(3, 4, soft=True), 1, seed=5)[0].double()
    head = GroupedLogitAdjustedCCE(EachOneOf(3, 4)).with_base_rates(rates)
    torch.testing.assert_close(
        head.prior_bias(rates), torch.zeros(12, dtype=torch.float64), atol=1e-12, rtol=0
    )


def test_rates_that_are_given_are_not_taken_from_the_training_labels():
    given = [[0.5, 0.5], [0.9, 0.1]]  # lists, as YAML has them
    head = GroupedLogitAdjustedCCE(EachOneOf(2, 2), base_rates=given)
    told = head.with_base_rates(torch.tensor([[0.2, 0.8], [0.2, 0.8]]))
    expected = F.log_softmax(torch.tensor(given, dtype=torch.float64).log(), dim=-1)
    torch.testing.assert_close(told.log_probs(torch.zeros(1, 4))[0], expected)
    assert hash(told) == hash(head)


def test_heads_with_other_rates_are_other_heads():
    head = GroupedLogitAdjustedCCE(EachOneOf(1, 2))
    told = [head.with_base_rates(torch.tensor([[r, 1 - r]])) for r in (0.25, 0.25, 0.5)]
    assert told[0] == told[1]
    assert hash(told[0]) == hash(told[1])
    assert told[0] != told[2]


def test_logit_adjustment_refuses_to_work_without_rates():
    head = GroupedLogitAdjustedCCE(EachOneOf(3, 4))
    with pytest.raises(UserError, match="needs base rates"):
        head.loss(torch.zeros(1, 12), torch.full((1, 3, 4), 0.25))


@pytest.mark.parametrize(
    "base_rates", [3, "even", [[0.5, 0.5]], [[0.5, 0.4], [0.9, 0.1]], [[1.5, -0.5], [0.9, 0.1]]]
)
def test_base_rates_that_are_no_rows_of_shares_are_refused(base_rates):
    with pytest.raises(UserError, match="base_rates must be 2 rows of 2 shares that sum to 1"):
        GroupedLogitAdjustedCCE(EachOneOf(2, 2), base_rates=base_rates)
