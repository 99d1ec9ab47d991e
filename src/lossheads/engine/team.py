"""Threads that share the parts of a step."""

import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable

import torch

Part = Callable[[], object]


class Team:
    """The calling thread and `size` - 1 others, which work off parts that do not touch each other.

    Each computes with one torch thread, and denormal numbers as its maker does: threads inherit
    that. Who computes which part is left to chance, so no result may depend on it.
    """

    def __init__(self, size: int) -> None:
        self._parts = _Parts()
        self._starts = [threading.Lock() for _ in range(size - 1)]
        self._ends = [threading.Lock() for _ in range(size - 1)]
        for start, end in zip(self._starts, self._ends, strict=True):
            start.acquire()
            end.acquire()
            work = (self._parts, start, end)
            threading.Thread(target=_help, args=work, name="Team", daemon=True).start()
        weakref.finalize(self, _dismiss, self._parts, self._starts)

    def run(self, parts: Iterable[Part]) -> None:
        """Call every part once; returns when all are done.

        Raises:
            BaseException: The first that a part raised; the others are done nevertheless.
        """
        self._parts.put(parts)
        for start in self._starts:
            start.release()
        self._parts.work_off()
        for end in self._ends:
            end.acquire()
        self._parts.raise_first()


class _Parts:
    """What is to be done, and what went wrong."""

    def __init__(self) -> None:
        self._waiting: deque[Part] = deque()
        self._failures: list[BaseException] = []
        self.dismissed = False

    def put(self, parts: Iterable[Part]) -> None:
        self._failures.clear()
        self._waiting.extend(parts)

    def work_off(self) -> None:
        while True:
            try:
                part = self._waiting.popleft()
            except IndexError:
                return
            try:
                part()
            except BaseException as error:
                self._failures.append(error)

    def raise_first(self) -> None:
        if not self._failures:
            return
        first = self._failures[0]
        self._failures.clear()
        try:
            raise first
        finally:
            del first  # kept here, it would keep the tensors of a step alive after it is handled


def _help(parts: _Parts, start: threading.Lock, end: threading.Lock) -> None:
    torch.set_num_threads(1)
    with torch.no_grad():
        while True:
            start.acquire()
            if parts.dismissed:
                return
            parts.work_off()
            end.release()


def _dismiss(parts: _Parts, starts: Iterable[threading.Lock]) -> None:
    parts.dismissed = True
    for start in starts:
        start.release()
