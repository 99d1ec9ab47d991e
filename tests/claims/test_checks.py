"""Computations against pencil and paper, and the verdicts of every shipped claim of checks."""

import math
from pathlib import Path

import pytest

from lossheads.claims.checks.registry import COMPUTATIONS, run_checks
from lossheads.claims.reading import list_claims, load_claim
from lossheads.claims.runner import run_claim
from lossheads.errors import UserError

from .making import CLAIM, Engine, compose, result, write

CONFIGS = Path(__file__).parents[2] / "claims"
CHECKED = {
    "ce-and-bce-are-one-sum": "reproduced",
    "double-sigmoid": "reproduced",
    "double-softmax": "reproduced",
    "grouped-losses-meet-at-two": "reproduced",
    "label-smoothing-bounds-the-gap": "reproduced",
    "one-logit-is-two-logits": "reproduced",
    "prior-bias": "reproduced",
    "softmax-cannot-see-a-shift": "reproduced",
    "worked-numbers": "refuted",
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
        "sigmoid_of_minus_243": "wrong",
        "sigmoid_of_minus_226": "wrong",
        "gradient_never_zero": "fails",
        "gradient_never_zero_in_float32": "fails",
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
