"""A run's folder while it is written: named by the run's key, locked, with its status."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from lossheads.errors import UserError, refusing_to_write
from lossheads.records import (
    Result,
    Status,
    ValidationStep,
    read_result,
    run_key,
    write_json,
    write_result,
)


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


class RunFolder:
    """One run's folder. Files appear in it only between `open` and `close`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # Not bound to a thread: a run may be closed by another thread than the one that opened it.
        self._lock = FileLock(path / ".lock", timeout=0, thread_local=False)

    def result(self) -> Result | None:
        """The finished result, if there is one."""
        return read_result(self.path)

    def open(
        self, config: Mapping[str, Any], environment: Mapping[str, Any], force: bool = False
    ) -> None:
        """Lock the folder, delete what an unfinished run left, write configuration and environment.

        Raises:
            UserError: If another process trains or has finished this run, or the folder cannot be
                written.
        """
        with refusing_to_write(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire()
            except Timeout:
                raise UserError(
                    f"run {self.path.name} is being trained by another process: wait for it, or "
                    f"stop it, and run the command again"
                ) from None
            if not force and (self.path / "result.json").exists():
                self.release()
                raise UserError(
                    f"run {self.path.name} was finished by another process meanwhile: run the "
                    f"command again to use its result"
                )
            for old in self.path.iterdir():
                if old.name != ".lock":
                    old.unlink()
            text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
            (self.path / "config.yaml").write_text(text, encoding="utf-8")
            write_json(self.path / "environment.json", environment)
            self.status("running")

    def status(self, status: Status, why: str = "") -> None:
        """Write the status of the run."""
        write_json(self.path / "status.json", {"status": status, "why": why})

    def close(self, result: Result) -> None:
        """Write the history, the status and, last of all, the result."""
        with refusing_to_write(self.path):
            with (self.path / "metrics.jsonl").open("w", encoding="utf-8") as file:
                file.writelines(_line(validation) for validation in result.history)
            self.status(result.status)
            write_result(self.path, result)
        self.release()

    def abandon(self, status: Status, why: str) -> None:
        """Write why there is no result, and unlock the folder."""
        if self._lock.is_locked:
            with suppress(OSError):  # a full disk must not hide why the run ended
                try:
                    self.status(status, why)
                except OSError:  # no space for a second file: overwrite the first one
                    with (self.path / "status.json").open("r+", encoding="utf-8") as file:
                        json.dump({"status": status, "why": why}, file)
                        file.truncate()
            self.release()

    def release(self) -> None:
        """Release the lock. Its file stays: without it two processes could hold "the" lock."""
        self._lock.release()


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
