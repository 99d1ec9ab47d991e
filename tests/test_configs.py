"""Every YAML we ship composes and builds; every experiment and debug preset runs a few steps."""

from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from lossheads.errors import HeadMismatch
from lossheads.runs.build import ROLES, build_parts
from lossheads.runs.config import compose, config_folder, options
from lossheads.runs.execute import execute

GROUPS = [
    (group, name)
    for group in (
        *("dataset", "head", "model", "optimizer", "schedule"),
        *("device", "executor", "debug"),
    )
    for name in options(group)
    if name != "cuda"
]
# A dataset whose outcome the head serves; the first that fits is taken.
OUTCOMES = ["fashion_mnist", "fashion_mnist_pair", "synthetic_multilabel", "synthetic_groups"]
NEEDS_WORDS = {"files": ["dataset.path=missing.npz"]}


def names(pair: tuple[str, str]) -> str:
    return "/".join(pair)


@pytest.mark.parametrize("pair", [p for p in GROUPS if p[1] not in NEEDS_WORDS], ids=names)
def test_every_choice_composes_and_builds(pair: tuple[str, str]) -> None:
    group, name = pair
    heads = ["softmax_cce", "two_logit_cce", "sigmoid_bce", "grouped_cce"]
    tries = [[f"dataset={outcome}"] for outcome in OUTCOMES] if group == "head" else []
    tries = tries or ([[f"head={head}"] for head in heads] if group == "dataset" else [[]])
    for words in tries:
        with suppress(HeadMismatch):
            build_parts(compose([f"{group}={name}", *words]))
            return
    pytest.fail(f"{name} fits nothing")


def test_every_yaml_file_is_reached_by_its_group() -> None:
    known = {*ROLES, "device", "executor", "debug", "experiment"}
    folders = {path.parent.name for path in config_folder().rglob("*.yaml")} - {"configs"}
    assert folders == known


@pytest.mark.parametrize("path", sorted(config_folder().rglob("*.yaml")), ids=lambda p: p.stem)
def test_every_file_says_what_it_is_for(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()
    said = first[1] if first[0].startswith("# @package") else first[0]
    assert said.startswith("# ")
    assert len(said) > 20


@pytest.mark.parametrize("name", options("experiment"))
def test_every_experiment_runs_two_steps(name: str, tmp_path: Path) -> None:
    text = (config_folder() / "experiment" / f"{name}.yaml").read_text(encoding="utf-8")
    params = yaml.safe_load(text)["hydra"]["sweeper"]["params"]
    words = [f"{key}={str(value).split(',')[0]}" for key, value in params.items()]
    small = [
        "training.steps=2",
        "recording.tensorboard=false",
        f"output_dir={tmp_path}",
        "device=cpu",
    ]
    (result,) = execute([compose([f"experiment={name}", *words, *small])])
    assert result.status == "finished"
