"""What every head owes the rest of the program, for every YAML and every outcome it serves."""

from dataclasses import fields, replace
from typing import Any

import pytest
import torch

from lossheads.errors import HeadMismatch
from lossheads.heads import (
    GroupedLogitAdjustedCCE,
    Head,
    LinearSquaredError,
    PerLabelCCE,
    SigmoidBCE,
    SingleLogitSoftmaxCCE,
    SoftmaxBCE,
    SoftmaxCCE,
    SoftmaxLogitNormCCE,
    SoftmaxMultihot,
)
from lossheads.heads.base import log_odds
from lossheads.outcomes import AnyOf, EachOneOf, OneOf, Outcome

from .pairings import NAMES, OUTCOMES, build, config, draw, draw_labels, loss_and_gradient, pairings

PAIRS = pairings()


def _without(*heads: type) -> list[Any]:
    return [pair for pair in PAIRS if not isinstance(pair.values[0], heads)]


each_pair = pytest.mark.parametrize("head", PAIRS)
# Two heads are kept because they fail: one unit of softmax says "class 1" whatever the labels
# are, and one softmax over several labels cannot say that two of them are likely.
each_working_pair = pytest.mark.parametrize(
    "head", _without(SingleLogitSoftmaxCCE, SoftmaxMultihot)
)
# Logit adjustment decides as if classes were equally frequent, and says so.
each_plain_pair = pytest.mark.parametrize("head", _without(GroupedLogitAdjustedCCE))

CLASSES: list[Outcome] = [OneOf(2), OneOf(3), OneOf(10)]
LABELS: list[Outcome] = [AnyOf(1), AnyOf(6)]
GROUPS: list[Outcome] = [EachOneOf(1, 2), EachOneOf(3, 4)]
SERVES = {
    "softmax_cce": CLASSES,
    "softmax_bce": CLASSES,
    "sigmoid_bce": CLASSES + LABELS,
    "sigmoid_bce_mean": CLASSES + LABELS,
    "sigmoid_offset_bce": CLASSES,
    "softmax_weighted_cce": CLASSES,
    "softmax_focal": CLASSES,
    "softmax_poly1_cce": CLASSES,
    "softmax_logit_penalty_cce": CLASSES,
    "softmax_logit_norm_cce": CLASSES,
    "linear_squared_error": CLASSES,
    "single_logit_bce": [OneOf(2)],
    "two_logit_cce": [OneOf(2)],
    "single_logit_softmax_cce": [OneOf(2)],
    "multilabel_cce": LABELS,
    "focal": CLASSES + LABELS,
    "asymmetric": LABELS,
    "per_label_cce": LABELS,
    "softmax_multihot": [AnyOf(6)],
    "grouped_cce": GROUPS,
    "grouped_logit_adjusted_cce": GROUPS,
    "grouped_logsum_cce": GROUPS,
    "grouped_centred_cce": GROUPS,
    "grouped_balanced_cce": GROUPS,
    "grouped_kl_excess": GROUPS,
    "grouped_pairwise_cce": GROUPS,
}
HARD_ONLY = ["focal", "softmax_focal", "asymmetric"]


@pytest.mark.parametrize("name", NAMES)
def test_a_head_serves_what_it_says_and_refuses_the_rest(name):
    for outcome in OUTCOMES:
        served = replace(outcome, soft=False) in SERVES[name]
        if served and not (outcome.soft and name in HARD_ONLY):
            assert isinstance(build(name, outcome), Head)
        else:
            with pytest.raises(HeadMismatch, match=r" does not support .*: .*; .*head="):
                build(name, outcome)


@each_pair
def test_loss_is_one_finite_value_per_example(head):
    logits, labels = draw(head)
    loss, gradient = loss_and_gradient(head, logits, head.encode(labels))
    assert loss.shape == (len(logits),)
    assert loss.dtype == logits.dtype
    assert loss.isfinite().all()
    assert gradient.isfinite().all()


