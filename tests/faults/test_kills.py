"""Killed at any write and at any moment: nothing finished is lost, the same command ends as ever.

Compared with an uninterrupted run: every number, weight, prediction and event, bit for bit.
"""

import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .comparing import contents, left_over, results, said_finished_too_early
from .scenarios import SCENARIOS, call, counted, done, known, spoilt

NAMES = {signal.SIGKILL: "SIGKILL", signal.SIGTERM: "SIGTERM", signal.SIGINT: "SIGINT"}
STATUS = {signal.SIGTERM: 143, signal.SIGINT: 130}
FORKED = [name for name, scenario in SCENARIOS.items() if not scenario.long]


def fresh(name: str, tmp_path: Path) -> Path:
    """A copy of the scenario's prepared folder."""
    folder = tmp_path / "at work"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(known(name).prepared, folder)
    return folder


def check_ended(number: int, status: int, said: str, outputs: Path) -> None:
    """A signal that can be caught ends with one sentence and its own status."""
    assert "Traceback" not in said, said
    if number not in STATUS:
        assert status in (-signal.SIGKILL, -signal.SIGALRM, 0)
    elif status in (0, -number):  # it came when all was done
        assert "interrupted" not in said
    else:
        assert status == STATUS[number], said
        assert said.splitlines()[-1].startswith("lossheads: interrupted")


def check_recovered(name: str, folder: Path, before: dict[str, Any], where: str) -> None:
    """Nothing is lost after the fault, and the same command ends as if there had been none."""
    outputs, scenario = folder / "outputs", SCENARIOS[name]
    after = results(outputs)
    assert {key: after.get(key) for key in before} == before, where
    assert said_finished_too_early(outputs) == [], where
    files = {path: path.read_bytes() for path in outputs.glob("runs/*/result.json")}
    again = done(scenario.words, folder)
    assert again.returncode == 0, (where, again.stderr)
    assert "Traceback" not in again.stderr
    assert left_over(folder) == [], where
    end, wanted = contents(outputs), known(name).end
    assert end.keys() == wanted.keys(), where
    assert [key for key in wanted if end[key] != wanted[key]] == [], where
    if "force=true" not in scenario.words:
        assert {path: path.read_bytes() for path in files} == files, where


def moments(changes: int, tries: int, draw: random.Random) -> Iterator[int]:
    """Numbers of changes, all different while there are enough."""
    while tries > 0:
        drawn = draw.sample(range(1, changes + 1), min(tries, changes))
        yield from sorted(drawn)
        tries -= len(drawn)


@pytest.mark.parametrize("number", NAMES, ids=NAMES.values())
@pytest.mark.parametrize("name", FORKED)
def test_signal_before_a_write(
    name: str, number: int, tries: int, draw: random.Random, tmp_path: Path
) -> None:
    for change in moments(known(name).changes, tries, draw):
        folder = fresh(name, tmp_path)
        before = results(folder / "outputs")
        fault = {"folder": str(folder), "change": change, "number": int(number)}
        ended = spoilt(SCENARIOS[name].words, folder, "signal_at_change", fault)
        check_ended(number, ended.returncode, ended.stderr, folder / "outputs")
        check_recovered(name, folder, before, f"change {change}")


@pytest.mark.parametrize("name", FORKED)
def test_kill_within_a_write(name: str, tries: int, draw: random.Random, tmp_path: Path) -> None:
    for change in moments(known(name).changes, tries, draw):
        folder, delay = fresh(name, tmp_path), draw.choice([0, 1e-4, 1e-3, 1e-2]) * draw.random()
        before = results(folder / "outputs")
        fault = {"folder": str(folder), "change": change, "number": 0, "delay": delay}
        ended = spoilt(SCENARIOS[name].words, folder, "signal_at_change", fault)
        check_ended(signal.SIGKILL, ended.returncode, ended.stderr, folder / "outputs")
        check_recovered(name, folder, before, f"change {change}, {delay:.6f} s later")


@pytest.mark.parametrize("number", NAMES, ids=NAMES.values())
@pytest.mark.parametrize("name", FORKED)
def test_signal_at_any_moment(
    name: str, number: int, tries: int, draw: random.Random, tmp_path: Path
) -> None:
    for _ in range(tries):
        folder, moment = fresh(name, tmp_path), draw.uniform(0.05, known(name).seconds)
        before = results(folder / "outputs")
        with call(SCENARIOS[name].words, folder) as at_work:
            at_work.ended(moment)
            at_work.send(number)
            ended = counted(at_work.result())
        check_ended(number, ended.returncode, ended.stderr, folder / "outputs")
        check_recovered(name, folder, before, f"after {moment:.3f} s")


@pytest.mark.parametrize("number", NAMES, ids=NAMES.values())
def test_signal_to_the_parent_of_processes(
    number: int, tries: int, draw: random.Random, tmp_path: Path
) -> None:
    """Seconds each, for every process imports torch: tried a third as often."""
    for _ in range(1 + tries // 3):
        folder, moment = (
            fresh("processes", tmp_path),
            draw.uniform(0.3, 1) * known("processes").seconds,
        )
        with call(SCENARIOS["processes"].words, folder) as at_work:
            at_work.ended(moment)
            at_work.send(number)
            ended = counted(at_work.result())
            assert at_work.left_behind() == {}
        check_ended(number, ended.returncode, ended.stderr, folder / "outputs")
        check_recovered("processes", folder, {}, f"after {moment:.3f} s")
