"""Every file in configs/dataset builds its source; every public source has a file."""

from pathlib import Path

import pytest
import yaml

import lossheads.datasets
from lossheads.datasets import Files

FOLDER = Path(__file__).parents[2] / "configs" / "dataset"
FILES = sorted(FOLDER.glob("*.yaml"))


def build(path: Path):
    settings = yaml.safe_load(path.read_text())
    package, name = settings.pop("_target_").rsplit(".", 1)
    assert package == "lossheads.datasets"
    return getattr(lossheads.datasets, name)(**settings)


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_file_builds_a_source_whose_outcome_is_known_without_reading(path):
    source = build(path)
    if not isinstance(source, Files):  # its outcome is in the user's files
        assert source.outcome.n >= 1


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_file_says_in_two_lines_what_it_is_for(path):
    lines = path.read_text().splitlines()
    assert [line.startswith("#") for line in lines[:3]] == [True, True, False]


def test_every_source_has_a_file():
    built = {type(build(path)).__name__ for path in FILES}
    public = {name for name, value in vars(lossheads.datasets).items() if hasattr(value, "load")}
    assert public - {"DatasetSource"} == built
