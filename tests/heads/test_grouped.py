"""Grouped losses: values against the bare formulas, reductions, extremes, cost."""

import math

import pytest
import torch
from torch.nn import functional as F

from lossheads.errors import HeadMismatch
from lossheads.heads import (
    GroupedBalancedCCE,
    GroupedCCE,
    GroupedCentredCCE,
    GroupedKLExcess,
    GroupedLogSumCCE,
    GroupedPairwiseCCE,
    MultilabelCCE,
)
from lossheads.heads.functional import log1p_sum_exp, log_sum_of_others
from lossheads.outcomes import AnyOf, EachOneOf, OneOf

from . import naive
from .pairings import draw, draw_labels, loss_and_gradient

FORMULAS = [
    (GroupedCCE, naive.cross_entropy),
    (GroupedLogSumCCE, naive.log_sum),
    (GroupedCentredCCE, naive.centred),
    (GroupedBalancedCCE, naive.balanced),
    (GroupedKLExcess, naive.kl_excess),
    (GroupedPairwiseCCE, naive.pairwise),
]
each_formula = pytest.mark.parametrize(("kind", "formula"), FORMULAS)
each_softness = pytest.mark.parametrize("soft", [False, True])
SHAPES = [(1, 2), (5, 2), (3, 4), (7, 10)]


# The formulas


@each_formula
@each_softness
@pytest.mark.parametrize(("groups", "classes"), SHAPES)
def test_value_and_gradient_are_those_of_the_formula(kind, formula, soft, groups, classes):
    head = kind(EachOneOf(groups, classes, soft))
    logits, labels = draw(head)
    logits, target = logits.double(), head.encode(labels).double()
    bare = logits.clone().requires_grad_()
    expected = formula(bare.view(-1, groups, classes), target)
    (expected_gradient,) = torch.autograd.grad(expected.sum(), bare)
    loss, gradient = loss_and_gradient(head, logits, target)
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-10, atol=1e-12)


