"""The answer of a sweep: which setting is best, and what the paired differences say, no more."""

import io
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.making import ARGMAX, run
from lossheads.analysis.statistics import t_interval
from lossheads.analysis.summary import Difference, comparisons, rank, summary_json
from lossheads.analysis.terminal import PlainConsole
from lossheads.cli.arguments import View
from lossheads.cli.console import print_results
from lossheads.errors import RunsFailed
from lossheads.records import Result

NUMBERS = itertools.count()


def ran(
    head: str, seed: int, test: float, val: float | None = None, lr: float = 0.1, **other: Any
) -> Result:
    """A run of a sweep; `val` is what its setting is chosen by."""
    made = run(seed, [{ARGMAX: test if val is None else val}], head=head)
    kept = made.history[0]
    assert kept.test is not None
    measured = replace(kept.test, metrics={ARGMAX: test})
    config = {
        "seed": seed,
        "data_seed": seed,
        "head": {"_target_": f"lossheads.heads.{head}", **other.pop("options", {})},
        "optimizer": {"_target_": "torch.optim.Adam", "lr": lr},
        "training": {"epochs": 3, "monitor": None},
        "dataset": {"_target_": "lossheads.datasets.digits"},
        "recording": {"tensorboard": False},
        "choices": {"head": head, "dataset": "digits", "optimizer": "adam"},
        **other,
    }
    return replace(
        made, key=f"{next(NUMBERS)}", config=config, history=[replace(kept, test=measured)]
    )


def diverged(result: Result) -> Result:
    at = {"step": 1.0, "learning_rate": 0.1}
    return replace(result, status="diverged", history=[], diverged_at=at)


def text(results: list[Result], width: int = 100) -> str:
    file = io.StringIO()
    console = PlainConsole(file=file, width=width)
    print_results(results, Path("out"), console)
    return file.getvalue()


def test_the_setting_that_is_best_on_validation_is_compared_on_test() -> None:
    results = [
        ran(head, seed, test, val, lr)
        for seed in range(3)
        for head, lr, test, val in [
            ("cce", 0.1, 0.80 + seed / 100, 0.9),  # best on validation, not on test
            ("cce", 0.2, 0.99, 0.8),
            ("bce", 0.1, 0.70, 0.5),
            ("bce", 0.2, 0.90 + seed / 50, 0.6),
        ]
    ]
    (found,) = comparisons(results)
    assert [(c.head, c.setting, c.tried) for c in found.candidates] == [
        ("cce", "lr=0.1", 2),
        ("bce", "lr=0.2", 2),
    ]
    (difference,) = found.differences
    assert difference.interval.mean == pytest.approx(0.11)
    assert difference.interval.high == pytest.approx(t_interval([0.10, 0.11, 0.12]).high)
    assert difference.direction == "higher"
    assert difference.conclusion.startswith(
        "bce is better over seeds, on these 1,000 test examples, by"
    )


def test_pairs_are_of_equal_seeds_and_seeds_that_diverged_are_told() -> None:
    results = [ran("cce", seed, 0.8 + seed / 100) for seed in (2, 0, 1, 3)]
    results += [ran("bce", seed, 0.9 + seed / 100) for seed in (0, 1, 2)]
    results.append(diverged(ran("bce", 3, 0.9)))
    (found,) = comparisons(results)
    (difference,) = found.differences
    assert difference.interval.n == 3
    assert difference.interval.low == pytest.approx(0.1)  # equal at every seed
    assert difference.interval.high == pytest.approx(0.1)
    assert found.candidates[1].left_out == 1
    file = io.StringIO()
    with pytest.raises(RunsFailed, match="1 of 8"):
        print_results(results, Path("out"), PlainConsole(file=file, width=100))
    assert "1 seed diverged" in file.getvalue()


def test_a_setting_that_loses_seeds_is_not_the_best() -> None:
    results = [ran("cce", seed, 0.8, lr=0.1) for seed in range(3)]
    results += [ran("cce", seed, 0.9, lr=9.0) for seed in range(2)]
    results += [diverged(ran("cce", 2, 0.9, lr=9.0))]
    results += [ran("bce", seed, 0.8) for seed in range(3)]
    (found,) = comparisons(results)
    assert found.candidates[0].setting == "lr=0.1"


def test_what_a_run_showed_before_it_diverged_does_not_choose() -> None:
    lost = [ran("a", seed, 0.5, val=0.95) for seed in (0, 1)]
    lost[1] = replace(lost[1], status="diverged", diverged_at={"step": 1.0, "learning_rate": 1.0})
    whole = [ran("a", seed, 0.9, val=0.9) for seed in (0, 1)]
    assert rank(lost, ARGMAX, True) == (1, -0.95)
    assert rank(whole, ARGMAX, True) < rank(lost, ARGMAX, True)


