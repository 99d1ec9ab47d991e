"""What intervals cover: seeds and test examples crossed, or less, and that the page says which."""

import json
import math

import numpy as np
import pytest

from lossheads.analysis.estimates import Influence
from lossheads.analysis.statistics import t_interval
from lossheads.claims.render.markdown import write_verdict
from lossheads.claims.runner import run_claim
from lossheads.errors import UserError

from .making import Engine, claim, compose, deciding, result

HERE = ("margin: 0.01}", "margin: 0.01, on: this_test_set}")
PER_SEED = ("seeds: 4", "seeds: 4\ndata: per_seed")
CASES = (
    "arms:\n",
    "cases:\n  one: {dataset.classes: 2}\n  two: {dataset.classes: 9}\narms:\n",
)
FOUR = ("arms: [a, b]", "arms: [one/a, one/b, two/a, two/b]")
OTHER = ("metric: accuracy_score", "metric: macro_roc_auc_score")
N = 100


def bits(config):
    """Arm a decides three of a hundred examples right that b does not; one more at odd seeds."""
    seed, is_a = int(config["seed"]), config["head"] == "softmax_cce"
    right = np.arange(N) < 70
    right[80 : 83 + seed % 2] = is_a
    right[90 + seed] = not right[90 + seed]
    return right


def answers(config, examples="one set"):
    return deciding(result(config, {"macro_roc_auc_score": 0.9}), bits(config).tolist(), examples)


def bits_of(verdict, arm):
    return np.array([bits(run.config) for run in verdict.chosen[arm]], dtype=float)


def by_pencil(z):
    """Mean and variance of a table seeds × examples, from its sums of squares."""
    seeds, n = z.shape
    rows, columns = z.mean(axis=1), z.mean(axis=0)
    left = z - rows[:, None] - columns + z.mean()
    squares = (
        n * np.square(rows - z.mean()).sum() / (seeds - 1),
        seeds * np.square(columns - z.mean()).sum() / (n - 1),
        np.square(left).sum() / ((seeds - 1) * (n - 1)),
    )
    of_seeds, of_examples, shared = (square / z.size for square in squares)
    return z.mean(), max(of_seeds, shared) + max(of_examples, shared) - shared


def test_new_examples_are_a_second_source_of_chance(tmp_path):
    """On this test set a is better at every seed; new examples might say otherwise."""
    (new,) = (verdict := run_claim(claim(tmp_path), compose, Engine(answers))).findings
    (here,) = run_claim(claim(tmp_path, HERE), compose, Engine(answers)).findings
    z = bits_of(verdict, "a") - bits_of(verdict, "b")
    mean, variance = by_pencil(z)
    assert (new.covers, here.covers) == ("training_and_examples", "training")
    assert here.interval == here.over_seeds == new.over_seeds
    assert here.interval.high == pytest.approx(t_interval(z.mean(axis=1)).high)
    assert (here.conclusion, new.conclusion) == ("holds", "undecided")
    # 1.98: Student's for about a hundred examples; a hundredth of an example for each arm.
    half = 1.98 * math.sqrt(variance + 1 / N**2)
    assert new.interval.high == pytest.approx(mean + half, rel=0.02)
    assert new.interval.low == pytest.approx(mean - half, rel=0.05)


def test_levels_are_covered_alike_and_stay_in_range(tmp_path):
    verdict = run_claim(claim(tmp_path), compose, Engine(answers))
    cell = verdict.cells[0]
    mean, variance = by_pencil(bits_of(verdict, "a"))
    assert (cell.arm, cell.sample.covers) == ("a", "training_and_examples")
    assert cell.interval.high - cell.interval.low == pytest.approx(
        2 * 1.98 * math.sqrt(variance), rel=0.05
    )
    assert cell.over_seeds.low > cell.interval.low
    assert cell.interval.mean == pytest.approx(mean)


def test_arms_on_different_test_sets_do_not_pair(tmp_path):
    same, apart = (
        run_claim(claim(tmp_path, CASES, FOUR), compose, Engine(engine)).findings[0]
        for engine in (
            lambda config: answers(config),
            lambda config: answers(config, f"set of {config['dataset.classes']}"),
        )
    )
    assert [len(found.sample.examples) for found in (same, apart)] == [1, 2]
    # The two cases decide alike: on one test set their difference is 0 at every example.
    assert same.sample.examples[0].variance < 1e-30
    one, two = apart.sample.examples
    assert one.variance == two.variance > 0
    assert apart.covers == "training_and_examples"


def test_seeds_that_draw_their_own_data_cover_the_draw(tmp_path):
    per_seed = claim(tmp_path, PER_SEED)
    verdict = run_claim(per_seed, compose, Engine(lambda c: answers(c, str(c["seed"]))))
    (found,) = verdict.findings
    assert (found.covers, found.sample.examples) == ("training_and_data", ())
    assert found.interval == found.over_seeds
    with pytest.raises(UserError, match=r"better\.on.*own data"):
        claim(tmp_path, PER_SEED, HERE)


