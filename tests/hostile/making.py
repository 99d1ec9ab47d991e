"""A stranger's folder, a call of the command line that uses it, and what must hold afterwards."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from calling import lossheads

SECRET = "s3cr3t-of-the-user"
BASE = ["dataset=digits", "model=linear", "training.steps=1", "recording.tensorboard=false"]
GLOBAL = "# @package _global_\n"
SECONDS = 60  # of a call, on a busy machine; an endless one takes longer


def call(folder: Path, *words: str, env: Mapping[str, str] | None = None) -> "Call":
    """`lossheads WORDS` in `folder/work`, where a module `evil` would leave a trap if imported."""
    work = folder / "work"
    work.mkdir(exist_ok=True)
    code = f"import pathlib\npathlib.Path({str(work / 'trap')!r}).touch()\n"
    (work / "evil.py").write_text(code, encoding="utf-8")
    before = state(folder)
    given = {"LOSSHEADS_TEST_SECRET": SECRET, **(env or {})}
    done = lossheads(*words, cwd=work, env=given, seconds=SECONDS)
    return Call(folder, before, done)


class Call:
    """A finished call, and what it changed in its folder."""

    def __init__(
        self, folder: Path, before: dict[str, bytes], done: "subprocess.CompletedProcess[str]"
    ) -> None:
        self.status, self.stdout, self.stderr = done.returncode, done.stdout, done.stderr
        after = state(folder)
        self.written = sorted(
            name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
        )
        self._texts = [after[name] for name in self.written if name in after]

    def assert_harmless(self) -> None:
        """Nothing ran, nothing was written outside `outputs`, no secret was copied, in time."""
        assert self.status in (0, 2), (self.status, self.stderr)
        outside = [name for name in self.written if not name.startswith("work/outputs/")]
        assert not outside
        assert SECRET not in self.stdout + self.stderr
        assert not any(SECRET.encode() in text for text in self._texts)
        if self.status == 2:
            assert self.stderr.startswith("lossheads: "), self.stderr
            assert self.stderr.count("\n") == 1, self.stderr
        assert "Traceback" not in self.stderr

    def assert_refused(self, *named: str) -> None:
        """Harmless, in one sentence with `named` in it, with nothing written at all."""
        self.assert_harmless()
        assert self.status == 2, self.stdout
        assert not self.written
        for word in named:
            assert word in self.stderr, self.stderr


def state(folder: Path) -> dict[str, bytes]:
    """Every file below `folder` and its content; what a link points to is not followed."""
    found = {}
    for path, _, files in os.walk(folder):
        for name in files:
            file = Path(path) / name
            regular = file.is_file() and not file.is_symlink()
            if "__pycache__" not in file.parts:
                found[str(file.relative_to(folder))] = file.read_bytes() if regular else b""
    return found


def strangers(folder: Path, files: Mapping[str, str]) -> None:
    """The folder `work/theirs` with these files."""
    for name, text in files.items():
        path = folder / "work" / "theirs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("ROOT", str(folder / "work")), encoding="utf-8")


def attack(folder: Path, files: Mapping[str, str], words: Sequence[str]) -> Call:
    """`lossheads train --config-dir theirs WORDS` on a tiny run."""
    strangers(folder, files)
    chosen = {word.split("=")[0] for word in words}
    base = [word for word in BASE if word.split("=")[0] not in chosen]
    return call(folder, "train", "--config-dir", "theirs", *base, *words)
