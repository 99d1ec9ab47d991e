"""lossheads metrics: what each ruler counts, and where it has a meaning."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from lossheads.cli.arguments import Parser
from lossheads.errors import UserError, near_matches

if TYPE_CHECKING:
    from lossheads.metrics.base import AnyRuler

_BESIDE = (
    "Names in _score and _accuracy: higher is better; in _loss and _error: lower. Beside each "
    "value stands its floor, what the best answer that never looks at an input gets. The test "
    "split has more: one_half/NAME and tuned/NAME for AnyOf (the same rulers, decided at ½ and at "
    "thresholds tuned on validation), and outliers/SET/… where the data have outliers."
)


def command(words: list[str]) -> int:
    """Carry out `lossheads metrics [NAME …] [--outcome KIND]`; returns the exit status."""
    asked = _parser().parse_args(words)

    from lossheads.metrics.evaluate import ALL_CLASS_RULERS, ALL_RULERS

    known: dict[str, AnyRuler] = {ruler.name: ruler for ruler in (*ALL_RULERS, *ALL_CLASS_RULERS)}
    chosen = _chosen(known, asked.names, asked.outcome)
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=120)
    for title, rulers in (("One number", ALL_RULERS), ("One value per class", ALL_CLASS_RULERS)):
        shown = [ruler for ruler in rulers if ruler in chosen]
        if shown:
            console.print(_table(title, shown))
    if not asked.names:
        console.print(_BESIDE)
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="lossheads metrics",
        description="What each metric counts, its perfect value, and which outcomes it serves.",
    )
    parser.add_argument("names", nargs="*", help="only these; default: all")
    parser.add_argument(
        "--outcome",
        metavar="KIND",
        help="only what serves OneOf (or one_of), AnyOf (any_of) or EachOneOf (each_one_of) labels",
    )
    return parser


def _outcomes() -> dict[str, type]:
    """As Python names them, and as the setting dataset.kind does: OneOf, one_of."""
    from lossheads.metrics.base import EVERY_OUTCOME

    return {
        word: kind
        for kind in EVERY_OUTCOME
        for word in (kind.__name__, re.sub(r"\B(?=[A-Z])", "_", kind.__name__).lower())
    }


def _chosen(
    known: "Mapping[str, AnyRuler]", names: Sequence[str], outcome: str | None
) -> "list[AnyRuler]":
    """The rulers of these names, or all; with an outcome, those that serve it."""
    outcomes = _outcomes()
    if outcome is not None and outcome not in outcomes:
        raise UserError(f"metrics knows no outcome {outcome!r}; {near_matches(outcome, outcomes)}")
    for name in names:
        if name in outcomes:
            raise UserError(f"metrics got {name}, an outcome: write --outcome {name}")
        if name not in known:
            raise UserError(f"metrics knows no {name!r}; {near_matches(name, known)}")
        if outcome is not None and outcomes[outcome] not in known[name].serves:
            raise UserError(
                f"{name} does not serve {outcome}: it has a meaning for "
                f"{_kinds(known[name], ' or ')} alone; lossheads metrics --outcome {outcome} lists "
                f"what serves it"
            )
    rulers = [known[name] for name in names or known]
    return [r for r in rulers if outcome is None or outcomes[outcome] in r.serves]


def _table(title: str, rulers: "Sequence[AnyRuler]") -> Table:
    table = Table(title=title, title_justify="left", show_lines=True)
    for column in ("ruler", "perfect", "serves", "measured", "what it says"):
        table.add_column(column, overflow="fold", no_wrap=column == "serves")
    for ruler in rulers:
        table.add_row(
            ruler.name,
            "–" if math.isnan(ruler.perfect) else f"{ruler.perfect:g}",
            "all" if set(ruler.serves) == set(_outcomes().values()) else _kinds(ruler, "\n"),
            "every lap" if ruler.cheap else "last lap",
            _explained(ruler),
        )
    return table


def _explained(ruler: "AnyRuler") -> str:
    return f"{ruler.says} Only where the data know the truth." if ruler.needs_truth else ruler.says


def _kinds(ruler: "AnyRuler", between: str) -> str:
    return between.join(kind.__name__ for kind in ruler.serves)
