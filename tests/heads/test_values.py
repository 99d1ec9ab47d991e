"""Values of the one-of-C heads: identities, numbers with a derivation, frameworks' losses."""

import math

import pytest
import torch
from torch.nn import functional as F

from lossheads.errors import HeadMismatch, UserError
from lossheads.heads import (
    SigmoidBCE,
    SingleLogitBCE,
    SingleLogitSoftmaxCCE,
    SoftmaxBCE,
    SoftmaxCCE,
    TwoLogitCCE,
)
from lossheads.heads.functional import KERAS_EPSILON, clipped_cross_entropy
from lossheads.outcomes import AnyOf, EachOneOf, OneOf

from .pairings import draw, draw_labels, generator, loss_and_gradient

# Identities


def test_two_logits_cost_what_their_difference_costs():
    z = torch.linspace(-30, 30, 41, dtype=torch.float64).unsqueeze(1)
    y = torch.arange(41) % 2
    one, two = SingleLogitBCE(OneOf(2)), TwoLogitCCE(OneOf(2))
    pair = torch.cat([-z / 2, z / 2], dim=1)
    torch.testing.assert_close(
        one.loss(z, one.encode(y).double()), two.loss(pair, two.encode(y).double())
    )
    torch.testing.assert_close(one.log_probs(z), two.log_probs(pair))
    torch.testing.assert_close(one.scores(z), two.scores(pair))


def test_sigmoid_head_given_one_hot_is_softmax_by_brute_force():
    z = 3 * torch.randn(5, 6, generator=generator(), dtype=torch.float64)
    s = torch.sigmoid(z)
    alone = torch.stack([s[:, k] * (1 - s).prod(1) / (1 - s[:, k]) for k in range(6)], dim=1)
    expected = (alone / alone.sum(1, keepdim=True)).log()
    torch.testing.assert_close(SigmoidBCE(OneOf(6)).log_probs(z), expected)


def test_softmax_cannot_see_a_shift_and_sigmoid_can():
    z = torch.tensor([[0.02, -2.49, -1.75, 2.07, 1.25]])
    cce, bce = SoftmaxCCE(OneOf(5)), SigmoidBCE(OneOf(5))
    torch.testing.assert_close(cce.scores(z), cce.scores(z - 2))
    strongest = [bce.scores(moved)[0, 3:].tolist() for moved in (z, z - 2)]
    assert strongest == [
        pytest.approx([0.89, 0.78], abs=0.005),
        pytest.approx([0.52, 0.32], abs=0.005),
    ]


def test_a_softmax_over_one_unit_learns_nothing_and_says_class_one():
    head = SingleLogitSoftmaxCCE(OneOf(2))
    logits, labels = draw(head)
    loss, gradient = loss_and_gradient(head, logits, head.encode(labels))
    assert not loss.any()
    assert not gradient.any()
    assert torch.equal(head.framework_outputs(logits), torch.ones_like(logits))
    base_rate = labels.double().mean()
    assert (head.decide(logits) == labels).double().mean() == base_rate


def test_the_mean_class_reduction_is_the_sum_divided():
    labels = draw_labels(AnyOf(7), 9)
    logits = torch.randn(9, 7, generator=generator(1))
    total, mean = SigmoidBCE(AnyOf(7)), SigmoidBCE(AnyOf(7), class_reduction="mean")
    target = total.encode(labels)
    torch.testing.assert_close(total.loss(logits, target), 7 * mean.loss(logits, target))


def test_pos_weight_moves_the_optimal_logit_by_its_logarithm():
    rate, weight = 0.2, 5.0
    head = SigmoidBCE(AnyOf(1, soft=True), pos_weight=weight)
    best = torch.logit(torch.tensor([[rate]], dtype=torch.float64)) + math.log(weight)
    _, gradient = loss_and_gradient(head, best, torch.tensor([[rate]], dtype=torch.float64))
    assert gradient.item() == pytest.approx(0, abs=1e-15)


def test_prior_bias_of_equal_rates_is_minus_ln_of_the_others():
    bias = SigmoidBCE(OneOf(10)).prior_bias(torch.full((10,), 0.1, dtype=torch.float64))
    torch.testing.assert_close(bias, torch.full_like(bias, -math.log(9)))


