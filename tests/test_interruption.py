"""Ctrl-C, SIGTERM: folders say so, no process is left behind, the next call goes on.

What happens to processes that train when only their parent is told, or one is killed, is tried by
tests/faults/test_workers.py.
"""

import os
import signal
import sys
import time
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from calling import lossheads
from interrupting import APART, LONG, at_work, check_interrupted, states
from lossheads.cli import main


def test_ctrl_c_ends_a_call_and_its_workers(tmp_path: Path) -> None:
    """A terminal sends it to every process of a call."""
    with at_work(APART, tmp_path) as call:
        call.send(signal.SIGINT, group=True)
        check_interrupted(call.result(), 130)
        assert call.left_behind() == {}
    assert states(tmp_path) == ["interrupted", "interrupted"]
    assert not list((tmp_path / "outputs").glob("runs/*/result.json"))


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
