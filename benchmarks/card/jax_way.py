"""JAX on the card, where it is installed with CUDA: the program of benchmarks/training_speed."""

import os
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks.card.work import SHAPE, Clock, Row, Work
from benchmarks.training_speed.setting import Setting, save_rows


def obstacle(device: str) -> str:
    """Why JAX cannot take part; empty where it can."""
    # It would take three quarters of the card's memory at its first touch.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    try:
        import jax
    except ImportError:
        return "JAX is not installed"
    try:
        found = jax.default_backend()
    except RuntimeError as error:
        return f"JAX finds no device: {error}"
    # Its default on a card is TF32; the other ways multiply in float32.
    jax.config.update("jax_default_matmul_precision", "highest")
    wanted = "gpu" if device == "cuda" else "cpu"
    return "" if found == wanted else f"JAX computes on {found}: it is installed without CUDA"


def row(work: Work, clock: Clock) -> Row:
    """One row: the seconds that the program itself takes, whole calls of many steps."""
    from benchmarks.training_speed.peers import jax_scan

    found = Row(work.net, "jax", work.members, work.batch, work.precision, work.graph)
    steps = min(clock.steps, 100)
    with tempfile.TemporaryDirectory() as folder:
        try:
            run = jax_scan.build(_setting(work, Path(folder, "rows.npz"), steps))
            begun = perf_counter()
            run(work.members, steps)
            found.first_s = perf_counter() - begun
            for _ in range(clock.rounds):
                found.step_ms.append(1e3 * run(work.members, steps) / steps)
        except Exception as error:
            found.note = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            found.step_ms = []
    return found


def _setting(work: Work, path: Path, steps: int) -> Setting:
    draw, rows = np.random.default_rng(0), steps * work.batch
    images = draw.integers(0, 256, (rows, *SHAPE[1:]), dtype=np.uint8)
    save_rows(path, images, draw.integers(0, 10, rows))
    return Setting(work.net, work.batch, "own", 1, str(path))
