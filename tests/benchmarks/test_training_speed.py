"""benchmarks.training_speed at a tiny size: what it measures and writes, never how fast it is."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.training_speed import cli, end_to_end, peers, session
from benchmarks.training_speed.peers.lossheads_cohort import overrides
from benchmarks.training_speed.peers.torch_parts import plain_net
from benchmarks.training_speed.process import PeerFailed
from benchmarks.training_speed.session import Plan, Row, Session
from benchmarks.training_speed.setting import MODELS, Setting, flops_per_image, load_rows, save_rows
from benchmarks.training_speed.summary import summarize
from calling import python
from lossheads.engine.member import Member, initial_net
from lossheads.runs.build import build_parts
from lossheads.runs.config import compose

ROOT = Path(__file__).parents[2]


def setting(model="mlp-128", batch=4, rows="") -> Setting:
    return Setting(model, batch, "own", 1, rows)


def run(*args: object) -> subprocess.CompletedProcess[str]:
    return python("benchmarks.training_speed", *map(str, args), cwd=ROOT, seconds=600)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A tiny comparison; (folder, what it printed)."""
    folder = tmp_path_factory.mktemp("benchmark")
    outcome = run(
        *("--tiny", "--threads", 1, "--peers", "plain,lossheads,jax"),
        *("--json", folder / "x.json", "--figure", folder / "cost", "--markdown", folder / "x.md"),
    )
    assert outcome.returncode == 0, outcome.stderr
    return folder, outcome.stdout


def test_a_tiny_run_writes_the_rows_it_was_asked_for(tiny):
    folder, printed = tiny
    written = json.loads((folder / "x.json").read_text())
    measured = {(row["peer"], row["members"]) for row in written["rows"]}
    absent = peers.PEERS["jax"].missing()
    expected = {("plain", 1), ("lossheads", 1), ("lossheads", 2)}
    assert measured == expected | (set() if absent else {("jax", 1), ("jax", 2)})
    assert all(len(row["rounds"]) == 1 for row in written["rows"])
    assert all(row["seconds_per_member_epoch"] > 0 for row in written["rows"])
    assert [each["peer"] for each in written["skipped"]] == (["jax"] if absent else [])
    assert ("skipped jax: not installed: jax" in printed) == bool(absent)


