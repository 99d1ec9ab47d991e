import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from lossheads.analysis.aggregate import (
    axis_label,
    baseline_of,
    check_shown,
    curve,
    describe_baseline,
    final,
    is_score_up_to_one,
    perfect,
    seed_interval,
    skill,
)
from lossheads.errors import UserError
from lossheads.records import MetricInfo

from .making import ARGMAX, CELLS, puzzle, run


def test_the_interval_is_students():
    values = np.random.default_rng(0).normal(0.9, 0.01, 7)
    found = seed_interval(list(values))
    low, high = stats.t.interval(0.95, 6, loc=values.mean(), scale=stats.sem(values))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.n == 7


def test_an_interval_by_hand():
    # Values 1, 2, 3: deviation 1, standard error 1/√3, t(0.975, 2) = 4.302653.
    assert seed_interval([1.0, 2.0, 3.0]).half_width == pytest.approx(
        4.302653 / math.sqrt(3), rel=1e-6
    )


def test_equal_seeds_have_their_own_value_as_mean():
    found = seed_interval([0.1, 0.1, 0.1])  # the sum of three tenths is not three tenths
    assert (found.mean, found.half_width) == (0.1, 0.0)


def test_one_seed_has_a_mean_but_no_interval():
    found = seed_interval([0.5, math.nan])
    assert (found.mean, found.n) == (0.5, 1)
    assert math.isnan(found.half_width)


def test_no_seed_has_no_mean():
    found = seed_interval([math.nan])
    assert math.isnan(found.mean)
    assert found.n == 0


def test_a_run_that_ended_early_is_counted_and_not_averaged():
    history = [{ARGMAX: 0.5}, {ARGMAX: 0.8}]
    runs = [run(0, history), run(1, history), run(2, history[:1], status="diverged"), run(3, [])]
    found = final(runs, ARGMAX, "test")
    assert (found.mean, found.n) == (0.8, 2)
    assert baseline_of(runs, ARGMAX, "test") == 0.1


def test_a_curve_keeps_the_steps_that_every_run_reached():
    history = [{ARGMAX: 0.1}, {ARGMAX: 0.5}, {ARGMAX: 0.8}]
    late = [{ARGMAX: 0.3}, {ARGMAX: 0.7}]
    points = curve([run(0, history), run(1, late), run(2, [])], ARGMAX)
    assert [(validation.step, at.mean, at.n) for validation, at in points] == [
        (0, pytest.approx(0.2), 2),
        (100, pytest.approx(0.6), 2),
    ]


def test_a_curve_runs_forwards_when_the_kept_validation_stands_last():
    history = [{ARGMAX: 0.1}, {ARGMAX: 0.5}, {ARGMAX: 0.8}]
    points = curve([run(0, history, steps=[1, 16, 8])], ARGMAX)
    assert [validation.step for validation, _ in points] == [1, 8, 16]


def test_a_curve_of_nothing_is_empty():
    assert curve([], ARGMAX) == []


def test_what_is_perfect_stands_in_the_results_and_not_in_the_name():
    made = run(0, [{ARGMAX: 0.5}])
    odd = replace(made, metric_info={"gold_score": MetricInfo(False, 0.25)})
    assert perfect([made, odd], "gold_score") == 0.25
    assert not is_score_up_to_one([made, odd], "gold_score")
    assert is_score_up_to_one([odd, made], ARGMAX)
    assert math.isnan(perfect([made], "first_step/gradient_norm"))


def test_a_metric_without_a_better_side_is_no_score_although_one_is_perfect():
    made = run(0, [{ARGMAX: 0.5}])
    assert perfect([made], "fitted_temperature") == 1.0
    assert not is_score_up_to_one([made], "fitted_temperature")


def test_skill_runs_from_the_baseline_to_perfect():
    assert [skill(0.9, 0.9, 1.0), skill(1.0, 0.9, 1.0), skill(0.0, 2.3, 0.0)] == [0.0, 1.0, 1.0]
    assert skill(0.4, 0.8, 1.0) < 0
    assert math.isnan(skill(0.0, 0.0, 0.0))


@pytest.mark.parametrize(
    ("baseline", "words"),
    [
        (0.9, "0.900 = 1 − 1/10"),
        (0.1, "0.100"),
        (0.9001, "0.900"),
        (1.0, "1.000, perfect for a constant prediction"),
    ],
)
def test_only_the_exact_baseline_is_called_one_minus_one_over_c(baseline, words):
    assert describe_baseline(puzzle()["cce"], baseline) == words


def test_half_is_not_explained_by_two_classes():
    two = replace(puzzle()["cce"][0], class_names=["no", "yes"])
    assert describe_baseline([two], 0.5) == "0.500"


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        (["macro_f1_score"], "macro_f1_score"),
        (["accuracy_score", "keras_2_3_accuracy"], "accuracy"),
        (["accuracy_score", "exact_match_score"], "score"),
    ],
)
def test_metrics_together_are_called_what_all_of_them_are(metrics, words):
    assert axis_label(metrics) == words


@pytest.mark.parametrize(
    ("arms", "metrics", "words"),
    [
        ({}, [ARGMAX], "0 arms"),
        ({"a": []}, [], "0 metrics"),
        ({"a": []}, [ARGMAX], "no run with a measurement"),
        ({"a": [run(0, [{ARGMAX: 0.5, CELLS: 0.9}])]}, ["acuracy_score"], "did you mean"),
    ],
)
def test_what_cannot_be_shown_is_refused(arms, metrics, words):
    with pytest.raises(UserError, match=words):
        check_shown(arms, metrics, "table")
