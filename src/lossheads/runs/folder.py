"""A run's folder while it is being made: named by its key, locked, honest about its status."""

import fcntl
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import yaml

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

    Only the key counts: a folder that ends in it is the run's, whatever its first words.
    """
    runs = Path(config["output_dir"]) / "runs"
    key, choices = run_key(config), config["choices"]
    found = next(iter(sorted(runs.glob(f"*-{key}"))), None)
    # A group may lie in folders of its own (head=mine/smoothed): the run's name is one word.
    words = f"{choices['dataset']}-{choices['head']}-s{config['seed']}"
    words = re.sub(r"[^\w.+-]+", "-", words)[-200:]
    return found or runs / f"{words}-{key}"


class RunFolder:
    """One run's folder. Files appear in it only between `open` and `close`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    def result(self) -> Result | None:
        """The finished result, if there is one."""
        return read_result(self.path)

    def open(
        self, config: Mapping[str, Any], environment: Mapping[str, Any], force: bool = False
    ) -> None:
        """Lock the folder, clear what an unfinished run left, write what is known beforehand.

        Raises:
            UserError: If another process is at work in it or has finished it, or it cannot be
                written.
        """
        with refusing_to_write(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / ".lock").open("w")
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._lock.close()
                self._lock = None
                raise UserError(
                    f"run {self.path.name} is being trained by another process: wait for it, or "
                    f"stop it and call again"
                ) from None
            if not force and (self.path / "result.json").exists():
                self.release()
                raise UserError(
                    f"run {self.path.name} was finished by another process meanwhile: call again, "
                    f"and its result is taken"
                )
            for left in self.path.iterdir():
                if left.name != ".lock":
                    left.unlink()
            text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
            (self.path / "config.yaml").write_text(text, encoding="utf-8")
            write_json(self.path / "environment.json", environment)
            self.status("running")

    def status(self, status: Status, why: str = "") -> None:
        """Say how the run stands."""
        write_json(self.path / "status.json", {"status": status, "why": why})

    def close(self, result: Result) -> None:
        """Write the curve, the status and, last of all, the result."""
        with refusing_to_write(self.path):
            with (self.path / "metrics.jsonl").open("w", encoding="utf-8") as file:
                file.writelines(_line(validation) for validation in result.history)
            self.status(result.status)
            write_result(self.path, result)
        self.release()

    def abandon(self, status: Status, why: str) -> None:
        """No result: say why, and leave the folder for a clean start."""
        if self._lock is not None:
            with suppress(OSError):  # a full disk must not hide why the run ended
                try:
                    self.status(status, why)
                except OSError:  # no room for a second file, but the first one has its own
                    with (self.path / "status.json").open("r+", encoding="utf-8") as file:
                        json.dump({"status": status, "why": why}, file)
                        file.truncate()
            self.release()

    def release(self) -> None:
        """Give the lock back. Its file stays: taken away, two processes could hold "the" lock."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None


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
