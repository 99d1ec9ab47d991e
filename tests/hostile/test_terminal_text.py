"""Names and paths of strangers on a terminal: no markup is read, no order reaches the terminal."""

import json
from pathlib import Path

import numpy as np
import pytest

from calling import lossheads
from lossheads.analysis.tables import FoldedName
from lossheads.analysis.terminal import PlainConsole

EVIL = ["\x1b[2J\x1b]0;owned\x07cat", "[/x]dog", "[red]:smile:"]


def printed(*words: str, cwd: Path, status: int = 0) -> str:
    done = lossheads(*words, cwd=cwd)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert not set("\x1b\x07") & set(done.stdout + done.stderr)
    return done.stdout


def test_class_names_of_evaluate_are_text(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.array(EVIL)[rng.integers(3, size=60)]
    (tmp_path / "a[").mkdir()  # a slash makes a folder of it
    np.savez(tmp_path / "a[/b].npz", logits=rng.normal(size=(60, 3)), labels=labels)
    names = ["--class-names", ",".join(EVIL), "--head", "softmax_cce", "--given", "logits"]
    shown = printed("evaluate", "a[/b].npz", *names, cwd=tmp_path)
    assert "a[/b].npz" in shown
    assert "[/x]dog" in shown
    assert "[red]:smile:" in shown


def test_files_and_folders_of_a_run_are_text(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.array([*EVIL * 20, "rare[/z]\x1b[31m"])
    (tmp_path / "d[").mkdir()
    np.savez(tmp_path / "d[/x].npz", inputs=rng.normal(size=(61, 4)).astype("f4"), labels=labels)
    words = ["dataset=files", "dataset.kind=one_of", "dataset.path='d[/x].npz'", "model=linear"]
    words += ["output_dir='out[/y]'", "training.steps=2", "recording.tensorboard=false"]
    shown = printed("train", *words, cwd=tmp_path)
    assert "out[/y]/runs/" in shown
    sweep = printed("train", *words, "-m", "seed=0,1", cwd=tmp_path)
    assert "d[/x].npz" in sweep
    assert "d[/x].npz" in printed("report", "out[/y]", cwd=tmp_path)


def test_notes_of_a_result_are_text(tmp_path: Path) -> None:
    words = ["dataset=digits", "model=linear", "training.steps=1", "recording.tensorboard=false"]
    printed("train", *words, cwd=tmp_path)
    (file,) = tmp_path.glob("outputs/runs/*/result.json")
    content = json.loads(file.read_text(encoding="utf-8"))
    content["notes"] = ["[/x] \x1b[2Jgone"]
    from lossheads.records import checksum

    marks = {name: content.pop(name) for name in ("schema_version", "checksum")}
    marks["checksum"] = checksum({"schema_version": 1, **content})
    file.write_text(json.dumps(marks | content, separators=(",", ":")), encoding="utf-8")
    assert "[/x]  [2Jgone" in printed("train", *words, cwd=tmp_path)


@pytest.mark.parametrize("name", EVIL)
def test_a_console_prints_what_it_gets(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    from rich.table import Table

    table = Table(title=name, caption=name)
    table.add_column(name)
    table.add_row(FoldedName(name))
    PlainConsole(width=120).print(name, table)
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert shown.count(name.replace("\x1b", " ").replace("\x07", " ").strip()) >= 3
