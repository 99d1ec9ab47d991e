"""Runs for other machines: what is refused, how they become jobs, and how a sweep is followed."""

import io
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from calling import lossheads, refusal
from lossheads.errors import RunsFailed, UserError
from lossheads.loggers.progress import Reporter
from lossheads.records import run_key
from lossheads.runs.collect import collect
from lossheads.runs.environment import describe_environment
from lossheads.runs.executors import submit
from lossheads.runs.executors.base import State
from lossheads.runs.executors.follow import Follower
from lossheads.runs.executors.job import run_job
from lossheads.runs.executors.settings import placed, refuse_several
from lossheads.runs.executors.submit import jobs_of
from lossheads.runs.executors.sweep import Sweep, read_sweep, sweeps, write_sweep
from lossheads.runs.folder import run_path
from lossheads.runs.plan import plan_run

Composer = Callable[..., dict[str, Any]]
REMOTE = ["executor=slurm", "executor=ray"]


# What is said before anything is written.


@pytest.mark.parametrize("remote", REMOTE)
def test_who_trains_is_no_part_of_a_key(tiny: Composer, remote: str) -> None:
    assert run_key(tiny(remote, "executor.cpus=4")) == run_key(tiny())


@pytest.mark.parametrize("remote", REMOTE)
def test_the_device_is_said_not_guessed(tiny: Composer, remote: str) -> None:
    with pytest.raises(UserError, match="device=auto"):
        placed(tiny(remote, "device=auto"))
    with pytest.raises(UserError, match=r"executor\.gpus"):
        placed(tiny(remote, "device=cuda"))
    card = placed(tiny(remote, "device=cuda", "executor.gpus=1"))  # there need be none here
    assert card["device"]["kind"] == "cuda"


@pytest.mark.parametrize("remote", REMOTE)
def test_threads_are_bounded_by_the_cpus_of_a_job(tiny: Composer, remote: str) -> None:
    assert placed(tiny(remote, "executor.cpus=64", "device.threads=64"))
    with pytest.raises(UserError, match=r"device\.threads.*3"):
        placed(tiny(remote, "executor.cpus=2", "device.threads=3"))


def test_a_run_that_several_processes_share_is_refused(
    tiny: Composer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert placed(tiny())
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(UserError, match="WORLD_SIZE is 4"):
        collect([tiny()])


def test_world_size_is_refused_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "one process" in refusal("train", "dataset=digits", cwd=tmp_path)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("executor.partition='main\nrm -rf x'", "partition"),
        ("executor.account='a b'", "account"),
        ("+executor.directives.qos='x\n touch y'", r"directives\.qos"),
        ("+executor.directives.output=/tmp/x", r"directives\.output"),
        ("+executor.directives.time=3", r"executor\.time"),
        ("+executor.directives.open_mode=append", r"directives\.open_mode"),
    ],
)
def test_a_batch_script_gets_words_and_none_of_our_own(
    tiny: Composer, setting: str, said: str
) -> None:
    config = tiny("executor=slurm", "+executor.directives.constraint='[rack1|rack2]'")
    assert placed(config)
    key, _, value = setting.removeprefix("+executor.").removeprefix("executor.").partition("=")
    section, _, name = key.rpartition(".")
    value = value.strip("'")
    executor = {**config["executor"], "directives": dict(config["executor"]["directives"])}
    (executor[section] if section else executor)[name] = value
    with pytest.raises(UserError, match=said):
        placed({**config, "executor": executor})


