"""Runs that cannot be stacked, side by side: one single-threaded process per core.

Threads × processes never exceed the cores: two torch jobs of two threads on two cores run many
times slower than two jobs of one thread.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from typing import Any

Config = Mapping[str, Any]
Work = Callable[[Config], str]


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
                running.add(pool.submit(work, rest.pop()))
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            for job in ended:
                error = job.exception()
                if error is None:
                    say(f"  done: {job.result()}")
                else:
                    failures.append(error)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    if failures:
        raise failures[0]


def _single_threaded(config: Config) -> Config:
    return {**config, "device": {**config["device"], "threads": 1}}
