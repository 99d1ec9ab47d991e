"""A run that is stopped at any step and started again ends as if it had never been stopped."""

import json
import os
from pathlib import Path
from pickle import dumps
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lossheads.errors import UserError
from lossheads.runs import cohort_run
from lossheads.runs.collect import collect
from lossheads.runs.composer import own_composer
from lossheads.runs.folder import CHECKPOINT, run_paths

compose = own_composer()
BASE = ["dataset=digits", "device=cpu", "device.threads=1", "training.batch_size=100"]
BASE += ["recording.weights=true", "recording.predictions=true", "training.epochs=3"]
# Flat moments, moments per member, none, a padded single member, early stopping, autograd.
RECIPES = {
    "adam": ["model.hidden=[8]"],
    "momentum": ["optimizer=sgd", "optimizer.momentum=0.9", "model=linear"],
    "plain": ["optimizer=sgd", "model=linear", "optimizer.lr=0.1", "schedule=cosine"],
    "one_logit": [
        "head=single_logit_bce",
        "dataset.classes=2",
        "model=linear",
        "training.epochs=8",
    ],
    "stops_early": ["training.patience=1", "optimizer.lr=0.3", "model=linear", "training.epochs=8"],
    "images": ["model=cnn", "model.channels=[4]", "model.dense=8"],
    "alone": ["model=resnet18", "training.steps=3", "training.batch_size=16"],
}


class Stop(Exception):
    """A stand-in for a killed process."""


def configs(folder: Path, recipe: str, every: int = 1) -> list[dict]:
    words = [*BASE, *RECIPES[recipe], f"output_dir={folder}", f"checkpoint.every_steps={every}"]
    rates = ["optimizer.lr=0.01", "optimizer.lr=0.02"] if recipe in ("adam", "plain") else []
    seeds = [0] if recipe == "alone" else [0, 1, 2]
    each = [[*words, rate] for rate in rates] or [words]
    return [compose([*words, f"seed={seed}"]) for words in each for seed in seeds]


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Every cohort is stopped once it has written its checkpoint of `step`."""
    written = cohort_run.CohortRun._write_checkpoints

    def write_and_stop(self, at, states):
        written(self, at, states)
        if at == step:
            raise Stop

    monkeypatch.setattr(cohort_run.CohortRun, "_write_checkpoints", write_and_stop)


def content(folder: Path) -> dict:
    """All that a run leaves, without times, places and the number of its companions."""
    result = json.loads((folder / "result.json").read_text())
    result["config"].pop("output_dir")
    result["config"].pop("checkpoint")
    events = EventAccumulator(str(folder)).Reload()
    return {
        "result": {
            k: v for k, v in result.items() if k not in ("seconds", "environment", "checksum")
        },
        "weights": (folder / "weights.pt").read_bytes(),
        "predictions": (folder / "predictions.npz").read_bytes(),
        "lines": (folder / "metrics.jsonl").read_text(),
        "scalars": {
            tag: [(event.step, event.value) for event in events.Scalars(tag)]
            for tag in events.Tags()["scalars"]
        },
        "files": sorted(file.name.split(".")[0] for file in folder.iterdir()),
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Recipe -> what its runs leave that are never stopped."""
    known = {}

    def made(recipe):
        if recipe not in known:
            runs = configs(tmp_path_factory.mktemp(recipe), recipe, every=10_000)
            collect(runs)
            known[recipe] = [content(folder) for folder in run_paths(runs)]
        return known[recipe]

    return made


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("step", [1, 11, 12])
def test_a_stopped_run_ends_as_one_that_never_stopped(recipe, step, whole, tmp_path, monkeypatch):
    step = min(step, 2) if recipe == "alone" else step
    runs = configs(tmp_path, recipe)
    with monkeypatch.context() as patch:
        stop_at(patch, step)
        with pytest.raises(Stop):
            collect(runs)
    stopped = [folder for folder in run_paths(runs) if not (folder / "result.json").exists()]
    assert stopped
    assert all((folder / CHECKPOINT).is_file() for folder in stopped)
    # The rest of the sweep is another cohort: one member alone, then the others.
    collect(runs[:1])
    collect(runs)
    assert [content(folder) for folder in run_paths(runs)] == whole(recipe)
    resumed = json.loads((stopped[-1] / "result.json").read_text())["environment"]["resumed_at"]
    assert resumed == step


