"""Losses that people prefer to the usual ones: against the libraries' own, or the paper's formula.

Formulas are written in NumPy from the source that the head names, not from the code under test.
"""

import json
import math
import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lossheads.errors import HeadMismatch, UserError
from lossheads.heads import (
    Focal,
    LinearSquaredError,
    SigmoidBCE,
    SigmoidOffsetBCE,
    SingleLogitBCE,
    SoftmaxCCE,
    SoftmaxFocal,
    SoftmaxLogitNormCCE,
    SoftmaxLogitPenaltyCCE,
    SoftmaxPoly1CCE,
    SoftmaxWeightedCCE,
    TwoLogitCCE,
)
from lossheads.outcomes import AnyOf, EachOneOf, OneOf

from .pairings import draw, draw_labels, generator, loss_and_gradient

EPSILON = 0.1
RATES = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)


def rows(head, n=33):
    """Logits and one-hot or soft rows as float64 arrays, and the head's losses."""
    logits, labels = draw(head, n)
    present = head.outcome.indicators(labels)
    losses = head.loss(logits, head.encode(labels))
    return logits.double().numpy(), present.double().numpy(), losses.double().numpy()


def log_softmax(z):
    return z - np.log(np.exp(z).sum(1, keepdims=True))


def assert_same(found, expected, rtol=3e-6, atol=1e-6):
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)


# Keras's own losses: head, name of the function, its options. Where it clips probabilities at 1e-7,
# its values are only as exact as the clip.
KERAS = {
    "categorical, smoothed": (
        SoftmaxCCE(OneOf(6), label_smoothing=EPSILON),
        "categorical_crossentropy",
        {"label_smoothing": EPSILON},
    ),
    "binary, smoothed": (
        SigmoidBCE(AnyOf(6), "mean", label_smoothing=EPSILON, smooth_towards="half"),
        "binary_crossentropy",
        {"label_smoothing": EPSILON},
    ),
    "categorical focal": (
        SoftmaxFocal(OneOf(6), gamma=2.0, alpha=0.25),
        "categorical_focal_crossentropy",
        {"alpha": 0.25, "gamma": 2.0},
    ),
    "binary focal": (
        Focal(AnyOf(6), gamma=2.0, class_reduction="mean"),
        "binary_focal_crossentropy",
        {"gamma": 2.0},
    ),
    "binary focal, balanced": (
        Focal(AnyOf(6), gamma=2.0, alpha=0.25, class_reduction="mean"),
        "binary_focal_crossentropy",
        {"gamma": 2.0, "alpha": 0.25, "apply_class_balancing": True},
    ),
}
ASK = """
import json, sys, keras, numpy as np
for name, options, t, z in json.load(sys.stdin):
    t, z = (np.array(a, "float32") for a in (t, z))
    loss = getattr(keras.losses, name)(t, z, from_logits=True, **options)
    print(json.dumps(np.asarray(loss).tolist()))
"""


