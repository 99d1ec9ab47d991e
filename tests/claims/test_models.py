"""McNemar's test of trained models: where it applies, what it counts, that it decides nothing."""

import json

import pytest

from lossheads.claims.render.console import print_verdict
from lossheads.claims.render.markdown import write_verdict
from lossheads.claims.runner import run_claim
from lossheads.cli.console import wide_console

from .making import Engine, claim, compose, deciding, result

# Ten examples. Arm a (softmax_cce) alone is right on three of them, b on one; by seed 1 more.
BOTH = [True] * 4
RIGHT = {
    "softmax_cce": [True, True, True, False, False],
    "sigmoid_bce": [False] * 3 + [True, False],
}


def answers(config, examples="one set"):
    """A tenth example that only arm a decides right, at seed 1."""
    right = [*BOTH, *RIGHT[config["head"]]]
    right.append(config["head"] == "softmax_cce" and config["seed"] == 1)
    return deciding(result(config, {"other_score": 0.5}), right, examples)


def test_counts_are_of_examples_that_one_arm_alone_decides_right(tmp_path):
    (test,) = run_claim(claim(tmp_path), compose, Engine(answers)).models
    assert (test.hypotheses, test.arms) == (("better",), ("a", "b"))
    assert [(pair.first, pair.second) for pair in test.by_seed] == [(3, 1), (4, 1), (3, 1), (3, 1)]
    # 3 : 1 of 4: 2 * (1 + 4) / 16 = 0.625; 4 : 1 of 5: 2 * (1 + 5) / 32 = 0.375.
    assert test.median_p == pytest.approx(0.625)
    assert test.significant_seeds == 0


def test_the_arms_are_not_swapped(tmp_path):
    swapped = claim(tmp_path, ("arms: [a, b]", "arms: [b, a]"))
    (test,) = run_claim(swapped, compose, Engine(answers)).models
    assert (test.by_seed[0].first, test.by_seed[0].second) == (1, 3)


TWICE = """hypotheses:
  worse: {metric: accuracy_score, arms: [b, a], relation: greater, margin: 0.01}
"""


def test_two_arms_are_tested_once_however_many_predictions_compare_them(tmp_path, capsys):
    verdict = run_claim(claim(tmp_path, ("hypotheses:\n", TWICE)), compose, Engine(answers))
    (test,) = verdict.models
    assert (test.hypotheses, test.arms) == (("worse", "better"), ("b", "a"))
    assert test.by_seed[0].first == 1
    text = write_verdict(verdict, tmp_path).read_text(encoding="utf-8")
    assert text.count("1:3, 1:4, 1:3, 1:3") == 1
    assert "| `worse` `better` | `b` `a` |" in text
    assert list(json.loads((tmp_path / "verdict.json").read_text())["models"]) == [
        "worse",
        "better",
    ]
    print_verdict(verdict, wide_console())
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("McNemar") == 1
    assert "(worse, better; McNemar)" in said


def test_other_arms_are_tested_on_their_own(tmp_path):
    third = claim(
        tmp_path,
        ("protocol", "  c: {head: softmax_bce}\nprotocol"),
        ("hypotheses:\n", TWICE.replace("[b, a]", "[c, a]")),
    )
    alike = Engine(lambda config: deciding(result(config, {}), BOTH))
    tests = run_claim(third, compose, alike).models
    assert [(test.hypotheses, test.arms) for test in tests] == [
        (("worse",), ("c", "a")),
        (("better",), ("a", "b")),
    ]


def test_a_metric_that_does_not_count_right_examples_is_left_out(tmp_path):
    other = claim(tmp_path, ("metric: accuracy_score", "metric: other_score"))
    assert run_claim(other, compose, Engine(answers)).models == ()


def test_arms_that_met_other_examples_are_not_compared(tmp_path):
    def apart(config):
        return answers(config, examples=config["head"])

    assert run_claim(claim(tmp_path), compose, Engine(apart)).models == ()


def test_older_runs_are_named_and_left_out(tmp_path):
    def older(config):
        return result(config, {"accuracy_score": 0.5})

    verdict = run_claim(claim(tmp_path), compose, Engine(older))
    assert verdict.models == ()
    assert any(note.startswith("8 runs did not record which") for note in verdict.notes)


def test_one_arm_and_four_arms_have_no_two_models(tmp_path):
    level = claim(
        tmp_path, ("arms: [a, b], relation: greater", "arms: [a], value: 0, relation: greater")
    )
    assert run_claim(level, compose, Engine(answers)).models == ()


def test_models_that_differ_change_no_word(tmp_path):
    def clear(config):
        return deciding(result(config, {}), [config["head"] == "softmax_cce"] * 40)

    wide = claim(tmp_path, ("margin: 0.01", "margin: 2"))
    verdict = run_claim(wide, compose, Engine(clear))
    assert verdict.models[0].significant_seeds == 4
    assert verdict.verdict == "refuted"


def test_page_json_and_terminal_show_the_counts(tmp_path, capsys):
    verdict = run_claim(claim(tmp_path), compose, Engine(answers))
    text = write_verdict(verdict, tmp_path).read_text(encoding="utf-8")
    assert (
        "| `better` | `a` `b` | 3:1, 4:1, 3:1, 3:1 | 0.62, 0.38, 0.62, 0.62 | 0.6250 | 0 of 4 |"
        in text
    )
    assert "McNemar" in text
    data = json.loads((tmp_path / "verdict.json").read_text())["models"]["better"]
    assert data["by_seed"][1] == {"first": 4, "second": 1, "p": pytest.approx(0.375)}
    assert (data["median_p"], data["significant_seeds"]) == (0.625, 0)
    print_verdict(verdict, wide_console())
    said = " ".join(capsys.readouterr().out.split())
    assert "(better; McNemar): p < 0.05 in 0 of 4 seeds, median p = 0.6250." in said


def test_without_the_test_the_page_has_no_table_of_it(tmp_path):
    verdict = run_claim(
        claim(tmp_path), compose, Engine(lambda c: result(c, {"accuracy_score": 1}))
    )
    assert "example by example" not in write_verdict(verdict, tmp_path).read_text(encoding="utf-8")
