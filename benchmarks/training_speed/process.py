"""The process of a peer, as the session sees it: start, request, response, stop."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from threading import Timer
from typing import Any

from benchmarks.training_speed import ENVIRONMENT
from benchmarks.training_speed.peers import find_peer
from benchmarks.training_speed.setting import Device, Setting

# A worker imports this package and the project from the clone, whatever is installed.
_ROOT = Path(__file__).resolve().parents[2]

# Longer than any request of `Session` takes; a process that is silent for so long hangs.
_TIMEOUT_SECONDS = 900.0


class PeerFailed(Exception):
    """A peer could not train; the message is its last line of error output."""


class Worker:
    """Starts the process at once, in an empty folder; then `wait_until_ready`, `measure`, `stop`.

    Args:
        device: `cpu` hides a card from every library.
    """

    def __init__(self, name: str, threads: int, device: Device = "cpu") -> None:
        self._scratch = tempfile.TemporaryDirectory()
        self._errors = Path(self._scratch.name, "errors")
        same_for_all = {
            "PYTHONPATH": f"{_ROOT}{os.pathsep}{_ROOT / 'src'}",
            "OMP_NUM_THREADS": str(threads),
            "JAX_PLATFORMS": "cpu",
            "KERAS_HOME": self._scratch.name,
        }
        if device == "cpu":
            same_for_all["CUDA_VISIBLE_DEVICES"] = ""
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "benchmarks.training_speed.worker",
                    name,
                    str(threads),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=self._scratch.name,
                env={**ENVIRONMENT, **same_for_all, **find_peer(name).environment},
            )

    def wait_until_ready(self) -> float:
        """Wait for its imports; returns the seconds they took.

        Raises:
            PeerFailed: When it cannot.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise PeerFailed(self._error_message())
        ready: float = json.loads(line)["ready"]
        return ready

    def measure(self, setting: Setting, members: int, steps: int) -> dict[str, float]:
        """`seconds` of the steps and `wall`, seconds of the whole request.

        Raises:
            PeerFailed: When it cannot.
        """
        request = {"setting": asdict(setting), "members": members, "steps": steps}
        timer = Timer(_TIMEOUT_SECONDS, self._process.kill)
        timer.start()
        try:
            response: dict[str, Any] = json.loads(self._exchange(json.dumps(request)) or "{}")
        finally:
            timer.cancel()
        if "seconds" not in response:
            raise PeerFailed(response.get("failed") or self._error_message())
        return response

    def stop(self) -> None:
        """End the process: it ends by itself when its input is closed."""
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
        """Send one line and read one; an empty one from a process that has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return ""
        return self._process.stdout.readline()

    def _error_message(self) -> str:
        status = self._process.wait()
        lines = self._errors.read_text(errors="replace").splitlines()
        printed = [line.strip() for line in lines if line.strip()]
        last = printed[-1] if printed else "no error output"
        return f"its process ended with status {status}: {last}"
