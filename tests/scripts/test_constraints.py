"""constraints.txt pins what pyproject.toml asks for, and all that follows from it."""

import re
import subprocess
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LINES = [
    line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")
]
# These come with torch on Linux, and torch fixes their versions: pinning them as well would only
# break the day torch is raised.
FIXED_BY_TORCH = ("nvidia-", "cuda-toolkit")


def pins() -> dict[str, str]:
    return {
        canonicalize_name(name): version for name, _, version in (x.partition("==") for x in LINES)
    }


def requirements() -> list[str]:
    project = PYPROJECT["project"]
    return [
        *project["dependencies"],
        *project["optional-dependencies"]["dev"],
        *PYPROJECT["build-system"]["requires"],
    ]


def closure() -> set[str]:
    """Names of all distributions that the project's requirements lead to on this machine."""
    open_ends, reached = [Requirement(text) for text in requirements()], set()
    while open_ends:
        requirement = open_ends.pop()
        reached.add(canonicalize_name(requirement.name))
        try:
            found = [Requirement(text) for text in requires(requirement.name) or []]
        except PackageNotFoundError:  # a builder: it lives only while it builds
            continue
        extras = requirement.extras or {""}
        for each in found:
            holds = each.marker is None or any(each.marker.evaluate({"extra": x}) for x in extras)
            if holds and canonicalize_name(each.name) not in reached:
                open_ends.append(each)
    return {name for name in reached if not name.startswith(FIXED_BY_TORCH)}


@pytest.mark.parametrize("line", LINES)
def test_every_line_is_one_exact_version(line):
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*==[0-9][0-9a-z.]*", line)


def test_names_are_pinned_once_and_in_order():
    assert list(dict.fromkeys(LINES)) == sorted(LINES, key=str.casefold)
    assert len(pins()) == len(LINES)


@pytest.mark.parametrize("text", requirements())
def test_what_pyproject_asks_for_is_pinned_within_its_range(text):
    requirement = Requirement(text)
    version = pins()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(version, prereleases=True)


def test_all_that_follows_is_pinned():
    assert len(closure()) > len(requirements())
    assert closure() - pins().keys() == set()


def test_torch_and_torchvision_are_the_pair_that_fits():
    assert (pins()["torch"], pins()["torchvision"]) == ("2.14.1", "0.29.1")


@pytest.mark.parametrize(
    "script", ["scripts/test.sh", "scripts/reproduce.sh", "benchmarks/card.sh", ".ci/run"]
)
def test_commands_are_executable_and_parse(script):
    assert (ROOT / script).stat().st_mode & 0o111 == 0o111
    subprocess.run(["bash", "-n", ROOT / script], check=True)


def test_supported_pythons_are_those_of_pyproject():
    assert PYPROJECT["project"]["requires-python"] == ">=3.11,<3.14"
    assert "3.11 | 3.12 | 3.13) ;;" in (ROOT / "scripts" / "bootstrap.sh").read_text()
