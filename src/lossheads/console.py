"""What a person sees while runs are trained: a bar on a terminal, plain lines elsewhere."""

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
    """Tells how far training is. Use as a context manager around a sweep."""

    def __init__(self, console: Console | None = None) -> None:
        # Progress goes to stderr: stdout is for results, and may be a pipe.
        self.console = console or Console(stderr=True, highlight=False)
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._title = ""
        self._members = 0
        if self.console.is_terminal:
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("steps  {task.fields[said]}"),
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

    def cohort(self, title: str, members: int, steps: int) -> None:
        """A cohort begins."""
        self._title, self._members = title, members
        if self._progress is None:
            self.say(f"training {title}: {members} member(s), {steps} steps")
        else:
            self._task = self._progress.add_task(title, total=steps, said="")

    def lap(self, step: int, epoch: float, watch: str, value: float) -> None:
        """A measuring step of the cohort; `value` is the mean over its members on validation."""
        said = f"{watch} {value:.4f} (validation, mean of {self._members})"
        if self._progress is None:
            self.say(f"  epoch {epoch:5.2f}  step {step:6d}  {said}")
        elif self._task is not None:
            self._progress.update(self._task, completed=step, said=said)