def test_a_tiny_run_writes_its_conditions(tiny):
    folder, printed = tiny
    about = json.loads((folder / "x.json").read_text())["conditions"]
    assert about["data"] == "synthetic"
    assert (about["threads"], about["rounds"]) == (1, 1)
    assert about["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert {"gemm-torch", "gemm-numpy"} <= about["gflops"].keys()
    assert min(about["gflops"].values()) > 0
    assert {"gemm-torch", "plain", "lossheads"} <= about["import_seconds"].keys()
    assert "medians of 1 interleaved rounds" in printed


def test_a_tiny_run_draws_and_writes_a_page(tiny):
    folder, _ = tiny
    assert (folder / "cost.png").stat().st_size > 10_000
    assert "this project" in (folder / "cost.svg").read_text()
    page = (folder / "x.md").read_text()
    assert page.startswith("### mlp-128, batch 32\n")
    assert "\n| lossheads | 2 | " in page


def test_the_profile_accounts_for_all_operations(tmp_path):
    outcome = run("profile", "--tiny", "--threads", 1, "--json", tmp_path / "x.json")
    assert outcome.returncode == 0, outcome.stderr
    reports = json.loads((tmp_path / "x.json").read_text())["profiles"]
    assert [report["setting"]["members"] for report in reports] == [1, 2]
    for report in reports:
        shares = [row["share"] for row in report["rows"]]
        assert sum(shares) == pytest.approx(1)
        assert len(shares) == 13
        assert shares[:12] == sorted(shares[:12], reverse=True)
        assert any("fused_adam" in row["operation"] for row in report["rows"])


def test_whole_processes_are_timed_from_start_to_end(tmp_path):
    assert len(end_to_end.help_seconds(1)["rounds"]) == 1
    facts = end_to_end.claim("worked-numbers", tmp_path)
    assert facts["exit_status"] in (0, 3)
    assert 50e6 < facts["peak_bytes"] < 20e9  # an interpreter with torch, in bytes
    assert facts["seconds_in_steps"] == 0  # arithmetic: nothing is trained


def test_peers_do_not_run_under_this_projects_thread_settings():
    script = (
        "import os, benchmarks.training_speed.cli; from benchmarks.training_speed import "
        "ENVIRONMENT; print(*('OMP_WAIT_POLICY' in each for each in (os.environ, ENVIRONMENT)))"
    )
    clean = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    call = [sys.executable, "-c", script]
    outcome = subprocess.run(call, cwd=ROOT, env=clean, capture_output=True, text=True, timeout=60)
    assert outcome.stdout.split() == ["True", "False"]


# A layer counts 2 · in · out, three times but for the first: 3 · 203,264 - 2 · 784 · 128.
def test_the_small_mlp_costs_409088_operations_an_image():
    assert flops_per_image(MODELS["mlp-128"]) == 409_088


@pytest.mark.parametrize("model", list(MODELS))
def test_operations_are_those_that_torch_counts(model):
    net = plain_net(setting(model))
    with FlopCounterMode(display=False) as counter:
        net(torch.ones(4, 1, 28, 28)).sum().backward()
    assert counter.get_total_flops() == 4 * flops_per_image(MODELS[model])


@pytest.mark.parametrize("model", list(MODELS))
def test_the_plain_net_has_the_layers_of_this_projects_net(model):
    parts = build_parts(compose(overrides(setting(model))))
    own = initial_net(parts.backbone, (1, 28, 28), Member(parts.head, 0, 0, parts.optimizer_kwargs))
    ours, plain = ([p.shape for p in net.parameters()] for net in (own, plain_net(setting(model))))
    assert ours == plain


def test_rows_are_kept_in_whole_batches(tmp_path):
    images = np.arange(10 * 28 * 28, dtype=np.uint8).reshape(10, 28, 28)
    save_rows(tmp_path / "rows.npz", images, np.arange(10))
    kept, labels = load_rows(setting(batch=4, rows=str(tmp_path / "rows.npz")))
    assert np.array_equal(kept, images[:8])
    assert labels.tolist() == list(range(8))


def test_ratios_are_between_medians_and_cost_counts_members():
    at = setting(batch=100)
    rows = [
        Row("plain", at, 1, 0.0, 5, [0.004, 0.010, 0.005]),
        Row("lossheads", at, 1, 0.0, 5, [0.002, 0.002, 0.009]),
        Row("lossheads", at, 20, 0.0, 5, [0.020, 0.020, 0.020]),
        Row("lossheads", at, 100, 0.0, 5, [0.100, 0.100, 0.100]),
    ]
    rates = {"gemm-torch": 60_000 * 409_088 / 0.6, "gemm-numpy": 60_000 * 409_088 / 0.3}
    plain, one, cohort, _ = summarize(rows, rates)
    # 600 steps make 60,000 images: 600 · 0.005 s. The rates make bounds of 0.6 and 0.3 s.
    assert plain.seconds_per_member_epoch == pytest.approx(3.0)
    assert plain.mfu == pytest.approx(0.1)
    assert plain.mfu_torch == pytest.approx(0.2)
    assert plain.to_alone == pytest.approx(2.5)
    assert (plain.cohort, plain.to_cohort) == (20, pytest.approx(5.0))
    assert one.plain_runs == pytest.approx(0.4)
    assert cohort.seconds_per_member_epoch == pytest.approx(0.6)
    assert cohort.plain_runs == pytest.approx(4.0)


def test_without_a_reference_there_is_no_ratio():
    (alone,) = summarize([Row("jax", setting(), 1, 0.0, 5, [0.1])], {"gemm-torch": 1e9})
    assert (alone.to_alone, alone.cohort, alone.to_cohort, alone.plain_runs) == (None,) * 4


STEP_SECONDS = {"plain": 0.01, "jax": 0.02, "lossheads": 0.001, "gemm-torch": 0.05}


class Stub:
    """A worker whose steps take a stated time; remembers all requests in order."""

    requests: ClassVar[list[tuple[str, int, int]]]

    def __init__(self, name: str, threads: int, device: str = "cpu") -> None:
        self.name = name

    def wait_until_ready(self) -> float:
        return 0.0

    def measure(self, at: Setting, members: int, steps: int) -> dict[str, float]:
        if self.name == "plain" and at.model == "cnn-32-64":
            raise PeerFailed("out of memory")
        if self.name == "lossheads" and members > 20:
            raise PeerFailed("killed")
        Stub.requests.append((self.name, members, steps))
        return {"seconds": members * steps * STEP_SECONDS[self.name], "wall": 9.0}

    def stop(self) -> None:
        Stub.requests.append((self.name, 0, 0))


@pytest.fixture
def stubbed(monkeypatch, tmp_path):
    """A session of stubs over 400 rows: 100 steps of 4 make a pass."""
    monkeypatch.setattr(session, "Worker", Stub)
    monkeypatch.setattr(session, "GEMMS", {"gemm-torch": peers.GEMMS["gemm-torch"]})
    Stub.requests = []
    rows = tmp_path / "rows.npz"
    save_rows(rows, np.zeros((400, 28, 28), np.uint8), np.zeros(400, np.int64))
    return str(rows)


def test_rounds_interleave_and_each_begins_with_another_row(stubbed):
    with Session(1, Plan(rounds=3, steps=50, seconds=1.0), print) as held:
        held.compare(setting(rows=stubbed), ["plain", "lossheads"], [1, 5])
    after_sizing = Stub.requests[9:-3]  # three rows, each tried three times; three processes stop
    assert [name for name, _, _ in after_sizing] == [
        *("gemm-torch", "plain", "lossheads", "lossheads"),
        *("gemm-torch", "lossheads", "lossheads", "plain"),
        *("gemm-torch", "lossheads", "plain", "lossheads"),
    ]
    assert Stub.requests[-1][1:] == (0, 0)


def test_slow_rows_take_fewer_steps_and_fast_ones_at_most_a_pass(stubbed):
    with Session(1, Plan(rounds=1, steps=500, seconds=0.5), print) as held:
        rows = held.compare(setting(rows=stubbed), ["jax", "lossheads"], [1, 5])
    assert [(row.peer, row.members, row.steps) for row in rows] == [
        ("jax", 1, 25),
        ("jax", 5, 5),
        ("lossheads", 1, 100),
        ("lossheads", 5, 100),
    ]
    assert [row.rounds[0] for row in rows] == pytest.approx([0.02, 0.1, 0.001, 0.005])


def test_what_is_not_measured_is_reported_with_its_reason(stubbed):
    with Session(1, Plan(rounds=1, steps=50, seconds=1.0), print) as held:
        rows = held.compare(
            setting("cnn-32-64", rows=stubbed), ["plain", "jax", "lossheads"], [1, 20, 100, 200]
        )
    assert [(row.peer, row.members) for row in rows] == [
        *(("jax", 1), ("jax", 20), ("lossheads", 1), ("lossheads", 20)),
    ]
    reported = [(each.peer, each.members, each.why) for each in held.skipped]
    assert reported == [
        ("plain", 1, "out of memory"),
        ("jax", 100, "three steps of K = 100 would take 6 s"),
        ("jax", 200, "three steps of K = 100 would take 6 s"),
        ("lossheads", 100, "killed"),
        ("lossheads", 200, "killed"),
    ]


def test_a_peer_that_is_not_installed_is_skipped_by_name(monkeypatch):
    monkeypatch.setattr(peers, "find_spec", lambda name: None if name == "keras" else object())
    held = Session(1, Plan(1, 1, 1.0), print)
    assert held.present(["plain", "keras-jax", "jax"]) == ["plain", "jax"]
    assert [(each.peer, each.why) for each in held.skipped] == [
        ("keras-jax", "not installed: keras")
    ]


def test_another_precision_leaves_out_the_peers_that_would_ignore_it(monkeypatch):
    monkeypatch.setattr(peers, "find_spec", lambda name: object())
    held = Session(1, Plan(1, 1, 1.0), print, precision="bfloat16")
    assert held.present(list(peers.PEERS)) == ["plain", "lossheads"]
    assert list(held.gemm_rates) == ["gemm-torch"]
    assert {each.peer for each in held.skipped} == peers.PEERS.keys() - {"plain", "lossheads"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--models", "mlp-127"], "did you mean mlp-128"),
        (["--peers", "plain,kerass-jax"], "did you mean keras-jax"),
        (["--members", "1,0"], "a whole number of at least 1"),
        (["--threads", "4096"], "got 4096"),
        (["--json", "FILE/x.json"], "cannot be written"),
        (["--graph"], "--graph needs a CUDA card"),
        (["--precision", "tf32"], "--precision tf32 needs a CUDA card"),
        (["profile", "--device", "cuda"], "on the CPU alone"),
        pytest.param(
            *(["--device", "cuda"], "finds no CUDA device"),
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card"),
        ),
    ],
)
def test_a_mistake_in_the_call_is_one_sentence(options, message, tmp_path, capsys):
    (tmp_path / "FILE").touch()
    call = [word.replace("FILE", str(tmp_path / "FILE")) for word in options]
    try:
        status = cli.main(call)
    except SystemExit as leaving:
        status = leaving.code
    assert status == 2
    assert message in capsys.readouterr().err
