"""Multi-label heads: formulas, the libraries' own losses, reductions, the kept mistake."""

import math

import pytest
import torch
from torch.nn import functional as F

from lossheads.errors import HeadMismatch, UserError
from lossheads.heads import (
    Asymmetric,
    Focal,
    MultilabelCCE,
    PerLabelCCE,
    SigmoidBCE,
    SoftmaxMultihot,
)
from lossheads.outcomes import AnyOf, EachOneOf, OneOf

from .pairings import draw, loss_and_gradient

# The log-sum loss


@pytest.mark.parametrize("soft", [False, True])
def test_multilabel_cce_is_its_formula(soft):
    head = MultilabelCCE(AnyOf(7, soft))
    logits, labels = draw(head)
    s, t = logits.double(), labels.double()
    expected = (1 + (t * (-s).exp()).sum(1)).log() + (1 + ((1 - t) * s.exp()).sum(1)).log()
    loss = head.loss(logits, head.encode(labels))
    torch.testing.assert_close(loss.double(), expected, rtol=3e-6, atol=0)


def test_multilabel_cce_is_the_trick_with_signs_and_a_large_number():
    """The published code for hard labels flips present signs and pushes the others to -1e12."""
    head = MultilabelCCE(AnyOf(7))
    logits, labels = draw(head)
    present = labels.float()
    flipped = (1 - 2 * present) * logits
    zero = torch.zeros(len(logits), 1)
    absent_part = torch.cat([flipped - present * 1e12, zero], 1).logsumexp(1)
    present_part = torch.cat([flipped - (1 - present) * 1e12, zero], 1).logsumexp(1)
    torch.testing.assert_close(head.loss(logits, head.encode(labels)), absent_part + present_part)


def test_one_label_makes_multilabel_cce_a_sigmoid():
    head, plain = MultilabelCCE(AnyOf(1)), SigmoidBCE(AnyOf(1))
    logits, labels = draw(head)
    target = head.encode(labels)
    torch.testing.assert_close(head.loss(logits, target), plain.loss(logits, target))


def test_the_score_scale_moves_scores_and_log_probs_alike_and_no_decision():
    plain, doubled = MultilabelCCE(AnyOf(5)), MultilabelCCE(AnyOf(5), score_scale=2.0)
    logits, _ = draw(plain)
    assert torch.equal(doubled.scores(logits), plain.scores(2 * logits))
    assert torch.equal(doubled.framework_outputs(logits), plain.framework_outputs(2 * logits))
    assert torch.equal(doubled.log_probs(logits), plain.log_probs(2 * logits))
    assert torch.equal(doubled.decide(logits), plain.decide(logits))


# Reductions


def test_focal_without_focus_is_sigmoid_cross_entropy():
    head, plain = Focal(AnyOf(6), gamma=0.0), SigmoidBCE(AnyOf(6))
    logits, labels = draw(head)
    target = head.encode(labels)
    assert torch.equal(head.loss(logits, target), plain.loss(logits, target))


def test_asymmetric_with_equal_gammas_and_no_margin_is_focal():
    head = Asymmetric(AnyOf(6), gamma_on=2.0, gamma_off=2.0, margin=0.0)
    logits, labels = draw(head)
    target = head.encode(labels)
    torch.testing.assert_close(
        head.loss(logits, target), Focal(AnyOf(6), gamma=2.0).loss(logits, target)
    )


def test_absent_labels_below_the_margin_cost_nothing():
    head = Asymmetric(AnyOf(2), margin=0.1)
    below = torch.logit(torch.tensor([[0.09, 0.05]]))
    loss, gradient = loss_and_gradient(head, below, torch.zeros(1, 2))
    assert loss.item() == pytest.approx(0, abs=1e-25)
    assert not gradient.any()


def test_a_pair_of_logits_costs_what_its_difference_costs():
    head = PerLabelCCE(AnyOf(5, soft=True))
    logits, labels = draw(head)
    off, on = logits.view(-1, 5, 2).unbind(2)
    plain = SigmoidBCE(AnyOf(5, soft=True))
    torch.testing.assert_close(
        head.loss(logits, head.encode(labels)), plain.loss(on - off, plain.encode(labels))
    )
    torch.testing.assert_close(head.scores(logits), plain.scores(on - off))


def test_framework_columns_of_pairs_run_off_on_off_on():
    head = PerLabelCCE(AnyOf(2))
    target = head.framework_target(torch.tensor([[True, False]]))
    assert target.tolist() == [[0, 1, 1, 0]]
    assert head.framework_outputs(torch.tensor([[-9.0, 9.0, 9.0, -9.0]]))[0].round().tolist() == [
        0,
        1,
        1,
        0,
    ]


# The mistake


def test_softmax_on_multihot_rows_finds_no_second_label():
    """At its optimum for two labels both scores are one half, and one half is "off"."""
    head = SoftmaxMultihot(AnyOf(4))
    labels = torch.tensor([[True, False, True, False]])
    logits = torch.tensor([[40.0, 0.0, 40.0, 0.0]])
    loss, gradient = loss_and_gradient(head, logits, head.encode(labels))
    assert loss.item() == pytest.approx(math.log(2), abs=1e-6)
    assert gradient.abs().max().item() == pytest.approx(0, abs=1e-6)
    assert not head.decide(logits).any()


def test_softmax_learns_nothing_from_an_example_without_labels():
    head = SoftmaxMultihot(AnyOf(4))
    logits, _ = draw(head, n=1)
    target = head.encode(torch.zeros(1, 4, dtype=torch.bool))
    loss, gradient = loss_and_gradient(head, logits, target)
    assert not loss.any()
    assert not gradient.any()


