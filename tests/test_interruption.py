"""Ctrl-C and SIGTERM: folders say so, no process is left behind, the next call goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from calling import lossheads

LONG = ["train", "dataset=digits", "recording.tensorboard=false", "training.steps=2000000"]
# Runs that cannot be stacked, and so train in processes.
APART = [*LONG, "model.hidden=[16]", "optimizer.fused=false", "-m", "seed=0,1"]


def interrupted(
    words: list[str], cwd: Path, number: int, whole_group: bool, runs: int = 2
) -> tuple[int, str, int]:
    """Exit status, stderr and process group of a call that is ended once its runs are at work."""
    started = subprocess.Popen(
        [sys.executable, "-m", "lossheads", *words],
        cwd=cwd,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        # Under nohup and in the background of a script Ctrl-C is ignored, also by what is started.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while len(states(cwd)) < runs and time.monotonic() < deadline and started.poll() is None:
        time.sleep(0.1)
    time.sleep(0.5)
    if whole_group:
        os.killpg(started.pid, number)
    else:
        started.send_signal(number)
    try:
        _, said = started.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        os.killpg(started.pid, signal.SIGKILL)  # a test that fails leaves nothing behind either
        started.communicate()
        raise
    return started.returncode, said, started.pid


def states(cwd: Path) -> list[str]:
    """What the run folders say of themselves."""
    found = (cwd / "outputs" / "runs").glob("*/status.json")
    return [json.loads(path.read_text())["status"] for path in found]


def left_behind(group: int, seconds: float = 10) -> list[str]:
    """Processes of a group that still run after a while; who is dead and unburied does not count.

    They are given time, because a process that ends takes its memory down first.
    """
    deadline = time.monotonic() + seconds
    while True:
        listed = subprocess.run(
            ["ps", "-eo", "pgid=,stat=,args="], capture_output=True, text=True, check=True
        )
        rows = (line.split(None, 2) for line in listed.stdout.splitlines())
        found = [row[2] for row in rows if row[0] == str(group) and not row[1].startswith("Z")]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.2)


@pytest.mark.parametrize(
    ("number", "whole_group", "status"),
    # A terminal sends Ctrl-C to every process of a call, kill and batch systems to the parent.
    [(signal.SIGINT, True, 130), (signal.SIGINT, False, 130), (signal.SIGTERM, False, 143)],
    ids=["Ctrl-C", "SIGINT to the parent", "SIGTERM to the parent"],
)
def test_workers_end_with_their_parent(
    number: int, whole_group: bool, status: int, tmp_path: Path
) -> None:
    code, said, group = interrupted(APART, tmp_path, number, whole_group)
    assert code == status, said
    assert said.splitlines()[-1].startswith("lossheads: interrupted")
    assert "Traceback" not in said
    assert states(tmp_path) == ["interrupted", "interrupted"]
    assert not list((tmp_path / "outputs").glob("runs/*/result.json"))
    assert left_behind(group) == []


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
    code, said, _ = interrupted(long, tmp_path, number, False, runs=seeds)
    assert code == status, said
    assert said.splitlines()[-1].startswith("lossheads: interrupted")
    assert "Traceback" not in said
    assert states(tmp_path) == ["interrupted"] * seeds
    assert not list((tmp_path / "outputs").glob("runs/*/result.json"))
    assert lossheads(*words, "training.steps=3", cwd=tmp_path).returncode == 0
