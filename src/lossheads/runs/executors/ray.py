"""Ray, through its tasks: one for a job, which reads a JSON file.

Tasks belong to the call that made them: when it goes they end. What they had finished is kept, and
the same command again trains the rest.
"""

import os
import signal
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lossheads.errors import UserError
from lossheads.runs.executors.base import State
from lossheads.runs.executors.sweep import Sweep


def engine(settings: Mapping[str, Any]) -> "Ray":
    """The engine; `settings` of an executor, or of none to follow a sweep alone."""
    return Ray(settings)


class Ray:
    """See `base.Engine`."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        self._tasks: dict[str, dict[int, Any]] = {}
        self._locks: list[FileLock] = []
        self._started = False

    def check(self, jobs: int) -> None:
        try:
            import ray
        except ImportError:
            raise UserError(
                "executor=ray needs the package ray: pip install lossheads[ray]"
            ) from None
        if not ray.is_initialized():
            self._join()
        self._refuse_too_large()

    def _join(self) -> None:
        """Join the cluster, or start one here."""
        import ray

        address = self._settings["address"]
        _refuse_deaf(address)
        # A cluster started here is for this call alone, and tells nobody of it.
        alone: dict[str, Any] = {"include_dashboard": False} if address is None else {}
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        before = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(address or "local", log_to_driver=False, logging_level="ERROR", **alone)
        except (ConnectionError, RuntimeError, ValueError) as error:
            first = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
            raise UserError(
                f"executor=ray reaches no cluster at {address or 'this machine'}: {first}"
            ) from error
        finally:
            # Ray ends the process at once; ours says what became of the runs.
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, before)
        self._started = True

    def _refuse_too_large(self) -> None:
        import ray

        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        cpus, gpus = self._settings["cpus"], self._settings["gpus"]
        if not any(n.get("CPU", 0) >= cpus and n.get("GPU", 0) >= gpus for n in nodes):
            most = max((int(node.get("CPU", 0)) for node in nodes), default=0)
            cards = max((node.get("GPU", 0) for node in nodes), default=0)
            raise UserError(
                f"executor=ray has no machine for executor.cpus={cpus} and executor.gpus={gpus}: "
                f"the largest have {most} CPUs and {cards:g} GPUs"
            )

    def submit(self, sweep: Sweep) -> None:
        import ray

        from lossheads.runs.executors.job import run_job

        lock = FileLock(sweep.folder / ".lock", thread_local=False)
        lock.acquire()
        self._locks.append(lock)
        task = ray.remote(run_job).options(
            num_cpus=self._settings["cpus"],
            num_gpus=self._settings["gpus"],
            max_retries=self._settings["retries"],
            name=sweep.name,
        )
        numbers = range(len(sweep.record.jobs))
        self._tasks[sweep.name] = {at: task.remote(str(sweep.job_file(at))) for at in numbers}

    def alive(self, sweep: Sweep) -> Mapping[int, State] | None:
        return {at: "running" if sweep.note(at) else "queued" for at in self._unended(sweep)}

    def _unended(self, sweep: Sweep) -> list[int]:
        if sweep.name not in self._tasks:  # another call's, which holds its lock while it is there
            return list(range(len(sweep.record.jobs))) if _is_held(sweep.folder) else []
        import ray

        tasks = self._tasks[sweep.name]
        if tasks:
            ended, _ = ray.wait([*tasks.values()], num_returns=len(tasks), timeout=0)
            for at, task in list(tasks.items()):
                if task in ended:
                    del tasks[at]
        return list(tasks)

    def leave(self, sweep: Sweep) -> str:
        import ray

        tasks = self._tasks.get(sweep.name)
        if tasks is None:
            return f"{sweep.name}: its jobs belong to another call and go on"
        for task in tasks.values():
            ray.cancel(task)
        if tasks:  # each writes that it was interrupted
            ray.wait([*tasks.values()], num_returns=len(tasks), timeout=10)
        return f"{sweep.name}: its jobs end with this call; finished runs are kept"

    def close(self) -> None:
        for lock in self._locks:
            lock.release()
        if self._started:
            import ray

            ray.shutdown()


def _refuse_deaf(address: str | None) -> None:
    """Refuse an address where nobody listens: Ray itself would try for minutes."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
        except (OSError, OverflowError) as error:
            raise UserError(
                f"executor=ray reaches no cluster at {address}: {error}; start one with ray start "
                f"--head, or leave executor.address out"
            ) from error


def _is_held(folder: Path) -> bool:
    if not (folder / ".lock").exists():
        return False
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        with lock:
            return False
    except Timeout:
        return True
