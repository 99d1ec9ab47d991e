"""One job of a sweep, where it is trained: reads JSON, returns nothing, its runs are folders."""

import json
import os
import platform
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from lossheads.analysis.terminal import PlainConsole
from lossheads.errors import UserError
from lossheads.loggers.progress import Reporter
from lossheads.records import write_json
from lossheads.runs.device import cores
from lossheads.runs.environment import processor
from lossheads.runs.execute import execute
from lossheads.runs.executors.sweep import is_finished
from lossheads.runs.messages import message_and_status
from lossheads.runs.plan import plan_runs


def run_job(path: str) -> None:
    """Train what the job's runs still need, as on one machine.

    May be called again for a job that was cut short: finished runs are left as they are.

    Args:
        path: The job's JSON file; beside it is written where it began, and why it failed.
    """
    file = Path(path)
    note, here = file.with_suffix(".started"), _here()
    try:
        write_json(note, here)
        job = json.loads(file.read_text(encoding="utf-8"))
        _enter(Path(job["cwd"]))
        configs = [_local(config, file, name) for name, config in job["runs"].items()]
        _refuse_changed(dict(zip(job["runs"], configs, strict=True)))
        execute(configs, Reporter(PlainConsole(file=sys.stdout, width=160)))
    except Exception as error:
        message, status = message_and_status(error)
        with suppress(OSError), note.open("r+", encoding="utf-8") as same:
            # In place: a full disk has no space for a second file.
            json.dump({**here, "failure": {"message": message, "status": status}}, same)
            same.truncate()
        raise


def _here() -> dict[str, Any]:
    names = ("SLURM_JOB_ID", "SLURM_RESTART_COUNT")
    return {
        "host": socket.gethostname(),
        "processor": processor() or platform.machine(),
        "pid": os.getpid(),
        **{name.lower(): os.environ[name] for name in names if name in os.environ},
    }


def _enter(folder: Path) -> None:
    """Paths of a configuration, and packages of the user's own, are seen from there."""
    try:
        os.chdir(folder)
    except OSError as error:
        raise UserError(
            f"{socket.gethostname()} has no folder {folder}, where the sweep was started: start it "
            f"in a folder that all machines share"
        ) from error


def _local(config: Mapping[str, Any], file: Path, name: str) -> dict[str, Any]:
    """The run as this machine trains it; none of these settings is part of its key."""
    device, cpus = config["device"], config["executor"]["cpus"]
    run = Path(config["output_dir"]) / "runs" / name
    return {
        **config,
        "executor": {"kind": "local"},
        "device": {**device, "threads": min(device["threads"] or cpus, cores())},
        "force": config["force"] and not is_finished(run, since=file),
    }


def _refuse_changed(configs: Mapping[str, Mapping[str, Any]]) -> None:
    """The user's own files are part of a key: other files, another run."""
    for name, run in zip(configs, plan_runs(configs.values()), strict=True):
        if not name.endswith(f"-{run.key}"):
            raise UserError(
                f"run {name} is another one here ({run.key}): its own files, or this machine's "
                f"lossheads, differ from those the sweep was started with; start it again"
            )


class Resumed:
    """`run_job` as submitit wants it: asked before its time is over what to queue again."""

    def __call__(self, path: str) -> None:
        run_job(path)

    def checkpoint(self, path: str) -> Any:
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, path)
