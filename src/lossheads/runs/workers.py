"""Parallel work: one torch thread per worker, as many workers as there are cores to use.

Cohorts of stacked members train in threads of this process: they share the data, and torch
releases Python's lock while it computes. Runs that cannot be stacked train in processes, because
an unknown module may draw from torch's global generator.

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
    work: Callable[[Part], None], parts: Sequence[Part], threads: int, stop: threading.Event
) -> None:
    """Call `work` for every part, in this thread if there is no second worker.

    Args:
        stop: Set when the work is interrupted; workers must check it, because an interruption
            reaches the main thread only.
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
            stop.set()
            for job in jobs:
                job.cancel()
            raise


@contextmanager
def _short_switch_interval() -> Iterator[None]:
    """Let a training thread get Python's lock soon, while another one draws figures or counts.

    A training thread needs the lock for some microseconds after each torch call; another thread
    may hold it for the whole interval, 5 ms by default.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def in_processes(
    work: Work, configs: Sequence[Config], processes: int, report: Callable[[str], None]
) -> None:
    """Call `work` for every configuration, each with one thread; `report` what is finished.

    All are tried; then the first failure is raised.

    Args:
        work: A function at the top of a module, which a new process can import.
    """
    failures: list[BaseException] = []
    pool = ProcessPoolExecutor(min(processes, len(configs)), get_context("spawn"))
    try:
        # At most one job per process is submitted: a job in the pool's own queue would start
        # after an interruption and run to its end.
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
                    report(f"  done: {job.result()}")
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
    """Processes started here ignore Ctrl-C, which a terminal sends to all: this one ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupt_on_sigterm(work: Work, config: Config) -> str:
    """In the worker process: SIGTERM interrupts the work, so that its folder records it."""

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        return work(config)
    finally:
        signal.signal(signal.SIGTERM, before)


def _single_threaded(config: Config) -> Config:
    return {**config, "device": {**config["device"], "threads": 1}}
