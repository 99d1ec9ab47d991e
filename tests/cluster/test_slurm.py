"""Sweeps on a SLURM cluster of this machine alone: real jobs, a real queue, real faults."""

import json
import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from calling import lossheads
from claims import making
from cluster.sweeping import LONG, SIX, at_work, called, finishes, jobs, results, tables, wait_for

SCRIPT = Path(__file__).with_name("one_node_slurm.sh")
SLURM = ["executor=slurm", "executor.runs_per_job=3"]
SERVICES = ("munged", "slurmctld", "slurmd")


def obstacle() -> str:
    """Why no cluster can be started here; empty if one can."""
    if find_spec("submitit") is None:
        return "submitit is not installed"
    if not hasattr(os, "getuid") or os.getuid() != 0:
        return f"{SCRIPT.name} needs root"
    if missing := [name for name in SERVICES if shutil.which(name) is None]:
        return f"no {missing[0]}: `{SCRIPT.name} install` installs it with apt"
    return ""


pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(obstacle()), reason=obstacle())]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment in which commands find the cluster."""
    here = tmp_path_factory.mktemp("slurm")
    env = {"SLURM_HERE": str(here), "SLURM_CONF": str(here / "slurm.conf")}
    subprocess.run([SCRIPT, "up"], env={**os.environ, **env}, check=True)
    yield env
    subprocess.run(["scancel", "--user", "root"], env={**os.environ, **env}, check=False)
    subprocess.run([SCRIPT, "down"], env={**os.environ, **env}, check=True)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """What the sweep prints and computes on this machine."""
    cwd = tmp_path_factory.mktemp("local")
    done = lossheads(*SIX, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout, results(cwd)


def scancel(env: dict[str, str], *words: str) -> None:
    subprocess.run(["scancel", *words], env={**os.environ, **env}, check=True)


def test_a_sweep_ends_as_on_one_machine(
    cluster: dict[str, str], local: tuple[str, dict[str, Any]], tmp_path: Path
) -> None:
    done = lossheads(*SIX, *SLURM, cwd=tmp_path, env=cluster, seconds=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout == local[0]
    assert results(tmp_path) == local[1]
    folder = jobs(tmp_path)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert sorted(path.name for path in folder.glob("[0-9].json")) == ["0.json", "1.json"]
    assert "0 queued, 0 running, 2 finished, 0 failed; 6 of 6 runs" in done.stderr
    again = lossheads("status", cwd=tmp_path, env=cluster, seconds=300)
    assert again.returncode == 0, again.stderr
    assert tables(again.stdout) == tables(local[0])


def test_whoever_started_it_may_leave_and_come_back(
    cluster: dict[str, str], tmp_path: Path
) -> None:
    words = [*LONG, *SLURM, "training.steps=60000"]  # asked for while it trains
    with called(*words, cwd=tmp_path, env=cluster) as first:
        wait_for(lambda: at_work(tmp_path))
        first.kill()
        first.wait()
    now = lossheads("status", "--now", cwd=tmp_path, env=cluster, seconds=300)
    assert "0 queued, 1 running, 0 finished, 0 failed; 0 of 1 runs" in now.stdout, now.stderr
    again = lossheads(
        *words, cwd=tmp_path, env=cluster, seconds=300
    )  # waits for the job that is there
    assert again.returncode == 0, again.stderr
    assert len(list(jobs(tmp_path).glob("[0-9]*.json"))) == 1
    told = lossheads("status", cwd=tmp_path, env=cluster, seconds=300)
    # A lone run's table has its folder in the title.
    assert told.stdout.endswith(again.stdout), told.stderr


def test_ctrl_c_leaves_the_jobs_and_says_how_to_find_them(
    cluster: dict[str, str], tmp_path: Path
) -> None:
    with called(*LONG, *SLURM, cwd=tmp_path, env=cluster) as parent:
        wait_for(lambda: at_work(tmp_path))
        parent.send_signal(signal.SIGINT)
        _, said = parent.communicate(timeout=300)
    assert parent.returncode == 130
    assert "lossheads status" in said
    assert f"scancel --name {jobs(tmp_path).name}" in said
    assert "Traceback" not in said
    assert lossheads("status", cwd=tmp_path, env=cluster, seconds=300).returncode == 0
    assert len(results(tmp_path)) == 1


@pytest.mark.parametrize("fault", ["scancel", "SIGKILL"])
def test_what_a_job_lost_is_said_and_trained_by_the_same_command(
    cluster: dict[str, str], fault: str, tmp_path: Path
) -> None:
    words = [*LONG, *SLURM, "training.steps=60000"]  # still trains when SLURM's patience ends
    with called(*words, cwd=tmp_path, env=cluster) as parent:
        started = wait_for(lambda: at_work(tmp_path))
        if fault == "scancel":
            scancel(cluster, "--name", jobs(tmp_path).name)
        else:
            os.kill(started["pid"], signal.SIGKILL)
        _, said = parent.communicate(timeout=300)
    assert parent.returncode == 1, said
    assert said.splitlines()[-1].startswith("lossheads: 1 job of")
    assert "Traceback" not in said
    assert results(tmp_path) == {}
    finishes(*words, cwd=tmp_path, env=cluster)


def test_a_job_whose_time_is_over_is_queued_again(cluster: dict[str, str], tmp_path: Path) -> None:
    words = [*LONG, *SLURM, "training.steps=60000"]  # still trains when the signal comes
    with called(*words, cwd=tmp_path, env=cluster) as parent:
        job = wait_for(lambda: at_work(tmp_path))["slurm_job_id"]
        scancel(cluster, "--signal=USR2", job)  # what SLURM sends before the end
        _, said = parent.communicate(timeout=300)
    assert parent.returncode == 0, said
    assert at_work(tmp_path)["slurm_restart_count"] == "1"
    assert len(results(tmp_path)) == 1


def test_a_full_disk_ends_the_sweep_with_its_reason(
    cluster: dict[str, str], tmp_path: Path
) -> None:
    words, outputs = [*SIX, *SLURM], tmp_path / "outputs"
    outputs.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=180k", "tmpfs", str(outputs)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount")
    try:
        done = lossheads(*words, cwd=tmp_path, env=cluster, seconds=300)
        assert done.returncode == 2, done.stderr
        assert "no space left" in done.stderr
        assert "Traceback" not in done.stderr
        subprocess.run(["mount", "-o", "remount,size=50m", str(outputs)], check=True)
        finishes(*words, cwd=tmp_path, env=cluster)
    finally:
        subprocess.run(["umount", "--lazy", str(outputs)], check=True)


def test_a_claim_has_the_verdict_of_one_machine(cluster: dict[str, str], tmp_path: Path) -> None:
    shared = "{dataset: digits, model: linear, training.steps: 20}"
    text = making.CLAIM.replace("{dataset: digits}", shared)
    verdicts = []
    for name, words in (("here", []), ("there", [*SLURM])):
        folder = tmp_path / name
        folder.mkdir()
        making.write(folder, text)
        words = ["claim", "run", "a-claim.yaml", "seeds=2", "device=cpu", *words]
        done = lossheads(*words, cwd=folder, env=cluster, seconds=300)
        assert done.returncode == 0, done.stderr
        (page,) = folder.glob("outputs/claims/*/verdict.json")
        verdict = json.loads(page.read_text())
        for changing in ("environment", "seconds", "command", "date"):
            verdict.pop(changing, None)
        verdicts.append(verdict)
    assert verdicts[0] == verdicts[1]
    assert jobs(tmp_path / "there").is_dir()


def test_what_sbatch_refuses_is_said_and_nothing_is_left(
    cluster: dict[str, str], tmp_path: Path
) -> None:
    done = lossheads(
        *SIX, *SLURM, "executor.partition=nowhere", cwd=tmp_path, env=cluster, seconds=300
    )
    assert done.returncode == 2, done.stderr
    assert "partition" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "outputs").glob("jobs/lossheads-*"))


def test_more_jobs_than_an_array_holds_are_refused_with_a_number(
    cluster: dict[str, str], tmp_path: Path
) -> None:
    words = [*SIX, "executor=slurm", "executor.runs_per_job=1", "seed=range(600)"]
    done = lossheads(*words, cwd=tmp_path, env=cluster, seconds=300)
    assert done.returncode == 2, done.stderr
    assert "MaxArraySize" in done.stderr
    assert "executor.runs_per_job to 2" in done.stderr