def test_keys_of_another_kind_and_wrong_numbers_are_refused(tmp_path: Path) -> None:
    said = refusal("train", "executor=ray", "+executor.partition=main", cwd=tmp_path)
    assert "executor has no key 'partition'" in said
    said = refusal("train", "executor=slrum", cwd=tmp_path)
    assert "slurm" in said
    words = ["executor=slurm", "device=cpu", "dataset=digits"]
    said = refusal("train", *words, "executor.runs_per_job=0", cwd=tmp_path)
    assert "executor.runs_per_job" in said


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("experiment/mine.yaml", "# @package _global_\nexecutor: {account: theirs}\n"),
        ("experiment/mine.yaml", "# @package _global_\ndefaults: [{override /executor: ray}]\n"),
        ("experiment/mine.yaml", "# @package executor\naddress: 10.0.0.1:6379\n"),
        ("executor/mine.yaml", "kind: ray\naddress: 10.0.0.1:6379\n"),
        (
            "experiment/mine.yaml",
            "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {executor: 'ray'}}}\n",
        ),
    ],
)
def test_a_strangers_file_does_not_say_who_trains(file: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / "theirs" / file
    path.parent.mkdir(parents=True)
    path.write_text(text)
    choice = "executor=mine" if path.parent.name == "executor" else "experiment=mine"
    words = ["dataset=digits", "device=cpu", choice]
    said = refusal("train", "--config-dir", "theirs", *words, cwd=tmp_path)
    assert "executor" in said
    assert "mine.yaml" in said


def test_a_sweep_has_one_executor_and_one_folder(tiny: Composer) -> None:
    slurm = tiny("executor=slurm")
    refuse_several([slurm, tiny("executor=slurm", "seed=1")])
    with pytest.raises(UserError, match="local and slurm"):
        refuse_several([tiny(), slurm])
    with pytest.raises(UserError, match="different settings"):
        refuse_several([slurm, tiny("executor=slurm", "executor.time=3")])
    with pytest.raises(UserError, match="output_dir"):
        refuse_several([slurm, {**slurm, "output_dir": "elsewhere"}])


@pytest.mark.parametrize("launcher", ["submitit_slurm", "submitit_local", "ray"])
def test_launchers_that_print_nothing_are_refused_with_the_executor(
    launcher: str, tmp_path: Path
) -> None:
    said = refusal("train", "-m", f"hydra/launcher={launcher}", "seed=0,1", cwd=tmp_path)
    assert (
        f"executor={'local' if launcher == 'submitit_local' else launcher.split('_')[-1]}" in said
    )


def test_a_launcher_that_takes_runs_one_by_one_says_what_is_lost(tmp_path: Path) -> None:
    words = ["dataset=digits", "model=linear", "training.steps=1", "recording.tensorboard=false"]
    done = lossheads("train", "-m", "hydra/launcher=basic", "seed=0,1", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "hydra/launcher=basic trains runs one by one" in done.stderr


def test_the_environment_names_the_processor() -> None:
    """Two machines of one sweep need not be alike, and last bits depend on it."""
    known = Path("/proc/cpuinfo")
    if not known.exists() or "model name" not in known.read_text():
        pytest.skip("this system does not tell its processor's model")
    device = describe_environment(torch.device("cpu"))["device"]
    assert f": {device}\n" in known.read_text()


# Jobs.


def test_runs_become_jobs_of_about_equal_size(tiny: Composer) -> None:
    config = tiny("executor=slurm")
    runs = [plan_run({**config, "seed": seed}) for seed in range(20)]
    assert [len(job) for job in jobs_of(runs, 10)] == [10, 10]
    assert [len(job) for job in jobs_of(runs, 8)] == [6, 7, 7]
    assert [len(job) for job in jobs_of(runs, 100)] == [20]
    assert {run.key for job in jobs_of(runs, 8) for run in job} == {run.key for run in runs}


def test_runs_that_share_no_cohort_may_share_a_job(tiny: Composer) -> None:
    configs = [tiny("executor=slurm", f"model.hidden=[{n}]") for n in (4, 8, 16)]
    runs = [plan_run(config) for config in configs]
    assert [len(job) for job in jobs_of(runs, 2)] == [2, 1]


def written(tiny: Composer, *words: str, executor: str = "slurm") -> tuple[Sweep, list[Any]]:
    """A sweep of two jobs, three runs in all."""
    config = tiny(f"executor={executor}", *words)
    runs = [plan_run({**config, "seed": seed}) for seed in range(3)]
    named = {run.folder.path.name: run.config for run in runs}
    first = dict(list(named.items())[:2])
    last = dict(list(named.items())[2:])
    outputs = Path(config["output_dir"]).resolve()
    return write_sweep(outputs, executor, list(named), [first, last]), runs  # type: ignore[arg-type]


def test_the_folder_of_a_sweep_is_the_users_alone_and_holds_json(tiny: Composer) -> None:
    before = os.umask(0)
    try:
        sweep, _ = written(tiny)
    finally:
        os.umask(before)
    assert stat.S_IMODE(sweep.folder.stat().st_mode) == 0o700
    assert read_sweep(sweep.folder).record == sweep.record
    for path in sweep.folder.iterdir():
        assert json.loads(path.read_text())


@pytest.mark.parametrize("name", ["../../etc", "a/b", "..", "", "-rf"])
def test_a_record_names_plain_folders_alone(tiny: Composer, name: str) -> None:
    sweep, _ = written(tiny)
    path = sweep.folder / "sweep.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "jobs": [[name]]}))
    with pytest.raises(UserError, match=r"sweep\.json is damaged"):
        read_sweep(sweep.folder)


def test_a_job_trains_what_its_runs_still_need_and_nothing_else(
    tiny: Composer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, runs = written(tiny)
    monkeypatch.chdir(Path.cwd())  # which the job changes
    alone = collect([{**tiny(), "seed": 0}])
    made = (runs[0].folder.path / "result.json").stat().st_mtime_ns
    run_job(str(sweep.job_file(0)))
    assert (runs[0].folder.path / "result.json").stat().st_mtime_ns == made
    assert [run.folder.result() is not None for run in runs] == [True, True, False]
    assert sweep.missing(0) == []
    assert sweep.missing(1) == [runs[2].folder.path.name]
    assert alone[0].key == runs[0].key
    note = sweep.note(0)
    assert note is not None
    assert note["pid"] == os.getpid()


def test_a_forced_run_is_trained_once_however_often_its_job_begins(
    tiny: Composer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path.cwd())
    collect([{**tiny(), "seed": seed} for seed in range(2)])
    sweep, runs = written(tiny, "force=true")
    assert len(sweep.missing(0)) == 2  # those results are older than the job
    run_job(str(sweep.job_file(0)))
    assert read_sweep(sweep.folder).missing(0) == []
    made = (runs[0].folder.path / "result.json").stat().st_mtime_ns
    run_job(str(sweep.job_file(0)))
    assert (runs[0].folder.path / "result.json").stat().st_mtime_ns == made


def test_a_job_that_meets_another_run_than_was_planned_says_so(
    tiny: Composer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path.cwd())
    sweep, runs = written(tiny)
    path = sweep.job_file(1)
    job = json.loads(path.read_text())
    ((name, config),) = job["runs"].items()
    path.write_text(json.dumps({**job, "runs": {name: {**config, "seed": 9}}}))
    with pytest.raises(UserError, match="another one here"):
        run_job(str(path))
    failure = (sweep.note(1) or {})["failure"]
    assert failure["status"] == 2
    assert name in failure["message"]
    assert not runs[2].folder.path.exists()


# Following a sweep.


class Told:
    """An engine that says what it is told to say."""

    def __init__(self, *answers: Mapping[int, State] | None) -> None:
        self.answers = list(answers)

    def check(self, jobs: int) -> None: ...
    def submit(self, sweep: Sweep) -> None: ...
    def close(self) -> None: ...

    def alive(self, sweep: Sweep) -> Mapping[int, State] | None:
        return self.answers.pop(0)

    def leave(self, sweep: Sweep) -> str:
        return ""


def test_a_job_has_failed_when_it_is_gone_and_its_results_stay_away(tiny: Composer) -> None:
    sweep, _ = written(tiny)
    engine = Told({0: "queued", 1: "running"}, {0: "running"}, None, {})
    seen = []
    follower = Follower(sweep, engine)
    for _ in range(4):
        follower.look()
        seen.append(tuple(follower.states.values()))
    assert seen[0] == ("queued", "running")
    assert seen[1] == ("running", "running")  # gone once: a result may be on its way
    assert seen[2] == ("running", "running")  # nobody knows
    assert seen[3] == ("running", "failed")
    assert not follower.ended


def test_a_result_counts_whatever_the_engine_says(tiny: Composer) -> None:
    sweep, _ = written(tiny)
    follower = Follower(sweep, Told({0: "running"}, {}, {}))
    for name in sweep.record.jobs[1]:
        (sweep.runs / name).mkdir(parents=True)
        (sweep.runs / name / "result.json").write_text("{}")
    follower.look()
    assert follower.states == {0: "running", 1: "finished"}
    assert (follower.finished_runs, follower.runs) == (1, 3)
    failure = {"message": "no such file", "status": 2}
    (sweep.folder / "0.started").write_text(json.dumps({"host": "n1", "failure": failure}))
    follower.look()
    follower.look()
    assert follower.ended
    (error,) = follower.failures()
    assert isinstance(error, UserError)
    assert str(error) == "no such file"


def test_a_job_that_says_nothing_is_counted(tiny: Composer) -> None:
    sweep, _ = written(tiny)
    follower = Follower(sweep, Told({}))
    follower.look(patience=1)
    (failure,) = follower.failures()
    assert isinstance(failure, RunsFailed)
    assert "2 jobs" in str(failure)
    assert "3 results" in str(failure)
    assert str(sweep.folder) in str(failure)


def test_sweeps_are_found_in_order_and_strange_folders_are_left(tiny: Composer) -> None:
    first, _ = written(tiny)
    (first.folder.parent / "mine").mkdir()
    second, _ = written(tiny)
    found = [sweep.name for sweep in sweeps(first.folder.parents[1])]
    assert sorted([first.name, second.name]) == found


class Here:
    """An engine whose jobs are trained, one a look, by whoever asks for them."""

    def __init__(self, patience: int = 99) -> None:
        self.submitted: list[Sweep] = []
        self.left = 0
        self._patience = patience

    def check(self, jobs: int) -> None: ...
    def close(self) -> None: ...

    def submit(self, sweep: Sweep) -> None:
        self.submitted.append(sweep)

    def alive(self, sweep: Sweep) -> Mapping[int, State] | None:
        waiting = [at for at in range(len(sweep.record.jobs)) if sweep.missing(at)]
        self._patience -= 1
        if self._patience < 0:
            raise KeyboardInterrupt
        if self._patience % 2 == 0:  # a call that plans asks once, too
            run_job(str(sweep.job_file(waiting[0])))
        return dict.fromkeys(waiting, "running")

    def leave(self, sweep: Sweep) -> str:
        self.left += 1
        return "left"


def test_the_same_call_again_waits_for_jobs_that_are_there(
    tiny: Composer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path.cwd())
    config = tiny("executor=slurm", "executor.runs_per_job=1")
    configs = [{**config, "seed": seed} for seed in range(2)]
    first, second = Here(patience=0), Here()
    monkeypatch.setattr(submit, "engine_of", lambda _: first)
    with pytest.raises(KeyboardInterrupt):
        collect(configs)
    assert (len(first.submitted), first.left) == (1, 1)
    monkeypatch.setattr(submit, "engine_of", lambda _: second)
    more = [*configs, {**config, "seed": 2}]
    results = collect(more)
    (sweep,) = second.submitted  # with the run that is in no job yet, and it alone
    assert [len(job) for job in sweep.record.jobs] == [1]
    assert sweep.record.jobs[0][0] == results[2].name
    assert sweep.record.asked == [result.name for result in results]
    assert [result.config["seed"] for result in results] == [0, 1, 2]
    assert collect(more) == results  # finished: no engine is asked
    assert len(second.submitted) == 1


@pytest.mark.parametrize(("kind", "package"), [("slurm", "submitit"), ("ray", "ray")])
def test_a_missing_package_is_named_before_anything_is_written(
    kind: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text("raise ImportError('not here')\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    words = ["dataset=digits", "model=linear", "device=cpu", f"executor={kind}"]
    said = refusal("train", *words, cwd=tmp_path)
    assert f"lossheads[{kind}]" in said


# The command.


def test_status_without_a_sweep_says_how_to_start_one(tmp_path: Path) -> None:
    assert "executor=slurm" in refusal("status", cwd=tmp_path)


def test_status_names_sweeps_that_are_near(tiny: Composer, tmp_path: Path) -> None:
    sweep, _ = written(tiny, executor="ray")
    said = refusal("status", "outputs", "--sweep", f"{sweep.name}x", cwd=tmp_path)
    assert sweep.name in said


def test_status_ends_with_the_tables_of_a_sweep_whose_jobs_are_gone(
    tiny: Composer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sweep, runs = written(tiny, executor="ray")  # whose tasks ended with the call that made them
    run_job(str(sweep.job_file(0)))
    done = lossheads("status", cwd=tmp_path)
    assert done.returncode == 1
    assert "n = 2" in done.stdout
    assert "1 job of" in done.stderr
    run_job(str(sweep.job_file(1)))
    done = lossheads("status", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "n = 3" in done.stdout
    assert run_path(runs[0].config).is_dir()


def test_a_sweep_that_is_finished_needs_no_cluster_to_be_shown(
    tiny: Composer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))  # where no squeue is
    sweep, _ = written(tiny)
    assert "finds no command squeue" in refusal("status", cwd=tmp_path)
    for number in range(2):
        run_job(str(sweep.job_file(number)))
    done = lossheads("status", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "n = 3" in done.stdout


def test_what_a_stranger_wrote_into_a_sweep_is_shown_as_it_stands(
    tiny: Composer, tmp_path: Path
) -> None:
    """No markup that ends the call, no orders to the terminal, in its record or a job's failure."""
    sweep, _ = written(tiny, executor="ray")
    record = json.loads((sweep.folder / "sweep.json").read_text())
    record["command"] = "lossheads [/nope] \x1b]0;title\x07\x1b[31mred"
    (sweep.folder / "sweep.json").write_text(json.dumps(record))
    failure = {"failure": {"message": "no [/b] \x1b[2Jmemory", "status": 2}}
    (sweep.folder / "0.started").write_text(json.dumps(failure))
    done = lossheads("status", cwd=tmp_path)
    assert done.returncode == 2
    assert "lossheads [/nope]" in done.stdout
    assert "no [/b]" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_progress_says_what_changes_and_moves_a_bar_on_a_terminal() -> None:
    lines, bar = io.StringIO(), io.StringIO()
    with Reporter(Console(file=lines, width=100)) as reporter:
        shown = reporter.jobs(6)
        for finished, message in ((0, "2 queued"), (1, "2 queued"), (6, "2 finished")):
            shown.show(finished, message)
    assert lines.getvalue().splitlines() == [
        "  jobs: 2 queued; 0 of 6 runs",
        "  jobs: 2 finished; 6 of 6 runs",
    ]
    with Reporter(Console(file=bar, width=100, force_terminal=True)) as reporter:
        reporter.jobs(6).show(5, "1 running")
    assert "5/6" in bar.getvalue()
    assert "runs  1 running" in bar.getvalue()


def test_status_imports_no_torch(tiny: Composer, tmp_path: Path) -> None:
    written(tiny, executor="ray")
    code = (
        "import sys; from lossheads.cli.status import command; command(['--now']);"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr
