"""A terminal whose screen a test can read: a pseudo-terminal in front, `pyte` behind it."""

import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pyte

COLOUR = re.compile(rb"\x1b\[[0-9;]*?(?:3[0-9]|4[0-9]|9[0-7])[0-9;]*m")


class Screen:
    """`lossheads WORDS` on a terminal of its own. Use as a context manager: it ends with it.

    Attributes:
        written: All that was written to the terminal.
    """

    def __init__(self, *words: str, cwd: Path, columns: int = 80, rows: int = 24, **env: str):
        self.screen = pyte.Screen(columns, rows)
        self._stream, self.written = pyte.ByteStream(self.screen), b""
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (rows, columns))
        kept = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "lossheads", *words],
            cwd=cwd,
            env={**kept, "TERM": "xterm-256color", **env},
            preexec_fn=lambda: os.login_tty(theirs),  # Ctrl-C reaches who owns the terminal
            pass_fds=[theirs],
        )
        os.close(theirs)

    def __enter__(self) -> "Screen":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._ours)

    @property
    def lines(self) -> list[str]:
        """What stands on the screen, without empty lines below."""
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip().split("\n")

    def until(self, seen: Callable[[list[str]], bool], seconds: float = 90) -> list[str]:
        """The lines as soon as they are as asked; fails if the program ends before."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self._read():
                break
            if seen(self.lines):
                return self.lines
        raise AssertionError("never seen; last:\n" + "\n".join(self.lines))

    def end(self) -> list[str]:
        """The lines when the program has ended."""
        while self._read():
            pass
        self.process.wait(60)
        return self.lines

    def type(self, text: bytes) -> None:
        """As from the keyboard."""
        os.write(self._ours, text)

    def _read(self) -> bool:
        if not select.select([self._ours], [], [], 0.1)[0]:
            return self.process.poll() is None
        try:
            got = os.read(self._ours, 65536)
        except OSError:  # the other end is closed
            return False
        self.written += got
        self._stream.feed(got)
        return bool(got)
