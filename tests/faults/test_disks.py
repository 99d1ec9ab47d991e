"""Disks that are full, refuse to be written or lose a folder: a sentence, and no harm done."""

import errno
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lossheads.records import read_results

from .comparing import contents, left_over, results, said_finished_too_early
from .scenarios import SCENARIOS, call, counted, done, known, spoilt
from .test_kills import check_recovered, fresh, moments

WRITERS = ["run", "cohort", "force", "forced cohort", "claim", "reference", "page"]


def check_refused(status: int, said: str, *words: str) -> None:
    """One sentence that names the trouble, or success."""
    assert "Traceback" not in said, said
    assert status in (0, 2), said
    if status:
        assert any(word in said.splitlines()[-1].lower() for word in words), said


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, as small as a test makes it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)


@pytest.mark.parametrize("name", WRITERS)
def test_full_disk(name: str, tries: int, draw: random.Random, tmp_path: Path, disk: Path) -> None:
    folder = fresh(name, disk)
    needed = sum(path.stat().st_blocks * 512 for path in folder.rglob("*"))
    for _ in range(tries):
        folder = fresh(name, disk)
        before = results(folder / "outputs")
        free = 4096 * draw.choice([0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256])
        remount(disk, f"size={max(4096, needed + free)}")
        with call(SCENARIOS[name].words, folder) as at_work:
            ended = counted(at_work.result())
        check_refused(ended.returncode, ended.stderr, "no space left")
        remount(disk, "size=64m")
        check_recovered(name, folder, before, f"{free} bytes free")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("name", WRITERS)
def test_writes_that_fail_from_some_moment_on(
    name: str, number: int, tries: int, draw: random.Random, tmp_path: Path
) -> None:
    for change in moments(known(name).changes, tries, draw):
        folder = fresh(name, tmp_path)
        before = results(folder / "outputs")
        fault = {"folder": str(folder), "change": change, "number": number}
        ended = spoilt(SCENARIOS[name].words, folder, "refuse_change", fault)
        check_refused(ended.returncode, ended.stderr, os.strerror(number).lower())
        check_recovered(name, folder, before, f"change {change}")


@pytest.mark.parametrize("name", WRITERS)
def test_read_only_outputs_keep_what_they_have(name: str, disk: Path) -> None:
    folder = fresh(name, disk)
    before = results(folder / "outputs")
    remount(disk, "ro")
    with call(SCENARIOS[name].words, folder) as at_work:
        ended = at_work.result()
    assert ended.returncode == 2
    check_refused(ended.returncode, ended.stderr, "read-only")
    remount(disk, "rw")
    check_recovered(name, folder, before, "")


def test_read_only_results_are_used(disk: Path) -> None:
    folder = fresh("force", disk)
    remount(disk, "ro")
    assert done(SCENARIOS["run"].words, folder).returncode == 0
    assert done(["report", "--csv"], folder).returncode == 0


@pytest.mark.parametrize("name", ["run", "cohort", "claim"])
def test_a_folder_that_vanishes(name: str, tries: int, draw: random.Random, tmp_path: Path) -> None:
    """A run whose folder was deleted meanwhile is never finished with half of its files."""
    for change in moments(known(name).changes, tries, draw):
        folder = fresh(name, tmp_path)
        outputs = folder / "outputs"
        fault = {"folder": str(outputs), "change": change, "victim": str(outputs / "runs")}
        ended = spoilt(SCENARIOS[name].words, folder, "vanish_at_change", fault)
        sentence = ("deleted", "no such file", "another process", "has no result")
        check_refused(ended.returncode, ended.stderr, *sentence)
        assert said_finished_too_early(outputs) == []
        whole = {Path(name).name for name in known(name).end if name.startswith("digits")}
        for run, _ in read_results(outputs / "runs"):
            names = {"events" if p.name.startswith("events") else p.name for p in run.iterdir()}
            assert names == whole, change
        again = done(SCENARIOS[name].words, folder)
        assert again.returncode == 0, again.stderr
        assert left_over(folder) == []
        assert contents(outputs) == known(name).end
