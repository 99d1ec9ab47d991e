"""A small clone of the project on a machine whose Python, pip and uv are stand-ins."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

Process = subprocess.Popen[str]
Outcome = tuple[int, str, str]

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# All that the scripts may need of a machine, besides Python.
TOOLS = ["bash", "cat", "cp", "dirname", "env", "find", "head"]
TOOLS += ["ls", "mkdir", "mv", "rm", "sed", "sleep", "tail"]


class Clone:
    """A copy of the scripts, in a folder with a space in its name, and a PATH under control."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.root = place / "a clone"
        self.bin = place / "bin"
        self.calls_file = place / "calls"
        self.bin.mkdir()
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found, f"this machine has no {tool}"
            (self.bin / tool).symlink_to(found)
        (self.root / "scripts").mkdir(parents=True)
        for script in ("bootstrap.sh", "test.sh", "reproduce.sh"):
            shutil.copy(ROOT / "scripts" / script, self.root / "scripts" / script)
        (self.root / "pyproject.toml").write_text("[project]\n")
        (self.root / "constraints.txt").write_text("torch==1.0\n")

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    @property
    def stamp(self) -> Path:
        return self.venv / ".lossheads-stamp"

    def add_python(self, name: str, version: str) -> Path:
        text = (HERE / "fake_python").read_text()
        return self.add_command(
            name, text.replace("VERSION", version).replace("EXE", sys.executable)
        )

    def add_command(self, name: str, text: str) -> Path:
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def start(
        self, *arguments: str, script: str = "test.sh", **environment: str
    ) -> subprocess.Popen:
        """Start a script as someone standing elsewhere would, in a process group of its own."""
        return subprocess.Popen(
            [self.root / "scripts" / script, *arguments],
            cwd=self.place,
            env={"PATH": str(self.bin), "HOME": "", "CALLS": str(self.calls_file), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, script: str = "test.sh", **environment: str) -> Outcome:
        """Run a script to its end: (exit status, standard output, standard error)."""
        self.calls_file.write_text("")
        process = self.start(*arguments, script=script, **environment)
        return finish(process)

    @property
    def calls(self) -> list[str]:
        """What the last `run` asked of Python, pip and uv, but for the questions about versions."""
        lines = self.calls_file.read_text().splitlines()
        return [line for line in lines if " -c import" not in line]

    def count(self, what: str) -> int:
        return sum(what in call for call in self.calls)


def finish(process: Process) -> Outcome:
    try:
        out, err = process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, out, err


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """A clone on a machine whose only Python is `python3`, of version 3.12."""
    made = Clone(tmp_path)
    made.add_python("python3", "3.12")
    return made
