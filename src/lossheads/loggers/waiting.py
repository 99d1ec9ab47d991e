"""A line that shows, from the first moment on, that a command is at work.

Hydra and torch take seconds to import. Nothing but Python's own is imported here.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_SECONDS_BETWEEN = 0.1
_SIGNS = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


@contextmanager
def waiting_line(text: str) -> Iterator[None]:
    """Show `text` and the seconds since now on a terminal, until anything else is written there."""
    stdout, stderr = sys.stdout, sys.stderr
    if stderr is None or not stderr.isatty():
        yield
        return
    over = threading.Event()
    thread = threading.Thread(target=_show, args=(text, stderr, over), daemon=True)

    def end() -> None:
        if not over.is_set():
            over.set()
            thread.join()

    sys.stdout, sys.stderr = _EndsWaiting(stdout, end), _EndsWaiting(stderr, end)
    thread.start()
    try:
        yield
    finally:
        end()
        sys.stdout, sys.stderr = stdout, stderr


class _EndsWaiting:
    """A stream; whoever writes to it ends the waiting."""

    def __init__(self, stream: Any, end: Callable[[], None]) -> None:
        self._stream, self._end = stream, end

    def write(self, text: str) -> int:
        self._end()
        written: int = self._stream.write(text)
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _show(text: str, stream: Any, over: threading.Event) -> None:
    began, number = time.monotonic(), 0
    while True:
        seconds = f" {_SIGNS[number % len(_SIGNS)]} {time.monotonic() - began:.1f} s"
        columns = os.get_terminal_size(stream.fileno()).columns or 80  # some do not tell
        room = max(1, columns - len(seconds) - 1)
        shown = text if len(text) <= room else f"{text[: room - 1]}…"
        stream.write(f"\r\x1b[K{shown}{seconds}")
        stream.flush()
        if over.wait(_SECONDS_BETWEEN):
            break
        number += 1
    stream.write("\r\x1b[K")
    stream.flush()
