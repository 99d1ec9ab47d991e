"""Parallel work: one torch thread per worker, as many workers as there are cores to use.

Cohorts of stacked members train in threads of this process: they share the data, and torch
releases Python's lock while it computes. Runs that cannot be stacked train in processes, because
an unknown module may draw from torch's global generator.

Threads × processes never exceed the cores: two torch jobs of two threads on two cores run many
times slower than two jobs of one thread.
"""

import os
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
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import wait as wait_for_any
from types import FrameType
from typing import Any, NoReturn, TypeVar

from lossheads.errors import UserError

# What an orphaned worker process may take to write down that it was interrupted.
SECONDS_TO_STOP = 5.0

Config = Mapping[str, Any]
Work = Callable[[Config], str]
Part = TypeVar("Part")


def in_threads(
    work: Callable[[Part], None], parts: Sequence[Part], threads: int, stop: threading.Event
) -> None:
    """Call `work` for every part, in this thread if there is no second worker.

    Args:
        stop: Set when the work is interrupted; workers must check it, because an interruption
            reaches the main thread only. A worker begins no part once it has seen it set.
    """
    if min(threads, len(parts)) <= 1:
        for part in parts:
            work(part)
        return

    def begin(part: Part) -> None:
        if stop.is_set():  # the pool hands out parts until it hears of an interruption
            return
        try:
            work(part)
        except BaseException:
            stop.set()
            raise

    with _short_switch_interval(), ThreadPoolExecutor(threads) as pool:
        try:
            for job in as_completed([pool.submit(begin, part) for part in parts]):
                job.result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
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
    number, context = min(processes, len(configs)), get_context("spawn")
    pool = ProcessPoolExecutor(number, context, initializer=_end_with_parent)
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
                if isinstance(error, BrokenProcessPool):
                    raise error
                if error is None:
                    report(f"  done: {job.result()}")
                else:
                    failures.append(error)
    except BrokenProcessPool as error:
        raise UserError(
            "a process that trained runs was killed, most often because the memory was full: lower "
            "device.threads for fewer processes, or choose a smaller model; finished runs are kept"
        ) from error
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
    """Processes started here never get Ctrl-C, which a terminal sends to all: this one ends them.

    They inherit that the signal is blocked; this process gets it when the block is left.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_at_work = threading.Lock()  # held by a worker process while it trains


def _interrupt_on_sigterm(work: Work, config: Config) -> str:
    """In the worker process: SIGTERM interrupts the work, so that its folder records it."""

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    with _at_work:
        before = signal.signal(signal.SIGTERM, interrupt)
        try:
            return work(config)
        except KeyboardInterrupt:
            # Not back to the pool: a neighbour that waited for work may have died with its lock.
            os._exit(128 + signal.SIGTERM)
        finally:
            signal.signal(signal.SIGTERM, before)


def _end_with_parent() -> None:
    """In the worker process: end soon after the parent, which may be killed without a word."""
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_await_end_of, args=(parent.sentinel,), daemon=True).start()


def _await_end_of(parent: int) -> None:
    wait_for_any([parent])
    if _at_work.locked():  # as the parent would have done it
        os.kill(os.getpid(), signal.SIGTERM)
        _at_work.acquire(timeout=SECONDS_TO_STOP)
    os._exit(1)


def _single_threaded(config: Config) -> Config:
    return {**config, "device": {**config["device"], "threads": 1}}
