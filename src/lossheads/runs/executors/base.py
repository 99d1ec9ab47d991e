"""What an engine of a cluster does for us, and which there is."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Literal, Protocol

from lossheads.runs.executors.sweep import Sweep

State = Literal["queued", "running", "finished", "failed"]
STATES: tuple[State, ...] = ("queued", "running", "finished", "failed")


class Engine(Protocol):
    """What a cluster's engine does for us."""

    def check(self, jobs: int) -> None:
        """Refuse what cannot be handed over, before anything is written."""

    def submit(self, sweep: Sweep) -> None:
        """Hand over all jobs of a sweep."""

    def alive(self, sweep: Sweep) -> Mapping[int, State] | None:
        """Number -> queued or running, of jobs that have not ended; None if nobody knows now."""

    def leave(self, sweep: Sweep) -> str:
        """The caller goes before the jobs end: a sentence about what becomes of them."""

    def close(self) -> None:
        """Nothing more is asked."""


def engine_of(settings: Mapping[str, Any]) -> Engine:
    """The engine of an executor's settings; its package is imported when it is needed."""
    module = import_module(f"lossheads.runs.executors.{settings['kind']}")
    engine: Engine = module.engine(settings)
    return engine
