"""Interleaved rounds: each row of a setting once per round, each peer in its own process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from benchmarks.training_speed.peers import GEMMS, PEERS, Peer
from benchmarks.training_speed.process import PeerFailed, Worker
from benchmarks.training_speed.setting import Device, Precision, Setting, gemm_flops, load_rows

# Steps of the two trial measurements of a row: one cold, one to see how long a step takes.
PROBE_STEPS = 3
# A row whose three steps would take this many times a round's seconds is left out.
_MAX_ROUNDS_FOR_PROBE = 5


@dataclass(frozen=True)
class Plan:
    """How long to measure.

    Attributes:
        rounds: Measurements per row.
        steps: Most steps per round, at most one pass over the rows.
        seconds: Rows that are slower take fewer steps, about this long.
    """

    rounds: int
    steps: int
    seconds: float


@dataclass
class Row:
    """One peer with K members under one setting.

    Attributes:
        first_seconds: Building, compiling and the first three steps, without imports.
        steps: Steps per round.
        rounds: Seconds per step of all K members together, one value per round.
    """

    peer: str
    setting: Setting
    members: int
    first_seconds: float
    steps: int
    rounds: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Skipped:
    """What was not measured, and why. None stands for all models, batches or members."""

    peer: str
    why: str
    model: str | None = None
    batch: int | None = None
    members: int | None = None


class Session:
    """All processes of a benchmark. They start when first needed and sleep in between.

    Args:
        report: Called with a line of progress.
        device, precision: Those of all settings to come.
    """

    def __init__(
        self,
        threads: int,
        plan: Plan,
        report: Callable[[str], None],
        device: Device = "cpu",
        precision: Precision = "float32",
    ) -> None:
        self._threads, self._plan, self._report = threads, plan, report
        self._device, self._precision = device, precision
        self._workers: dict[str, Worker] = {}
        # FLOP/s by library, one per round of every setting.
        self.gemm_rates = {name: list[float]() for name in GEMMS if not self._obstacle(GEMMS[name])}
        self.import_seconds: dict[str, float] = {}
        self.skipped: list[Skipped] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._workers:
            self._workers.popitem()[1].stop()

    def present(self, peers: Sequence[str]) -> list[str]:
        """Those of `peers` that can take part; the others are noted as skipped."""
        found = []
        for name in peers:
            obstacle = self._obstacle(PEERS[name])
            if obstacle:
                self.skipped.append(Skipped(name, obstacle))
            else:
                found.append(name)
        return found

    def _obstacle(self, peer: Peer) -> str:
        """Why a peer cannot take part; empty where it can."""
        if missing := peer.missing():
            return f"not installed: {', '.join(missing)}"
        if peer.any_device or (self._device, self._precision) == ("cpu", "float32"):
            return ""
        return "measured in float32 on the CPU alone"

    def compare(self, setting: Setting, peers: Sequence[str], members: Sequence[int]) -> list[Row]:
        """The rows of one setting, measured in interleaved rounds."""
        rows = [row for name in peers for row in self._sized(setting, name, members)]
        for number in range(self._plan.rounds):
            self._report(f"{setting.title}: round {number + 1}")
            self._measure_gemms(setting)
            # Each round begins with another row: being first may cost something.
            turn = number % max(1, len(rows))
            for row in rows[turn:] + rows[:turn]:
                self._measure(row)
        return [row for row in rows if len(row.rounds) == self._plan.rounds]

    def _sized(self, setting: Setting, name: str, members: Sequence[int]) -> list[Row]:
        """A peer's rows, each after a trial that sets its steps per round."""
        rows: list[Row] = []
        step = 0.0  # seconds of a step of one member, from the last row; 0 while unknown
        obstacle = ""
        for count in sorted(members) if PEERS[name].stacks_members else [1]:
            expected = PROBE_STEPS * count * step
            if expected > _MAX_ROUNDS_FOR_PROBE * self._plan.seconds:
                obstacle = obstacle or f"three steps of K = {count} would take {expected:.0f} s"
            if obstacle:  # what is too much for few members is too much for more
                self._skip(setting, name, count, obstacle)
                continue
            self._report(f"{setting.title}: {name}, K = {count}")
            try:
                first, seconds = self._probe(setting, name, count)
                steps = self._fit_steps(setting, seconds)
                # A compiler may compile anew for this number of steps.
                self._worker(name).measure(setting, count, steps)
            except PeerFailed as error:
                self._give_up(setting, name, count, error)
                obstacle = str(error)
                continue
            step = seconds / count
            rows.append(Row(name, setting, count, first, steps))
        return rows

    def _probe(self, setting: Setting, name: str, members: int) -> tuple[float, float]:
        """Wall seconds of the first, cold trial, and seconds per step of the second."""
        first = self._worker(name).measure(setting, members, PROBE_STEPS)["wall"]
        second = self._worker(name).measure(setting, members, PROBE_STEPS)["seconds"]
        return first, second / PROBE_STEPS

    def _fit_steps(self, setting: Setting, step: float) -> int:
        one_pass = len(load_rows(setting)[0]) // setting.batch
        most = min(self._plan.steps, one_pass)
        return max(min(PROBE_STEPS, most), min(most, int(self._plan.seconds / step)))

    def _measure(self, row: Row) -> None:
        try:
            response = self._worker(row.peer).measure(row.setting, row.members, row.steps)
        except PeerFailed as error:
            self._give_up(row.setting, row.peer, row.members, error)
        else:
            row.rounds.append(response["seconds"] / row.steps)

    def _measure_gemms(self, setting: Setting) -> None:
        products = min(10, self._plan.steps)
        for name, rates in self.gemm_rates.items():
            seconds = self._worker(name).measure(setting, 1, products)["seconds"]
            rates.append(products * gemm_flops(setting) / seconds)

    def _worker(self, name: str) -> Worker:
        if name not in self._workers:
            self._workers[name] = Worker(name, self._threads, self._device)
            self.import_seconds[name] = self._workers[name].wait_until_ready()
        return self._workers[name]

    def _give_up(self, setting: Setting, name: str, members: int, error: PeerFailed) -> None:
        self._skip(setting, name, members, str(error))
        self._workers.pop(name).stop()  # the next request starts a fresh process

    def _skip(self, setting: Setting, name: str, members: int, why: str) -> None:
        self.skipped.append(Skipped(name, why, setting.model, setting.batch, members))
