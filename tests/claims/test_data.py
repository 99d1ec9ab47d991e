"""Whether each seed draws its own data: read from the file, asked for, said on the page."""

import pytest

from lossheads.claims.arm_runs import ArmRuns
from lossheads.claims.render.section import coverage_text, section_of
from lossheads.claims.runner import run_claim
from lossheads.claims.verdict_file import to_json
from lossheads.errors import UserError
from lossheads.runs.config import compose as compose_really

from .making import Engine, claim, compose, result

PER_SEED = ("seeds: 4", "seeds: 4\ndata: per_seed")
CASES = ("arms:\n", "cases:\n  small: {dataset.classes: 2}\n  large: {dataset.classes: 9}\narms:\n")


def scored(config):
    wobble = [0.001, -0.001, 0.002, -0.002][int(config["seed"])]
    return result(config, {"accuracy_score": 0.8 + wobble * (config["head"] == "softmax_cce")})


def seeds_of_data(engine):
    return {(config["seed"], config["dataset"]["seed"]) for config in engine.calls[0]}


def test_per_seed_gives_every_seed_data_of_its_own_and_both_arms_the_same(tmp_path):
    engine = Engine(scored)
    verdict = run_claim(claim(tmp_path, PER_SEED), compose, engine)
    assert seeds_of_data(engine) == {(seed, seed) for seed in range(4)}
    assert len(engine.asked) == 8
    text = coverage_text(to_json(verdict))
    assert "Each seed draws its own data" in text
    assert "the intervals cover that draw and training randomness" in text
    assert (
        "lossheads train dataset=digits head=softmax_cce dataset.seed=0 seed=0"
        in section_of(to_json(verdict)).commands[2]
    )


@pytest.mark.parametrize("setting", ["", "\ndata: one_draw"])
def test_without_it_all_seeds_share_one_draw(tmp_path, setting):
    engine = Engine(scored)
    verdict = run_claim(claim(tmp_path, ("seeds: 4", f"seeds: 4{setting}")), compose, engine)
    assert seeds_of_data(engine) == {(seed, 0) for seed in range(4)}
    assert "not that of another sample of data" in coverage_text(to_json(verdict))


def test_cases_may_be_redrawn_one_by_one(tmp_path):
    mixed = claim(tmp_path, CASES, ("seeds: 4", "seeds: 4\ndata: {per_seed: [large]}"))
    assert [arm.name for arm in mixed.arms.values() if arm.redrawn] == ["large/a", "large/b"]
    text = coverage_text(to_json(run_claim(mixed, compose, Engine(scored))))
    assert "So it is in large. All seeds of small share one data set" in text


def test_the_real_configuration_fills_in_the_dataset_s_own_seed(tmp_path):
    drawn = ("{dataset: digits}", "{dataset: synthetic_blobs}")
    runs = ArmRuns(claim(tmp_path, drawn, PER_SEED), compose_really, lambda configs: [])
    runs.refuse_fixed_data()
    config = runs.config(runs.claim.arms["a"], None, 3)
    assert (config["seed"], config["data_seed"], config["dataset"]["seed"]) == (3, 3, 3)


def test_data_that_are_not_drawn_are_refused_before_training(tmp_path):
    engine = Engine(scored)
    with pytest.raises(UserError, match="data: the dataset of arm a is not random") as refused:
        run_claim(claim(tmp_path, PER_SEED), compose_really, engine)
    assert "\n" not in str(refused.value)
    assert engine.calls == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([("seeds: 4", "seeds: 4\ndata: per_sed")], r"line 12, data: .*did you mean per_seed"),
        (
            [("seeds: 4", "seeds: 4\ndata: {per_sed: [a]}")],
            r"data\.per_sed: .*did you mean per_seed",
        ),
        (
            [("seeds: 4", "seeds: 4\ndata: {per_seed: [a]}")],
            r"line 12, data: a list names cases, and this claim has 0",
        ),
        (
            [CASES, ("seeds: 4", "seeds: 4\ndata: {per_seed: [larg]}")],
            r"data\.per_seed\[0\]: .*did you mean large",
        ),
        (
            [PER_SEED, ("{dataset: digits}", "{dataset: digits, dataset.seed: 3}")],
            r"line 12, data: an arm sets dataset\.seed, which per_seed sets",
        ),
    ],
)
def test_malformed_data_are_refused_by_line_and_key(tmp_path, changes, message):
    with pytest.raises(UserError, match=message) as refused:
        claim(tmp_path, *changes)
    assert "\n" not in str(refused.value)
