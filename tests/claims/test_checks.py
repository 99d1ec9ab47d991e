"""Computations against pencil and paper, and the verdicts of every shipped claim of checks."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import optimize, special

from lossheads.claims.checks.practice import _calibration_set
from lossheads.claims.checks.registry import COMPUTATIONS, run_checks
from lossheads.claims.checks.support import grouped_head, normal, soft_labels
from lossheads.claims.reading import list_claims, load_claim
from lossheads.claims.runner import run_claim
from lossheads.errors import UserError

from .making import CLAIM, Engine, compose, result, write

CONFIGS = Path(__file__).parents[2] / "claims"
CHECKED = {
    "bce-is-for-two-classes": "mixed",
    "ce-and-bce-are-one-sum": "reproduced",
    "cross-entropy-in-words": "mixed",
    "double-sigmoid": "reproduced",
    "double-softmax": "reproduced",
    "grouped-losses-meet-at-two": "reproduced",
    "label-smoothing-bounds-the-gap": "reproduced",
    "loss-1-and-its-mechanism": "mixed",
    "one-logit-is-two-logits": "reproduced",
    "prior-bias": "reproduced",
    "sign-loss-has-no-gradient": "reproduced",
    "softmax-cannot-see-a-shift": "reproduced",
    "temperature-scaling-raises-the-error": "mixed",
    "weighted-mean-breaks-accumulation": "reproduced",
    "what-softmax-says": "reproduced",
    "worked-numbers": "mixed",
}


def compute(name, *arguments):
    return COMPUTATIONS[name](*arguments)


def test_every_claim_of_checks_alone_is_listed_here():
    assert {claim.slug for claim in list_claims(CONFIGS) if not claim.arms} == set(CHECKED)


@pytest.mark.parametrize(("slug", "word"), list(CHECKED.items()), ids=list(CHECKED))
def test_verdicts_of_shipped_checks(slug, word):
    engine = Engine(lambda config: result(config, {}))
    assert run_claim(load_claim(CONFIGS / f"{slug}.yaml"), compose, engine).verdict == word
    assert engine.calls == []


def test_checks_inside_shipped_contests_hold():
    inside = [check for claim in list_claims(CONFIGS) if claim.arms for check in claim.checks]
    assert [row.check.name for row in run_checks(inside) if row.conclusion == "fails"] == []
    assert len(inside) >= 10


def test_worked_numbers_row_by_row():
    engine = Engine(lambda config: result(config, {}))
    verdict = run_claim(load_claim(CONFIGS / "worked-numbers.yaml"), compose, engine)
    readings = {row.check.name: row.reading or row.conclusion for row in verdict.checks}
    assert readings == {
        "sigmoid_of_1": "right",
        "sigmoid_of_9": "truncated",
        "sigmoid_of_424": "right",
        "sigmoid_of_minus_3": "right",
        "sigmoid_of_x5": "wrong",
        "slope_on_paper": "holds",
        "slope_by_autograd": "fails",
        "slope_by_autograd_in_float32": "fails",
        "softmax_first": "truncated",
        "softmax_second": "truncated",
        "softmax_third": "truncated",
        "categorical_loss": "right",
        "binary_loss_of_one": "right",
        "binary_loss_of_zero": "right",
        "binary_pair_sums_to_one": "fails",
    }


# What pencil and paper say, from the formulas in claim files and docstrings.
PENCIL = [
    ("sigmoid", (0,), 0.5),
    ("sigmoid", (-800,), 0.0),
    ("softmax", (1, 0, math.log(3)), 0.75),
    ("softmax_shift_gap", (5, 1, 2, 3), 0.0),
    ("surprisal_bits", (0.125,), 3.0),
    ("sigmoid_slope", (0,), 0.25),
    ("softmax_least_loss", (2, 0), math.log(2)),
    ("smoothed_gap", (0.5, 2), math.log(3)),  # targets 3/4 and 1/4
    ("smoothed_least_loss", (1.0, 4), math.log(4)),  # uniform targets: their entropy
    ("loss_at_zero", ("sigmoid_bce_mean", 7), math.log(2)),
    ("gradient_at_zero", ("sigmoid_bce", 16), 2.0),  # C entries of one half
    ("gradient_at_zero", ("softmax_cce", 2), math.sqrt(0.5)),  # (-1/2, 1/2)
    ("gradient_at_prior", ("sigmoid_bce", 2), math.sqrt(0.5)),
    ("loss_at_prior", ("sigmoid_bce", 2), 2 * math.log(2)),
    ("double_softmax_gradient_ratio", (4,), 0.25),
    ("double_sigmoid_loss", (1, 0), math.log(1 + math.exp(-0.5))),
    ("grouped_loss", ("grouped_cce", 1, 0, 0, 0), math.log(3)),
    ("grouped_loss", ("grouped_logsum_cce", 1, 0, 0, 0), math.log(3)),  # 1 + two rivals at par
    ("grouped_loss", ("grouped_centred_cce", 1, 0, 0, 0), math.log(2)),  # 1 + itself at the mean
    ("grouped_margin", (0, 1, 4, 2), -3),
    ("multilabel_temperature", (1, 0.2), 1.0),  # one label: both losses are one
    ("surprisal_nats", (math.exp(-2),), 2.0),
    ("cross_entropy_bits", (0.5, 0.5, 0.25, 0.75), 1 + math.log2(4 / 3) / 2),
    ("code_bits", (0.25, 0.25, 0.5, 0.5, 0.25, 0.25), 1.75),  # words of 1, 2 and 2 bits
    ("code_bits", (0.4, 0.3, 0.2, 0.1, 0.4, 0.3, 0.2, 0.1), 1.9),  # of 1, 2, 3 and 3 bits
    ("idle_part", (1, 0.3), 0.0),
    ("sigmoid_total", (0, 0, 0), 1.5),
    ("sigmoid_log_slope", (0,), math.log(0.25)),
    ("closest_sigmoid", (0.4, -9, 0, 9), 0.5),
    ("largest_score", ("softmax", 1), 1.0),
    ("smallest_score", ("softmax", 1), 1.0),
    ("least_pull_when_wrong", (200,), 1 / (1 + math.exp(-1))),  # a grid of whole numbers
    ("least_surrogate_excess", (200,), 0.0),  # one bit at logit 0
    ("indicator_covariance", ("softmax", 0, 0), -0.25),
    ("indicator_covariance", ("softmax", 0, math.log(2), math.log(3)), -1 / 18),
    ("indicator_covariance", ("sigmoid", 0, 3), 0.0),
    ("least_loss_when_wrong", ("grouped_cce",), math.log(2)),
    ("class_cost", ("grouped_logsum_cce", 9, 1), math.log(10)),
    ("class_cost", ("grouped_cce", 3, 1), 3 * math.log(2)),
    ("class_cost_ratio", ("grouped_logsum_cce", 10, 0.01), math.log1p(0.1) / math.log1p(0.01)),
    ("class_cost_ratio", ("grouped_centred_cce", 10, 0.01), math.log(2) / math.log(1.1)),
    ("weighted_mean_loss", (3, 1), 1.25),
    ("classes_told_apart", (3,), 3.0),
]


@pytest.mark.parametrize(("name", "arguments", "value"), PENCIL, ids=[p[0] for p in PENCIL])
def test_computations_by_pencil(name, arguments, value):
    assert compute(name, *arguments) == pytest.approx(value, abs=1e-12)


def test_gaps_see_a_difference():
    # A gap that could only be zero would make every identity hold.
    assert compute("one_two_trajectory_gap", 1, 50) > 0.1
    assert compute("one_two_trajectory_gap", 2, 50, 0.01) > 0.01
    assert compute("grouped_multilabel_gap", "grouped_centred_cce", 1, "hard") > 0.1
    assert compute("grouped_hard_gap", "grouped_centred_cce", "grouped_logsum_cce", 3, 4) > 0.1
    assert compute("grouped_optimum_gap", "grouped_logsum_cce", 5, 4) > 0.1
    assert compute("accumulation_gap", 3) > 0.01
    assert compute("largest_dependence", "softmax", 3) > 0.1


def test_how_softmax_scores_move_is_minus_their_product():
    # By numpy: the softmax of the same draws, and -p_k p_j for the slope of p_k along z_j.
    p = np.exp(3 * normal(50, 4).numpy())
    p /= p.sum(axis=1, keepdims=True)
    slopes = -(p[:, :, None] * p[:, None, :])[:, ~np.eye(4, dtype=bool)]
    assert compute("largest_cross_slope", "softmax", 4) == pytest.approx(slopes.max(), abs=1e-12)
    assert compute("largest_dependence", "softmax", 4) == pytest.approx(-slopes.min(), abs=1e-12)


def test_one_term_says_nothing_about_the_decision():
    decided = 3 * normal(200, 10).numpy()
    right = (decided.argmax(axis=1) == np.arange(200) % 10).mean()
    assert right < 0.2
    assert compute("one_term_rows_decided_correctly", 10) == pytest.approx(right)


def test_fitted_temperatures_by_another_optimiser():
    # One that is told nothing of gradients, on the same rows.
    for true in (1, 2):
        logits, labels = (part.numpy() for part in _calibration_set(true))

        def loss(temperature, logits=logits, labels=labels):
            scaled = logits / temperature
            chosen = scaled[np.arange(len(labels)), labels]
            return float((special.logsumexp(scaled, axis=1) - chosen).mean())

        best = optimize.minimize_scalar(loss, bounds=(0.5, 4), method="bounded")
        found = compute("fitted_temperature_of", true, 1, 100)
        assert found == pytest.approx(best.x, abs=1e-3)
        change = compute("likelihood_change", true, 0.01, 50)
        early = compute("fitted_temperature_of", true, 0.01, 50)
        assert change == pytest.approx(loss(early) - loss(1), abs=1e-9)


def test_loss_1_has_the_gradient_of_small_differences():
    # The gap between autograd and the article's formula is closed by neither being wrong alike.
    s, t = 2 * normal(1, 2, 3)[0].numpy(), soft_labels(2, 3)[0].numpy()

    def loss(s):
        others = np.exp(s[:, None, :] - s[:, :, None]).sum(axis=2) - 1
        return np.log1p((t * others).sum(axis=0)).sum()

    leaf = torch.tensor(s).flatten().unsqueeze(0).requires_grad_()
    head = grouped_head("grouped_logsum_cce", 2, 3)
    (found,) = torch.autograd.grad(head.loss(leaf, torch.tensor(t).unsqueeze(0)).sum(), leaf)
    for i, j in np.ndindex(2, 3):
        step = np.zeros((2, 3))
        step[i, j] = 1e-6
        slope = (loss(s + step) - loss(s - step)) / 2e-6
        assert float(found[0, 3 * i + j]) == pytest.approx(slope, abs=1e-7)


def test_every_computation_is_used_by_a_shipped_claim():
    used = {check.compute for claim in list_claims(CONFIGS) for check in claim.checks}
    assert set(COMPUTATIONS) == used


def with_check(tmp_path, check):
    text = CLAIM.replace("seeds: 4", f"seeds: 4\nchecks: {{c: {check}}}")
    return load_claim(write(tmp_path, text))


def test_unknown_computations_are_refused_before_training(tmp_path):
    engine = Engine(lambda config: result(config, {"accuracy_score": 0.5}))
    claim = with_check(tmp_path, '{compute: sigmoyd, printed: "1"}')
    with pytest.raises(UserError, match=r"line 12, checks\.c: .*'sigmoyd' is unknown"):
        run_claim(claim, compose, engine)
    assert engine.calls == []


@pytest.mark.parametrize(
    "check",
    [
        "{compute: sigmoid, of: [a], printed: '1'}",
        "{compute: sigmoid, of: [1, 2], printed: '1'}",
        "{compute: softmax, of: [7, 1, 2], printed: '1'}",
        "{compute: loss_at_zero, of: [os, 2], printed: '1'}",
        "{compute: surprisal_bits, of: [0], printed: '1'}",
    ],
)
def test_wrong_arguments_are_refused_by_line(tmp_path, check):
    engine = Engine(lambda config: result(config, {"accuracy_score": 0.5}))
    with pytest.raises(UserError, match=r"line 12, checks\.c: \w+ does not accept"):
        run_claim(with_check(tmp_path, check), compose, engine)
    assert engine.calls == []
