"""Tiny data, and a stand-in for `lossheads.check` that notes what it is called with."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import lossheads


def blobs(n: int, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, 4) float32 and labels (N,), easy but not perfectly so."""
    rng = np.random.RandomState(seed)
    labels = rng.randint(classes, size=n)
    centres = 2 * np.random.RandomState(99).normal(size=(classes, 4))
    return (centres[labels] + rng.normal(size=(n, 4))).astype("float32"), labels


class Checked(list[tuple[Any, Any, Any]]):
    """Every call of the stand-in: model, inputs, labels."""


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> Checked:
    calls = Checked()

    def check(model: Any, inputs: Any, labels: Any = None, **names: Any) -> Any:
        calls.append((model, inputs, labels))
        return SimpleNamespace(findings=[], __str__=lambda: "no findings")

    monkeypatch.setitem(vars(lossheads), "check", check)
    return calls


needs_check = pytest.mark.skipif(not hasattr(lossheads, "check"), reason="needs lossheads.check")
