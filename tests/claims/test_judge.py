"""Pairing, words and the rule, on differences worked out by hand."""

import math

import pytest

from lossheads.claims.judge import decide, judge, judge_check, paired
from lossheads.claims.schema import Check

from .making import hypothesis

SEEDS = (0, 1, 2, 3)


def measured(**arms):
    """Arm -> numbers by seed, under accuracy_score."""
    return {(arm, "accuracy_score"): dict(enumerate(row)) for arm, row in arms.items()}


def test_difference_is_first_arm_minus_second():
    numbers = measured(a=[0.9, 0.8, 0.7, 0.6], b=[0.5, 0.5, 0.5, 0.5])
    assert paired(hypothesis(), numbers, SEEDS) == pytest.approx((0.4, 0.3, 0.2, 0.1))


def test_pairing_is_by_seed_whatever_the_order():
    numbers = {
        ("a", "accuracy_score"): {0: 0.9, 1: 0.1},
        ("b", "accuracy_score"): {1: 0.0, 0: 0.8},
    }
    assert paired(hypothesis(), numbers, (1, 0)) == pytest.approx((0.1, 0.1))


def test_one_arm_is_read_as_a_level_and_four_as_an_interaction():
    numbers = measured(a=[0.9] * 4, b=[0.7] * 4, c=[0.6] * 4, d=[0.5] * 4)
    assert paired(hypothesis(arms=("a",)), numbers, (0,)) == pytest.approx((0.9,))
    interaction = hypothesis(arms=("a", "b", "c", "d"))
    assert paired(interaction, numbers, (0,)) == pytest.approx((0.1,))


def test_one_arm_under_two_metrics():
    numbers = {("a", "x"): {0: 0.98}, ("a", "y"): {0: 0.9}}
    both = hypothesis(arms=("a", "a"), metrics=("x", "y"))
    assert paired(both, numbers, (0,)) == pytest.approx((0.08,))


def test_swapped_arms_turn_holds_into_fails():
    numbers = measured(a=[0.90, 0.91, 0.90, 0.91], b=[0.80, 0.80, 0.81, 0.81])
    forth, back = judge([hypothesis(margin=0.05), hypothesis(arms=("b", "a"))], numbers, SEEDS)
    assert (forth.conclusion, back.conclusion) == ("holds", "fails")
    assert forth.interval.mean == -back.interval.mean == pytest.approx(0.1)


def test_dropping_the_pairing_loses_the_decision():
    # Seeds differ by 0.1, arms by 0.02 ± 0.002 at each seed. Paired: 0.02 ± 0.0026 at 95 %
    # (differences .020, .022, .018, .020: deviation .001633, times 3.182 / 2). Unpaired, the
    # spread over seeds swamps it.
    a, b = [0.52, 0.622, 0.718, 0.82], [0.5, 0.6, 0.7, 0.8]
    (finding,) = judge([hypothesis(margin=0.01)], measured(a=a, b=b), SEEDS)
    assert finding.conclusion == "holds"
    assert finding.interval.low == pytest.approx(0.02 - 0.0025980, abs=1e-6)
    (unpaired,) = judge([hypothesis(margin=0.01)], measured(a=a, b=b[::-1]), SEEDS)
    assert unpaired.conclusion == "undecided"


def test_one_difference_by_pencil():
    # Differences 0.03, 0.05, 0.04, 0.04: mean 0.04, deviation 0.0081650, half 3.1824463 / 2 of it.
    numbers = measured(a=[0.53, 0.55, 0.54, 0.54], b=[0.5] * 4)
    (finding,) = judge([hypothesis("equivalent", margin=0.05)], numbers, SEEDS)
    assert finding.interval.high == pytest.approx(0.04 + 0.0129922, abs=1e-6)
    assert finding.conclusion == "undecided"
    # To leave 0.05 the half width must fall below 0.01: t(n-1) * 0.008165 / sqrt n, first at
    # n = 6 (2.571 * 0.008165 / 2.449 = 0.00857; n = 5: 2.776 / 2.236 gives 0.01014).
    assert finding.more_seeds == 2


def test_several_predictions_are_corrected_together():
    # Mean 0.05, deviation sqrt(0.0018 / 3) = 0.024495, t = 4.0825 with 3 degrees of freedom:
    # p = 0.0265 alone is decided at 0.05; beside an open one it must pass 0.025.
    a, b = [0.02, 0.05, 0.05, 0.08], [0.0] * 4
    alone = judge([hypothesis()], measured(a=a, b=b), SEEDS)
    assert alone[0].p == pytest.approx(0.0265, abs=1e-4)
    assert alone[0].conclusion == "holds"
    open_one = hypothesis("equivalent", name="q", margin=0.05)
    both = judge([hypothesis(), open_one], measured(a=a, b=b), SEEDS)
    assert [finding.conclusion for finding in both] == ["undecided", "undecided"]
    assert both[0].tested.level == pytest.approx(0.975)
    assert both[0].interval.level == 0.95


def test_a_failed_run_leaves_its_prediction_open():
    numbers = measured(a=[0.9, math.nan, 0.9, 0.9], b=[0.1] * 4)
    assert judge([hypothesis()], numbers, SEEDS)[0].conclusion == "undecided"


