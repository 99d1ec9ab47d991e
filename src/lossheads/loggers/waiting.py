"""A line that shows, from the first moment on, that a command is at work.

Hydra and torch take seconds to import. Nothing but Python's own is imported here.
"""

import os
import sys
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from lossheads.errors import printable

_SECONDS_BETWEEN = 0.1
_SIGNS, _ASCII_SIGNS = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "|/-\\"


@contextmanager
def waiting_line(text: str) -> Iterator[None]:
    """Show `text` and the seconds since now on a terminal, until anything else is written there."""
    stdout, stderr = sys.stdout, sys.stderr
    if stderr is None or not stderr.isatty() or os.environ.get("TERM") == "dumb":
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
    encoding = stream.encoding or "ascii"
    signs, cut = (_SIGNS, "…") if encoding.lower().startswith("utf") else (_ASCII_SIGNS, ".")
    # Whatever else stands in an argument would move the cursor, or take more room than counted.
    text = printable(text).replace("\n", " ")
    text = text.encode(encoding, "backslashreplace").decode(encoding)
    while True:
        seconds = f" {signs[number % len(signs)]} {time.monotonic() - began:.1f} s"
        columns = os.get_terminal_size(stream.fileno()).columns or 80  # some do not tell
        shown = _cut(text, columns - len(seconds) - 1, cut) + seconds
        stream.write(f"\r\x1b[K{shown[: max(0, columns - 1)]}")
        stream.flush()
        if over.wait(_SECONDS_BETWEEN):
            break
        number += 1
    stream.write("\r\x1b[K")
    stream.flush()


def _cut(text: str, columns: int, cut: str) -> str:
    """The beginning of a text that takes at most so many columns; nothing if there is no room."""
    if sum(map(_columns, text)) <= columns:
        return text
    shown, left = "", columns - len(cut)
    for sign in text:
        left -= _columns(sign)
        if left < 0:
            break
        shown += sign
    return shown + cut if columns >= len(cut) else ""


def _columns(sign: str) -> int:
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1
