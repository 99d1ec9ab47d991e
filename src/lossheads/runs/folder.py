"""A run's folder while it is written: named by the run's key, locked, with its status."""

import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from lossheads.errors import UserError, refusing_to_write
from lossheads.predictions_file import NAME as PREDICTIONS
from lossheads.records import (
    Result,
    Status,
    ValidationStep,
    read_result,
    run_key,
    write_json,
    write_result,
)
from lossheads.whole_files import whole_file

CHECKPOINT = "checkpoint.pt"  # where an unfinished run's training stands
WEIGHTS = "weights.pt"

_NEW, _WHOLE = ".new", ".whole"


class TakenRun(UserError):
    """Another process trains this run, or has just finished it."""


def run_path(config: Mapping[str, Any]) -> Path:
    """`…/runs/fashion_mnist-softmax_cce-s0-0123456789`: readable first, unique at the end.

    Only the key counts: a folder whose name ends in it is the run's.
    """
    return run_paths([config])[0]


def run_paths(configs: Sequence[Mapping[str, Any]]) -> list[Path]:
    """`run_path` of each; the folder of runs is listed once."""
    parents = [Path(config["output_dir"]) / "runs" for config in configs]
    listed = {parent: _by_key(parent) for parent in dict.fromkeys(parents)}
    paths = []
    for parent, config in zip(parents, configs, strict=True):
        key, choices = run_key(config), config["choices"]
        # A choice may be in a subfolder (head=mine/smoothed): a name is one path component.
        readable = f"{choices['dataset']}-{choices['head']}-s{config['seed']}"
        readable = re.sub(r"[^\w.+-]+", "-", readable)[-200:]
        paths.append(parent / listed[parent].get(key, f"{readable}-{key}"))
    return paths


def _by_key(runs: Path) -> dict[str, str]:
    """Key -> name of the folder, the first of the alphabet."""
    names = sorted(os.listdir(runs), reverse=True) if runs.is_dir() else []
    return {name.rpartition("-")[2]: name for name in names if "-" in name}


def missing_files(config: Mapping[str, Any], folder: Path) -> list[str]:
    """Which of weights and predictions a configuration asks for that a finished run has not."""
    files = {"weights": WEIGHTS, "predictions": PREDICTIONS}
    asked = [what for what in files if config["recording"][what]]
    return [what for what in asked if not (folder / files[what]).exists()]