@pytest.mark.parametrize("training", [None, [], {"monitor": ["x"]}, {"monitor": {}}])
def test_settings_that_a_stranger_garbled_choose_nothing(training) -> None:
    runs = [ran(head, seed, 0.9, training=training) for head in "ab" for seed in (0, 1)]
    assert len(comparisons(runs)) == 1


@pytest.mark.parametrize(
    ("values", "higher", "direction", "word"),
    [
        ([0.02, 0.03, 0.04], True, "higher", "second is better {OF_355}, by"),
        ([0.02, 0.03, 0.04], False, "higher", "second is worse {OF_355}, by"),
        ([-0.02, -0.03, -0.04], True, "lower", "second is worse {OF_355}, by"),
        ([-0.02, -0.03, -0.04], None, "lower", "second is lower {OF_355}, by"),
        ([-0.02, 0.03, 0.01], True, "undecided", "undecided {OF_355}: second may be"),
        ([0.0, 0.0, 0.0], True, "equal", "equal in each of 3 seeds"),
        ([0.0, 0.0], True, "undecided", "undecided"),
        ([0.1, 0.1], True, "undecided", "undecided"),  # two equal numbers are too often luck
        ([0.1], True, "undecided", "one seed"),
        ([], True, "undecided", "no seed in common"),
    ],
)
def test_words_say_what_the_interval_says(values, higher, direction, word) -> None:
    difference = Difference("first", "second", t_interval(values), higher, examples=355)
    assert difference.direction == direction
    assert word.format(OF_355="over seeds, on these 355 test examples") in difference.conclusion
    if direction in ("higher", "lower"):
        ends = sorted(abs(end) for end in (difference.interval.low, difference.interval.high))
        assert f"{ends[0]:.4f} to {ends[1]:.4f}" in difference.conclusion


def test_several_differences_hold_together() -> None:
    heads = ("a", "b", "c")
    results = [ran(h, s, 0.8 + s / 100 + i / 10) for i, h in enumerate(heads) for s in range(3)]
    (found,) = comparisons(results)
    assert [(d.first, d.second) for d in found.differences] == [("a", "b"), ("a", "c")]
    assert {d.interval.level for d in found.differences} == {0.975}
    assert "97.5 %" in text(results)


def test_what_is_not_tuned_is_compared_apart() -> None:
    results = [
        ran(head, seed, value, model={"_target_": "m", "width": width})
        for seed in range(2)
        for width in (8, 16)
        for head, value in (("cce", 0.8), ("bce", 0.9))
    ]
    assert [found.title for found in comparisons(results)] == [
        "digits, width=8",
        "digits, width=16",
    ]


def test_options_name_heads_only_where_one_choice_has_several() -> None:
    results = [
        ran(head, seed, 0.8, options=options)
        for seed in range(2)
        for head, options in (("cce", {}), ("focal", {"gamma": 1}), ("focal", {"gamma": 2}))
    ]
    (found,) = comparisons(results)
    assert [c.head for c in found.candidates] == ["cce", "focal, gamma=1", "focal, gamma=2"]


def test_one_head_has_its_settings_side_by_side_and_no_difference() -> None:
    results = [ran("cce", seed, 0.8 + lr, lr=lr) for seed in range(2) for lr in (0.01, 0.1)]
    (found,) = comparisons(results)
    assert [c.head for c in found.candidates] == ["cce, lr=0.01", "cce, lr=0.1"]
    assert found.differences == []


def test_an_answer_is_short_however_many_heads_and_conditions() -> None:
    results = [
        ran(f"head_{at}", seed, 0.5 + at / 100, model={"_target_": "m", "width": width})
        for at in range(30)
        for seed in range(2)
        for width in range(9)
    ]
    lines = text(results).splitlines()
    assert len(lines) <= 40
    assert "and 26 more" in "\n".join(lines)
    assert "6 further comparisons left out" in "\n".join(lines)


def test_json_holds_every_run_and_no_nan() -> None:
    results = [ran("cce", 0, 0.8), diverged(ran("cce", 1, 0.8)), ran("bce", 0, 0.9)]
    data = summary_json(results, "out/runs")
    assert [r["status"] for r in data["runs"]] == ["finished", "diverged", "finished"]
    assert data["runs"][0]["metrics"][ARGMAX] == {"value": 0.8, "baseline": 0.1}
    (found,) = data["comparisons"]
    assert found["differences"][0]["interval"]["low"] is None
    assert found["differences"][0]["direction"] == "undecided"


def test_a_sweep_of_which_nothing_is_left_says_so() -> None:
    file = io.StringIO()
    with pytest.raises(RunsFailed):
        print_results(
            [diverged(ran("cce", 0, 0.8)), diverged(ran("cce", 1, 0.8))],
            Path("out"),
            PlainConsole(file=file, width=100),
            View(),
        )
    assert file.getvalue().startswith("2 runs in out/runs")
