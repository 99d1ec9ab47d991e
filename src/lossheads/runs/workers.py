"""Work side by side, one torch thread each, as many at once as there are cores to use.

Cohorts of stacked members train in threads of this process: they share the data, and torch lets
go of Python's lock while it computes. Runs that cannot be stacked train in processes, because a
strange module may draw from torch's one global generator.

Threads × processes never exceed the cores: two torch jobs of two threads on two cores run many
times slower than two jobs of one thread.
"""

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    as_completed,
    wait,
)
from contextlib import contextmanager
from multiprocessing import active_children, get_context
from types import FrameType
from typing import Any, NoReturn, TypeVar

Config = Mapping[str, Any]
Work = Callable[[Config], str]
Part = TypeVar("Part")


def in_threads(
    work: Callable[[Part], None], parts: Sequence[Part], threads: int, halt: threading.Event
) -> None:
    """Do `work` on every part, in this thread if there is nothing to do side by side.

    Args:
        halt: Set when the work is interrupted; who works must look at it and stop, because an
            interruption reaches the main thread alone.
    """
    if min(threads, len(parts)) <= 1:
        for part in parts:
            work(part)
        return
    with _short_switch_interval(), ThreadPoolExecutor(threads) as pool:
        jobs = [pool.submit(work, part) for part in parts]
        try:
            for job in as_completed(jobs):
                job.result()
        except BaseException:
            halt.set()
            for job in jobs:
                job.cancel()
            raise


@contextmanager
def _short_switch_interval() -> Iterator[None]:
    """Let a thread that trains have Python's lock soon, while another one draws or counts.

    A training thread wants the lock for some microseconds after each torch call, every time in
    front of a thread that may keep it for the whole interval: 5 ms by default.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def in_processes(
    work: Work, configs: Sequence[Config], processes: int, say: Callable[[str], None]
) -> None:
    """Do `work` on every configuration, each with one thread; `say` what is done.

    All are tried; then the first failure is raised.

    Args:
        work: A function at the top of a module, which a new process can import.
    """
    failures: list[BaseException] = []
    pool = ProcessPoolExecutor(min(processes, len(configs)), get_context("spawn"))
    try:
        # No more than one job per process is handed out: a job in the pool's own queue would
        # start after an interruption and run to its end.
        rest = [_single_threaded(config) for config in reversed(configs)]
        running: set[Future[str]] = set()
        while rest or running:
            while rest and len(running) < processes:
                with _ignore_sigint():
                    running.add(pool.submit(_interrupt_on_sigterm, work, rest.pop()))
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            for job in ended:
                error = job.exception()
                if error is None:
                    say(f"  done: {job.result()}")
                else:
                    failures.append(error)
    except BaseException:
        for child in active_children():
            child.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    if failures:
        raise failures[0]


@contextmanager
def _ignore_sigint() -> Iterator[None]:
    """Processes started meanwhile ignore Ctrl-C, which a terminal sends to all: we end them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupt_on_sigterm(work: Work, config: Config) -> str:
    """In the other process: being ended interrupts the work, so that its folder says so."""

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        return work(config)
    finally:
        signal.signal(signal.SIGTERM, before)


def _single_threaded(config: Config) -> Config:
    return {**config, "device": {**config["device"], "threads": 1}}