@each_formula
@each_softness
@pytest.mark.parametrize("size", [0.01, 1.0, 8.0])
def test_float32_keeps_five_digits_of_small_and_large_losses(kind, formula, soft, size):
    """At size 8 logits reach 80: their own rounding, 80 / 2^24, is the relative error of exp."""
    head = kind(EachOneOf(4, 5, soft))
    logits, labels = draw(head)
    logits, target = size * logits, head.encode(labels)
    expected = formula(logits.double().view(-1, 4, 5), target.double())
    torch.testing.assert_close(head.loss(logits, target).double(), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("kind", [kind for kind, _ in FORMULAS if kind is not GroupedPairwiseCCE])
def test_float32_is_right_where_exponentials_overflow(kind):
    """Differences of 600 overflow float32 many times over and just fit float64."""
    formula = dict(FORMULAS)[kind]
    head = kind(EachOneOf(3, 4))
    logits, labels = draw(head)
    logits, target = 300 * logits.sign(), head.encode(labels)
    expected = formula(logits.double().view(-1, 3, 4), target.double())
    torch.testing.assert_close(head.loss(logits, target).double(), expected, rtol=3e-6, atol=1e-5)


def test_pairwise_is_right_up_to_its_stated_reach():
    head = GroupedPairwiseCCE(EachOneOf(3, 4))
    logits, labels = draw(head)
    logits, target = 124 * logits.sign(), head.encode(labels)
    expected = naive.pairwise(logits.double().view(-1, 3, 4), target.double())
    torch.testing.assert_close(head.loss(logits, target).double(), expected, rtol=3e-6, atol=1e-5)


def test_pairwise_far_beyond_its_reach_still_pulls_the_worst_set():
    head = GroupedPairwiseCCE(EachOneOf(2, 3))
    logits = torch.tensor([[-1e4, 1e4, 0.0, 0.0, 0.0, 1.0]])
    loss, gradient = loss_and_gradient(head, logits, head.encode(torch.tensor([[0, 0]])))
    assert loss.item() >= 1e4
    assert gradient[0, 0] < -0.4
    assert gradient[0, 1] > 0.4


@each_formula
def test_targets_may_hold_exact_zeros_and_ones_beside_soft_rows(kind, formula):
    target = torch.tensor([[[1.0, 0.0, 0.0], [0.25, 0.75, 0.0], [0.2, 0.3, 0.5]]])
    head = kind(EachOneOf(3, 3, soft=True))
    logits, _ = draw(head, n=1)
    loss, gradient = loss_and_gradient(head, logits, target)
    expected = formula(logits.double().view(1, 3, 3), target.double())
    torch.testing.assert_close(loss.double(), expected, rtol=1e-6, atol=0)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("kind", [kind for kind, _ in FORMULAS])
@pytest.mark.parametrize(("groups", "classes"), [(7, 10), (9, 17), (48, 5)])
def test_odd_sizes_leave_a_row_alone_too(kind, groups, classes):
    """Matrix products round by memory address; these sizes showed it before they were padded."""
    head = kind(EachOneOf(groups, classes, soft=True))
    logits, labels = draw(head, n=40)
    target = head.encode(labels)
    together = loss_and_gradient(head, logits, target)
    for first, n in [(0, 1), (1, 2), (3, 3), (5, 4), (9, 31)]:
        part = slice(first, first + n)
        for whole, piece in zip(
            together, loss_and_gradient(head, logits[part], target[part]), strict=True
        ):
            assert torch.equal(whole[part], piece)


# Reductions


@pytest.mark.parametrize("kind", [GroupedBalancedCCE, GroupedKLExcess])
@pytest.mark.parametrize(("groups", "classes"), SHAPES)
def test_on_one_hot_rows_the_new_losses_are_the_log_sum_loss(kind, groups, classes):
    outcome = EachOneOf(groups, classes)
    head, log_sum = kind(outcome), GroupedLogSumCCE(outcome)
    logits, labels = draw(head)
    logits, target = logits.double(), head.encode(labels).double()
    for ours, theirs in zip(
        loss_and_gradient(head, logits, target),
        loss_and_gradient(log_sum, logits, target),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-13)


def test_on_one_hot_rows_balanced_is_log_sum_to_the_bit():
    outcome = EachOneOf(5, 7)
    head = GroupedBalancedCCE(outcome)
    logits, labels = draw(head)
    target = head.encode(labels)
    assert torch.equal(head.loss(logits, target), GroupedLogSumCCE(outcome).loss(logits, target))


@pytest.mark.parametrize(
    ("kind", "scale"),
    [(GroupedLogSumCCE, 1.0), (GroupedCentredCCE, 0.5), (GroupedPairwiseCCE, 0.5)],
)
@each_softness
def test_two_classes_make_it_the_multilabel_loss_up_to_a_temperature(kind, scale, soft):
    grouped, multilabel = kind(EachOneOf(6, 2, soft)), MultilabelCCE(AnyOf(6, soft))
    logits, labels = draw(grouped)
    target = grouped.encode(labels)
    off, on = logits.view(-1, 6, 2).unbind(2)
    torch.testing.assert_close(
        grouped.loss(logits, target), multilabel.loss(scale * (on - off), target[:, :, 1])
    )


def test_two_classes_make_balanced_the_multilabel_loss_with_squared_targets():
    grouped = GroupedBalancedCCE(EachOneOf(6, 2, soft=True))
    logits, labels = draw(grouped)
    off, on = logits.view(-1, 6, 2).unbind(2)
    s, t = on - off, labels[:, :, 1]
    present = (1 + (t**2 * (-s).exp()).sum(1)).log()
    absent = (1 + ((1 - t) ** 2 * s.exp()).sum(1)).log()
    torch.testing.assert_close(grouped.loss(logits, grouped.encode(labels)), present + absent)


def test_grouped_cce_is_torch_cross_entropy_summed_over_sets():
    head = GroupedCCE(EachOneOf(5, 4))
    logits, labels = draw(head)
    expected = F.cross_entropy(logits.view(-1, 5, 4).mT, labels, reduction="none").sum(1)
    torch.testing.assert_close(head.loss(logits, head.encode(labels)), expected)


def test_centred_loss_is_nearly_zero_while_the_decision_is_wrong():
    logits = torch.tensor([[10.0, 11.0, -21.0]])
    label = torch.tensor([[0]])
    head = GroupedCentredCCE(EachOneOf(1, 3))
    assert head.loss(logits, head.encode(label)).item() == pytest.approx(math.exp(-10), rel=1e-4)
    assert head.decide(logits).item() == 1


@pytest.mark.parametrize(
    "kind", [GroupedLogSumCCE, GroupedBalancedCCE, GroupedKLExcess, GroupedPairwiseCCE]
)
def test_a_loss_below_ln_2_means_that_every_decision_is_right(kind):
    """And the guarantee is not empty: losses on both sides of ln 2 are looked at."""
    head = kind(EachOneOf(2, 3))
    logits, labels = draw(head, n=4000)
    loss = head.loss(logits, head.encode(labels))
    right = (head.decide(logits) == labels).all(1)
    assert right[loss < math.log(2)].all()
    assert (loss < math.log(2)).sum() > 50
    assert (~right).sum() > 50


# The two building blocks


def test_log_sum_of_others_is_exact_at_ties_and_far_apart():
    z = torch.tensor([[2.0, 2.0, 2.0], [1e4, -1e4, -1e4], [30.0, 0.0, -30.0]])
    expected = [
        [2 + math.log(2)] * 3,
        [-1e4 + math.log(2), 1e4, 1e4],
        [math.log1p(math.exp(-30)), 30.0, 30.0],
    ]
    torch.testing.assert_close(log_sum_of_others(z), torch.tensor(expected))


def test_log_sum_of_others_does_not_feel_the_one_left_out():
    z = draw_labels(OneOf(6, soft=True), 1)[0].double().log().requires_grad_()
    for j in range(6):
        (gradient,) = torch.autograd.grad(log_sum_of_others(z)[j], z)
        assert gradient[j].item() == pytest.approx(0, abs=1e-15)
        others = torch.cat([z[:j], z[j + 1 :]]).softmax(0).detach()
        torch.testing.assert_close(torch.cat([gradient[:j], gradient[j + 1 :]]), others)


def test_log1p_sum_exp_keeps_small_sums_and_ignores_minus_infinity():
    x = torch.tensor([[-30.0, -31.0, -torch.inf]], requires_grad=True)
    value = log1p_sum_exp(x, dim=1)
    assert value.item() == pytest.approx(math.exp(-30) + math.exp(-31), rel=1e-6)
    (gradient,) = torch.autograd.grad(value.sum(), x)
    assert gradient[0].tolist() == pytest.approx([math.exp(-30), math.exp(-31), 0], rel=1e-6)


# Cost


@pytest.mark.parametrize("kind", [kind for kind, _ in FORMULAS])
def test_nothing_of_the_size_of_sets_times_pairs_is_made(kind):
    """At S = 64, M = 100 a table over groups and pairs of classes has S * M^2 numbers a row."""
    head = kind(EachOneOf(64, 100, soft=True))
    logits, labels = draw(head, n=2)
    largest = 0

    def note(saved):
        nonlocal largest
        largest = max(largest, saved.numel())
        return saved

    with torch.autograd.graph.saved_tensors_hooks(note, lambda saved: saved):
        head.loss(logits.requires_grad_(), head.encode(labels)).sum()
    assert 0 < largest <= 2 * 112 * 112  # (N, M, M), padded to cache lines


# Refusals


@pytest.mark.parametrize("kind", [kind for kind, _ in FORMULAS])
@pytest.mark.parametrize(
    ("outcome", "remedy"), [(OneOf(3), "softmax_cce"), (AnyOf(3), "sigmoid_bce")]
)
def test_grouped_heads_refuse_other_outcomes(kind, outcome, remedy):
    with pytest.raises(HeadMismatch, match=f"needs an EachOneOf outcome.*head={remedy}"):
        kind(outcome)
