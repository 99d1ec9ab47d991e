"""Which arm of a claim is best under a metric, and which are not distinguishable from it."""

import math

import pytest

from lossheads.claims.arm_runs import ArmRuns
from lossheads.claims.record import cells
from lossheads.claims.render.markdown import to_markdown
from lossheads.claims.runner import run_claim
from lossheads.claims.standings import with_standings
from lossheads.claims.verdict_file import load_verdict, to_json
from lossheads.metrics.evaluate import ALL_METRICS
from lossheads.records import write_json

from .making import Engine, claim, compose, deciding, result

ARMS = "  a: {head: softmax_cce}\n  b: {head: sigmoid_bce}\n"
THREE = (ARMS, ARMS + "  c: {head: softmax_bce_sum}\n")
WOBBLE = [0.001, -0.001, 0.002, -0.002]


def standings(verdict, metric="accuracy_score"):
    return {cell.arm: cell.standing for cell in verdict.cells if cell.metric == metric}


def engine(test, val=None, metric="accuracy_score"):
    """Head -> mean; each seed adds its own, at every head another one."""

    def answer(config):
        seed, head = int(config["seed"]), config["head"]
        own = WOBBLE[(seed + head.count("g")) % 4] / 4
        known = None if val is None else {metric: val[head]}
        return result(config, {"accuracy_score": 0.5, metric: test[head] + own}, known)

    return Engine(answer)


def judged(tmp_path, answers, *changes):
    return run_claim(claim(tmp_path, THREE, *changes), compose, answers)


def test_the_best_on_validation_is_best_and_the_others_are_held_against_it_on_test(tmp_path):
    test = {"softmax_cce": 0.8, "sigmoid_bce": 0.8002, "softmax_bce_sum": 0.7}
    val = {"softmax_cce": 0.9, "sigmoid_bce": 0.89, "softmax_bce_sum": 0.6}
    found = judged(tmp_path, engine(test, val))
    assert standings(found) == {"a": "best", "b": "tied", "c": "worse"}


def test_an_arm_better_on_test_than_the_best_on_validation_is_called_so(tmp_path):
    test = {"softmax_cce": 0.7, "sigmoid_bce": 0.8, "softmax_bce_sum": 0.6}
    val = {"softmax_cce": 0.9, "sigmoid_bce": 0.8, "softmax_bce_sum": 0.7}
    assert standings(judged(tmp_path, engine(test, val)))["b"] == "better"


def test_of_a_loss_the_lowest_is_best(tmp_path):
    values = {"softmax_cce": 0.8, "sigmoid_bce": 0.5, "softmax_bce_sum": 0.6}
    metric = ("metric: accuracy_score, arms", "metric: nll_loss, arms")
    found = judged(tmp_path, engine(values, values, "nll_loss"), metric)
    assert standings(found, "nll_loss") == {"a": "worse", "b": "best", "c": "worse"}


def test_a_metric_with_no_better_side_has_no_best(tmp_path):
    values = {"softmax_cce": 0.8, "sigmoid_bce": 0.5, "softmax_bce_sum": 0.6}
    metric = ("metric: accuracy_score, arms", "metric: fitted_temperature, arms")
    found = judged(tmp_path, engine(values, values, "fitted_temperature"), metric)
    assert set(standings(found, "fitted_temperature").values()) == {"unknown"}


def test_a_metric_that_validation_lacks_has_no_best(tmp_path):
    test = {"softmax_cce": 0.8, "sigmoid_bce": 0.5, "softmax_bce_sum": 0.6}
    found = judged(tmp_path, engine(test, dict.fromkeys(test, math.nan)))
    assert set(standings(found).values()) == {"unknown"}


