"""A sweep on a cluster, as files: which runs its jobs train, and how far they are.

outputs/jobs/<name>/      the user's alone
    sweep.json            written before the first job is handed over
    <number>.json         a job: configurations of its runs
    <number>.started      the machine that began it, and why it could not train all its runs: JSON

No job returns anything: a run is finished when its folder has a result. All that is read here is
JSON; a name becomes part of a path only if it is one plain name.
"""

import json
import os
import re
import secrets
import shlex
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from lossheads.errors import UserError, reason, refusing_to_write
from lossheads.records import write_json

FOLDER = "jobs"
_PLAIN = re.compile(r"\w[\w.+-]*")


def _plain(name: str) -> str:
    if not _PLAIN.fullmatch(name):
        raise ValueError("it must be one plain name")
    return name


Name = Annotated[str, AfterValidator(_plain)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Record:
    """What is known of a sweep when its jobs are handed over.

    Attributes:
        executor: The kind.
        submitted: ISO 8601, UTC, to the second.
        command: What was called.
        asked: Folders of all runs that were asked for, in order, finished ones included.
        jobs: Folders of the runs of each job.
        forced: Those that are trained again although they have a result.
    """

    executor: Literal["slurm", "ray"]
    submitted: str
    command: str
    asked: list[Name]
    jobs: list[list[Name]]
    forced: list[Name]
    schema_version: Literal[1] = 1


_RECORD = TypeAdapter(Record)


class Sweep:
    """One sweep's folder, and its record."""

    def __init__(self, folder: Path, record: Record) -> None:
        self.folder, self.record = folder, record
        self.runs = folder.parents[1] / "runs"
        self._forced = set(record.forced)
        self._finished: set[str] = set()

    @property
    def name(self) -> str:
        """Of the folder, and of its jobs in the queue."""
        return self.folder.name

    def job_file(self, number: int) -> Path:
        """The job, as JSON."""
        return self.folder / f"{number}.json"

    def note(self, number: int) -> dict[str, Any] | None:
        """What the job itself wrote, if it has begun."""
        try:
            found = json.loads((self.folder / f"{number}.started").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def missing(self, number: int) -> list[str]:
        """Folders of the job's runs that have no result yet."""
        return [name for name in self.record.jobs[number] if not self._has_result(number, name)]

    def _has_result(self, number: int, name: str) -> bool:
        if name not in self._finished and is_finished(
            self.runs / name, self.job_file(number) if name in self._forced else None
        ):
            self._finished.add(name)
        return name in self._finished


def is_finished(run: Path, since: Path | None) -> bool:
    """Whether the run has a result; with `since` one that is newer than that file."""
    try:
        made = (run / "result.json").stat().st_mtime_ns
        return since is None or made > since.stat().st_mtime_ns
    except OSError:
        return False


def write_sweep(
    outputs: Path,
    executor: Literal["slurm", "ray"],
    asked: Sequence[str],
    jobs: Sequence[Mapping[str, Mapping[str, Any]]],
) -> Sweep:
    """Write a sweep's folder, its record last.

    Args:
        outputs: Absolute.
        asked: Folders of all runs, see `Record`.
        jobs: For each job, folder -> configuration of its runs.

    Raises:
        UserError: If the folder cannot be written, or not be kept from others.
    """
    now = datetime.now(UTC)
    name = f"lossheads-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    folder = outputs / FOLDER / name
    with refusing_to_write(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
        _refuse_shared(folder)
        record = Record(
            executor=executor,
            submitted=now.isoformat(timespec="seconds"),
            command=shlex.join(["lossheads", *sys.argv[1:]]),
            asked=list(asked),
            jobs=[list(job) for job in jobs],
            forced=[run for job in jobs for run, config in job.items() if config["force"]],
        )
        for number, job in enumerate(jobs):
            content = {"cwd": str(Path.cwd()), "runs": job}
            write_json(folder / f"{number}.json", content)
        write_json(folder / "sweep.json", _RECORD.dump_python(record))
    return Sweep(folder, record)


def _refuse_shared(folder: Path) -> None:
    """What a job trains is read from here; submitit keeps its own files, pickles, here too."""
    found = folder.stat()
    if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        folder.rmdir()
        raise UserError(
            f"{folder} must be yours alone, but others may use it on this file system: name "
            f"another folder with output_dir=FOLDER"
        )


def read_sweep(folder: Path) -> Sweep:
    """The sweep of a folder.

    Raises:
        UserError: If it has no record that can be read.
    """
    path = folder / "sweep.json"
    try:
        record = _RECORD.validate_json(path.read_bytes(), strict=True)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {reason(error)}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{path} is damaged: {where} {first['msg']}; delete its folder") from None
    return Sweep(folder, record)


def sweeps(outputs: Path) -> Iterator[Sweep]:
    """All sweeps below `outputs` that can be read, the latest last."""
    folder = outputs.resolve() / FOLDER
    for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
        if (entry / "sweep.json").is_file():
            yield read_sweep(entry)
