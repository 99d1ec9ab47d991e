"""Sweeps on a Ray cluster that is started on this machine."""

import os
import signal
from importlib.util import find_spec
from pathlib import Path

import pytest

from calling import lossheads
from cluster.sweeping import LONG, SIX, at_work, called, jobs, results, tables, wait_for

RAY = ["executor=ray", "executor.runs_per_job=3"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed"),
]


def test_a_sweep_ends_as_on_one_machine(tmp_path: Path) -> None:
    alone, cluster = tmp_path / "alone", tmp_path / "cluster"
    for folder in (alone, cluster):
        folder.mkdir()
    here = lossheads(*SIX, cwd=alone)
    with called(*SIX, *RAY, cwd=cluster, env={}) as there:
        stdout, stderr = there.communicate(timeout=300)
    assert there.returncode == 0, stderr
    assert stdout == here.stdout
    assert results(cluster) == results(alone)
    assert "0 queued, 0 running, 2 finished, 0 failed; 6 of 6 runs" in stderr
    status = lossheads("status", cwd=cluster)
    assert tables(status.stdout) == tables(here.stdout)


def test_a_job_whose_process_dies_is_tried_again(tmp_path: Path) -> None:
    with called(*LONG, *RAY, cwd=tmp_path, env={}) as parent:
        first = wait_for(lambda: at_work(tmp_path))
        os.kill(first["pid"], signal.SIGKILL)
        _, said = parent.communicate(timeout=300)
    assert parent.returncode == 0, said
    assert at_work(tmp_path)["pid"] != first["pid"]
    assert len(results(tmp_path)) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_jobs_end_with_the_call_that_made_them(number: signal.Signals, tmp_path: Path) -> None:
    words = [*LONG, *RAY]
    with called(*words, cwd=tmp_path, env={}) as parent:
        started = wait_for(lambda: at_work(tmp_path))
        parent.send_signal(number)
        _, said = parent.communicate(timeout=300)
    if number != signal.SIGKILL:
        assert parent.returncode == 128 + number, said
        assert f"{jobs(tmp_path).name}: its jobs end with this call" in said
        assert "Traceback" not in said
    wait_for(lambda: not Path(f"/proc/{started['pid']}").exists())
    assert results(tmp_path) == {}
    told = lossheads("status", cwd=tmp_path)
    assert told.returncode == 1
    assert "1 job of" in told.stderr
    with called(*words, cwd=tmp_path, env={}) as again:
        _, said = again.communicate(timeout=300)
    assert again.returncode == 0, said
    assert len(results(tmp_path)) == 1


def test_what_no_machine_has_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with called(*SIX, *RAY, "executor.cpus=1000", cwd=tmp_path, env={}) as parent:
        _, said = parent.communicate(timeout=300)
    assert parent.returncode == 2
    assert "executor.cpus=1000" in said
    assert said.count("\n") == 1, said
    assert not list((tmp_path / "outputs").glob("jobs/lossheads-*"))


def test_a_cluster_that_is_not_there_is_named(tmp_path: Path) -> None:
    words = [*SIX, *RAY, "executor.address=127.0.0.1:1"]
    with called(*words, cwd=tmp_path, env={}) as parent:
        _, said = parent.communicate(timeout=300)
    assert parent.returncode == 2, said
    assert "127.0.0.1:1" in said.splitlines()[-1]