def test_softmax_on_multihot_says_off_where_the_others_are():
    """log P(off) comes from the other labels' mass and stays finite beside a sure "on"."""
    log_probs = SoftmaxMultihot(AnyOf(3)).log_probs(torch.tensor([[800.0, 0.0, 0.0]]))
    assert log_probs[0, 0, 0].item() == pytest.approx(math.log(2) - 800)


# The libraries' own losses


@pytest.mark.parametrize("alpha", [None, 0.25])
@pytest.mark.parametrize("gamma", [2.0, 1.5])
def test_focal_is_torchvision_sigmoid_focal_loss(alpha, gamma):
    ops = pytest.importorskip("torchvision.ops")
    head = Focal(AnyOf(6), gamma=gamma, alpha=alpha)
    logits, labels = draw(head)
    target = head.encode(labels)
    theirs = ops.sigmoid_focal_loss(
        logits, target, alpha=-1 if alpha is None else alpha, gamma=gamma, reduction="none"
    )
    torch.testing.assert_close(head.loss(logits, target), theirs.sum(1))


@pytest.mark.parametrize("options", [(1.0, 4.0, 0.05), (0.0, 4.0, 0.05), (1.5, 2.5, 0.2)])
def test_asymmetric_is_timm_asymmetric_loss(options):
    losses = pytest.importorskip("timm.loss")
    gamma_on, gamma_off, margin = options
    head = Asymmetric(AnyOf(6), gamma_on, gamma_off, margin)
    logits, labels = draw(head)
    target = head.encode(labels)
    theirs = losses.AsymmetricLossMultiLabel(gamma_neg=gamma_off, gamma_pos=gamma_on, clip=margin)
    for row, loss in enumerate(head.loss(logits, target)):
        # rtol: timm takes 1 - p from p in float32, which costs digits where p is near 1.
        torch.testing.assert_close(
            loss, theirs(logits[row : row + 1], target[row : row + 1]), rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize(("how", "sum_classes"), [("sum", True), ("mean", False)])
def test_sigmoid_bce_is_timm_binary_cross_entropy(how, sum_classes):
    losses = pytest.importorskip("timm.loss")
    head = SigmoidBCE(OneOf(6), class_reduction=how)
    logits, labels = draw(head)
    theirs = losses.BinaryCrossEntropy(smoothing=0.0, sum_classes=sum_classes)
    torch.testing.assert_close(
        head.loss(logits, head.encode(labels)).mean(), theirs(logits, labels)
    )


def test_asymmetric_is_its_formula_without_the_library():
    head = Asymmetric(AnyOf(6), gamma_on=1.0, gamma_off=4.0, margin=0.05)
    logits, labels = draw(head)
    p, t = logits.double().sigmoid(), labels.double()
    q = (p - 0.05).clamp(min=0)
    expected = -(t * (1 - p) * p.log() + (1 - t) * q**4 * (1 - q).log()).sum(1)
    loss = head.loss(logits, head.encode(labels))
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-9)


def test_focal_is_its_formula_without_the_library():
    head = Focal(OneOf(5), gamma=2.0, alpha=0.25)
    logits, labels = draw(head)
    p, t = logits.double().sigmoid(), F.one_hot(labels, 5).double()
    expected = 0.25 * t * (1 - p) ** 2 * -p.log() + 0.75 * (1 - t) * p**2 * -(1 - p).log()
    loss = head.loss(logits, head.encode(labels))
    torch.testing.assert_close(loss.double(), expected.sum(1), rtol=1e-5, atol=1e-9)


# Refusals


@pytest.mark.parametrize("head", [MultilabelCCE, Asymmetric, PerLabelCCE, SoftmaxMultihot])
@pytest.mark.parametrize(
    ("outcome", "remedy"),
    [(OneOf(3), "head=softmax_cce or head=sigmoid_bce"), (EachOneOf(2, 3), "head=grouped_cce")],
)
def test_multilabel_heads_name_a_head_for_other_outcomes(head, outcome, remedy):
    with pytest.raises(HeadMismatch, match=f"scores each label independently.*use {remedy}"):
        head(outcome)


@pytest.mark.parametrize("head", [Focal, Asymmetric])
def test_soft_labels_are_refused_where_the_loss_is_not_defined(head):
    with pytest.raises(
        HeadMismatch, match=r"soft AnyOf\(n=3\): .* hard labels only; use head=sigmoid_bce"
    ):
        head(AnyOf(3, soft=True))


def test_a_multihot_softmax_over_one_label_is_refused():
    with pytest.raises(HeadMismatch, match="always 1"):
        SoftmaxMultihot(AnyOf(1))


@pytest.mark.parametrize(
    ("head", "options", "rule"),
    [
        (Focal, {"gamma": -1.0}, "gamma must be at least 0, got -1.0"),
        (Focal, {"alpha": 1.0}, "between 0 and 1"),
        (Focal, {"class_reduction": "total"}, "choose from mean, sum"),
        (Focal, {"alpha": "two"}, "alpha must be a finite number, got 'two'"),
        (Asymmetric, {"gamma_off": math.inf}, "gamma_off must be a finite number, got inf"),
        (Asymmetric, {"margin": 1.0}, r"in \[0, 1\)"),
        (MultilabelCCE, {"score_scale": 0.0}, "above 0"),
        (MultilabelCCE, {"score_scale": True}, "score_scale must be a finite number, got True"),
    ],
)
def test_options_out_of_range_are_refused(head, options, rule):
    with pytest.raises(UserError, match=rule):
        head(AnyOf(3), **options)
