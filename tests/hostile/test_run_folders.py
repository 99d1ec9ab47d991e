"""`report` and `explain image=` on folders of runs that a stranger made: see `run_folders`."""

import os
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest

from calling import Call, lossheads

from .making import state
from .run_folders import ATTACKS, MARKUP, SECRET, read, runs, write

TRAIN = ["dataset=digits", "model=linear", "training.steps=3", "recording.tensorboard=false"]
TRAIN += ["-m", "head=softmax_cce,sigmoid_bce", "recording.predictions=true"]
CALLS = {
    "report": ["report", "--html", "page.html"],
    "explain": ["explain", "image=0", "runs=outputs", "--html", "page.html"],
}
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


def limited(path: str) -> None:
    """Called in a copy before its program: four gigabytes more, and its largest size kept."""
    import atexit

    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + (4 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))

    def keep() -> None:
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        Path(path).write_text(str(used), encoding="ascii")

    atexit.register(keep)


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


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_strangers_runs_do_no_harm(attack: str, call: str, work: Path, tmp_path: Path) -> None:
    ATTACKS[attack](work / "outputs")
    before, used = state(work), tmp_path / "used"
    prepare = (__file__, "limited", {"path": str(used)})
    with Call("lossheads", *CALLS[call], cwd=work, seconds=SECONDS, prepare=prepare) as called:
        done = called.result()
    after = state(work)
    page = after.pop("page.html", b"").decode("utf-8")
    assert after == before
    assert done.returncode in (0, 2), done.stderr
    assert (done.returncode == 0) == bool(page)
    assert "Traceback" not in done.stderr
    said = [line for line in done.stderr.splitlines() if " skipped" not in f" {line}"]
    assert len(said) == (done.returncode == 2), done.stderr
    shown = done.stdout + done.stderr + page
    assert not set("\x1b\x07\x9b") & set(shown)
    assert MARKUP not in page
    assert SECRET not in shown
    assert int(used.read_text(encoding="ascii")) < MEGABYTES
    assert SAID.get((attack, call), "") in shown.replace("<wbr>", "")


def test_honest_runs_are_shown_with_their_predictions(work: Path) -> None:
    assert lossheads(*CALLS["report"], cwd=work).returncode == 0
    page = (work / "page.html").read_text(encoding="utf-8")
    assert "Heads disagree on" in page
    assert "Reliability" in page
    assert "data:image/png" in page
    done = lossheads(*CALLS["explain"], cwd=work)
    assert done.returncode == 0, done.stderr
    assert "data:image/png" in (work / "page.html").read_text(encoding="utf-8")


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
    done = lossheads(*CALLS["explain"], *allowed, cwd=work)
    shown = named in ("inside", "allowed")
    assert done.returncode == (0 if shown else 2)
    assert ("--data" in done.stderr) == (not shown)
    assert lossheads(*CALLS["report"], *allowed, cwd=work).returncode == 0
    page = (work / "page.html").read_text(encoding="utf-8")
    assert ("data:image/png" in page) == shown
