"""Predictions that know something of their labels, as arrays and in files."""

from pathlib import Path
from typing import Any

import numpy as np

N, C, L = 300, 4, 3


def softmax(z: np.ndarray) -> np.ndarray:
    odds = np.exp(z - z.max(axis=-1, keepdims=True))
    return odds / odds.sum(axis=-1, keepdims=True)


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def classes(n: int = N, c: int = C, seed: int = 0, sharp: float = 2.0) -> tuple[Any, Any]:
    """Logits (n, c) float64 and class indices."""
    random = np.random.default_rng(seed)
    labels = random.integers(c, size=n)
    return sharp * np.eye(c)[labels] + random.normal(size=(n, c)), labels


def tags(n: int = N, width: int = L, seed: int = 0) -> tuple[Any, Any]:
    """Logits (n, width) and labels that are on or off."""
    random = np.random.default_rng(seed)
    labels = random.random((n, width)) < np.linspace(0.2, 0.5, width)
    return 3.0 * labels - 1.5 + random.normal(size=(n, width)), labels


def groups(n: int = N, seed: int = 0) -> tuple[Any, Any]:
    """Logits (n, 2, 3) and one class in each of two groups."""
    random = np.random.default_rng(seed)
    labels = random.integers(3, size=(n, 2))
    return 2.0 * np.eye(3)[labels] + random.normal(size=(n, 2, 3)), labels


def npz(folder: Path, name: str = "own.npz", **arrays: Any) -> Path:
    """The arrays as a file; those that are None are left out."""
    path = folder / name
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
    return path
