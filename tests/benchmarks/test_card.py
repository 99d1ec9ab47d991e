"""benchmarks/card.sh where there is no card: what it refuses, its dry run, and its parts."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.card import checks, cli, ways
from benchmarks.card.work import Clock, Row, Work
from calling import python
from lossheads.engine.cuda_graph import CUDAGraphStep

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "card.sh"
CPU = torch.device("cpu")
WITHOUT_STREAMS = [name for name in ways.CANDIDATES if name != "streams"]  # they need a card


def run(out: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    own = {"PYTHON": sys.executable, "OUT": str(out), **variables}
    kept = {key: value for key, value in os.environ.items() if key != "LOSSHEADS_CARD"}
    return subprocess.run([SCRIPT], env=kept | own, capture_output=True, text=True, timeout=900)


@pytest.mark.skipif(torch.cuda.is_available(), reason="would measure the card for minutes")
@pytest.mark.parametrize(
    ("variables", "named"), [({}, "no CUDA card"), ({"LOSSHEADS_CARD": "gpu"}, "'gpu'")]
)
def test_without_a_card_nothing_is_measured(variables, named, tmp_path):
    outcome = run(tmp_path / "out", **variables)
    assert outcome.returncode == 2
    assert named in outcome.stderr
    assert outcome.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_dry_run_writes_every_part(tmp_path):
    # What the script starts is noted, then called where torch is loaded already.
    recorder = tmp_path / "python"
    recorder.write_text('#!/usr/bin/env bash\nprintf "%s\\n" "$*" | tee -a "$0.asked"\n')
    recorder.chmod(0o755)
    outcome = run(tmp_path, PYTHON=str(recorder), LOSSHEADS_CARD="cpu")
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    tests, measurement = Path(f"{recorder}.asked").read_text().splitlines()
    assert (tmp_path / "test_cuda.txt").read_text() == f"{tests}\n"
    assert tests == "-m pytest -q -m cuda tests/engine/test_cuda.py"
    assert "pytestmark = [\n    pytest.mark.cuda," in (ROOT / tests.split()[-1]).read_text()
    option, *call = measurement.split()
    assert option == "-m"
    done = python(*call, cwd=ROOT, seconds=600)
    assert done.returncode == 0, done.stdout + done.stderr
    written = json.loads((tmp_path / "card.json").read_text())
    assert not any(row["note"] for row in written["rows"])
    measured = {(row["net"], row["way"], row["members"]) for row in written["rows"]}
    for members in (1, 2):
        assert ("mlp-128", "vmap", members) in measured
        for way in ("lossheads", *WITHOUT_STREAMS):
            assert ("cnn-32-64", way, members) in measured
    assert {row["precision"] for row in written["rows"]} == {"float32", "bfloat16"}
    assert not any(written["waiting"].values())
    assert written["choice"].keys() == {"1", "2"}
    assert [row["precision"] for row in written["accuracies"]] == ["float32", "bfloat16"]
    # Every number of the table is one of the file.
    table = (tmp_path / "card.md").read_text()
    for row in written["rows"]:
        cells = row["members"], row["way"], row["precision"], f"{row['ms']:.3g}"
        assert f"| {' | '.join(map(str, cells))} |" in table
    assert "dry run" in table
    assert "for nothing" not in table  # nobody watched


def work(net: str, members: int = 3, graph: bool = False) -> Work:
    return Work(net, members, 8, CPU, graph=graph)


@pytest.mark.parametrize(
    ("net", "name"),
    [("mlp-128", "vmap"), *[("cnn-32-64", name) for name in WITHOUT_STREAMS[1:]]],
)
def test_every_way_takes_the_steps_of_one_by_one(net, name):
    expected = checks.first_losses(work(net), ways.one_by_one)
    found = checks.first_losses(work(net), ways.CANDIDATES[name])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert len(set(expected[-1].tolist())) == 3  # three members that differ
    assert not torch.equal(expected[0], expected[2])


def stand_in(step: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], object]]:
    """Like a capture: knows the tensors that the step closes over, fills one fixed result."""
    result = torch.empty(0)
    return result, lambda: result.resize_(3).copy_(step())


@pytest.mark.parametrize("name", WITHOUT_STREAMS)
def test_a_replayed_way_takes_the_steps_of_a_plain_one(name, monkeypatch):
    replay = partial(CUDAGraphStep, capture=stand_in, warmup=lambda step, *args: step(*args))
    monkeypatch.setattr(ways, "CUDAGraphStep", replay)
    plain, replayed = (
        ways.random_rows(work("cnn-32-64", graph=graph), ways.CANDIDATES[name])
        for graph in (False, True)
    )
    for _ in range(6):
        expected, found = plain(), replayed()
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_this_projects_row_trains_all_members_and_its_own_batches():
    stacked, single = (ways.lossheads(work(net, 2)) for net in ("mlp-128", "cnn-32-64"))
    stacked()
    single()


CLOCK = Clock(rounds=2, seconds=0.01, steps=2)


def test_a_way_that_fails_is_a_row_with_its_reason():
    def fails(work: Work) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")

    row = CLOCK.row("vmap", work("mlp-128"), fails)
    assert row.note == "OutOfMemoryError: CUDA out of memory."
    assert row.step_ms == []
    assert row.ms != row.ms


def test_a_member_epoch_is_sixty_thousand_images():
    row = Row("mlp-128", "lossheads", 4, 100, "float32", False, step_ms=[3.0, 1.0, 2.0])
    assert row.ms == 2.0
    assert row.epoch_s == pytest.approx(600 * 0.002 / 4)


def session(tmp_path: Path, limit: float = 100.0) -> cli.Session:
    made = cli.Session(CPU, cli.TINY, tmp_path, limit)
    made.content |= {"conditions": {"batch": 16}, "waiting": {}, "disagreements": {}}
    return made


def test_after_the_limit_rows_are_named_and_not_measured(tmp_path):
    late = session(tmp_path, limit=0.0)
    late.measure("vmap", late.work("mlp-128", 1), lambda work: pytest.fail("was measured"))
    assert "limit" in late.rows[0].note
    (row,) = json.loads((tmp_path / "card.json").read_text())["rows"]
    assert row["ms"] is None


def test_the_choice_is_the_fastest_of_the_ways_that_agree(tmp_path):
    found = session(tmp_path)
    found.content["disagreements"] = {
        "cnn-32-64": {"grouped": 1e-6, "vmap": 0.2, "unfold + bmm": "ValueError: no"}
    }
    speeds = {"one by one": 9.0, "grouped": 3.0, "vmap": 1.0, "unfold + bmm": 2.0}
    for members in (1, 2):
        for way, ms in speeds.items():
            if (members, way) != (2, "grouped"):
                ways_row = Row("cnn-32-64", way, members, 16, "float32", False, step_ms=[ms])
                found.rows.append(ways_row)
    assert cli._choice(found) == {"1": "grouped", "2": "one by one"}


def test_a_step_that_fails_is_told_by_the_check():
    told = checks.waiting(Work("no-such-net", 1, 8, CPU), augmented=False)
    assert "no-such-net" in told
