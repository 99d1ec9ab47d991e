"""SLURM, through submitit: one array of jobs for a sweep, whose tasks read a JSON file each.

submitit pickles what a job calls: a function of this package and the path of its file. Jobs alone
read that pickle, from the job directory that only the user can write; nothing else of submitit's is
ever read back, results are folders.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

from lossheads.errors import UserError
from lossheads.runs.executors.base import State
from lossheads.runs.executors.sweep import Sweep

_QUEUED = {"PENDING", "CONFIGURING", "SUSPENDED", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT"}


def engine(settings: Mapping[str, Any]) -> "Slurm":
    """The engine; `settings` of an executor, or of none to follow a sweep alone."""
    return Slurm(settings)


class Slurm:
    """See `base.Engine`."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings

    def check(self, jobs: int) -> None:
        try:
            import submitit  # noqa: F401
        except ImportError:
            raise UserError(
                "executor=slurm needs the package submitit: pip install lossheads[slurm]"
            ) from None
        limit = _array_limit()
        if jobs > limit:
            least = -(-jobs * self._settings["runs_per_job"] // limit)
            raise UserError(
                f"executor=slurm would need {jobs:,} jobs, but an array of this cluster has at "
                f"most {limit:,} (MaxArraySize): raise executor.runs_per_job to {least:,}"
            )

    def submit(self, sweep: Sweep) -> None:
        from submitit import SlurmExecutor
        from submitit.core.utils import FailedJobError

        from lossheads.runs.executors.job import Resumed

        settings = self._settings
        array = SlurmExecutor(sweep.folder, max_num_timeout=settings["requeues"])
        wanted = {
            "job_name": sweep.name,
            "time": settings["time"],
            "partition": settings["partition"],
            "account": settings["account"],
            "mem": settings["memory"],
            "cpus_per_task": settings["cpus"],
            "gpus_per_node": settings["gpus"] or None,
            "array_parallelism": settings["parallelism"],
            # Time for what a run writes when it is told to stop.
            "signal_delay_s": min(90, settings["time"] * 60 // 4),
            "stderr_to_stdout": True,
            "additional_parameters": {
                "requeue": True,  # which a cluster may have off by default
                **{str(k).replace("_", "-"): v for k, v in settings["directives"].items()},
            },
        }
        array.update_parameters(**{name: v for name, v in wanted.items() if v is not None})
        files = [str(sweep.job_file(number)) for number in range(len(sweep.record.jobs))]
        try:
            array.map_array(Resumed(), files)
        except FailedJobError as error:
            shutil.rmtree(sweep.folder, ignore_errors=True)  # none of it runs
            said = re.findall(r"sbatch: error: (.+)", str(error)) or str(error).split("\n")[-1:]
            raise UserError(
                f"executor=slurm: sbatch refuses the jobs: {' '.join(said).strip()}; see the "
                f"settings of executor"
            ) from error

    def alive(self, sweep: Sweep) -> Mapping[int, State] | None:
        said = _ask(
            *("squeue", "--noheader", "--array", "--user", str(os.getuid())),
            *("--name", sweep.name, "--format", "%i %T"),
        )
        if said is None:
            return None
        found: dict[int, State] = {}
        for line in said.splitlines():
            identity, _, state = line.strip().partition(" ")
            # A job alone is no array; one that is being requeued may be listed as its id alone.
            number = int(identity.partition("_")[2] or 0)
            found[number] = "queued" if state in _QUEUED else "running"
        return found

    def leave(self, sweep: Sweep) -> str:
        return (
            f"{sweep.name}: its jobs go on; lossheads status {sweep.folder.parents[1]} finds them "
            f"again, scancel --name {sweep.name} ends them"
        )

    def close(self) -> None:
        pass


def _array_limit() -> int:
    found = re.search(r"MaxArraySize\s*=\s*(\d+)", _ask("scontrol", "show", "config") or "")
    return int(found[1]) if found else 1001


def _ask(*words: str) -> str | None:
    """What a command of SLURM's answers; None if its controller does not."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        raise UserError(
            f"executor=slurm finds no command {words[0]}: call it on a machine of the cluster, as "
            f"its login node, or choose executor=local"
        ) from None
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