def test_arms_with_other_baselines_or_other_test_examples_do_not_compete(tmp_path):
    test = {"softmax_cce": 0.8, "sigmoid_bce": 0.7, "softmax_bce_sum": 0.6}

    def elsewhere(config):
        run = engine(test, test).answer(config)
        where = "one" if config["head"] != "softmax_bce_sum" else "two"
        return deciding(run, [True] * round(100 * test[config["head"]]) + [False] * 5, where)

    found = judged(tmp_path, Engine(elsewhere))
    assert standings(found) == {"a": "best", "b": "worse", "c": "unknown"}

    def otherwise(config):
        run = engine(test, test).answer(config)
        if config["head"] == "sigmoid_bce":
            run.test.baselines["accuracy_score"] = 0.9
        return run

    assert set(standings(judged(tmp_path, Engine(otherwise))).values()) == {"unknown"}


def test_an_arm_that_lost_a_seed_is_left_out_of_the_comparison(tmp_path):
    test = {"softmax_cce": 0.8, "sigmoid_bce": 0.7, "softmax_bce_sum": 0.9}

    def answer(config):
        lost = config["head"] == "softmax_bce_sum" and int(config["seed"]) == 1
        run = engine(test, test).answer(config)
        return result(config, {"accuracy_score": math.nan}) if lost else run

    assert standings(judged(tmp_path, Engine(answer))) == {
        "a": "best",
        "b": "worse",
        "c": "unknown",
    }


def test_arms_of_two_cases_have_a_best_each(tmp_path):
    cases = (
        "shared: {dataset: digits}\n",
        "shared: {dataset: digits}\ncases:\n  x: {model: linear}\n  y: {model: mlp}\n",
    )
    test = {"softmax_cce": 0.8, "sigmoid_bce": 0.7}
    found = run_claim(claim(tmp_path, cases), compose, engine(test, test))
    assert standings(found) == {"x/a": "best", "x/b": "worse", "y/a": "best", "y/b": "worse"}


@pytest.mark.parametrize("looks", [1, 16])
def test_more_looks_ask_for_wider_intervals(looks, tmp_path):
    # Differences of -0.00175 ± 0.00065: t is -5.4 with 3 degrees of freedom, p = 0.012.
    test = {"softmax_cce": 0.8, "sigmoid_bce": 0.798}
    lead = [0.0, 0.0005, -0.0005, 0.001]

    def answer(config):
        own = lead[int(config["seed"])] if config["head"] == "sigmoid_bce" else 0.0
        return result(
            config,
            {"accuracy_score": test[config["head"]] + own},
            {"accuracy_score": test[config["head"]]},
        )

    runs = ArmRuns(claim(tmp_path), compose, Engine(answer))
    runs.train(4)
    found = with_standings(runs, cells(runs), 0.1 / looks)
    assert {cell.arm: cell.standing for cell in found}["b"] == ("worse" if looks == 1 else "tied")


def test_page_and_record_show_marks_and_what_is_known_of_metrics(tmp_path):
    test = {"softmax_cce": 0.8, "sigmoid_bce": 0.8002, "softmax_bce_sum": 0.7}
    verdict = judged(tmp_path, engine(test, test))
    text = to_markdown(to_json(verdict))
    rows = {line[2:5]: line for line in text.splitlines() if line.startswith("| `")}
    assert ["★" in rows[f"`{arm}`"] for arm in "abc"] == [False, True, False]
    assert ["☆" in rows[f"`{arm}`"] for arm in "abc"] == [True, False, False]
    assert "★: best on validation" in text
    path = tmp_path / "verdict.json"
    write_json(path, to_json(verdict))
    known = {metric.name: metric.info for metric in ALL_METRICS}["accuracy_score"]
    assert load_verdict(path)["metrics"]["accuracy_score"] == vars(known)


def test_a_table_without_marks_explains_none(tmp_path):
    test = {"softmax_cce": 0.8, "sigmoid_bce": 0.7, "softmax_bce_sum": 0.6}
    found = judged(tmp_path, engine(test, dict.fromkeys(test, math.nan)))
    assert "★" not in to_markdown(to_json(found))
