"""Ctrl-C, SIGTERM, kill: folders say so, no process is left behind, the next call goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from calling import Call, lossheads
from lossheads.cli import main

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


@pytest.mark.parametrize(
    ("number", "whole_group", "status"),
    # A terminal sends Ctrl-C to every process of a call, kill and batch systems to the parent.
    [(signal.SIGINT, True, 130), (signal.SIGINT, False, 130), (signal.SIGTERM, False, 143)],
    ids=["Ctrl-C", "SIGINT to the parent", "SIGTERM to the parent"],
)
def test_workers_end_with_their_parent(
    number: int, whole_group: bool, status: int, tmp_path: Path
) -> None:
    with at_work(APART, tmp_path) as call:
        call.send(number, whole_group)
        check_interrupted(call.result(), status)
        assert call.left_behind() == {}
    assert states(tmp_path) == ["interrupted", "interrupted"]
    assert not list((tmp_path / "outputs").glob("runs/*/result.json"))


def test_workers_end_soon_after_a_parent_that_was_killed(tmp_path: Path) -> None:
    """Nobody tells them; their folders are left to be trained again."""
    with at_work(APART, tmp_path) as call:
        call.send(signal.SIGKILL)
        assert call.result().returncode == -signal.SIGKILL
        assert call.left_behind() == {}
    assert states(tmp_path) == ["interrupted", "interrupted"]
    short = [*APART, "training.steps=3"]
    assert lossheads(*short, cwd=tmp_path).returncode == 0


def test_a_worker_that_is_killed_is_one_sentence(tmp_path: Path) -> None:
    """As the system does where memory is short; the other workers are stopped."""
    with at_work(APART, tmp_path) as call:
        workers = [pid for pid, words in call.processes().items() if "spawn_main" in words]
        os.kill(workers[0], signal.SIGKILL)
        ended = call.result()
        assert call.left_behind() == {}
    assert ended.returncode == 2, ended.stderr
    assert "memory" in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def check_interrupted(ended: subprocess.CompletedProcess[str], status: int) -> None:
    assert ended.returncode == status, ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("lossheads: interrupted")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("number", "status", "seeds"),
    [(signal.SIGINT, 130, 1), (signal.SIGTERM, 143, 2)],
    ids=["SIGINT, one run", "SIGTERM, two members"],
)
def test_a_cohort_that_is_ended_is_interrupted_and_can_be_called_again(
    number: int, status: int, seeds: int, tmp_path: Path
) -> None:
    words = [*LONG[:-1], "model.hidden=[16]", "-m", f"seed={','.join(map(str, range(seeds)))}"]
    long = [*words, "training.steps=2000000"]
    with at_work(long, tmp_path, runs=seeds) as call:
        call.send(number)
        check_interrupted(call.result(), status)
    assert states(tmp_path) == ["interrupted"] * seeds
    assert not list((tmp_path / "outputs").glob("runs/*/result.json"))
    assert lossheads(*words, "training.steps=3", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_waits_until_torch_is_imported(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = ModuleType("torch")
    torch.__spec__ = ModuleSpec("torch", None)
    torch.__spec__._initializing = True  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)
    handlers = {signal.SIGINT: main._on_sigint, signal.SIGTERM: main._on_sigterm}
    before = signal.signal(number, handlers[signal.Signals(number)])
    try:
        for _ in range(3):  # an impatient user is interrupted once
            os.kill(os.getpid(), number)
            time.sleep(0.1)
        torch.__spec__._initializing = False  # type: ignore[attr-defined]
        with pytest.raises(KeyboardInterrupt):
            time.sleep(5)
        time.sleep(0.2)
    finally:
        signal.signal(number, before)
        monkeypatch.setattr(main._Terminated, "came", False)
