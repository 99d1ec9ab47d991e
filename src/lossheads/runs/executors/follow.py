"""A sweep that is at work on a cluster, followed until its last job has ended."""

import time
from collections import Counter
from collections.abc import Sequence

from lossheads.analysis.format import count_of
from lossheads.errors import RunsFailed, UserError
from lossheads.loggers.progress import Reporter
from lossheads.runs.executors.base import STATES, Engine, State
from lossheads.runs.executors.sweep import Sweep


class Follower:
    """How far the jobs of one sweep are, from the engine's answers and the runs' folders."""

    def __init__(self, sweep: Sweep, engine: Engine, numbers: Sequence[int] | None = None) -> None:
        self.sweep, self.engine = sweep, engine
        every = range(len(sweep.record.jobs)) if numbers is None else numbers
        self.states: dict[int, State] = dict.fromkeys(every, "queued")
        self._gone: Counter[int] = Counter()

    @property
    def runs(self) -> int:
        """Of all jobs."""
        return sum(len(self.sweep.record.jobs[at]) for at in self.states)

    @property
    def finished_runs(self) -> int:
        """Those with a result."""
        return self.runs - sum(len(self.sweep.missing(at)) for at in self.states)

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return all(state in ("finished", "failed") for state in self.states.values())

    def look(self, patience: int = 2) -> None:
        """Ask the engine, then the folders.

        Args:
            patience: A job that is gone has failed when so many looks in a row found no result: on
                a network's file system a result may be seen late.
        """
        waited = [at for at in self.states if self.sweep.missing(at)]
        alive = self.engine.alive(self.sweep) if waited else {}
        for at in self.states:
            if at not in waited or not self.sweep.missing(at):  # perhaps meanwhile
                self.states[at] = "finished"
            elif alive is not None and at in alive:
                self.states[at], self._gone[at] = alive[at], 0
            elif alive is not None:
                self._gone[at] += 1
                if self._gone[at] >= patience:
                    self.states[at] = "failed"

    def failures(self) -> list[Exception]:
        """What the failed jobs said, and one sentence about those that said nothing."""
        failed = [at for at, state in self.states.items() if state == "failed"]
        notes = {at: (self.sweep.note(at) or {}).get("failure") for at in failed}
        errors: list[Exception] = []
        for note in notes.values():
            if isinstance(note, dict):
                kind = UserError if note.get("status") == 2 else RunsFailed
                errors.append(kind(str(note.get("message"))))
        if silent := [at for at, note in notes.items() if not isinstance(note, dict)]:
            runs = sum(len(self.sweep.missing(at)) for at in silent)
            named = ", ".join(map(str, silent[:5])) + ", …" * (len(silent) > 5)
            errors.append(
                RunsFailed(
                    f"{count_of(len(silent), 'job')} of {self.sweep.name} ({named}) ended without "
                    f"{count_of(runs, 'result')}: cancelled, killed or out of time, see the logs "
                    f"in {self.sweep.folder}; the same command again trains what is missing"
                )
            )
        return errors


def follow(followed: Sequence[Follower], reporter: Reporter) -> None:
    """Show one progress over all jobs until the last has ended."""
    shown = reporter.jobs(sum(follower.runs for follower in followed))
    started = time.monotonic()
    try:
        while True:
            asked = time.monotonic()
            for follower in followed:
                follower.look()
            counts = Counter(state for each in followed for state in each.states.values())
            shown.show(
                sum(follower.finished_runs for follower in followed),
                ", ".join(f"{counts[state]} {state}" for state in STATES),
            )
            if all(follower.ended for follower in followed):
                return
            # A queue is asked by all users of a cluster: seldom in a long sweep, and never more
            # than a tenth of the time.
            age, cost = asked - started, time.monotonic() - asked
            time.sleep(max(0.5, min(15.0, age / 20), 10 * cost))
    except KeyboardInterrupt:
        for follower in followed:
            if not follower.ended:
                reporter.say(follower.engine.leave(follower.sweep))
        raise
