"""Run folders on disks that are full, under names that are none, in several hands."""

import errno
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lossheads.errors import UserError, refusing_to_write
from lossheads.loggers.predictions import PredictionsLogger
from lossheads.loggers.progress import CohortProgress
from lossheads.records import write_result
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


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def trained(tiny: Composer, *words: str) -> Path:
    """The folder of a finished run."""
    execute([tiny(*words)])
    return run_path(tiny())


def test_a_forced_run_that_is_stopped_keeps_the_earlier_result(
    tiny: Composer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = trained(tiny, "recording.predictions=true")
    before = files_of(folder)

    def interrupt(*_: Any) -> None:
        assert files_of(folder).items() >= before.items()
        assert (folder / ".new" / "config.yaml").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(CohortProgress, "on_validation", interrupt)
    with pytest.raises(KeyboardInterrupt):
        execute([tiny("force=true")])
    assert files_of(folder) == before
    assert not (folder / ".new").exists()
    assert "keep the results they had before" in capfd.readouterr().err


def test_a_forced_run_leaves_nothing_of_the_earlier_one(tiny: Composer) -> None:
    folder = trained(tiny, "recording.predictions=true", "recording.weights=true")
    before = (folder / "result.json").read_bytes()
    (folder / "notes").mkdir()  # the user's own
    trained(tiny, "force=true")
    assert (folder / "result.json").read_bytes() != before
    names = {".lock", "config.yaml", "environment.json", "status.json", "metrics.jsonl"}
    assert files_of(folder).keys() == names | {"result.json"}
    assert [path.name for path in folder.iterdir() if path.is_dir()] == ["notes"]


@pytest.mark.parametrize(
    ("killed", "new"),
    [
        ("while it was trained", False),
        ("when it was whole", True),
        ("when old files were deleted", True),
        ("when it was named whole", True),
        ("when some files were moved", True),
        ("when all were moved", True),
    ],
)
def test_what_a_killed_forced_run_left_is_brought_to_an_end(
    tiny: Composer, tmp_path: Path, killed: str, new: bool
) -> None:
    """The result is one or the other, with its own files, and nothing else."""
    folder = trained(tiny, "recording.predictions=true")
    old = files_of(folder)
    made = trained(tiny, "recording.weights=true", "force=true", f"output_dir={tmp_path}/other")
    made = tmp_path / "other" / "runs" / made.name
    (made / ".lock").unlink()
    fresh = files_of(made) | {".lock": b""}
    inside = folder / (".whole" if "moved" in killed or "named" in killed else ".new")
    made.rename(inside)
    if not new:
        (inside / "result.json").unlink()
        (inside / ".result.json.part").write_text("{")
    if new and killed != "when it was whole":
        (folder / "predictions.npz").unlink()
    moved = sorted(inside.iterdir(), key=lambda path: path.name == "result.json")
    for path in moved[: {"some": 2, "all": len(moved)}.get(killed.split()[1], 0)]:
        path.replace(folder / path.name)
    RunFolder(folder).recover()
    assert files_of(folder) == (fresh if new else old)
    assert not [path for path in folder.iterdir() if path.is_dir()]


def test_a_run_at_work_is_not_recovered_by_others(tiny: Composer) -> None:
    folder = trained(tiny)
    held = RunFolder(folder)
    held.open(tiny(), {}, force=True)
    before = files_of(folder)
    RunFolder(folder).recover()
    assert files_of(folder) == before
    held.abandon("interrupted", "")


@pytest.mark.parametrize("status", ['{"status": "running"}', "", "[]"])
def test_a_status_that_lags_behind_the_result_is_written_anew(tiny: Composer, status: str) -> None:
    """Killed between the two: the run is finished."""
    folder = trained(tiny)
    (folder / "status.json").write_text(status)
    execute([tiny()])
    assert json.loads((folder / "status.json").read_text())["status"] == "finished"


def test_the_status_is_finished_only_after_the_result(
    tiny: Composer, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = []

    def look(folder: Path, result: Any) -> None:
        said.append(json.loads((folder / "status.json").read_text())["status"])
        write_result(folder, result)

    monkeypatch.setattr("lossheads.runs.folder.write_result", look)
    trained(tiny)
    trained(tiny, "force=true")
    assert said == ["running", "running"]


@pytest.mark.parametrize("lost", ["config.yaml", "predictions.npz", ".lock", ""])
def test_a_run_whose_folder_was_deleted_meanwhile_is_not_finished(
    tiny: Composer, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    folder = run_path(tiny())

    def delete(*_: Any) -> None:
        if lost:
            (folder / lost).unlink()
            return
        shutil.rmtree(folder)  # and another process begins the same run
        folder.mkdir()
        (folder / ".lock").touch()

    monkeypatch.setattr(PredictionsLogger, "close", delete)
    with pytest.raises(UserError, match="was deleted or changed while"):
        execute([tiny("recording.predictions=true")])
    assert not (folder / "result.json").exists()
    assert lost or [path.name for path in folder.iterdir()] == [".lock"]


def test_events_that_were_deleted_meanwhile_are_missed(
    tiny: Composer, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run_path(tiny())

    def delete(*_: Any) -> None:
        for path in folder.glob("events.out*"):
            path.unlink()

    monkeypatch.setattr(CohortProgress, "on_validation", delete)
    with pytest.raises(UserError, match=r"events .* were deleted while"):
        execute([tiny("recording.tensorboard=true")])
    assert not (folder / "result.json").exists()


def test_a_disk_that_is_full_of_weights_is_a_sentence(
    tiny: Composer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: Any, *_: Any) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr("lossheads.whole_files.os.fsync", full)
    with pytest.raises(UserError, match=r"cannot be written .* free disk space"):
        execute([tiny("recording.weights=true")])
    assert [path.name for path in run_path(tiny()).glob("*.p*")] == []


def test_a_folder_in_a_run_folder_is_nobodys_to_delete(tiny: Composer) -> None:
    (run_path(tiny()) / "notes").mkdir(parents=True)
    with pytest.raises(UserError, match="holds a folder notes"):
        execute([tiny()])


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