def test_a_run_goes_on_with_the_threads_it_began_with(tmp_path, monkeypatch):
    """Not stacked, its products are split by their number."""
    wide = ["model.hidden=[1024,512]", "optimizer.fused=false", "training.batch_size=1024"]
    words = [
        *BASE,
        *wide,
        "training.epochs=4",
        "checkpoint.every_steps=1",
        f"output_dir={tmp_path}",
    ]
    (tmp_path / "whole").mkdir()
    whole = compose([*words, "device.threads=1", f"output_dir={tmp_path}/whole"])
    collect([whole])
    run = compose([*words, "device.threads=1"])
    with monkeypatch.context() as patch:
        stop_at(patch, 2)
        with pytest.raises(Stop):
            collect([run])
    collect([run | {"device": run["device"] | {"threads": None}}])
    paths = run_paths([run, whole])
    assert content(paths[0])["weights"] == content(paths[1])["weights"]


def test_members_at_different_steps_go_on_side_by_side(whole, tmp_path, monkeypatch):
    runs = configs(tmp_path, "adam")
    for step, part in ((3, runs[:2]), (9, runs[2:4])):
        with monkeypatch.context() as patch:
            stop_at(patch, step)
            with pytest.raises(Stop):
                collect(part)
    collect(runs)
    assert [content(folder) for folder in run_paths(runs)] == whole("adam")


def test_members_are_written_when_they_stop(tmp_path, monkeypatch):
    runs = configs(tmp_path, "stops_early")
    stop_at(monkeypatch, 50)
    with pytest.raises(Stop):
        collect(runs)
    steps = {
        json.loads((folder / "result.json").read_text())["history"][-1]["step"]
        for folder in run_paths(runs)
        if (folder / "result.json").exists()
    }
    assert steps
    assert max(steps) <= 50


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda c: c | {"versions": c["versions"] | {"torch": "1.0"}}, "torch 1.0"),
        (lambda c: c | {"config": c["config"].replace('size": 100', 'size": 7')}, "batch_size"),
        (lambda c: {k: v for k, v in c.items() if k != "losses"}, "losses"),
        (lambda c: None, "damaged"),
        (lambda c: c | {"step": "4"}, "no number"),
        (lambda c: c | {"step": 7}, "no state"),
        (lambda c: c | {"step": 10**12}, "no state"),
        (lambda c: c | {"config": "{"}, "no state"),
        (lambda c: c | {"versions": None}, "no state"),
        (lambda c: c | {"losses": {}}, "no state"),
        (lambda c: c | {"validations": []}, "no state"),
        (lambda c: c | {"seconds": -1.0}, "no state"),
    ],
)  # fmt: skip
def test_a_checkpoint_of_something_else_is_refused(change, named, tmp_path, monkeypatch):
    runs = configs(tmp_path, "momentum")[:2]
    with monkeypatch.context() as patch:
        stop_at(patch, 4)
        with pytest.raises(Stop):
            collect(runs)
    file = run_paths(runs)[0] / CHECKPOINT
    changed = change(torch.load(file, weights_only=True))
    torch.save(changed, file) if changed else file.write_bytes(b"no checkpoint")
    with pytest.raises(UserError, match=named):
        collect(runs)
    assert file.is_file()
    assert (run_paths(runs)[1] / "result.json").is_file()  # the other one went on
    file.unlink()
    assert [result.status for result in collect(runs)] == ["finished"] * 2


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """Two runs that were stopped after four steps, and the first one's checkpoint."""
    runs = configs(tmp_path, "momentum")[:2]
    with monkeypatch.context() as patch:
        stop_at(patch, 4)
        with pytest.raises(Stop):
            collect(runs)
    return runs, run_paths(runs)[0] / CHECKPOINT


