"""Sweeps of tiny runs, on this machine or on a cluster of it, and what they left."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from calling import lossheads

SIX = ["train", "-m", "dataset=digits", "model=linear", "recording.tensorboard=false"]
SIX += ["device=cpu", "head=softmax_cce,sigmoid_bce", "seed=0,1,2", "training.steps=20"]
# Long enough to be met while it trains.
LONG = ["train", "dataset=digits", "model=linear", "recording.tensorboard=false", "device=cpu"]
LONG += ["training.batch_size=4", "training.steps=12000"]


def results(cwd: Path) -> dict[str, Any]:
    """Folder -> what its run computed, without where, when and for how long."""
    found = {}
    for path in sorted((cwd / "outputs" / "runs").glob("*/result.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        del result["checksum"], result["environment"], result["seconds"]
        for name in ("executor", "device", "output_dir"):
            del result["config"][name]
        found[path.parent.name] = result
    return found


def tables(stdout: str) -> str:
    """The answer of the sweep, and what follows it."""
    return stdout[stdout.index("digits: accuracy_score on test") :]


def jobs(cwd: Path) -> Path:
    """The folder of the only sweep."""
    (folder,) = (cwd / "outputs" / "jobs").glob("lossheads-*")
    return folder


@contextmanager
def called(*words: str, cwd: Path, env: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """`lossheads WORDS` as a process of its own, killed at the end if it is still there."""
    started = subprocess.Popen(
        [sys.executable, "-m", "lossheads", *words],
        cwd=cwd,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield started
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
        started.communicate()


def wait_for(what: Callable[[], Any], seconds: float = 300) -> Any:
    """The first true answer."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := what():
            return answer
        time.sleep(0.2)
    raise AssertionError(f"not within {seconds} s: {what}")


def at_work(cwd: Path) -> dict[str, Any]:
    """What the first job says of where it runs, once one of its runs has begun."""
    begun = (cwd / "outputs" / "runs").glob("*/status.json")
    started = (cwd / "outputs" / "jobs").glob("*/*.started")
    if not any(begun):
        return {}
    return next((json.loads(path.read_text()) for path in started), {})


def finishes(*words: str, cwd: Path, env: dict[str, str]) -> None:
    """The same command again trains what is missing."""
    done = lossheads(*words, cwd=cwd, env=env, seconds=300)
    assert done.returncode == 0, done.stderr
    alone = cwd / "alone"
    shutil.rmtree(alone, ignore_errors=True)
    alone.mkdir()
    here = [word for word in words if not word.startswith("executor")]
    assert lossheads(*here, cwd=alone).returncode == 0
    assert results(cwd) == results(alone)
    assert len(results(cwd)) >= 1
