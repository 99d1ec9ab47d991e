"""A sweep handed to an engine as jobs: whole cohorts, as many to a job as it may have runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from lossheads.analysis.format import count_of
from lossheads.errors import UserError, refusing_to_write
from lossheads.loggers.progress import Reporter
from lossheads.runs.executors.base import Engine, State, engine_of
from lossheads.runs.executors.follow import Follower, follow
from lossheads.runs.executors.sweep import FOLDER, Sweep, sweeps, write_sweep
from lossheads.runs.plan import Run, by_device, cohorts


def run_jobs(runs: Sequence[Run], asked: Sequence[str], reporter: Reporter) -> list[Exception]:
    """Have the runs trained; returns the failures, when all jobs have ended.

    Runs that are in a job already, handed over by a call that has left, are waited for.

    Args:
        asked: Folders of all runs of the sweep, in order, finished ones included.
    """
    settings = runs[0].config["executor"]
    outputs = Path(runs[0].config["output_dir"]).resolve()
    engine = engine_of(settings)
    per_job = settings["runs_per_job"]
    try:
        engine.check(len(jobs_of(runs, per_job)))
        with _planning(outputs):
            found = _adopted(runs, outputs, engine)
            taken = {
                name for sweep, alive in found for at in alive for name in sweep.record.jobs[at]
            }
            rest = [run for run in runs if run.folder.path.name not in taken]
            followed = [Follower(sweep, engine, list(alive)) for sweep, alive in found]
            for sweep, alive in found:
                reporter.say(f"{sweep.name}: {count_of(len(alive), 'job')} of it go on")
            if rest:
                jobs = jobs_of(rest, per_job)
                sweep = write_sweep(outputs, settings["kind"], asked, [_content(j) for j in jobs])
                engine.submit(sweep)
                reporter.say(
                    f"{settings['kind']}: {count_of(len(rest), 'run')} in "
                    f"{count_of(len(jobs), 'job')}, {sweep.folder}"
                )
                followed.append(Follower(sweep, engine))
        follow(followed, reporter)
    finally:
        engine.close()
    return [failure for follower in followed for failure in follower.failures()]


def _content(job: Sequence[Run]) -> dict[str, Mapping[str, Any]]:
    return {run.folder.path.name: run.config for run in job}


def _planning(outputs: Path) -> FileLock:
    """Two calls at once would hand over the same runs twice."""
    with refusing_to_write(outputs):
        (outputs / FOLDER).mkdir(parents=True, exist_ok=True)
    return FileLock(outputs / FOLDER / ".lock")


def _adopted(
    runs: Sequence[Run], outputs: Path, engine: Engine
) -> list[tuple[Sweep, Mapping[int, State]]]:
    """Earlier sweeps with some of the runs in jobs that have not ended, and those jobs."""
    wanted = {run.folder.path.name for run in runs}
    found: list[tuple[Sweep, Mapping[int, State]]] = []
    for sweep in sweeps(outputs):
        numbers = [at for at, job in enumerate(sweep.record.jobs) if wanted.intersection(job)]
        if not numbers or sweep.record.executor != runs[0].config["executor"]["kind"]:
            continue
        alive = engine.alive(sweep)
        if alive is None:
            raise UserError(
                f"{sweep.name} has runs of this sweep, and its engine does not answer: try again"
            )
        if mine := {at: alive[at] for at in numbers if at in alive}:
            found.append((sweep, mine))
    return found


def jobs_of(runs: Sequence[Run], runs_per_job: int) -> list[list[Run]]:
    """The runs of each job: of one device, and such as may share a cohort in a row.

    They are cut into jobs of about equal size. The machine that trains a job deals its runs out to
    its own cores, as cohorts of the size that suits it.
    """
    jobs: list[list[Run]] = []
    for group in by_device(runs):
        jobs.append([])
        for piece in cohorts(group, at_once=1, largest=runs_per_job):
            if len(jobs[-1]) + len(piece) > runs_per_job:
                jobs.append([])
            jobs[-1] += piece
    return [job for job in jobs if job]
