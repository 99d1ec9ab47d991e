"""Results of finished runs on the terminal."""

from collections.abc import Sequence
from math import isnan
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lossheads.analysis.aggregate import perfect, skill
from lossheads.analysis.arms import arms_of
from lossheads.analysis.format import count_of
from lossheads.analysis.tables import FoldedName, rich_tables, table
from lossheads.analysis.test_sets import by_test_set
from lossheads.errors import RunsFailed
from lossheads.records import Result


def print_results(results: Sequence[Result], outputs: Path, console: Console | None = None) -> None:
    """Print one run's metrics, or a table arm × metric of a sweep, and where the folders are.

    Args:
        outputs: Where the run folders are now; a result knows only where it was made.

    Raises:
        RunsFailed: If any run diverged, after everything is printed.
    """
    console = console or wide_console()
    finished = [result for result in results if result.status == "finished"]
    if len(results) == 1 and finished:
        console.print(metrics_table(finished[0]), *finished[0].notes, sep="\n")
    elif finished:
        print_arms(results, console)
    where = outputs / "runs" / (results[0].name if len(results) == 1 else "")
    console.print(
        f"{count_of(len(results), 'run')} in {where}; to see more: lossheads board {outputs}"
    )
    _refuse_diverged(results)


def print_arms(results: Sequence[Result], console: Console) -> None:
    """One table arm × metric per test set; runs that diverged count as seeds left out."""
    for data in by_test_set(results):
        if not data.finished:
            console.print(f"{data.title}: no run finished")
            continue
        title = f"{data.title}, test, {data.examples}"
        shown = table(arms_of(data.runs), data.metrics)
        console.print(*rich_tables(shown, title, console.width), sep="\n")


def wide_console() -> Console:
    """Stdout; at least 100 columns when it is a pipe, which has no width of its own."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=120)


def metrics_table(result: Result) -> Table:
    """Every metric of one run with baseline and skill."""
    measured = result.test
    shown = Table(title=f"{result.name} · test, n = {measured.n}", title_justify="left")
    for name in ("metric", "value", "baseline", "skill"):
        shown.add_column(name, justify="left" if name == "metric" else "right")
    for name, value in measured.metrics.items():
        baseline = measured.baselines.get(name, float("nan"))
        gained = skill(value, baseline, perfect([result], name))
        shown.add_row(FoldedName(name), _number(value), _number(baseline), _number(gained))
    return shown


def _refuse_diverged(results: Sequence[Result]) -> None:
    diverged = [result for result in results if result.status == "diverged"]
    if diverged:
        at = diverged[0].diverged_at or {}
        raise RunsFailed(
            f"{len(diverged)} of {len(results)} run(s) diverged, first {diverged[0].name}: the "
            f"loss was not finite at step {at.get('step')} with learning rate "
            f"{at.get('learning_rate'):g}; try a smaller optimizer.lr"
        )


def _number(value: float) -> str:
    return "–" if isnan(value) else f"{value:.4f}"
