"""`report` and `explain image=` on folders of runs that a stranger made: see `run_folders`."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from calling import lossheads, python

from .run_folders import ATTACKS, MARKUP, SECRET, read, runs, write

TRAIN = ["dataset=digits", "model=linear", "training.steps=3", "recording.tensorboard=false"]
TRAIN += ["-m", "head=softmax_cce,sigmoid_bce", "recording.predictions=true"]
SECONDS, MEGABYTES = 60, 1_500  # of a call; half a gigabyte is torch
# What is said where it is not enough that nothing happens: on the page, or in the refusal.
SAID = {
    ("no head", "explain"): "head must be a mapping",
    ("trust in the file", "explain"): "--trust evil",
    ("three classes for ten", "explain"): "names 3 classes",
    ("synthetic data of 8 GB", "explain"): "synthetic_blobs would draw",
    ("a canvas of 10^6 pixels", "explain"): "canvas would draw",
    ("the root folder as data", "explain"): "add --data FOLDER",
    ("a device as data", "report"): "add --data FOLDER",
    ("the user's table as data", "explain"): "not at hand",
    ("the user's arrays as data", "explain"): "No picture: the data have changed",
    ("data that would be fetched", "explain"): "No picture",
    ("predictions that unpack to a gigabyte", "explain"): "1.2 GB",
    ("labels out of range", "report"): "labels must be in 0",
    ("logits that are NaN", "explain"): "not finite",
    ("one row in one run", "report"): "1 of 2 runs kept predictions",
    ("a run named as a folder outside", "report"): "None of these runs kept",
    ("a result of 3 GB of holes", "report"): "All arms",
}


def marks(folder: Path) -> dict[str, tuple[int, int]]:
    """Every name below the folder, with its size and time; links are not followed."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in folder.rglob("*")
        if "__pycache__" not in path.parts
    }


@dataclass(frozen=True)
class Shown:
    """What one command wrote and said."""

    status: int
    stderr: list[str]
    page: str

    @property
    def text(self) -> str:
        return " ".join([*self.stderr, self.page.replace("<wbr>", "")])


def both(work: Path, *flags: str) -> dict[str, Shown]:
    """`report` and `explain image=0`, in one process that is short of memory; nothing is written.

    On standard output there are no orders to the terminal, and no secret anywhere.
    """
    before = marks(work)
    script = str(Path(__file__).parent / "both_commands.py")
    done = python(script, *flags, cwd=work, seconds=SECONDS)
    assert done.returncode == 0, done.stderr
    assert marks(work) == before
    found, used = json.loads(done.stdout.splitlines()[-1])
    assert used < MEGABYTES
    assert "Traceback" not in done.stderr
    assert not set("\x1b\x07\x9b") & set(done.stdout + done.stderr)
    assert SECRET not in done.stdout + done.stderr
    shown = {}
    for part, (status, page) in zip(done.stderr.split("== ")[1:], found, strict=True):
        name, *lines = part.splitlines()
        shown[name] = Shown(status, [one for one in lines if "skipped" not in one], page)
    return shown


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("honest")
    done = lossheads("train", *TRAIN, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "outputs" / "runs"


@pytest.fixture
def work(honest: Path, tmp_path: Path) -> Path:
    """A folder with a stranger's runs, and what is the user's."""
    work = tmp_path / "work"
    shutil.copytree(honest, work / "outputs" / "runs")
    private = work / "private"
    private.mkdir()
    (private / "table.csv").write_text(f"file,label\n{SECRET},{SECRET}\n", encoding="utf-8")
    labels = np.array([f"{SECRET}{at % 10}" for at in range(50)])
    np.savez(private / "arrays.npz", inputs=np.zeros((50, 64), np.float32), labels=labels)
    (private / ".fetch-fashion_mnist").mkdir()
    (private / ".fetch-fashion_mnist" / "mine").touch()
    for name in ("pipe.npz", "pipes/a/1.png", "pipes/b/1.png"):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(work / name)
    (work / "outputs" / "link").symlink_to(private)
    (work / "theirs.csv").write_text("file,label\n", encoding="utf-8")
    (work / "evil.py").write_text("open('trap', 'w')\n", encoding="utf-8")
    return work


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_strangers_runs_do_no_harm(attack: str, work: Path) -> None:
    ATTACKS[attack](work / "outputs")
    for name, shown in both(work).items():
        assert shown.status in (0, 2), (name, shown.stderr)
        assert len(shown.stderr) == (shown.status == 2), (name, shown.stderr)
        assert bool(shown.page) == (shown.status == 0), name
        assert not set("\x1b\x07\x9b") & set(shown.page)
        assert MARKUP not in shown.page
        assert SAID.get((attack, name), "") in shown.text


def test_honest_runs_are_shown_with_their_predictions(work: Path) -> None:
    shown = both(work)
    assert "Heads disagree on" in shown["report"].page
    assert "Reliability" in shown["report"].page
    for each in shown.values():
        assert each.status == 0
        assert "data:image/png" in each.page


@pytest.mark.parametrize("named", ["inside", "outside", "allowed", "data_dir"])
def test_files_that_runs_name_are_read_where_the_user_lets_them(
    named: str, work: Path, tmp_path: Path
) -> None:
    place = work if named == "inside" else tmp_path / "elsewhere"
    place.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    arrays = {"inputs": rng.normal(size=(90, 1, 4, 4)).astype("f4"), "labels": np.arange(90) % 3}
    np.savez(place / "data.npz", **arrays)
    shutil.rmtree(work / "outputs")
    words = ["dataset=files", "dataset.kind=one_of", f"dataset.path={place}/data.npz"]
    done = lossheads("train", *TRAIN[1:], *words, cwd=work)
    assert done.returncode == 0, done.stderr
    if named == "data_dir":
        for folder in runs(work / "outputs"):
            content = read(folder)
            content["config"] |= {"data_dir": str(place), "dataset": content["config"]["dataset"]}
            write(folder, content)
    allowed = ["--data", str(place)] if named == "allowed" else []
    may = named in ("inside", "allowed")
    shown = both(work, *allowed)
    assert shown["report"].status == 0
    assert shown["explain"].status == (0 if may else 2)
    for each in shown.values():
        assert ("--data" in each.text) == (not may)
    assert ("Reliability is of probabilities" in shown["report"].page) == may
    assert ("data:image/png" in shown["explain"].page) == may
