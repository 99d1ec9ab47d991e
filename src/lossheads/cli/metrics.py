"""lossheads metrics: what each metric measures, and for which outcomes."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from lossheads.analysis.terminal import wide_console
from lossheads.cli.arguments import Parser
from lossheads.errors import UserError, near_matches

if TYPE_CHECKING:
    from lossheads.metrics.base import BaseMetric

_FOOTER = (
    "Each value is shown with its baseline, the value of the best constant prediction. On the test "
    "split there are also one_half/NAME and tuned/NAME for AnyOf (decisions at 0.5 and at "
    "thresholds tuned on validation), and outliers/DATASET/NAME where the data set has outliers."
)

_BETTER = {True: "higher", False: "lower", None: "–"}


def command(words: list[str], trust: Sequence[str] = ()) -> int:
    """Carry out `lossheads metrics [NAME …] [--outcome KIND]`; returns the exit status."""
    asked = _parser().parse_args(words)

    from lossheads.metrics.evaluate import ALL_METRICS, ALL_PER_CLASS_METRICS

    known: dict[str, BaseMetric] = {
        metric.name: metric for metric in (*ALL_METRICS, *ALL_PER_CLASS_METRICS)
    }
    chosen = _chosen(known, asked.names, asked.outcome)
    console = wide_console()
    for title, metrics in (
        ("One number", ALL_METRICS),
        ("One value per class", ALL_PER_CLASS_METRICS),
    ):
        shown = [metric for metric in metrics if metric in chosen]
        if shown:
            console.print(_table(title, shown))
    if not asked.names:
        console.print(_FOOTER)
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="lossheads metrics",
        description="What each metric measures, which way is better, and for which outcomes.",
    )
    parser.add_argument("names", nargs="*", help="only these; default: all")
    parser.add_argument(
        "--outcome",
        metavar="KIND",
        help="only metrics of OneOf (or one_of), AnyOf (any_of) or EachOneOf (each_one_of) labels",
    )
    return parser


def _outcomes() -> dict[str, type]:
    """As Python names them, and as the setting dataset.kind does: OneOf, one_of."""
    from lossheads.metrics.base import ALL_OUTCOMES

    return {
        word: kind
        for kind in ALL_OUTCOMES
        for word in (kind.__name__, re.sub(r"\B(?=[A-Z])", "_", kind.__name__).lower())
    }


def _chosen(
    known: "Mapping[str, BaseMetric]", names: Sequence[str], outcome: str | None
) -> "list[BaseMetric]":
    """The metrics of these names, or all; with an outcome, those that are defined for it."""
    outcomes = _outcomes()
    if outcome is not None and outcome not in outcomes:
        raise UserError(f"metrics knows no outcome {outcome!r}; {near_matches(outcome, outcomes)}")
    for name in names:
        if name in outcomes:
            raise UserError(f"metrics got {name}, an outcome: write --outcome {name}")
        if name not in known:
            raise UserError(f"metrics knows no {name!r}; {near_matches(name, known)}")
        if outcome is not None and outcomes[outcome] not in known[name].outcomes:
            raise UserError(
                f"{name} is not defined for {outcome}, only for {_kinds(known[name], ' or ')}; "
                f"lossheads metrics --outcome {outcome} lists the metrics that are"
            )
    metrics = [known[name] for name in names or known]
    return [r for r in metrics if outcome is None or outcomes[outcome] in r.outcomes]


def _table(title: str, metrics: "Sequence[BaseMetric]") -> Table:
    table = Table(title=title, title_justify="left", show_lines=True)
    for column in ("metric", "better", "perfect", "outcomes", "measured", "description"):
        table.add_column(column, overflow="fold", no_wrap=column in ("better", "outcomes"))
    for metric in metrics:
        table.add_row(
            metric.name,
            _BETTER[metric.higher_is_better],
            "–" if math.isnan(metric.perfect) else f"{metric.perfect:g}",
            "all" if set(metric.outcomes) == set(_outcomes().values()) else _kinds(metric, "\n"),
            "every validation step" if metric.at_every_validation else "last step only",
            _explained(metric),
        )
    return table


def _explained(metric: "BaseMetric") -> str:
    return (
        f"{metric.description} Only for data with a known posterior."
        if metric.needs_true_posterior
        else metric.description
    )


def _kinds(metric: "BaseMetric", between: str) -> str:
    return between.join(kind.__name__ for kind in metric.outcomes)
