"""Processes that train: none of them outlives the call that began it, however that one ends."""

import os
import signal
from pathlib import Path

import pytest

from calling import lossheads
from interrupting import APART, at_work, check_interrupted, states


@pytest.fixture
def folders(tries: int, tmp_path: Path) -> list[Path]:
    """A new one for every try."""
    made = [tmp_path / str(attempt) for attempt in range(tries)]
    for folder in made:
        folder.mkdir()
    return made


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_workers_end_with_a_parent_that_is_told_alone(
    number: int, status: int, folders: list[Path]
) -> None:
    """As `kill` and batch systems do; of a terminal, which tells all: tests/test_interruption."""
    for folder in folders:
        with at_work(APART, folder) as call:
            call.send(number)
            check_interrupted(call.result(), status)
            assert call.left_behind() == {}
        assert states(folder) == ["interrupted", "interrupted"]
        assert not list((folder / "outputs").glob("runs/*/result.json"))


def test_workers_end_soon_after_a_parent_that_was_killed(folders: list[Path]) -> None:
    """Nobody tells them; their folders are left to be trained again."""
    for folder in folders:
        with at_work(APART, folder) as call:
            call.send(signal.SIGKILL)
            assert call.result().returncode == -signal.SIGKILL
            assert call.left_behind() == {}
        assert states(folder) == ["interrupted", "interrupted"]
        short = [*APART, "training.steps=3"]
        assert lossheads(*short, cwd=folder).returncode == 0


def test_a_worker_that_is_killed_is_one_sentence(folders: list[Path]) -> None:
    """As the system does where memory is short; the other workers are stopped."""
    for folder in folders:
        with at_work(APART, folder) as call:
            workers = [pid for pid, words in call.processes().items() if "spawn_main" in words]
            os.kill(workers[0], signal.SIGKILL)
            ended = call.result()
            assert call.left_behind() == {}
        assert ended.returncode == 2, ended.stderr
        assert "memory" in ended.stderr.splitlines()[-1]
        assert "Traceback" not in ended.stderr
