"""Where each loss has its minimum, and its shape on the way: docs/open-question.md, executed.

A loss is minimised from random starts with one target held fixed, so the only question is where
it sends the logits. The tolerance on probabilities is 1e-6; soft labels stay above 0.01, where a
probability is told apart from its neighbour by that much.
"""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.autograd.functional import hessian

from lossheads.heads import (
    GroupedBalancedCCE,
    GroupedCCE,
    GroupedCentredCCE,
    GroupedKLExcess,
    GroupedLogSumCCE,
    GroupedPairwiseCCE,
    Head,
    MultilabelCCE,
    SoftmaxMultihot,
)
from lossheads.heads.functional import kl_excess
from lossheads.outcomes import AnyOf, EachOneOf, OneOf, Outcome

from .pairings import build, draw_labels, generator, loss_and_gradient

GROUPS = EachOneOf(4, 5, soft=True)
SOFT_OPTIMUM = [
    ("softmax_cce", OneOf(5, soft=True)),
    ("softmax_bce", OneOf(5, soft=True)),
    ("sigmoid_bce", OneOf(5, soft=True)),
    ("sigmoid_offset_bce", OneOf(5, soft=True)),
    ("linear_squared_error", OneOf(5, soft=True)),
    ("sigmoid_bce", AnyOf(6, soft=True)),
    ("sigmoid_bce_mean", AnyOf(6, soft=True)),
    ("per_label_cce", AnyOf(6, soft=True)),
    ("single_logit_bce", OneOf(2, soft=True)),
    ("two_logit_cce", OneOf(2, soft=True)),
    ("grouped_cce", GROUPS),
    ("grouped_centred_cce", GROUPS),
    ("grouped_balanced_cce", GROUPS),
    ("grouped_kl_excess", GROUPS),
    ("grouped_pairwise_cce", GROUPS),
]
SEEDS = [0, 1, 2]


def minimise(head: Head, target: Tensor, seed: int) -> Tensor:
    """Logits (1, U), float64, at which the loss of one example stops falling."""
    start = 2 * torch.randn(1, head.num_logits, generator=generator(seed), dtype=torch.float64)
    logits = start.requires_grad_()
    optimizer = torch.optim.LBFGS(
        [logits],
        max_iter=500,
        tolerance_grad=1e-9,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = head.loss(logits, target).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    _, gradient = loss_and_gradient(head, logits, target)
    assert gradient.abs().max() < 1e-7, "the optimiser did not arrive"
    return logits.detach()


def soft_labels(outcome: Outcome, seed: int) -> Tensor:
    """One example's soft labels, float32 as datasets give them."""
    labels = draw_labels(replace(outcome, soft=True), 1, seed)
    if isinstance(outcome, AnyOf):
        return 0.01 + 0.98 * labels
    return (0.02 + labels) / (0.02 + labels).sum(dim=-1, keepdim=True)


def assert_close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found.double(), expected.double(), rtol=0, atol=1e-6)


# Where the minimum is


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("name", "outcome"), SOFT_OPTIMUM)
def test_the_scores_at_the_minimum_are_the_soft_labels(name, outcome, seed):
    head, labels = build(name, outcome), soft_labels(outcome, seed)
    logits = minimise(head, head.encode(labels).double(), seed + 10)
    assert_close(head.scores(logits), labels)


@pytest.mark.parametrize("seed", SEEDS)
def test_multilabel_cce_has_its_minimum_where_sigmoid_of_twice_the_logit_is_the_label(seed):
    outcome = AnyOf(8, soft=True)
    head, labels = MultilabelCCE(outcome, score_scale=2.0), soft_labels(outcome, seed)
    logits = minimise(head, labels.double(), seed + 10)
    assert_close(torch.sigmoid(2 * logits), labels)
    assert_close(head.scores(logits), labels)


@pytest.mark.parametrize("seed", SEEDS)
def test_logit_adjustment_fits_the_labels_with_the_rates_added(seed):
    head, labels = build("grouped_logit_adjusted_cce", GROUPS), soft_labels(GROUPS, seed)
    logits = minimise(head, labels.double(), seed + 10)
    assert_close(head.log_probs(logits).exp(), labels)
    tilted = labels / torch.tensor(head.base_rates)
    assert_close(head.scores(logits), tilted / tilted.sum(-1, keepdim=True))


def test_softmax_on_multihot_rows_spreads_one_over_the_labels():
    outcome = AnyOf(4, soft=True)
    head, labels = SoftmaxMultihot(outcome), torch.tensor([[0.9, 0.2, 0.9, 0.5]])
    logits = minimise(head, head.encode(labels).double(), 3)
    assert_close(head.scores(logits), labels / labels.sum())


@pytest.mark.parametrize("seed", SEEDS)
def test_log_sum_has_its_minimum_at_a_tilt_by_class_mass(seed):
    """t = softmax(2 s + log G), G_j the j-th bracket: temperature 1/2, rare classes lifted."""
    labels = soft_labels(GROUPS, seed).double()
    logits = minimise(GroupedLogSumCCE(GROUPS), labels, seed + 10).view(1, 4, 5)
    brackets = 1 + (labels * (1 / logits.softmax(-1) - 1)).sum(1, keepdim=True)
    assert_close((2 * logits + brackets.log()).softmax(-1), labels)


