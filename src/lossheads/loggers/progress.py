"""What a person sees while runs train: a line for each arm on a terminal, plain text elsewhere.

An arm is a head with its settings; its line is about all its seeds, whatever cohorts train them.
"""

import math
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lossheads.analysis.format import number
from lossheads.analysis.palette import marks_by_name
from lossheads.analysis.terminal import PlainConsole
from lossheads.errors import printable

_BAR = 10, 40  # columns, at least and at most
_WITH_VALUE, _WITH_BAR = 36, 56  # columns of a screen that has room for them
_COLUMNS_FREE = 3  # a terminal writes ^C behind the last line; beyond its edge that moves all lines
_MOVES = 500  # of a bar, at most, between validation steps
_LINES_FREE = 2  # of a terminal's height


@dataclass
class _Line:
    """One arm, or all jobs: how far each of its runs is, and where its monitored metric stands.

    Attributes:
        shares: Run -> share of its steps done, 0 to 1.
        values: Run -> the monitored metric at its last validation step.
        note: Shown instead of a value.
    """

    shares: dict[str, float]
    values: dict[str, float] = field(default_factory=dict)
    monitor: str = ""
    note: str = ""
    began: float | None = None

    def move(self, run: str, share: float) -> None:
        if self.began is None:
            self.began = time.monotonic()
        self.shares[run] = share

    @property
    def share(self) -> float:
        shares = list(self.shares.values())  # copied: other threads add to it
        return sum(shares) / max(1, len(shares))

    @property
    def value(self) -> float:
        known = [value for value in list(self.values.values()) if not math.isnan(value)]
        return sum(known) / len(known) if known else math.nan

    @property
    def left(self) -> str:
        """Time left, if it goes on as since its first step."""
        if self.share >= 1:
            return "done"
        if self.began is None or not self.share:
            return "waiting"
        seconds = (time.monotonic() - self.began) * (1 - self.share) / self.share
        minutes, seconds = divmod(round(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        clock = f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
        return f"{clock} left"


class Reporter:
    """Reports training progress. Use as a context manager around a sweep.

    Args:
        console: Where to; stderr by default, for stdout is for results and may be a pipe.
        quiet: Report errors alone.
    """

    def __init__(self, console: Console | None = None, quiet: bool = False) -> None:
        self.console = console or PlainConsole(stderr=True)
        self._quiet = quiet
        self._lines: dict[str, _Line] = {}
        self._arms: dict[str, str] = {}
        shown = self.console.is_terminal and not self.console.is_dumb_terminal and not quiet
        self._live = self._screen() if shown else None

    def _screen(self) -> Live:
        """Lines that are gone at the end: what is found out is printed by others."""
        return Live(
            console=self.console,
            get_renderable=lambda: _Lines(self._lines),
            refresh_per_second=4,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
        )

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start(refresh=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lines, self._arms = {}, {}
        if self._live is not None:
            try:
                self._live.stop()
            finally:  # a second Ctrl-C may come in between
                self.console.show_cursor(True)
                self._live = self._screen()  # a claim trains several times

    def say(self, text: str) -> None:
        """One line."""
        if not self._quiet:
            self.error(text)

    def error(self, text: str) -> None:
        """One line that is said in any case."""
        self.console.print(Text(printable(text)), soft_wrap=True)

    def expect(self, arms: Mapping[str, str]) -> None:
        """Name the arm of every run that will be trained, run folder -> arm: a line for each."""
        self._arms |= arms
        for run, arm in arms.items():
            self._lines.setdefault(arm, _Line({})).shares[run] = 0.0

    def cohort(self, title: str, runs: Sequence[str], steps: int, monitor: str) -> "CohortProgress":
        """A cohort of these runs begins; `monitor` is the metric that is shown of it."""
        self.expect({run: title for run in runs if run not in self._arms})
        if self._live is None:
            shared = _shared_end(list(dict.fromkeys(map(self.arm_of, runs))))
            self.say(f"training {title}{shared}: {len(runs)} member(s), {steps} steps")
        return CohortProgress(self, title, tuple(runs), steps, monitor)

    def jobs(self, runs: int) -> "JobsProgress":
        """Jobs elsewhere train so many runs."""
        return JobsProgress(self, runs)

    def ended(self, run: str) -> None:
        """A run is over, however far it was."""
        self.line_of(run).move(run, 1.0)

    def refresh(self) -> None:
        """Show at once what has changed; lines are drawn again several times a second anyway."""
        if self._live is not None:
            self._live.refresh()

    def line_of(self, run: str) -> _Line:
        """Of the run's arm."""
        return self._lines.setdefault(self._arms.setdefault(run, run), _Line({}))

    def arm_of(self, run: str) -> str:
        """As its line is named."""
        return self._arms.get(run, run)

    @property
    def has_screen(self) -> bool:
        """Whether lines move; elsewhere each validation step is a line of text."""
        return self._live is not None


@dataclass(frozen=True)
class CohortProgress:
    """Progress of one cohort; several may be in training at the same time."""

    reporter: Reporter
    title: str
    runs: tuple[str, ...]
    steps: int
    monitor: str

    def at_step(self, step: int) -> None:
        """So many optimizer steps are done; called at each of them, it must cost nothing."""
        if self.reporter.has_screen and step % max(1, self.steps // _MOVES) == 0:
            self._move(step)

    def _move(self, step: int) -> None:
        for run in self.runs:
            line = self.reporter.line_of(run)
            if line.shares.get(run, 0.0) < 1:  # a member may have stopped early
                line.move(run, step / max(1, self.steps))

    def on_validation(self, step: int, epoch: float, values: Sequence[float]) -> None:
        """A validation step of the cohort: the monitored metric of each member."""
        self._move(step)
        for run, value in zip(self.runs, values, strict=True):
            line = self.reporter.line_of(run)
            line.monitor, line.values[run] = self.monitor, value
        if not self.reporter.has_screen:
            self.reporter.say(
                f"  {self.title}  epoch {epoch:5.2f}  step {step:6d}  {self.monitor} "
                f"{self._means(values)}"
            )

    def _means(self, values: Sequence[float]) -> str:
        """The mean of each arm: heads are not averaged with one another."""
        arms: dict[str, list[float]] = {}
        for run, value in zip(self.runs, values, strict=True):
            arms.setdefault(self.reporter.arm_of(run), []).append(value)
        means = {arm: sum(found) / len(found) for arm, found in arms.items()}
        if len(means) == 1:
            return f"{next(iter(means.values())):.4f} (validation, mean of {len(values)})"
        shared = _shared_end(list(means))
        shown = ", ".join(f"{arm.removesuffix(shared)} {at:.4f}" for arm, at in means.items())
        return f"(validation, mean over seeds): {shown}"


def _shared_end(arms: Sequence[str]) -> str:
    """The settings, `, key=value` each, with which the names of several arms end alike."""
    starts = re.finditer(r", [\w.]+=", arms[0]) if len(arms) > 1 else ()
    ends = (arms[0][start.start() :] for start in starts)
    return next((end for end in ends if all(arm.endswith(end) for arm in arms)), "")


@dataclass
class JobsProgress:
    """Progress of all jobs of a sweep."""

    reporter: Reporter
    runs: int
    message: str = ""

    def show(self, finished: int, message: str) -> None:
        """So many runs are finished; `message` says how many jobs are where."""
        if self.reporter.has_screen:
            line = self.reporter.line_of("jobs")
            line.note = f"{finished}/{self.runs} runs  {message}"
            line.move("jobs", finished / max(1, self.runs))
            self.reporter.refresh()
        elif message != self.message:
            self.reporter.say(f"  jobs: {message}; {finished} of {self.runs} runs")
        self.message = message


@dataclass(frozen=True)
class _Lines:
    """All lines as they are now, on a screen of whatever size: rich asks for them."""

    lines: Mapping[str, _Line]

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        lines = dict(self.lines)  # other threads add to it
        if not lines:
            return
        width = max(1, options.max_width - _COLUMNS_FREE)
        room = max(1, console.height - _LINES_FREE)
        shown = lines if len(lines) < room else _most_alive(lines, room - 2)
        monitors = {line.monitor for line in lines.values() if line.monitor}
        if monitors and width >= _WITH_VALUE and room > 2:
            metric = monitors.pop() if len(monitors) == 1 else "each its own metric"
            yield _dim(f"{metric} on validation, mean over seeds", width)
        yield _grid(shown, width, tuple(lines))
        if hidden := [line for name, line in lines.items() if name not in shown]:
            done = sum(line.share >= 1 for line in hidden)
            yield _dim(f"… {len(hidden)} more: {done} done, {len(hidden) - done} to do", width)


def _dim(text: str, width: int) -> Text:
    return Text(text[:width], "dim", no_wrap=True)


def _most_alive(lines: Mapping[str, _Line], room: int) -> dict[str, _Line]:
    """As many lines as there is room for: those at work first, then those that wait."""
    order = {"waiting": 1, "done": 2}
    ranked = sorted(lines, key=lambda name: order.get(lines[name].left, 0))
    kept = set(ranked[: max(1, room)])
    return {name: line for name, line in lines.items() if name in kept}


def _grid(lines: Mapping[str, _Line], width: int, arms: tuple[str, ...]) -> Table:
    """Name, bar, per cent, value, time left; a narrow screen has the first and the third alone.

    Args:
        arms: All of them, for the colour of a name is chosen among all.
    """
    looks = marks_by_name(arms)
    names = [" ".join(printable(name).split()) for name in lines]
    values = [line.note or number(line.value).replace("–", "") for line in lines.values()]
    left = [line.left for line in lines.values()]
    value_width, left_width = max(map(cell_len, values)), max(map(cell_len, left))
    with_value, with_bar = width >= _WITH_VALUE, width >= _WITH_BAR
    spare = width - len("  100%") - with_value * (2 + value_width)
    spare -= with_bar * (4 + left_width + _BAR[0])
    name_width = min(max(map(cell_len, names)), max(1, spare))
    bar = min(_BAR[1], _BAR[0] + spare - name_width)
    grid = Table.grid(padding=(0, 2, 0, 0))
    for at, (arm, line) in enumerate(lines.items()):
        name = Text(_shortened(names[at], name_width), looks[arm].on_terminal)
        cells: list[RenderableType] = [name]
        cells += [ProgressBar(1.0, line.share, width=bar)] if with_bar else []
        cells += [f"{100 * line.share:3.0f}%"]
        cells += [f"{values[at]:>{value_width}}"] if with_value else []
        cells += [f"{left[at]:>{left_width}}"] if with_bar else []
        grid.add_row(*cells)
    for column in grid.columns:
        column.no_wrap = True
    return grid


def _shortened(name: str, width: int) -> str:
    """The name with its middle left out: heads begin a name and rates end it."""
    if cell_len(name) <= width:
        return name
    if width < 3:
        return set_cell_size(name, width)
    end = (width - 1) // 2
    return f"{set_cell_size(name, width - 1 - end).rstrip()}…{name[-end:]}"
