"""Shared by all tests: lossheads first, so that torch's threads are told to sleep, not spin."""

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lossheads  # noqa: F401

# The program takes a pipe's width from it, and pytest-xdist sets it in its workers.
os.environ.pop("COLUMNS", None)

# What importing torch and collecting make lives as long as the tests: nobody looks through it for
# what could be freed.
gc.disable()

# Files that take longest, most of it in processes of their own. Begun first, none of them is what
# one worker still has to do when the others are done.
LONGEST = ["test_config_files.py", "test_fake_device.py", "test_intervals.py", "test_execution.py"]
LONGEST += ["test_cli.py", "test_training_speed.py", "test_several_labels.py", "test_card.py"]
LONGEST += ["test_interruption.py", "test_contract.py", "test_configs.py"]


@pytest.fixture(autouse=True)
def _own_modules_leave() -> Iterator[None]:
    """Many tests have a module `my_heads` of their own: the next must not meet the last one's."""
    path, before = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if name.split(".")[0].startswith("my_"):
            del sys.modules[name]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults", type=int, default=0, help="try each fault of tests/faults N times")
    parser.addoption("--faults-log", help="a file that gets a line per fault: test, exit status")
    parser.addoption("--faults-seed", type=int, default=0, help="draws other moments")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Kills, full disks and the like take minutes: they are tried where they are asked for."""
    return True if collection_path.name == "faults" and not config.getoption("--faults") else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONGEST)))


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    """What looks for referrers, as hypothesis does where it is installed, sees no frozen object."""
    gc.unfreeze()