def collapsed(n=20, low=-0.3):
    """Arm a leads by about 0.02 at every seed but two, at which it collapses."""
    return [low if seed in (3, 11) else 0.02 + 0.001 * (seed % 3) for seed in range(n)]


def test_seeds_that_lie_apart_leave_a_hypothesis_open_and_are_named():
    numbers = measured(a=collapsed(25, low=0.0), b=[0.0] * 25)
    seeds = tuple(range(25))
    (finding,) = judge([hypothesis(margin=0.016)], numbers, seeds)
    assert finding.tested.low > 0.016
    assert finding.conclusion == "undecided"
    assert "seed 3: 0" in finding.doubt
    assert "seed 11: 0" in finding.doubt
    assert finding.more_seeds is not None
    assert finding.more_seeds > 0
    (finding,) = judge([hypothesis(margin=-1.0)], numbers, seeds)
    assert finding.conclusion == "holds"
    assert "seed 11" in finding.doubt  # it stands, and the page says so
    (finding,) = judge([hypothesis()], measured(a=collapsed()[4:11], b=[0.0] * 7), SEEDS)
    assert finding.doubt == ""


RULE = {"metric_artefact": ("printed", "same"), "reproduced": ("printed", "better")}


@pytest.mark.parametrize(
    ("printed", "same", "better", "verdict"),
    [
        ("holds", "holds", "fails", "metric_artefact"),
        ("holds", "fails", "holds", "reproduced"),
        ("holds", "fails", "fails", "refuted"),
        ("fails", "undecided", "undecided", "refuted"),
        ("holds", "undecided", "fails", "undecided"),
        ("holds", "fails", "undecided", "undecided"),
        ("undecided", "holds", "fails", "undecided"),
        ("holds", "holds", "holds", "metric_artefact"),
    ],
)
def test_rule(printed, same, better, verdict):
    words = {"printed": printed, "same": same, "better": better}
    assert decide(RULE, words)[0] == verdict


def test_the_reason_names_what_decided():
    words = {"printed": "holds", "same": "undecided", "better": "fails"}
    assert decide(RULE, words) == ("undecided", "same not decided")
    words["same"] = "fails"
    assert decide(RULE, words) == ("refuted", "same and better fail")


TWO_HALVES = {"reproduced": ("a", "b"), "mixed": ("a", "not b")}


@pytest.mark.parametrize(
    ("a", "b", "verdict", "why"),
    [
        ("holds", "holds", "reproduced", "a and b hold"),
        ("holds", "fails", "mixed", "a holds and b fails"),
        ("holds", "undecided", "undecided", "b not decided"),
        ("undecided", "fails", "undecided", "a not decided"),
        ("undecided", "holds", "undecided", "a not decided"),
        ("fails", "holds", "refuted", "a fails"),
        ("fails", "fails", "refuted", "a and b fail"),
        ("fails", "undecided", "refuted", "a fails"),
    ],
)
def test_one_half_holds_and_the_other_fails(a, b, verdict, why):
    assert decide(TWO_HALVES, {"a": a, "b": b}) == (verdict, why)


def test_what_must_fail_counts_against_a_word_when_it_holds():
    rule = {"metric_artefact": ("a", "not b", "not c")}
    words = {"a": "holds", "b": "fails", "c": "fails"}
    assert decide(rule, words) == ("metric_artefact", "a holds and b and c fail")
    assert decide(rule, words | {"c": "holds"}) == ("refuted", "c holds")
    assert decide(rule, words | {"c": "undecided"}) == ("undecided", "c not decided")


def check(printed=None, relation="equals", value=0.0, tolerance=0.0):
    return Check("c", "x", (), relation, value, tolerance, printed, "", "here")


@pytest.mark.parametrize(
    ("printed", "value", "unit", "computed", "reading"),
    [
        ("0.731", 0.731, 1e-3, 0.7310585786, "right"),
        ("0.999", 0.999, 1e-3, 0.9998766, "truncated"),
        ("0.998", 0.998, 1e-3, 0.9998766, "wrong"),
        ("0.999", 0.999, 1e-3, 0.9979, "wrong"),
        ("2.99e-98", 2.99e-98, 1e-100, 2.93e-106, "wrong"),
        ("-0.12", -0.12, 1e-2, -0.129, "truncated"),
        ("0.12", 0.12, 1e-2, -0.129, "wrong"),
    ],
)
def test_printed_digits_are_right_truncated_or_wrong(printed, value, unit, computed, reading):
    row = judge_check(check(printed, value=value, tolerance=unit / 2), computed)
    assert row.reading == reading
    assert row.conclusion == ("fails" if reading == "wrong" else "holds")


def test_relations_of_checks_and_nan():
    assert judge_check(check(relation="greater", value=1.0), 1.1).conclusion == "holds"
    assert judge_check(check(relation="greater", value=1.0), 1.0).conclusion == "fails"
    assert judge_check(check(relation="less", value=1.0), 1.0).conclusion == "fails"
    assert (
        judge_check(check(value=1.0, tolerance=0.1), 1.1).conclusion == "fails"
    )  # 1.1 - 1.0 > 0.1
    assert judge_check(check(value=1.0, tolerance=0.1), 1.05).conclusion == "holds"
    assert judge_check(check(value=0.0, tolerance=9.0), math.nan).conclusion == "fails"