def test_prior_bias_of_sigmoids_has_scores_that_sum_to_one():
    rates = torch.tensor([0.9, 0.07, 0.03], dtype=torch.float64)
    head = SigmoidBCE(OneOf(3))
    assert head.scores(head.prior_bias(rates)).sum().item() == pytest.approx(1, abs=1e-12)


# Numbers with a derivation: z = 0, one-hot labels. |p - t| of softmax is
# sqrt((1 - 1/C)^2 + (C - 1)/C^2); of sigmoids sqrt(C)/2, divided by C for the mean; with the
# prior bias -ln(C - 1) the sigmoids are 1/C and the norm is that of softmax again.


@pytest.mark.parametrize(
    ("classes", "cce", "bce_sum", "bce_mean", "bce_prior"),
    [
        (10, 0.949, 1.581, 0.158, 0.949),
        (100, 0.995, 5.00, 0.050, 0.995),
        (1000, 1.000, 15.8, 0.0158, 1.000),
    ],
)
def test_first_step_gradient_norms(classes, cce, bce_sum, bce_mean, bce_prior):
    outcome = OneOf(classes)
    softmax, total = SoftmaxCCE(outcome), SigmoidBCE(outcome)
    mean = SigmoidBCE(outcome, class_reduction="mean")
    zeros = torch.zeros(1, classes, dtype=torch.float64)
    prior = total.prior_bias(torch.full((classes,), 1 / classes, dtype=torch.float64))[None]
    target = outcome.indicators(torch.tensor([classes // 2])).double()
    for head, logits, expected in [
        (softmax, zeros, cce),
        (total, zeros, bce_sum),
        (mean, zeros, bce_mean),
        (total, prior, bce_prior),
    ]:
        _, gradient = loss_and_gradient(head, logits, target)
        assert gradient.norm().item() == pytest.approx(expected, rel=5e-3)  # three digits given


def test_softmax_bce_starts_with_one_over_c_minus_one_of_the_gradient():
    target = OneOf(10).indicators(torch.tensor([3])).double()
    zeros = torch.zeros(1, 10, dtype=torch.float64)
    _, cce = loss_and_gradient(SoftmaxCCE(OneOf(10)), zeros, target)
    _, bce = loss_and_gradient(SoftmaxBCE(OneOf(10)), zeros, target)
    torch.testing.assert_close(9 * bce, cce)


def test_zero_logits_cost_ln_c_and_c_ln_2():
    target, zeros = OneOf(10).indicators(torch.tensor([3])), torch.zeros(1, 10)
    prior = torch.full((1, 10), -math.log(9))
    cce, total = SoftmaxCCE(OneOf(10)), SigmoidBCE(OneOf(10))
    mean = SigmoidBCE(OneOf(10), class_reduction="mean")
    assert cce.loss(zeros, target).item() == pytest.approx(math.log(10), abs=1e-6)
    assert total.loss(zeros, target).item() == pytest.approx(10 * math.log(2), abs=1e-6)
    assert mean.loss(zeros, target).item() == pytest.approx(math.log(2), abs=1e-6)
    assert total.loss(prior, target).item() == pytest.approx(
        math.log(10) + 9 * math.log(10 / 9), abs=1e-6
    )


def test_confident_right_answers_keep_their_small_loss_and_gradient():
    head = SigmoidBCE(AnyOf(2))
    target = torch.tensor([[1.0, 0.0]])
    loss, gradient = loss_and_gradient(head, torch.tensor([[30.0, -30.0]]), target)
    assert loss.item() == pytest.approx(2 * math.exp(-30), rel=1e-5)
    assert gradient[0].tolist() == pytest.approx([-math.exp(-30), math.exp(-30)], rel=1e-5)


# The frameworks' own losses


@pytest.mark.parametrize("soft", [False, True])
def test_softmax_cce_is_torch_cross_entropy(soft):
    head = SoftmaxCCE(OneOf(6, soft))
    logits, labels = draw(head)
    expected = F.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(head.loss(logits, head.encode(labels)), expected)


@pytest.mark.parametrize("how", ["sum", "mean"])
@pytest.mark.parametrize("soft", [False, True])
def test_sigmoid_bce_is_torch_bce_with_logits(how, soft):
    head = SigmoidBCE(AnyOf(6, soft), class_reduction=how, pos_weight=2.5)
    logits, labels = draw(head)
    weight = torch.full((6,), 2.5)
    per_unit = F.binary_cross_entropy_with_logits(
        logits, labels.float(), reduction="none", pos_weight=weight
    )
    expected = getattr(per_unit, how)(dim=1)
    torch.testing.assert_close(head.loss(logits, head.encode(labels)), expected)


def test_softmax_bce_is_torch_bce_of_the_softmax():
    head = SoftmaxBCE(OneOf(6))
    logits, labels = draw(head)
    target = head.encode(labels)
    expected = F.binary_cross_entropy(logits.softmax(1), target, reduction="none").mean(1)
    torch.testing.assert_close(head.loss(logits, target), expected)


def test_softmax_with_binary_crossentropy_in_probability_space():
    logits = torch.tensor([[2.0, -1.0, 0.5]])
    target = torch.tensor([[0.0, 0.0, 1.0]])
    p = [math.exp(z) / sum(map(math.exp, (2.0, -1.0, 0.5))) for z in (2.0, -1.0, 0.5)]
    expected = -(math.log(1 - p[0]) + math.log(1 - p[1]) + math.log(p[2])) / 3
    loss = SoftmaxBCE(OneOf(3)).loss(logits, target)
    assert loss.item() == pytest.approx(expected, rel=1e-6)


# Keras's clip


def test_the_clip_caps_the_loss_and_leaves_no_gradient_beyond():
    p = torch.tensor([0.0, 0.5e-7, 2e-7, 0.5, 1.0], requires_grad=True)
    ones = torch.ones(5)
    loss = clipped_cross_entropy(p, ones)
    (gradient,) = torch.autograd.grad(loss.sum(), p)
    assert loss[:2].tolist() == pytest.approx([-math.log(KERAS_EPSILON)] * 2, rel=1e-6)
    assert gradient[[0, 1, 4]].tolist() == [0, 0, 0]
    assert gradient[2:4].tolist() == pytest.approx([-1 / 2e-7, -2], rel=1e-6)


def test_a_hopeless_softmax_bce_row_has_no_gradient():
    """Far beyond the clip every unit is held, so a confident mistake is never unlearned."""
    head = SoftmaxBCE(OneOf(3))
    loss, gradient = loss_and_gradient(
        head, torch.tensor([[40.0, 0.0, 0.0]]), head.encode(torch.tensor([1]))
    )
    # 1 - 1e-7 is not a float32: the upper clip lands one step below 1, at 1 - 2^-23.
    assert loss.item() == pytest.approx((-math.log(1e-7) - math.log(2**-23)) / 3, rel=1e-4)
    assert not gradient.any()


# Refusals


def test_single_logit_refuses_ten_classes():
    with pytest.raises(HeadMismatch) as caught:
        SingleLogitBCE(OneOf(10))
    message = str(caught.value)
    assert message.startswith("SingleLogitBCE does not support OneOf(n=10): ")
    assert message.endswith("; use head=softmax_cce or head=sigmoid_bce")


@pytest.mark.parametrize(
    ("outcome", "remedy"),
    [(AnyOf(3), "head=multilabel_cce"), (EachOneOf(2, 3), "head=grouped_cce")],
)
@pytest.mark.parametrize("head", [SoftmaxCCE, SoftmaxBCE, SingleLogitBCE, TwoLogitCCE])
def test_one_of_c_heads_name_a_head_for_other_outcomes(head, outcome, remedy):
    with pytest.raises(HeadMismatch, match=remedy):
        head(outcome)


@pytest.mark.parametrize("head", [SigmoidBCE, SoftmaxBCE])
def test_an_unknown_reduction_is_refused_with_the_near_match(head):
    with pytest.raises(UserError, match=r"got class_reduction=men: did you mean mean\?"):
        head(OneOf(3), class_reduction="men")


@pytest.mark.parametrize(
    ("weight", "rule"),
    [
        (0.0, "pos_weight must be above 0"),
        (-1.0, "pos_weight must be above 0"),
        (math.nan, "finite number"),
        (math.inf, "finite number"),
        ([1, 2], "finite number"),
    ],
)
def test_a_weight_that_is_no_weight_is_refused(weight, rule):
    with pytest.raises(UserError, match=rule):
        SigmoidBCE(AnyOf(3), pos_weight=weight)
