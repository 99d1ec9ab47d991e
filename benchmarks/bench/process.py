"""A peer's process, seen from the side that asks."""

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from threading import Timer
from typing import Any

from bench import ENVIRONMENT
from bench.peers import find_peer
from bench.setting import Setting

_SCRIPTS = Path(__file__).resolve().parents[1]

# Longer than any order that `Session` gives; a process that is silent for so long hangs.
_SECONDS_BEFORE_DEAD = 900.0


class PeerFailed(Exception):
    """A peer could not do what it was told; the message is its last word."""


class Worker:
    """Starts the process at once, in an empty folder; `begin`, `ask` and at last `stop`."""

    def __init__(self, name: str, threads: int) -> None:
        self._scratch = tempfile.TemporaryDirectory()
        self._errors = Path(self._scratch.name, "errors")
        same_for_all = {
            "PYTHONPATH": str(_SCRIPTS),
            "OMP_NUM_THREADS": str(threads),
            "CUDA_VISIBLE_DEVICES": "",
            "JAX_PLATFORMS": "cpu",
            "KERAS_HOME": self._scratch.name,
        }
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "bench.worker", name, str(threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=self._scratch.name,
                env={**ENVIRONMENT, **same_for_all, **find_peer(name).environment},
            )

    def begin(self) -> float:
        """Wait until it has imported what it needs: the seconds that took.

        Raises:
            PeerFailed: When it cannot.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise PeerFailed(self._last_words())
        ready: float = json.loads(line)["ready"]
        return ready

    def ask(self, setting: Setting, members: int, steps: int) -> dict[str, float]:
        """`seconds` that the steps took and `wall` seconds of the whole order.

        Raises:
            PeerFailed: When it cannot.
        """
        order = {"setting": asdict(setting), "members": members, "steps": steps}
        timer = Timer(_SECONDS_BEFORE_DEAD, self._process.kill)
        timer.start()
        try:
            answer: dict[str, Any] = json.loads(self._exchange(json.dumps(order)) or "{}")
        finally:
            timer.cancel()
        if "seconds" not in answer:
            raise PeerFailed(answer.get("failed") or self._last_words())
        return answer

    def stop(self) -> None:
        """End the process: it does so by itself once nobody can ask any more."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.close()
            self._process.wait(timeout=20)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._scratch.cleanup()

    def _exchange(self, line: str) -> str:
        """One line there and one back; an empty one from a process that has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return ""
        return self._process.stdout.readline()

    def _last_words(self) -> str:
        status = self._process.wait()
        lines = self._errors.read_text(errors="replace").splitlines()
        said = [line.strip() for line in lines if line.strip()]
        return f"its process ended with status {status}: {said[-1] if said else 'nothing said'}"
