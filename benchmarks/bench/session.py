"""Rounds: every row of a setting once a round, in turn, each peer in its own process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from bench.peers import GEMMS, PEERS
from bench.process import PeerFailed, Worker
from bench.setting import GEMM_FLOPS, Setting, load_rows

# Steps that a row is tried with, twice: once cold, once to see how long a step takes.
PROBE_STEPS = 3
# A row whose three steps would take this many rounds' time is left out.
_PATIENCE = 5


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
        first_seconds: Building, compiling and the first three steps; imports are apart.
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
    """What was asked and not measured, and why. None stands for all of them."""

    peer: str
    why: str
    model: str | None = None
    batch: int | None = None
    members: int | None = None


class Session:
    """All processes of a benchmark. They start when first asked, and wait asleep in between."""

    def __init__(self, threads: int, plan: Plan, tell: Callable[[str], None]) -> None:
        self._threads, self._plan, self._tell = threads, plan, tell
        self._workers: dict[str, Worker] = {}
        # FLOP/s by library, one per round of every setting.
        self.gemm_rates = {name: list[float]() for name in GEMMS if not GEMMS[name].missing()}
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
        """Those of `peers` whose packages are installed; the others are noted as skipped."""
        there = []
        for name in peers:
            missing = PEERS[name].missing()
            if missing:
                self.skipped.append(Skipped(name, f"not installed: {', '.join(missing)}"))
            else:
                there.append(name)
        return there

    def compare(self, setting: Setting, peers: Sequence[str], members: Sequence[int]) -> list[Row]:
        """The rows of one setting, measured in interleaved rounds."""
        rows = [row for name in peers for row in self._sized(setting, name, members)]
        for number in range(self._plan.rounds):
            self._tell(f"{setting.title}: round {number + 1}")
            self._measure_gemms(setting)
            # Another row begins each round, so that the first place is nobody's own.
            turn = number % max(1, len(rows))
            for row in rows[turn:] + rows[:turn]:
                self._measure(row)
        return [row for row in rows if len(row.rounds) == self._plan.rounds]

    def _sized(self, setting: Setting, name: str, members: Sequence[int]) -> list[Row]:
        """A peer's rows, each tried to see how many steps a round should have."""
        rows: list[Row] = []
        step = 0.0  # seconds that a step of one member takes, as far as is known
        refused = ""
        for count in sorted(members) if PEERS[name].together else [1]:
            expected = PROBE_STEPS * count * step
            if expected > _PATIENCE * self._plan.seconds:
                refused = refused or f"three steps of K = {count} would take {expected:.0f} s"
            if refused:  # what was too much for fewer members is for more
                self._skip(setting, name, count, refused)
                continue
            self._tell(f"{setting.title}: {name}, K = {count}")
            try:
                first, taken = self._probe(setting, name, count)
                steps = self._fit_steps(setting, taken)
                # A compiler may compile anew for this number of steps.
                self._worker(name).ask(setting, count, steps)
            except PeerFailed as error:
                self._give_up(setting, name, count, error)
                refused = str(error)
                continue
            step = taken / count
            rows.append(Row(name, setting, count, first, steps))
        return rows

    def _probe(self, setting: Setting, name: str, members: int) -> tuple[float, float]:
        """Wall seconds of the first, cold order, and seconds per step of the second."""
        first = self._worker(name).ask(setting, members, PROBE_STEPS)["wall"]
        second = self._worker(name).ask(setting, members, PROBE_STEPS)["seconds"]
        return first, second / PROBE_STEPS

    def _fit_steps(self, setting: Setting, step: float) -> int:
        one_pass = len(load_rows(setting)[0]) // setting.batch
        most = min(self._plan.steps, one_pass)
        return max(min(PROBE_STEPS, most), min(most, int(self._plan.seconds / step)))

    def _measure(self, row: Row) -> None:
        try:
            answer = self._worker(row.peer).ask(row.setting, row.members, row.steps)
        except PeerFailed as error:
            self._give_up(row.setting, row.peer, row.members, error)
        else:
            row.rounds.append(answer["seconds"] / row.steps)

    def _measure_gemms(self, setting: Setting) -> None:
        products = min(10, self._plan.steps)
        for name, rates in self.gemm_rates.items():
            seconds = self._worker(name).ask(setting, 1, products)["seconds"]
            rates.append(products * GEMM_FLOPS / seconds)

    def _worker(self, name: str) -> Worker:
        if name not in self._workers:
            self._workers[name] = Worker(name, self._threads)
            self.import_seconds[name] = self._workers[name].begin()
        return self._workers[name]

    def _give_up(self, setting: Setting, name: str, members: int, error: PeerFailed) -> None:
        self._skip(setting, name, members, str(error))
        self._workers.pop(name).stop()  # the next order finds a fresh process

    def _skip(self, setting: Setting, name: str, members: int, why: str) -> None:
        self.skipped.append(Skipped(name, why, setting.model, setting.batch, members))