@each_pair
def test_loss_and_gradient_survive_logits_of_ten_thousand(head):
    logits, labels = draw(head)
    loss, gradient = loss_and_gradient(head, logits.sign() * 1e4, head.encode(labels))
    assert loss.isfinite().all()
    assert (loss >= 0).all()
    assert gradient.isfinite().all()


@each_pair
def test_a_training_step_looks_at_no_value(head):
    """On a GPU a look is a wait; on the meta device, where there are no values, it is an error."""
    labels = draw_labels(head.outcome, 5).to("meta")
    logits = torch.zeros(5, head.num_logits, device="meta")
    loss, gradient = loss_and_gradient(head, logits, head.encode(labels))
    assert loss.shape == (5,)
    assert gradient.shape == logits.shape


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_no_head_makes_a_cuda_device_wait():
    for pair in PAIRS:
        (head,) = pair.values
        logits, labels = (part.cuda() for part in draw(head))
        loss_and_gradient(head, logits, head.encode(labels))  # first calls may set things up
        torch.cuda.set_sync_debug_mode("error")
        try:
            loss_and_gradient(head, logits, head.encode(labels))
        finally:
            torch.cuda.set_sync_debug_mode("default")


@each_pair
def test_a_row_does_not_feel_its_neighbours(head):
    logits, labels = draw(head, n=70)
    target = head.encode(labels)
    together = (*loss_and_gradient(head, logits, target), head.scores(logits))
    for first, n in [(0, 1), (1, 2), (3, 4), (5, 7), (8, 8), (11, 31), (37, 33)]:
        part = slice(first, first + n)
        alone = (*loss_and_gradient(head, logits[part], target[part]), head.scores(logits[part]))
        for whole, piece in zip(together, alone, strict=True):
            assert torch.equal(whole[part], piece)


@each_pair
def test_log_probs_are_distributions_over_the_events(head):
    logits, _ = draw(head)
    log_probs = head.log_probs(logits)
    assert log_probs.dtype == torch.float64
    assert log_probs.shape == (len(logits), *head.outcome.events)
    ones = torch.ones(log_probs.shape[:-1], dtype=torch.float64)
    torch.testing.assert_close(log_probs.exp().sum(-1), ones, atol=1e-12, rtol=0)


@each_pair
def test_scores_lie_between_zero_and_one(head):
    logits, _ = draw(head)
    for z in (logits, 1e4 * logits):
        scores = head.scores(z)
        assert scores.shape == (len(logits), *head.outcome.columns)
        assert ((scores >= 0) & (scores <= 1)).all()


@each_pair
def test_log_odds_rise_with_the_scores(head):
    """In each column and along each row, wherever float64 scores tell cells apart."""
    logits, _ = draw(head)
    z = logits.double()
    odds, scores = log_odds(head, z), head.scores(z)
    assert odds.shape == scores.shape
    for dim in (0, -1):
        order = scores.argsort(dim=dim)
        gaps, steps = (x.gather(dim, order).diff(dim=dim) for x in (scores, odds))
        assert (steps[gaps > 1e-9] > 0).all()
        assert (steps[gaps == 0].abs() < 1e-9).all()


@pytest.mark.parametrize(
    "head", _without(SingleLogitSoftmaxCCE, LinearSquaredError, SoftmaxLogitNormCCE)
)
def test_log_odds_go_on_where_scores_round_to_one(head):
    logits, _ = draw(head)
    top = logits + 40 * torch.eye(1, logits.shape[1])  # pairs hold "off" first
    higher = top + 1e-3 * torch.eye(1, logits.shape[1])
    steps = (log_odds(head, higher) - log_odds(head, top)).abs().flatten(1).amax(dim=1)
    assert ((steps > 2e-4) & (steps < 5e-3)).all()  # a head may scale its logits


def test_equal_log_odds_are_ties():
    """Neither other classes in another order nor one number on all logits moves a class's odds."""
    random = torch.Generator().manual_seed(0)
    others = torch.randint(-9, 10, (9,), generator=random).float()
    rows = torch.stack(
        [
            torch.cat([torch.ones(1), others[torch.randperm(9, generator=random)]]) + k
            for k in range(200)
        ]
    )
    assert len(log_odds(SoftmaxCCE(OneOf(10)), rows)[:, 0].unique()) == 1


