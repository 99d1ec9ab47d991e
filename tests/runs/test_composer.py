"""Runs composed one after another are what Hydra composes for each alone."""

import random
from pathlib import Path

import pytest
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from lossheads.errors import UserError
from lossheads.runs.composer import Composer, own_composer
from lossheads.runs.config import compose, load

CHOICES = [
    ["head=sigmoid_bce", "head=focal", "head=softmax_cce"],
    ["dataset=digits", "dataset=synthetic_blobs", "+dataset@dataset=digits", "~dataset"],
    ["optimizer=sgd", "optimizer=adamw"],
    ["experiment=puzzle", "+experiment=puzzle", "debug=tiny"],
    ["schedule=cosine"],
    ["hydra.job.name=other", "hydra/sweeper=basic"],
    ["model=cnn", "model=nonsense"],
]
VALUES = [
    ["seed=3", "seed=9", "seed=${data_seed}", "seed=${hydra:job.num}"],
    ["data_seed=4", "data_seed=${seed}", "data_seed=${training.batch_size}"],
    ["training.epochs=2", "training.epochs=0.5", "training.steps=7", "training.steps=${seed}"],
    ["optimizer.lr=0.1", "+optimizer.nesterov=true", "++optimizer.lr=0.2", "~optimizer.lr"],
    ["output_dir=here", "output_dir=${oc.env:HOME}", "output_dir=run-${seed}", "output_dir='a b'"],
    ["optimizer.betas=[0.8,0.9]", "extra_metrics=[a.b,c.d]", "+training={batch_size: 5}"],
    ["training.nothing=1", "~training.patience", "+head.extra={a: [1, {b: 2}]}", "head={gamma: 3}"],
    ["dataset.classes=3", "+dataset.seed=${seed}", "model.hidden=[8,8]", "training=null"],
]


def drawn(generator: random.Random) -> list[str]:
    """A few overrides, choices and values mixed."""
    words = [generator.choice(options) for options in CHOICES if generator.random() < 0.3]
    words += [generator.choice(options) for options in VALUES if generator.random() < 0.35]
    generator.shuffle(words)
    return words


def outcome(make: object, words: list[str]) -> object:
    """What is composed, or the kind of error."""
    try:
        return make(words)  # type: ignore[operator]
    except (UserError, HydraException, OmegaConfBaseException) as error:
        return type(error), str(error)


def test_random_overrides_give_what_hydra_gives() -> None:
    generator = random.Random(0)
    shared = own_composer()
    composed = 0
    for _ in range(60):
        words = drawn(generator)
        expected = outcome(compose, words)
        assert outcome(shared, words) == expected, words
        composed += isinstance(expected, dict)
    assert composed > 10  # the others are refused, in the same words


def test_runs_that_differ_in_values_are_composed_once() -> None:
    loaded: list[list[str]] = []

    def counted(words: list[str]) -> object:
        loaded.append(words)
        return load(words)

    composer = Composer(counted, ())  # type: ignore[arg-type]
    for head in ("sigmoid_bce", "focal"):
        for seed in range(20):
            run = composer.compose([f"seed={seed}", f"head={head}", "training.epochs=2"])
            assert (run["seed"], run["data_seed"], run["choices"]["head"]) == (seed, seed, head)
    assert loaded == [["head=sigmoid_bce"], ["head=focal"]]


def test_one_run_does_not_change_the_next() -> None:
    shared = own_composer()
    first = shared(["optimizer.lr=0.5", "seed=7"])
    first["optimizer"]["lr"] = 9
    second = shared(["data_seed=1"])
    assert (second["optimizer"]["lr"], second["seed"]) == (0.001, 0)


def test_groups_of_the_users_own_folder_are_chosen(tmp_path: Path) -> None:
    (tmp_path / "head").mkdir()
    own = "# @package _global_\nhead:\n  _target_: lossheads.heads.SoftmaxCCE\n"
    (tmp_path / "head" / "mine.yaml").write_text(own.replace("# @package _global_\nhead:\n  ", ""))
    shared = own_composer([tmp_path])
    for seed in (1, 2):
        words = ["head=mine", f"seed={seed}"]
        assert shared(words) == compose(words, [tmp_path])
        assert shared(words)["choices"]["head"] == "mine"


@pytest.mark.parametrize(
    "words", [["seed=1,2"], ["seed"], ["head=a,b"], ["output_dir=a${output_dir}"]]
)
def test_what_compose_refuses_is_refused(words: list[str]) -> None:
    with pytest.raises(UserError) as refused:
        own_composer()(words)
    with pytest.raises(UserError) as expected:
        compose(words)
    assert str(refused.value) == str(expected.value)