@pytest.fixture(scope="module")
def keras_losses():
    """What Keras says of every case, asked in a process of its own: it settles its backend once."""
    if find_spec("keras") is None or find_spec("jax") is None:
        pytest.skip("needs Keras and JAX")
    asked = []
    for head, function, options in KERAS.values():
        z, t, _ = rows(head)
        asked.append([function, options, t.tolist(), z.tolist()])
    answer = subprocess.run(
        [sys.executable, "-c", ASK],
        input=json.dumps(asked),
        env=os.environ | {"KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    lines = [json.loads(line) for line in answer.stdout.splitlines()[-len(asked) :]]
    return dict(zip(KERAS, lines, strict=True))


@pytest.mark.parametrize("case", KERAS)
def test_a_loss_is_keras_own(case, keras_losses):
    head, *_ = KERAS[case]
    assert_same(rows(head)[2], keras_losses[case], rtol=2e-5, atol=2e-6)


# Label smoothing


@pytest.mark.parametrize("soft", [False, True])
def test_smoothed_cce_is_torch_label_smoothing(soft):
    head = SoftmaxCCE(OneOf(6, soft), label_smoothing=EPSILON)
    logits, labels = draw(head)
    theirs = F.cross_entropy(logits, labels, reduction="none", label_smoothing=EPSILON)
    torch.testing.assert_close(head.loss(logits, head.encode(labels)), theirs)


def test_smoothed_cce_is_timm_label_smoothing():
    losses = pytest.importorskip("timm.loss")
    head = SoftmaxCCE(OneOf(6), label_smoothing=EPSILON)
    logits, labels = draw(head)
    theirs = losses.LabelSmoothingCrossEntropy(smoothing=EPSILON)(logits, labels)
    torch.testing.assert_close(head.loss(logits, head.encode(labels)).mean(), theirs)


def test_smoothed_bce_towards_uniform_is_timm():
    losses = pytest.importorskip("timm.loss")
    head = SigmoidBCE(OneOf(6), "mean", label_smoothing=EPSILON, smooth_towards="uniform")
    logits, labels = draw(head)
    theirs = losses.BinaryCrossEntropy(smoothing=EPSILON)(logits, labels)
    torch.testing.assert_close(head.loss(logits, head.encode(labels)).mean(), theirs)


@pytest.mark.parametrize(
    ("towards", "on", "off"),
    [("uniform", 0.9 + 0.1 / 5, 0.1 / 5), ("others", 0.9, 0.1 / 4), ("half", 0.95, 0.05)],
)
def test_each_convention_has_its_two_values(towards, on, off):
    head = SigmoidBCE(OneOf(5), label_smoothing=EPSILON, smooth_towards=towards)
    target = head.encode(torch.tensor([2]))[0].tolist()
    assert target == pytest.approx([off, off, on, off, off], abs=1e-7)


def test_conventions_part_by_a_factor_of_the_amount():
    """`others` at e (C - 1) / C is `uniform` at e: two papers with one "0.1" do not agree."""
    uniform = SoftmaxCCE(OneOf(10), label_smoothing=0.1)
    others = SoftmaxCCE(OneOf(10), label_smoothing=0.09, smooth_towards="others")
    labels = draw_labels(OneOf(10), 20)
    torch.testing.assert_close(uniform.encode(labels), others.encode(labels))


def test_smoothing_moves_neither_metrics_labels_nor_the_reading():
    plain, smoothed = SoftmaxCCE(OneOf(5)), SoftmaxCCE(OneOf(5), label_smoothing=EPSILON)
    logits, labels = draw(plain)
    assert torch.equal(smoothed.framework_target(labels), plain.framework_target(labels))
    assert torch.equal(smoothed.log_probs(logits), plain.log_probs(logits))
    assert torch.equal(plain.encode(labels), plain.outcome.indicators(labels))


def test_smoothing_of_no_amount_changes_no_bit():
    for towards in ("half", "uniform", "others"):
        head = SigmoidBCE(OneOf(5), smooth_towards=towards)
        labels = draw_labels(OneOf(5), 9)
        assert torch.equal(head.encode(labels), SigmoidBCE(OneOf(5)).encode(labels))


@pytest.mark.parametrize(
    ("head", "outcome", "options", "rule"),
    [
        (SoftmaxCCE, OneOf(3), {"label_smoothing": 1.0}, "at least 0 and below 1, got 1.0"),
        (TwoLogitCCE, OneOf(2), {"label_smoothing": -0.1}, "at least 0 and below 1"),
        (SoftmaxCCE, OneOf(3), {"smooth_towards": "half"}, "choose from uniform, others"),
        (SoftmaxCCE, OneOf(3), {"smooth_towards": "unifrm"}, "did you mean uniform"),
        (SigmoidBCE, OneOf(3), {"label_smoothing": 0.1}, "needs smooth_towards, half as in Keras"),
        (SigmoidBCE, AnyOf(3), {"smooth_towards": "uniform"}, "choose from half"),
    ],
)
def test_smoothing_that_is_none_is_refused(head, outcome, options, rule):
    with pytest.raises(UserError, match=rule):
        head(outcome, **options)


# Weights per class


def test_weighted_cce_is_torch_weight_over_a_whole_training_set():
    """Where the batch is the training set, the batch's divisor is that of training."""
    weights = [0.3, 1.0, 2.0, 7.0]
    logits, labels = draw(SoftmaxCCE(OneOf(4)), n=200)
    rates = OneOf(4).indicators(labels).double().mean(0)
    head = SoftmaxWeightedCCE(OneOf(4), class_weights=weights).with_base_rates(rates)
    theirs = F.cross_entropy(logits, labels, weight=torch.tensor(weights))
    torch.testing.assert_close(head.loss(logits, head.encode(labels)).mean(), theirs)


def test_a_row_costs_torchs_unreduced_loss_over_the_mean_weight():
    weights = torch.tensor([0.3, 1.0, 2.0, 7.0])
    head = SoftmaxWeightedCCE(OneOf(4), class_weights=weights.tolist()).with_base_rates(RATES)
    logits, labels = draw(head)
    theirs = F.cross_entropy(logits, labels, weight=weights, reduction="none")
    expected = theirs / (RATES @ weights.double()).float()
    torch.testing.assert_close(head.loss(logits, head.encode(labels)), expected)


def test_in_a_batch_of_one_torchs_mean_forgets_the_weight():
    weights = torch.tensor([0.3, 1.0, 2.0, 7.0])
    head = SoftmaxWeightedCCE(OneOf(4), class_weights=weights.tolist()).with_base_rates(RATES)
    logits, labels = torch.zeros(1, 4), torch.tensor([3])
    plain = F.cross_entropy(logits, labels)
    assert F.cross_entropy(logits, labels, weight=weights) == pytest.approx(plain.item())
    factor = 7 / (RATES @ weights.double()).item()
    assert head.loss(logits, head.encode(labels)).item() == pytest.approx(factor * plain.item())


def test_balanced_weights_are_scikit_learns():
    compute = pytest.importorskip("sklearn.utils.class_weight").compute_class_weight
    labels = torch.tensor([0] * 10 + [1] * 6 + [2] * 3 + [3])
    rates = OneOf(4).indicators(labels).double().mean(0)
    ours = SoftmaxWeightedCCE(OneOf(4)).with_base_rates(rates)
    weights = compute("balanced", classes=np.arange(4), y=labels.numpy())
    given = SoftmaxWeightedCCE(OneOf(4), class_weights=weights.tolist()).with_base_rates(rates)
    logits, some = draw(ours)
    target = ours.encode(some)
    torch.testing.assert_close(ours.loss(logits, target), given.loss(logits, target))
    expected = F.cross_entropy(logits, some, torch.tensor(weights).float(), reduction="none")
    torch.testing.assert_close(ours.loss(logits, target), expected)


def test_weighted_cce_has_its_minimum_at_the_weighted_posterior():
    weights, t = [1.0, 2.0, 4.0, 8.0], torch.tensor([[0.4, 0.3, 0.2, 0.1]], dtype=torch.float64)
    head = SoftmaxWeightedCCE(OneOf(4, soft=True), class_weights=weights).with_base_rates(RATES)
    tilted = t * torch.tensor(weights, dtype=torch.float64)
    best = (tilted / tilted.sum()).log()
    _, gradient = loss_and_gradient(head, best, t)
    assert gradient.abs().max() < 1e-12


def test_the_scale_of_weights_has_no_effect():
    few, many = (
        SoftmaxWeightedCCE(OneOf(4), class_weights=[k, 2 * k, 3 * k, 4 * k]).with_base_rates(RATES)
        for k in (1.0, 50.0)
    )
    logits, labels = draw(few)
    target = few.encode(labels)
    torch.testing.assert_close(few.loss(logits, target), many.loss(logits, target))


def test_weights_without_rates_are_refused_and_given_rates_stay():
    head = SoftmaxWeightedCCE(OneOf(4))
    with pytest.raises(UserError, match="needs base rates"):
        head.loss(torch.zeros(1, 4), torch.full((1, 4), 0.25))
    given = SoftmaxWeightedCCE(OneOf(4), base_rates=RATES.tolist())
    assert given.with_base_rates(torch.full((4,), 0.25)) == given


@pytest.mark.parametrize(
    "weights", [3, "even", [1, 2], [1, 2, 3, 0], [1, 2, 3, math.nan], [[1] * 4]]
)
def test_weights_that_are_none_are_refused(weights):
    with pytest.raises(UserError, match="class_weights must be 4 numbers above 0"):
        SoftmaxWeightedCCE(OneOf(4), class_weights=weights)


# Focal losses


def test_softmax_focal_is_its_formula():
    head = SoftmaxFocal(OneOf(6), gamma=1.5, alpha=0.3)
    z, t, losses = rows(head)
    log_p = (t * log_softmax(z)).sum(1)
    assert_same(losses, -0.3 * (1 - np.exp(log_p)) ** 1.5 * log_p, rtol=1e-5)


def test_softmax_focal_without_focus_is_cross_entropy():
    head, plain = SoftmaxFocal(OneOf(6), gamma=0.0), SoftmaxCCE(OneOf(6))
    logits, labels = draw(head)
    target = plain.encode(labels)
    torch.testing.assert_close(head.loss(logits, target), plain.loss(logits, target))


@pytest.mark.parametrize(
    ("alpha_as", "present", "absent"),
    [("balance", 0.25, 0.75), ("swapped", 0.75, 0.25), ("factor", 0.25, 0.25)],
)
def test_alpha_is_what_each_code_means_by_it(alpha_as, present, absent):
    head, plain = Focal(AnyOf(6), alpha=0.25, alpha_as=alpha_as), Focal(AnyOf(6))
    logits, _ = draw(head)
    for value, weight in ((1.0, present), (0.0, absent)):
        target = torch.full_like(logits, value)
        torch.testing.assert_close(head.loss(logits, target), weight * plain.loss(logits, target))


def test_alpha_of_one_is_no_balance():
    Focal(AnyOf(3), alpha=1.0, alpha_as="factor")
    with pytest.raises(UserError, match="between 0 and 1"):
        Focal(AnyOf(3), alpha=1.0, alpha_as="swapped")
    with pytest.raises(UserError, match="did you mean balance"):
        Focal(AnyOf(3), alpha_as="balanced")


# Other shapes of cross-entropy


@pytest.mark.parametrize("soft", [False, True])
def test_poly1_is_the_papers_formula(soft):
    head = SoftmaxPoly1CCE(OneOf(6, soft), epsilon=2.0)
    z, t, losses = rows(head)
    log_p = log_softmax(z)
    expected = -(t * log_p).sum(1) + 2.0 * (1 - (t * np.exp(log_p)).sum(1))
    assert_same(losses, expected)


def test_poly1_adds_the_first_term_of_the_series():
    """-ln p = sum of (1 - p)^j / j; epsilon is added to the first coefficient."""
    logits = torch.tensor([[0.3, 0.0]], dtype=torch.float64)
    target = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    missed = 1 - logits.softmax(1)[0, 0].item()
    series = sum(missed**j / j for j in range(1, 200))
    loss = SoftmaxPoly1CCE(OneOf(2), epsilon=0.5).loss(logits, target).item()
    assert loss == pytest.approx(series + 0.5 * missed, rel=1e-12)
    loss = SoftmaxPoly1CCE(OneOf(2), epsilon=-1.0).loss(logits, target).item()
    assert loss == pytest.approx(series - missed, rel=1e-12)


def test_logit_penalty_is_the_papers_formula():
    head = SoftmaxLogitPenaltyCCE(OneOf(6), beta=0.01)
    z, t, losses = rows(head)
    assert_same(losses, -(t * log_softmax(z)).sum(1) + 0.01 / 2 * (z**2).sum(1))


def test_logit_normalisation_is_the_papers_formula():
    head = SoftmaxLogitNormCCE(OneOf(6), temperature=0.5)
    z, t, losses = rows(head)
    divided = z / np.linalg.norm(z, axis=1, keepdims=True) / 0.5
    assert_same(losses, -(t * log_softmax(divided)).sum(1))


def test_logit_normalisation_sees_directions_alone():
    head = SoftmaxLogitNormCCE(OneOf(6))
    logits, labels = draw(head)
    target = head.encode(labels)
    torch.testing.assert_close(head.loss(100 * logits, target), head.loss(logits, target))
    longer = head.log_probs(100 * logits.double())
    torch.testing.assert_close(longer, head.log_probs(logits))
    loss, gradient = loss_and_gradient(head, torch.zeros(1, 6), target[:1])
    assert loss.item() == pytest.approx(math.log(6))
    assert gradient.isfinite().all()


def test_the_prior_bias_of_normalised_logits_has_length_one():
    head = SoftmaxLogitNormCCE(OneOf(4))
    bias = head.prior_bias(RATES)
    assert bias.norm().item() == pytest.approx(1)
    torch.testing.assert_close(head.log_probs(bias[None])[0].exp(), RATES, rtol=1e-9, atol=0)


def test_rates_too_unequal_for_the_length_are_met_in_direction():
    head = SoftmaxLogitNormCCE(OneOf(4), temperature=10.0)
    bias, logs = head.prior_bias(RATES), RATES.log()
    direction = F.cosine_similarity(bias, logs - logs.mean(), dim=0)
    assert direction.item() == pytest.approx(1)


def test_sigmoid_offset_is_the_papers_formula():
    """Mean over examples and classes of the binary loss of z - ln C, times C."""
    head = SigmoidOffsetBCE(OneOf(6))
    z, t, losses = rows(head)
    p = 1 / (1 + np.exp(-(z - np.log(6))))
    per_unit = -(t * np.log(p) + (1 - t) * np.log(1 - p))
    assert_same(losses.mean(), 6 * per_unit.mean())
    assert_same(losses, per_unit.sum(1))


def test_an_offset_sigmoid_starts_near_the_share_of_a_class():
    head = SigmoidOffsetBCE(OneOf(10))
    assert head.scores(torch.zeros(1, 10))[0].tolist() == pytest.approx([1 / 11] * 10)
    assert head.prior_bias(torch.full((10,), 0.1, dtype=torch.float64)).tolist() == pytest.approx(
        [math.log(10 / 9)] * 10
    )


# Squared error


@pytest.mark.parametrize("soft", [False, True])
def test_plain_squared_error_is_torch_mse_on_the_target(soft):
    head = LinearSquaredError(OneOf(6, soft))
    logits, labels = draw(head)
    target = head.encode(labels)
    theirs = F.mse_loss(logits, target, reduction="none").mean(1)
    # On a soft label, squares averaged over what may be drawn: more by the label's own variance.
    spread = (target * (1 - target)).mean(1)
    torch.testing.assert_close(head.loss(logits, target), theirs + spread)


def test_squared_error_is_the_papers_formula():
    head = LinearSquaredError(OneOf(6), kappa=9.0, target=60.0, scale=10.0, class_reduction="sum")
    z, t, losses = rows(head)
    true, others = (t * z).sum(1), (((1 - t) * z) ** 2).sum(1)
    assert_same(losses, 10 * (9 * (true - 60) ** 2 + others))


def test_the_reading_of_outputs_is_the_nearest_distribution():
    """No distribution on a fine grid is nearer."""
    head = LinearSquaredError(OneOf(3), target=2.0)
    logits = torch.randn(20, 3, generator=generator(), dtype=torch.float64) * 2
    found = head.scores(logits)
    torch.testing.assert_close(found.sum(1), torch.ones(20, dtype=torch.float64))
    steps = torch.linspace(0, 1, 101, dtype=torch.float64)
    grid = torch.cartesian_prod(steps, steps)
    grid = grid[grid.sum(1) <= 1 + 1e-12]
    grid = torch.cat([grid, 1 - grid.sum(1, keepdim=True)], dim=1)
    distance = ((logits / 2)[:, None] - grid).square().sum(2)
    ours = ((logits / 2) - found).square().sum(1)
    assert (ours <= distance.min(1).values + 1e-12).all()


def test_probabilities_of_squared_error_are_bounded_as_keras_bounds_them():
    log_probs = LinearSquaredError(OneOf(3)).log_probs(torch.tensor([[5.0, 0.0, -1.0]]))
    assert log_probs[0, 1:].tolist() == pytest.approx([math.log(1e-7)] * 2, abs=1e-5)


def test_a_kappa_above_one_moves_the_optimum_up_and_no_decision():
    """At p = 1/2 the true class's output is M kappa / (kappa + 1), not M / 2."""
    head = LinearSquaredError(OneOf(2, soft=True), kappa=9.0)
    half = torch.full((1, 2), 0.5, dtype=torch.float64)
    _, gradient = loss_and_gradient(head, torch.full((1, 2), 0.9, dtype=torch.float64), half)
    assert gradient.abs().max() < 1e-12


# Refusals


@pytest.mark.parametrize(
    "head",
    [
        LinearSquaredError,
        SigmoidOffsetBCE,
        SoftmaxFocal,
        SoftmaxLogitNormCCE,
        SoftmaxLogitPenaltyCCE,
        SoftmaxPoly1CCE,
        SoftmaxWeightedCCE,
    ],
)
@pytest.mark.parametrize(
    ("outcome", "remedy"), [(AnyOf(3), "head=sigmoid_bce"), (EachOneOf(2, 3), "head=grouped_cce")]
)
def test_one_of_c_losses_name_a_head_for_other_outcomes(head, outcome, remedy):
    with pytest.raises(HeadMismatch, match=remedy):
        head(outcome)


@pytest.mark.parametrize(
    ("head", "options", "rule"),
    [
        (SoftmaxFocal, {"gamma": -1.0}, "gamma must be at least 0"),
        (SoftmaxFocal, {"alpha": 0.0}, "alpha must be above 0"),
        (SoftmaxPoly1CCE, {"epsilon": -1.5}, "epsilon must be at least -1"),
        (SoftmaxLogitPenaltyCCE, {"beta": -1e-3}, "beta must be at least 0"),
        (SoftmaxLogitNormCCE, {"temperature": 0.0}, "temperature must be above 0"),
        (LinearSquaredError, {"kappa": 0.0}, "kappa must be above 0"),
        (LinearSquaredError, {"target": -1.0}, "target must be above 0"),
        (LinearSquaredError, {"scale": math.inf}, "scale must be a finite number"),
        (LinearSquaredError, {"class_reduction": "men"}, "did you mean mean"),
    ],
)
def test_options_out_of_range_are_refused(head, options, rule):
    with pytest.raises(UserError, match=rule):
        head(OneOf(3), **options)


def test_one_logit_smooths_as_two_do_with_soft_labels():
    """No option is needed for one logit: the soft outcome takes smoothed labels as they are."""
    two = TwoLogitCCE(OneOf(2), label_smoothing=EPSILON)
    one = SingleLogitBCE(OneOf(2, soft=True))
    z, labels = torch.randn(9, 1, generator=generator()), draw_labels(OneOf(2), 9)
    pair = torch.cat([-z / 2, z / 2], dim=1)
    torch.testing.assert_close(
        one.loss(z, one.encode(two.encode(labels))), two.loss(pair, two.encode(labels))
    )