class RunFolder:
    """One run's folder. Files appear in it only between `open` and `close`.

    A result stays until the next one is whole: with force=true that one is made in `.new`, a folder
    inside. `open` and `recover` bring to an end whatever a killed process has left of it:

        .new, no result.json in it   not whole: deleted
        .new, with result.json       whole: files that only the old result has are deleted, then
                                     `.new` is renamed to `.whole`
        .whole                       its files take their places one by one, result.json last

    Attributes:
        writing: Where a run's files go while it trains: `path`, or `.new` inside.
        closed: Whether a result was written here, by this object.
    """

    def __init__(self, path: Path) -> None:
        self.path = self.writing = path
        self.closed = False
        # Not bound to a thread: a run may be closed by another thread than the one that opened it.
        self._lock = FileLock(path / ".lock", timeout=0, thread_local=False)
        self._locked_file: os.stat_result | None = None

    def result(self) -> Result | None:
        """The finished result, if there is one."""
        return read_result(self.path)

    def recover(self) -> None:
        """End what a killed process began, unless another one is at work, or nobody may write."""
        begun = any((self.path / name).exists() for name in (_NEW, _WHOLE))
        if begun or self._status_lags():
            with suppress(OSError):  # filelock's Timeout is one
                self._lock.acquire()
                try:
                    self._settle()
                finally:
                    self.release()

    def open(
        self, config: Mapping[str, Any], environment: Mapping[str, Any], force: bool = False
    ) -> None:
        """Lock the folder, delete what an unfinished run left, write configuration and environment.

        Its checkpoint stays, except with `force`.

        Raises:
            TakenRun: If another process trains this run or has finished it meanwhile.
            UserError: If the folder cannot be written.
        """
        with refusing_to_write(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire()
            except Timeout:
                raise TakenRun(
                    f"run {self.path.name} is being trained by another process: wait for it, or "
                    f"stop it, and run the command again"
                ) from None
            self._locked_file = (self.path / ".lock").stat()
            self._settle()
            self._make_room(force)
            text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
            (self.writing / "config.yaml").write_text(text, encoding="utf-8")
            write_json(self.writing / "environment.json", environment, durable=False)
            self.status("running")

    def _make_room(self, force: bool) -> None:
        """An empty place for the files: the folder itself, or `.new` beside an earlier result."""
        if (self.path / "result.json").is_file():
            if not force:
                self.release()
                raise TakenRun(
                    f"run {self.path.name} was finished by another process meanwhile: run the "
                    f"command again to use its result"
                )
            self.writing = self.path / _NEW
            self.writing.mkdir()
            return
        for old in self.path.iterdir():
            if old.is_dir() and not old.is_symlink():
                raise UserError(
                    f"{self.path} holds a folder {old.name}, which no run has written: move it "
                    f"away and run the command again"
                )
            if old.name != ".lock" and (force or old.name != CHECKPOINT):
                old.unlink()

    def is_taken(self) -> bool:
        """Whether another process trains this run just now."""
        if not self.path.is_dir():
            return False
        try:
            self._lock.acquire()
        except Timeout:
            return True
        self.release()
        return False

    def status(self, status: Status, why: str = "") -> None:
        """Write the status of the run."""
        write_json(self.writing / "status.json", {"status": status, "why": why}, durable=False)

    def close(self, result: Result, files: Iterable[str] = ()) -> None:
        """Write the history, the result and last of all the status.

        Args:
            files: What else was written and must be there.

        Raises:
            UserError: If the folder cannot be written, or was deleted meanwhile.
        """
        with refusing_to_write(self.path):
            expected = ("config.yaml", "environment.json", *files)
            if not self._is_mine() or not all((self.writing / name).exists() for name in expected):
                raise UserError(
                    f"the folder of run {self.path.name} was deleted or changed while the run was "
                    f"trained, so it has no result: run the command again"
                )
            with whole_file(self.writing / "metrics.jsonl") as file:
                file.writelines(_line(step).encode("utf-8") for step in result.history)
            write_result(self.writing, result)
            self.closed = True
            if not _keeps_checkpoint(result):
                (self.writing / CHECKPOINT).unlink(missing_ok=True)
            with suppress(OSError):  # finished all the same; `recover` writes it another time
                self._overwrite_status(result.status, "")
            self._settle()
        self.release()

    def abandon(self, status: Status, why: str) -> None:
        """Write why there is no result, and unlock the folder; an earlier result stays."""
        if not self._lock.is_locked:
            return
        with suppress(OSError):  # a full disk must not hide why the run ended
            if self._is_mine():
                self._settle()
                self.writing = self.path
                if not (self.path / "result.json").exists():
                    self._overwrite_status(status, why)
        self.release()

    def release(self) -> None:
        """Release the lock. Its file stays: without it two processes could hold "the" lock."""
        self._lock.release()
        self.writing, self._locked_file = self.path, None

    def _is_mine(self) -> bool:
        """Whether the folder is still the one that was locked, not deleted nor made anew."""
        try:
            found = (self.path / ".lock").stat()
        except OSError:
            return False
        return self._locked_file is not None and os.path.samestat(found, self._locked_file)

    def _settle(self) -> None:
        """Put a whole new result in the place of the old one, or delete what is not whole."""
        new, whole = self.path / _NEW, self.path / _WHOLE
        self._move_in(whole)
        if (new / "result.json").exists():
            for part in new.glob(".*.part"):
                part.unlink()
            kept = {path.name for path in new.iterdir()} | {".lock", _NEW, "result.json"}
            for old in self.path.iterdir():
                if old.name not in kept and not old.is_dir():  # a folder is the user's own
                    old.unlink()
            new.rename(whole)
            self._move_in(whole)
        elif new.exists():
            shutil.rmtree(new)
        if self._status_lags():
            with suppress(OSError, UserError):
                result = self.result()
                if result is not None:
                    if not _keeps_checkpoint(result):
                        (self.path / CHECKPOINT).unlink(missing_ok=True)
                    self.writing = self.path
                    self._overwrite_status(result.status, "")

    def _move_in(self, whole: Path) -> None:
        if whole.exists():
            for file in sorted(whole.iterdir(), key=lambda file: file.name == "result.json"):
                file.replace(self.path / file.name)
            whole.rmdir()

    def _status_lags(self) -> bool:
        """Whether the status does not say yet that there is a result."""
        try:
            text = (self.path / "status.json").read_text(encoding="utf-8")
            status = json.loads(text)["status"]
        except (OSError, ValueError, TypeError, KeyError):
            status = ""
        over = status in ("finished", "diverged")
        return not over and all((self.path / f"{n}.json").is_file() for n in ("status", "result"))

    def _overwrite_status(self, status: Status, why: str) -> None:
        try:
            self.status(status, why)
        except OSError:  # no space for a second file: overwrite the first one
            with (self.path / "status.json").open("r+", encoding="utf-8") as file:
                json.dump({"status": status, "why": why}, file)
                file.truncate()


def _keeps_checkpoint(result: Result) -> bool:
    return bool(result.config.get("checkpoint", {}).get("keep"))


def _line(validation: ValidationStep) -> str:
    data = asdict(validation)
    numbers = {
        "step": validation.step,
        "epoch": validation.epoch,
        "train_loss": validation.train_loss,
    }
    numbers |= {"learning_rate": validation.learning_rate}
    for split in ("val", "test"):
        if data[split] is not None:
            numbers |= {f"{split}/{name}": value for name, value in data[split]["metrics"].items()}
    finite = {k: (v if v == v and abs(v) != float("inf") else None) for k, v in numbers.items()}
    return json.dumps(finite) + "\n"