@pytest.mark.parametrize(
    "engine",
    [
        lambda config: answers(config, str(config["seed"])),  # not said to be redrawn
        lambda config: result(config, {"accuracy_score": 0.8 + 0.01 * int(config["seed"])}),
    ],
    ids=["many sets", "none recorded"],
)
def test_what_is_not_known_to_be_one_test_set_is_not_crossed(engine, tmp_path):
    verdict = run_claim(claim(tmp_path), compose, Engine(engine))
    assert verdict.findings[0].covers == "training"
    assert any("accuracy_score cover training alone" in note for note in verdict.notes)


def test_other_metrics_take_what_predictions_tell(tmp_path):
    seen = []

    def influences(config, run, names):
        seen.append((config["seed"], run.key, names))
        moved = np.where(np.arange(N) < 50, 0.001, -0.001) * (config["head"] == "softmax_cce")
        return {"macro_roc_auc_score": Influence(moved, 40.0)}

    asked = claim(tmp_path, OTHER)
    verdict = run_claim(asked, compose, Engine(answers), influences=influences)
    (part,) = verdict.findings[0].sample.examples
    # Each of a hundred examples moves the difference by 0.001, at every seed alike.
    assert part.variance == pytest.approx(100 / 99 * N * 0.001**2)
    assert (part.n, part.shared, part.edge) == (N, pytest.approx(0, abs=1e-18), 40)
    assert {names for *_, names in seen} == {("macro_roc_auc_score",)}
    assert len(seen) == len(set(seen)) == 8  # each run is read once


def test_runs_without_predictions_are_covered_by_seeds_alone_and_said_to_be(tmp_path):
    asked = claim(tmp_path, OTHER)
    verdict = run_claim(asked, compose, Engine(answers), influences=lambda *_: {})
    assert verdict.findings[0].covers == "training"
    (note,) = (note for note in verdict.notes if "training alone" in note)
    assert "8 runs kept no predictions" in note
    assert "force=true" in note


def test_predictions_are_kept_where_seeds_share_a_test_set(tmp_path):
    matched = ("protocol: same_rate", "protocol: same_rate\nmatch_first_step: true")
    compose_all = lambda words: {  # noqa: E731
        **compose(words),
        "training": {"steps": 9},
        "optimizer": {"lr": "0.1"},
    }
    for changes, kept in (([], {True}), ([PER_SEED], {None}), ([matched], {True, False})):
        engine = Engine(answers)
        run_claim(claim(tmp_path, *changes), compose_all, engine)
        asked = [config for call in engine.calls for config in call]
        assert {config.get("recording", {}).get("predictions") for config in asked} == kept
        steps = {config["training"]["steps"] for config in asked if not _kept(config)}
        assert steps <= ({0} if changes == [matched] else {9})


def _kept(config):
    return config.get("recording", {}).get("predictions")


def test_more_examples_are_asked_for_where_seeds_would_not_do(tmp_path):
    """Nothing but the examples varies: the page does not promise more seeds."""

    def wobbling(config):
        right = [True] * 90 + [False] * 10
        if config["head"] == "sigmoid_bce":
            right[88:90] = [False] * 2
        else:
            right[98 + int(config["seed"]) % 2] = True
        return deciding(result(config, {}), right, "one set")

    asked = claim(tmp_path, ("margin: 0.01", "margin: 0.005"), ("seeds: 4", "seeds: 9"))
    verdict = run_claim(asked, compose, Engine(wobbling))
    (found,) = verdict.findings
    assert found.conclusion == "undecided"
    assert (found.more_seeds, verdict.further_seeds) == (None, None)
    assert found.more_examples > 10
    page = write_verdict(verdict, tmp_path / "out").read_text(encoding="utf-8")
    assert f"about {found.more_examples:,} more test examples would help" in page


def test_the_page_and_the_record_say_what_is_covered(tmp_path):
    verdict = run_claim(claim(tmp_path), compose, Engine(answers))
    page = write_verdict(verdict, tmp_path / "out").read_text(encoding="utf-8")
    assert "crossed with it, the draw of the test examples" in page
    assert "training, test examples<br>seeds alone [" in page
    found = json.loads((tmp_path / "out" / "verdict.json").read_text())["hypotheses"]["better"]
    assert (found["about"], found["covers"]) == ("new_examples", "training_and_examples")
    assert found["sample"]["examples"][0]["n"] == N
    assert found["sample"] | {"examples": None} == {
        "drawn": "once",
        "examples": None,
        "low": -1,
        "high": 1,
    }