def test_log_sum_turns_a_soft_decision_over_beside_imbalanced_sets_and_balanced_does_not():
    outcome = EachOneOf(6, 3, soft=True)
    rows = [[0.9, 0.06, 0.04]] * 5 + [[0.5, 0.4, 0.1]]
    labels = torch.tensor([rows], dtype=torch.float64)
    for kind, last in ((GroupedLogSumCCE, 1), (GroupedBalancedCCE, 0)):
        head = kind(outcome)
        assert head.decide(minimise(head, labels, 1)).tolist() == [[0, 0, 0, 0, 0, last]]


def test_the_class_weights_are_what_puts_the_minimum_there():
    """Squared targets without the weights are not stationary at softmax(s) = t."""
    labels = soft_labels(GROUPS, 0).double()
    labels = labels / labels.sum(dim=-1, keepdim=True)
    logits = labels.log().requires_grad_()
    odds = 1 / logits.softmax(-1) - 1
    unweighted = (1 + (labels**2 * odds).sum(1)).log().sum()
    (gradient,) = torch.autograd.grad(unweighted, logits)
    _, weighted = loss_and_gradient(GroupedBalancedCCE(GROUPS), labels.log().flatten(1), labels)
    assert gradient.abs().max() > 1e-3
    assert weighted.abs().max() < 1e-15


def test_the_gradient_of_kl_excess_is_a_positive_multiple_of_cross_entropys_in_each_set():
    """Hence, although not convex, it is stationary at softmax(s) = t alone."""
    labels = soft_labels(GROUPS, 0).double()
    logits = 2 * torch.randn(1, 20, generator=generator(1), dtype=torch.float64)
    _, ours = loss_and_gradient(GroupedKLExcess(GROUPS), logits, labels)
    _, plain = loss_and_gradient(GroupedCCE(GROUPS), logits, labels)
    ratios = (ours / plain).view(4, 5)
    assert (ratios > 0.01).all()
    torch.testing.assert_close(ratios, ratios[:, :1].expand(4, 5))


# The shape on the way


def curvatures(head: Head, target: Tensor, logits: Tensor) -> Tensor:
    """Eigenvalues of the Hessian of one example's loss, ascending."""
    full = hessian(lambda z: head.loss(z[None], target).sum(), logits)
    return torch.linalg.eigvalsh(full)


def points(units: int) -> list[Tensor]:
    return [
        size * torch.randn(units, generator=generator(seed), dtype=torch.float64)
        for seed, size in enumerate((0.1, 0.5, 1.0, 2.0))
    ]


CONVEX = [
    GroupedCCE,
    GroupedLogSumCCE,
    GroupedCentredCCE,
    GroupedBalancedCCE,
    GroupedPairwiseCCE,
]


@pytest.mark.parametrize("kind", CONVEX)
def test_convex_losses_are_flat_along_the_shift_of_each_set_alone(kind):
    """Positive semidefinite, with exactly n = 3 zero directions."""
    outcome = EachOneOf(3, 4, soft=True)
    head, labels = kind(outcome), soft_labels(outcome, 0).double()
    for logits in points(12):
        values = curvatures(head, labels, logits)
        assert values[:3].abs().max() < 1e-13
        assert values[3] > 1e-5


@pytest.mark.parametrize(
    ("kind", "flat"),
    [
        (GroupedCCE, 3),
        (GroupedLogSumCCE, 3),
        (GroupedBalancedCCE, 3),
        (GroupedPairwiseCCE, 3),
        # All it feels of a set is how far the true logit stands above the mean: 3 of 4 are flat.
        (GroupedCentredCCE, 9),
    ],
)
def test_on_hard_labels_the_centred_loss_alone_is_flat_in_further_directions(kind, flat):
    head = kind(EachOneOf(3, 4))
    target = head.encode(torch.tensor([[0, 2, 0]])).double()
    for logits in points(12):
        values = curvatures(head, target, logits)
        assert values[:flat].abs().max() < 1e-13
        assert values[flat] > 1e-5


def test_kl_excess_is_not_convex():
    """n groups with t = (1/2, 1/2) and s = (x/2, -x/2) cost 2 log(1 + n/2 (cosh(x/2) - 1)).

    The second derivative has the sign of n + (2 - n) cosh(x/2), negative from n = 3 on.
    """
    half = torch.full((1, 4, 2), 0.5, dtype=torch.float64)

    def along(x: Tensor) -> Tensor:
        return kl_excess(torch.stack([x / 2, -x / 2]).expand(1, 4, 2), half).sum()

    for x in (1.0, 2.0, 3.0, 5.0):
        place = torch.tensor(x, dtype=torch.float64)
        expected = 2 * math.log(1 + 2 * (math.cosh(x / 2) - 1))
        assert along(place).item() == pytest.approx(expected, rel=1e-12)
        assert (hessian(along, place) < 0) == (math.cosh(x / 2) > 2)
