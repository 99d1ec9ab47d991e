"""Tiny configurations: scikit-learn's digits, a few dozen steps, no pictures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lossheads.runs.config import compose

TINY = [
    "dataset=digits",
    "device=cpu",
    "model.hidden=[16]",
    "training.steps=30",
    "recording.tensorboard=false",
]

Composer = Callable[..., dict[str, Any]]


@pytest.fixture
def tiny(tmp_path: Path) -> Composer:
    """Composes a tiny run below the test's own folder, with further overrides."""

    def made(*overrides: str) -> dict[str, Any]:
        return compose([*TINY, f"output_dir={tmp_path}/outputs", *overrides])

    return made
