"""A small clone of the project on a machine whose Python and pip are stand-ins."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SCRIPTS = HERE.parents[1] / "scripts"
# All that the scripts may need of a machine, besides Python.
TOOLS = ["bash", "cat", "cp", "dirname", "env", "find"]
TOOLS += ["head", "ls", "mkdir", "sed", "sleep", "tail", "touch"]


class Clone:
    """A copy of the scripts, in a folder with a space in its name, and a PATH under control."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.root = place / "a clone"
        self.venv = self.root / ".venv"
        self.bin = place / "bin"
        self.calls_file = place / "calls"
        self.bin.mkdir()
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool) or f"this machine has no {tool}")
        (self.root / "scripts").mkdir(parents=True)
        for script in ("bootstrap.sh", "test.sh", "reproduce.sh"):
            shutil.copy(SCRIPTS / script, self.root / "scripts")
        (self.root / "pyproject.toml").write_text("[project]\n")
        (self.root / "constraints.txt").write_text("torch==1.0\n")

    def add_python(self, name: str, version: str) -> None:
        text = (HERE / "fake_python").read_text()
        path = self.bin / name
        path.write_text(text.replace("VERSION", version).replace("EXE", sys.executable))
        path.chmod(0o755)

    def start(
        self, *arguments: str, script: str = "test.sh", **environment: str
    ) -> subprocess.Popen[str]:
        """Start a script as someone standing elsewhere would, in a process group of its own."""
        return subprocess.Popen(
            [self.root / "scripts" / script, *arguments],
            cwd=self.place,
            env={"PATH": str(self.bin), "CALLS": str(self.calls_file), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # A shell cannot trap what its parent ignores, as background jobs do.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(
        self, *arguments: str, script: str = "test.sh", **environment: str
    ) -> tuple[int, str, str]:
        """Run a script to its end: (exit status, standard output, standard error)."""
        self.calls_file.write_text("")
        process = self.start(*arguments, script=script, **environment)
        out, err = process.communicate(timeout=20)
        return process.returncode, out, err

    @property
    def calls(self) -> list[str]:
        """What the stand-ins have done since the last `run` began."""
        return self.calls_file.read_text().splitlines()


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """A clone on a machine whose only Python is `python3`, of version 3.12."""
    made = Clone(tmp_path)
    made.add_python("python3", "3.12")
    return made