def test_a_damaged_bit_is_seen(stopped):
    runs, file = stopped
    content = bytearray(file.read_bytes())
    weight = torch.load(file, weights_only=True)["cohort"]["weights"]["output_layer.bias"]
    content[content.index(weight.numpy().tobytes())] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match="not as it was written"):
        collect(runs)


class Code:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("save", [torch.save, lambda what, file: file.write_bytes(dumps(what))])
def test_a_checkpoint_runs_nothing(save, stopped, tmp_path):
    runs, file = stopped
    save({"step": Code(f"touch {tmp_path / 'ran'}")}, file)
    with pytest.raises(UserError, match="damaged"):
        collect(runs)
    assert not (tmp_path / "ran").exists()


def test_what_grows_when_it_is_read_is_refused(stopped):
    runs, file = stopped
    with ZipFile(file) as parts:
        held = {part: parts.read(part) for part in parts.namelist()}
    with ZipFile(file, "w", ZIP_DEFLATED) as parts:
        for part, content in held.items():
            parts.writestr(part, content)
    with pytest.raises(UserError, match="not as it was written"):
        collect(runs)


def test_a_pipe_in_its_place_is_not_waited_for(stopped):
    runs, file = stopped
    file.unlink()
    os.mkfifo(file)
    assert [result.status for result in collect(runs)] == ["finished"] * 2


@pytest.mark.parametrize("part", ["weights", "optimizer"])
def test_a_state_of_another_shape_is_refused(part, stopped):
    runs, file = stopped
    content = torch.load(file, weights_only=True)
    content["cohort"][part] = {name: torch.zeros(2) for name in content["cohort"][part]}
    torch.save(content, file)
    with pytest.raises(UserError, match=file.parent.name):
        collect(runs)
    file.unlink()
    assert [result.status for result in collect(runs)] == ["finished"] * 2


def test_a_checkpoint_stays_if_it_is_wanted_and_force_begins_anew(tmp_path, monkeypatch):
    (run,) = configs(tmp_path, "momentum", every=5)[:1]
    run["checkpoint"] = run["checkpoint"] | {"keep": True}
    collect([run])
    (folder,) = run_paths([run])
    assert torch.load(folder / CHECKPOINT, weights_only=True)["step"] == 30
    (again,) = collect([run | {"force": True}])
    assert "resumed_at" not in again.environment


def test_short_runs_write_none(tmp_path):
    run = compose([*BASE, "model=linear", f"output_dir={tmp_path}", "checkpoint.keep=true"])
    collect([run])
    assert not (run_paths([run])[0] / CHECKPOINT).exists()


def test_a_full_disk_stops_no_run(tmp_path, monkeypatch, capsys):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cohort_run, "write_checkpoint", full)
    (run,) = configs(tmp_path, "momentum")[:1]
    (result,) = collect([run])
    assert result.status == "finished"
    assert capsys.readouterr().err.lower().count("no space left on device") == 1


@pytest.mark.parametrize("kept", [np.float64(1), lambda: 1, Code("true")])
def test_a_state_that_cannot_be_read_back_is_not_written(kept, tmp_path, monkeypatch, capsys):
    taken = torch.optim.SGD.step

    def step(self, closure=None):  # as somebody's own optimizer may do
        self.param_groups[0]["kept"] = kept
        return taken(self, closure)

    monkeypatch.setattr(torch.optim.SGD, "step", step)
    (run,) = configs(tmp_path, "momentum")[:1]
    run["checkpoint"] = run["checkpoint"] | {"keep": True}
    run["optimizer"] = run["optimizer"] | {"fused": False}
    (result,) = collect([run])
    assert result.status == "finished"
    assert capsys.readouterr().err.count("no checkpoint can be written") == 1
    assert not (run_paths([run])[0] / CHECKPOINT).exists()
