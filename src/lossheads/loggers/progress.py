"""What a person sees while runs are trained: a bar on a terminal, plain lines elsewhere."""

from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)


class Reporter:
    """Reports training progress. Use as a context manager around a sweep."""

    def __init__(self, console: Console | None = None) -> None:
        # Progress goes to stderr: stdout is for results, and may be a pipe.
        self.console = console or Console(stderr=True, highlight=False)
        self._progress: Progress | None = None
        if self.console.is_terminal:
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.fields[unit]}  {task.fields[message]}"),
                TimeElapsedColumn(),
                console=self.console,
            )

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def say(self, text: str) -> None:
        """One line."""
        self.console.print(text, markup=False, soft_wrap=True)

    def cohort(self, title: str, members: int, steps: int) -> "CohortProgress":
        """A cohort begins; its line shows its validation steps."""
        if self._progress is None:
            self.say(f"training {title}: {members} member(s), {steps} steps")
            return CohortProgress(self, title, members, None)
        task = self._progress.add_task(title, total=steps, unit="steps", message="")
        return CohortProgress(self, title, members, task)

    def jobs(self, runs: int) -> "JobsProgress":
        """Jobs elsewhere train so many runs."""
        if self._progress is None:
            return JobsProgress(self, runs, None)
        task = self._progress.add_task("jobs", total=runs, unit="runs", message="")
        return JobsProgress(self, runs, task)

    def show(self, task: TaskID, step: int, message: str) -> None:
        """Move a bar."""
        if self._progress is not None:
            self._progress.update(task, completed=step, message=message)


@dataclass(frozen=True)
class CohortProgress:
    """Progress of one cohort; several may be in training at the same time."""

    reporter: Reporter
    title: str
    members: int
    task: TaskID | None

    def on_validation(self, step: int, epoch: float, monitor: str, value: float) -> None:
        """A validation step of the cohort; `value` is the mean over its members."""
        message = f"{monitor} {value:.4f} (validation, mean of {self.members})"
        if self.task is not None:
            self.reporter.show(self.task, step, message)
        else:
            self.reporter.say(f"  {self.title}  epoch {epoch:5.2f}  step {step:6d}  {message}")


@dataclass
class JobsProgress:
    """Progress of all jobs of a sweep."""

    reporter: Reporter
    runs: int
    task: TaskID | None
    message: str = ""

    def show(self, finished: int, message: str) -> None:
        """So many runs are finished; `message` says how many jobs are where."""
        if self.task is not None:
            self.reporter.show(self.task, finished, message)
        elif message != self.message:
            self.reporter.say(f"  jobs: {message}; {finished} of {self.runs} runs")
        self.message = message
