"""Calls that train for as long as it takes to interrupt them, and what they leave behind."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from calling import Call

LONG = ["train", "dataset=digits", "recording.tensorboard=false", "training.steps=2000000"]
# Runs that cannot be stacked, and so train in processes.
APART = [*LONG, "model.hidden=[16]", "optimizer.fused=false", "-m", "seed=0,1"]


@contextmanager
def at_work(words: list[str], cwd: Path, runs: int = 2) -> Iterator[Call]:
    """A call whose runs are at work."""
    with Call("lossheads", *words, cwd=cwd, seconds=300) as call:
        deadline = time.monotonic() + 240
        while len(states(cwd)) < runs and time.monotonic() < deadline and not call.ended():
            time.sleep(0.1)
        time.sleep(0.5)
        yield call


def states(cwd: Path) -> list[str]:
    """What the run folders say of themselves."""
    found = (cwd / "outputs" / "runs").glob("*/status.json")
    return [json.loads(path.read_text())["status"] for path in found]


def check_interrupted(ended: subprocess.CompletedProcess[str], status: int) -> None:
    assert ended.returncode == status, ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("lossheads: interrupted")
    assert "Traceback" not in ended.stderr
