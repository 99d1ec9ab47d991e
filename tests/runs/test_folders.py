"""Run folders on disks that are full, under names that are none, in several hands."""

import errno
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lossheads.errors import UserError, refusing_to_write
from lossheads.runs.execute import execute
from lossheads.runs.folder import RunFolder, run_path
from lossheads.runs.messages import message_and_status

Composer = Callable[..., dict[str, Any]]


def test_a_group_in_a_folder_of_its_own_makes_no_deeper_run_folder(tiny: Composer) -> None:
    config = tiny()
    config["choices"]["head"] = "../mine/smoothed é"
    path = run_path(config)
    assert path.parent.name == "runs"
    assert path.name.startswith("digits-..-mine-smoothed-é-s0-")


def test_a_full_disk_cannot_hide_that_a_run_failed(
    tiny: Composer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.open(tiny(), {})

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr("lossheads.runs.folder.write_json", full)
    folder.abandon("failed", "no space")
    said = json.loads((tmp_path / "run" / "status.json").read_text())
    assert said == {"status": "failed", "why": "no space"}


def test_a_killed_process_leaves_a_run_that_can_be_trained(tmp_path: Path) -> None:
    """It had no chance to say so: `running` stands, but the kernel took its lock away."""
    code = (
        "import sys, time, pathlib; from lossheads.runs.folder import RunFolder;"
        "folder = RunFolder(pathlib.Path(sys.argv[1])); folder.open({}, {});"
        "print('open', flush=True); time.sleep(600)"
    )
    path = tmp_path / "run"
    call = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(call, stdout=subprocess.PIPE, text=True) as at_work:
        try:
            assert at_work.stdout is not None
            assert at_work.stdout.readline() == "open\n"
            with pytest.raises(UserError, match="is being trained by another process"):
                RunFolder(path).open({}, {})
        finally:
            at_work.kill()
    assert json.loads((path / "status.json").read_text())["status"] == "running"
    mine = RunFolder(path)
    mine.open({}, {})
    mine.abandon("interrupted", "by this test")
    assert json.loads((path / "status.json").read_text())["status"] == "interrupted"


@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.ENOSPC, "cannot be written: no space left"), (errno.EISDIR, "cannot be used: is a")],
)
def test_what_the_disk_refuses_is_a_sentence(number: int, said: str) -> None:
    sentence, status = message_and_status(OSError(number, "x", "outputs/x"))
    assert status == 2
    assert sentence.startswith("outputs/x ")
    assert said in sentence


@pytest.mark.parametrize(("number", "helps"), [(errno.ENOSPC, True), (errno.ENOENT, False)])
def test_disk_space_is_asked_for_where_it_helps(tmp_path: Path, number: int, helps: bool) -> None:
    with pytest.raises(UserError) as caught, refusing_to_write(tmp_path):
        raise OSError(number, "x")
    assert ("free disk space" in str(caught.value)) is helps


def test_a_file_tried_in_vain_does_not_explain_a_bug() -> None:
    bug = KeyError("bug")
    bug.__context__ = FileNotFoundError(errno.ENOENT, "x", "nowhere")
    assert message_and_status(bug) == ("KeyError: 'bug' (traceback: --debug)", 1)


def test_memory_that_is_full_is_a_sentence() -> None:
    error = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried …")
    assert message_and_status(error)[0].startswith("not enough memory for this run")
    assert message_and_status(MemoryError())[1] == 2


def test_a_batch_of_more_than_all_rows_is_all_rows(tiny: Composer) -> None:
    beyond, all_rows = (
        execute([tiny(f"training.batch_size={size}", "training.steps=3")])[0]
        for size in (10**20, 1085)
    )
    assert [validation.step for validation in beyond.history] == [
        validation.step for validation in all_rows.history
    ]
    assert beyond.test.metrics == all_rows.test.metrics
