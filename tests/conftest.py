"""Shared by all tests: lossheads first, so that torch's threads are told to sleep, not spin."""

import pytest

import lossheads  # noqa: F401

# Files that take longest, most of it in processes of their own. Begun first, none of them is what
# one worker still has to do when the others are done.
LONGEST = ["test_interruption.py", "test_training_speed.py", "test_card.py", "test_execution.py"]
LONGEST += ["test_several_labels.py", "test_made_up_card.py", "test_configs.py", "test_cli.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONGEST)))
