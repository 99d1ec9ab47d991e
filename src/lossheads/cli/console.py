"""Results of finished runs on the terminal."""

import json
from collections.abc import Sequence
from math import isnan
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lossheads.analysis.aggregate import perfect, skill
from lossheads.analysis.arms import arms_of
from lossheads.analysis.format import count_of, spread_text
from lossheads.analysis.palette import marks_by_name
from lossheads.analysis.statistics import Interval
from lossheads.analysis.summary import Candidate, Comparison, comparisons, summary_json
from lossheads.analysis.tables import FoldedName, rich_tables, table
from lossheads.analysis.terminal import wide_console
from lossheads.analysis.test_sets import by_test_set
from lossheads.cli.arguments import USUAL_VIEW, View
from lossheads.cli.sweep_page import how_to_see
from lossheads.errors import RunsFailed, printable
from lossheads.records import Result


def print_results(
    results: Sequence[Result],
    outputs: Path,
    console: Console | None = None,
    view: View = USUAL_VIEW,
) -> None:
    """Print one run's metrics, or what a sweep found, and where the folders are.

    Args:
        outputs: Where the run folders are now; a result knows only where it was made.

    Raises:
        RunsFailed: If any run diverged, after everything is printed.
    """
    console = console or wide_console()
    runs = outputs / "runs"
    if view.json:
        document = json.dumps(summary_json(results, str(runs)), indent=1, ensure_ascii=False)
        print(document, file=console.file)
    else:
        if not view.quiet:
            _print_found(results, outputs, console, view)
        where = runs / (results[0].name if len(results) == 1 else "")
        console.print(
            f"{count_of(len(results), 'run')} in {where}; to see more: lossheads board {outputs}",
            soft_wrap=True,
        )
    _refuse_diverged(results)


def _print_found(results: Sequence[Result], outputs: Path, console: Console, view: View) -> None:
    finished = [result for result in results if result.status == "finished"]
    if len(results) == 1 and finished:
        console.print(metrics_table(finished[0]), *finished[0].notes, sep="\n")
    elif finished and view.all:
        print_arms(results, console)
    elif finished:
        print_answers(comparisons(results), outputs, console)


def print_answers(found: Sequence[Comparison], outputs: Path, console: Console) -> None:
    """Each head at its best setting, and what the paired differences say."""
    for comparison in found[:_COMPARISONS]:
        _print_answer(comparison, console, 8 if len(found) == 1 else 4)
    left = len(found) - _COMPARISONS
    more = f"{count_of(left, 'further comparison')} left out; " if left > 0 else ""
    if any(one.value.n > 1 for comparison in found for one in comparison.candidates):
        console.print(
            "Heads: 95 % over seeds alone (initialisation, batch order; data, where each draws its "
            "own)."
        )
    console.print(
        f"{more}every metric: the same call with --all\n{how_to_see(outputs)}",
        soft_wrap=True,
    )


def _print_answer(comparison: Comparison, console: Console, most: int) -> None:
    baseline = _number(comparison.baseline)
    console.print(
        Text.assemble(
            (printable(comparison.title), "bold"),
            f": {comparison.metric} on test, {comparison.examples}, baseline {baseline}",
        )
    )
    shown = comparison.candidates[:most]
    grid = Table.grid(padding=(0, 2, 0, 0))
    looks = marks_by_name(tuple(one.head for one in comparison.candidates))
    names = [
        Text.assemble(
            "  ", (printable(one.head), looks[one.head].on_terminal), f" (n = {one.value.n})"
        )
        for one in shown
    ]
    for name, candidate in zip(names, shown, strict=True):
        grid.add_row(name, _mean(candidate.value), _chosen(candidate))
    unlimited = console.options.update(max_width=10_000)
    if console.measure(grid, options=unlimited).maximum > console.width:
        grid = Table.grid()  # what does not fit side by side stands one below the other
        for name, candidate in zip(names, shown, strict=True):
            grid.add_row(Text.assemble(name, f": {_mean(candidate.value)}"))
            if chosen := _chosen(candidate):
                grid.add_row(f"    {chosen}")
    console.print(grid)
    if len(comparison.candidates) > len(shown):
        console.print(f"  and {len(comparison.candidates) - len(shown)} more")
    for difference in comparison.differences[: most - 1]:
        console.print(difference.numbers)
        console.print(Text(f"  {printable(difference.conclusion)}", _COLOURS[difference.direction]))


_COMPARISONS = 3  # that are printed: an answer has about ten lines
_COLOURS = {"higher": "bold green", "lower": "bold green", "equal": "bold", "undecided": "yellow"}


def _mean(value: Interval) -> str:
    return _number(value.mean) + (f" {spread_text(value)}" if value.n > 1 else "")


def _chosen(candidate: Candidate) -> str:
    lost = f"{count_of(candidate.left_out, 'seed')} diverged" if candidate.left_out else ""
    best = ""
    if candidate.tried > 1:
        best = f"{candidate.setting}, best of {candidate.tried} (validation)"
    return "; ".join(filter(None, (best, lost)))


def print_arms(results: Sequence[Result], console: Console) -> None:
    """One table arm × metric per test set; runs that diverged count as seeds left out."""
    for data in by_test_set(results):
        if not data.finished:
            console.print(f"{data.title}: no run finished")
            continue
        title = f"{data.title}, test, {data.examples}"
        shown = table(arms_of(data.runs), data.metrics)
        console.print(*rich_tables(shown, title, console.width), sep="\n")


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
