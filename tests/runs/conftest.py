"""Tiny configurations: scikit-learn's digits, a few dozen steps, no pictures."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from lossheads.runs.composer import own_composer

TINY = [
    "dataset=digits",
    "device=cpu",
    "model.hidden=[16]",
    "training.steps=30",
    "recording.tensorboard=false",
]

Composer = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def composed() -> Callable[[Sequence[str]], dict[str, Any]]:
    """Hydra composes every choice of groups once for all tests: see test_composer.py."""
    return own_composer()


@pytest.fixture
def tiny(tmp_path: Path, composed: Callable[[Sequence[str]], dict[str, Any]]) -> Composer:
    """Composes a tiny run below the test's own folder, with further overrides."""

    def made(*overrides: str) -> dict[str, Any]:
        return composed([*TINY, f"output_dir={tmp_path}/outputs", *overrides])

    return made
