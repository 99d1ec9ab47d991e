"""What a finished run or sweep says on the terminal."""

from collections.abc import Mapping, Sequence
from math import isnan

from rich.console import Console
from rich.table import Table

from lossheads.results import Result

_FIRST = ("accuracy_score", "elementwise_accuracy_score", "keras_2_3_accuracy")


class Diverged(Exception):
    """A run's loss left the finite numbers; exit status 1."""


def announce(results: Sequence[Result], console: Console | None = None) -> None:
    """Print one run's rulers, or one line per run of a sweep, and where the folders lie.

    Raises:
        Diverged: If any run did, after everything is printed.
    """
    console = console or Console(highlight=False)
    finished = [result for result in results if result.status == "finished"]
    if len(results) == 1 and finished:
        console.print(_one(finished[0]))
    elif finished:
        console.print(_many(finished))
    for result in results[:1]:
        folder = f"{result.config['outputs']}/runs"
        console.print(f"{len(results)} run(s) in {folder}; see them with: lossheads board")
    _refuse_diverged(results)


def _one(result: Result) -> Table:
    measured = result.test
    table = Table(title=f"{result.name}  (test, n = {measured.n})", title_justify="left")
    for name in ("ruler", "value", "floor", "skill"):
        table.add_column(name, justify="left" if name == "ruler" else "right")
    for name, value in measured.rulers.items():
        floor = measured.floors.get(name, float("nan"))
        table.add_row(name, _number(value), _number(floor), _skill(name, value, floor))
    return table


def _many(results: Sequence[Result]) -> Table:
    rulers = [name for name in _FIRST if name in results[0].test.rulers]
    rulers += [name for name in ("nll_loss",) if name in results[0].test.rulers]
    table = Table(title=f"test, n = {results[0].test.n} each", title_justify="left")
    for name in ("head", "seed", "rate", *rulers, "run"):
        table.add_column(
            name, overflow="fold", justify="left" if name in ("head", "run") else "right"
        )
    for result in results:
        table.add_row(
            _choice(result.config, "head"),
            str(result.config["seed"]),
            f"{result.config['optimizer']['lr']:g}",
            *(_number(result.test.rulers[name]) for name in rulers),
            result.key,
        )
    return table


def _refuse_diverged(results: Sequence[Result]) -> None:
    lost = [result for result in results if result.status == "diverged"]
    if lost:
        at = lost[0].diverged_at or {}
        raise Diverged(
            f"{len(lost)} of {len(results)} run(s) diverged, first {lost[0].name}: the loss was "
            f"not finite at step {at.get('step')} with learning rate "
            f"{at.get('learning_rate'):g}; try a smaller optimizer.lr"
        )


def _choice(config: Mapping[str, Mapping[str, str]], role: str) -> str:
    return config["choices"][role]


def _number(value: float) -> str:
    return "undefined" if isnan(value) else f"{value:.4f}"


def _skill(name: str, value: float, floor: float) -> str:
    """(value - floor) / (perfect - floor); perfect is 0 for losses and errors, else 1."""
    perfect = 0.0 if name.endswith(("_loss", "_error")) else 1.0
    if isnan(value) or isnan(floor) or floor == perfect:
        return "undefined"
    return f"{(value - floor) / (perfect - floor):.3f}"
