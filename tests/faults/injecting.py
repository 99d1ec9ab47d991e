"""Faults that a call brings upon itself: see `prepare` of `calling.Call`.

Python reports every opening, renaming and deletion of a file to audit hooks, before it is done.
"""

import os
import resource
import shutil
import signal
import sys
from typing import Any

_CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def _changes(event: str, args: tuple[Any, ...], folder: str) -> bool:
    """Whether an event is about to change something below `folder`."""
    if event == "open":
        if not isinstance(args[2], int) or not args[2] & _WRITING:
            return False
    elif event not in _CHANGES:
        return False
    if not isinstance(args[0], str | bytes | os.PathLike):
        return False
    return os.path.abspath(os.fsdecode(args[0])).startswith(folder)


def count_changes(folder: str, into: str) -> None:
    """Append a byte to the file `into` for every change below `folder`."""
    counted = os.open(into, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if _changes(event, args, folder):
            os.write(counted, b".")

    sys.addaudithook(hook)


def signal_at_change(folder: str, change: int, number: int, delay: float | None = None) -> None:
    """Send this process a signal before a change below `folder`, the first is number 1.

    Args:
        delay: Seconds; then SIGALRM ends it so much later, like SIGKILL: in the midst of a file.
    """
    left = change

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal left
        if not _changes(event, args, folder):
            return
        left -= 1
        if left == 0 and delay is None:
            os.kill(os.getpid(), number)
        elif left == 0 and delay is not None:
            signal.setitimer(signal.ITIMER_REAL, max(delay, 1e-6))

    sys.addaudithook(hook)


def refuse_change(folder: str, change: int, number: int) -> None:
    """From a change below `folder` on, every one fails with the system's error of that number.

    Deletions succeed, as they do on a disk that is full.
    """
    left = change

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal left
        if not _changes(event, args, folder) or event in ("os.remove", "os.rmdir"):
            return
        left -= 1
        if left <= 0:
            raise OSError(number, os.strerror(number), os.fsdecode(args[0]))

    sys.addaudithook(hook)


def limit_memory(beyond: int) -> None:
    """Allow so many bytes of address space beyond what the process has."""
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[0])
    limit = pages * resource.getpagesize() + beyond
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def vanish_at_change(folder: str, change: int, victim: str) -> None:
    """Delete the folder `victim` before a change below `folder`."""
    left = change

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal left
        if not _changes(event, args, folder):
            return
        left -= 1
        if left == 0:
            shutil.rmtree(victim, ignore_errors=True)

    sys.addaudithook(hook)