def test_scores_of_an_own_reading_stand_in_for_inherited_log_odds():
    class Reversed(SoftmaxCCE):
        def scores(self, logits):
            return super().scores(-logits)

    logits = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    head = Reversed(OneOf(3))
    assert torch.equal(log_odds(head, logits), head.scores(logits))


@each_plain_pair
def test_decision_is_the_likeliest_event(head):
    logits, _ = draw(head)
    assert torch.equal(head.decide(logits).long(), head.log_probs(logits).argmax(-1))


@each_pair
def test_decisions_are_shaped_and_typed_like_hard_labels(head):
    logits, _ = draw(head)
    decisions = head.decide(logits)
    hard = draw_labels(replace(head.outcome, soft=False), len(logits))
    assert decisions.dtype == hard.dtype
    assert decisions.shape == hard.shape


@each_working_pair
def test_a_tie_goes_to_the_lower_class_or_to_off(head):
    assert not head.decide(torch.zeros(2, head.num_logits)).any()


@each_pair
def test_framework_view_has_one_column_per_unit(head):
    logits, labels = draw(head)
    framework_outputs, target = head.framework_outputs(logits), head.framework_target(labels)
    assert framework_outputs.shape == target.shape == logits.shape
    assert target.is_floating_point()
    assert ((framework_outputs >= 0) & (framework_outputs <= 1)).all()


@each_working_pair
def test_prior_bias_gives_the_base_rates_back(head):
    rates = draw_labels(replace(head.outcome, soft=True), 1).double()[0]
    if not isinstance(head.outcome, AnyOf):
        rates = rates / rates.sum(dim=-1, keepdim=True)  # drawn in float32, wanted to 1e-12
    bias = head.prior_bias(rates)
    assert bias.shape == (head.num_logits,)
    probabilities = head.log_probs(bias[None]).exp()[0]
    if isinstance(head.outcome, AnyOf):
        probabilities = probabilities[:, 1]
    torch.testing.assert_close(probabilities, rates, atol=1e-12, rtol=1e-9)


@each_working_pair
def test_prior_bias_is_finite_for_a_class_nobody_saw(head):
    rates = torch.zeros(head.outcome.columns, dtype=torch.float64)
    rates[..., 0] = 1.0
    assert head.prior_bias(rates).isfinite().all()


@each_pair
def test_gradient_is_that_of_finite_differences(head):
    logits, labels = draw(head, n=4)
    target = head.encode(labels).double()
    assert torch.autograd.gradcheck(
        lambda z: head.loss(z, target), logits.double().requires_grad_(), atol=1e-6
    )


@each_working_pair
def test_a_hard_label_costs_less_once_it_is_decided(head):
    """Some gradient steps on hard labels lead to the right decision: the loss learns."""
    plain = replace(head.outcome, soft=False)
    hard = draw_labels(plain, 8)
    target = head.encode(plain.indicators(hard) if head.outcome.soft else hard)
    logits, _ = draw(head, n=8)
    for _ in range(40):
        _, gradient = loss_and_gradient(head, logits, target)
        logits = logits - gradient.sign() * 0.5
    assert torch.equal(head.decide(logits), hard)


def test_units_follow_the_outcome():
    assert SigmoidBCE(OneOf(10)).num_logits == 10
    assert SoftmaxBCE(OneOf(3)).num_logits == 3
    assert build("single_logit_bce", OneOf(2)).num_logits == 1
    assert build("two_logit_cce", OneOf(2)).num_logits == 2
    assert PerLabelCCE(AnyOf(5)).num_logits == 10
    assert build("grouped_cce", EachOneOf(3, 4)).num_logits == 12


@pytest.mark.parametrize("name", NAMES)
def test_a_yaml_file_gives_every_option_its_value(name):
    keys = set(config(name)) - {"_target_", "_partial_"}
    (outcome, *_) = SERVES[name]
    assert keys == {field.name for field in fields(build(name, outcome))} - {"outcome"}
