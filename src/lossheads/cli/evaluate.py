"""lossheads evaluate: every metric of somebody's own predictions, and what others would print."""

import json
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossheads.cli.arguments import Parser
from lossheads.errors import UserError

if TYPE_CHECKING:
    from lossheads.evaluation.tables import Section


def command(words: list[str], trust: Sequence[str] = ()) -> int:
    """`lossheads evaluate FILE`; returns the exit status."""
    parser = _parser()
    given = parser.parse_args(words)
    refuse_two_forms("evaluate", given)

    from lossheads.api.evaluation import evaluate

    found = evaluate(
        given.file,
        given.labels,
        **meaning_of(given),
        part=given.part,
        tune_on=given.tune_on,
        measure_on=given.measure_on,
        full=given.full,
        pos_weight=numbers(given.pos_weight, "evaluate", "pos-weight"),
        train_prevalence=numbers(given.train_prevalence, "evaluate", "train-prevalence"),
        prevalence=numbers(given.prevalence, "evaluate", "prevalence"),
        reject_recall=given.reject_recall,
        none_label=given.none_label,
        batch_size=given.batch_size,
        trust=trust,
    )
    from lossheads.evaluation.tables import csv_of, sections_of

    show(
        given,
        title=f"{found.source}: {found.head}, n = {found.n}",
        lead="Every number beside its baseline, the score of the best constant prediction.",
        notes=found.notes,
        sections=sections_of(found),
        data=found.to_dict(),
        csv=lambda: csv_of(found),
    )
    return 0


def meaning_of(given: Namespace) -> dict[str, Any]:
    """Flags that say what a file holds, as `evaluate` and `compare` take them."""
    names = given.class_names
    return {
        "head": given.head,
        "link": given.link,
        "given": given.given,
        "outcome": given.outcome,
        "class_names": None if names is None else [name.strip() for name in names.split(",")],
        "columns": given.columns,
        "ids": given.ids,
        "clusters": given.cluster,
    }


def numbers(text: str | None, who: str, flag: str) -> list[float] | None:
    """0.9,0.1 -> [0.9, 0.1]."""
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UserError(
            f"{who}: --{flag} must be numbers separated by commas, got {text!r}"
        ) from None


def refuse_two_forms(who: str, given: Namespace) -> None:
    """JSON and CSV both go to standard output."""
    if given.json and given.csv:
        raise UserError(f"{who} got --json and --csv: choose one")


def show(
    given: Namespace,
    title: str,
    lead: str,
    notes: Sequence[str],
    sections: "Sequence[Section]",
    data: Any,
    csv: Any,
) -> None:
    """On the terminal, as JSON or CSV; with --html as a page, too."""
    from lossheads.analysis.html import write_html
    from lossheads.analysis.page_tables import rich_table
    from lossheads.analysis.terminal import wide_console
    from lossheads.evaluation.tables import MAX_CLASSES, page

    written = None
    if given.html:
        written = write_html(Path(given.html), page(title, lead, notes, sections))
    if given.json:
        print(json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False))
    elif given.csv:
        print(csv(), end="")
    else:
        console = wide_console()
        console.print(title)
        for note in notes:
            console.print(f"  {note}")
        for section in sections:
            table, rows = section.table, section.table.rows
            if len(rows) > MAX_CLASSES:
                table = replace(
                    table,
                    rows=rows[:MAX_CLASSES],
                    caption=f"{table.caption} The first {MAX_CLASSES} of {len(rows)} rows; all: "
                    f"--json, --csv or --html FILE.",
                )
            console.print()
            console.print(f"{section.title}. {section.text}")
            if rows:
                console.print(rich_table(table, ""))
        if written:
            console.print(f"Written: {written}", soft_wrap=True)


def _parser() -> Parser:
    parser = Parser(
        prog="lossheads evaluate",
        description="Every metric of your own predictions with interval, baseline and skill, and "
        "what frameworks would print for them.",
        epilog="What the numbers mean is asked: --head NAME, or --link, --given and --outcome; "
        "left out, the evidence is shown with the calls that fit.",
    )
    parser.add_argument("file", help=".npz, .npy, .csv, .parquet, .pt, or a run folder")
    add_meaning(parser)
    parser.add_argument("--part", metavar="NAME", help="array or column: train, val, test, …")
    parser.add_argument("--tune-on", metavar="VALUE", help="part for temperature and thresholds")
    parser.add_argument("--measure-on", metavar="VALUE", help="part that is measured")
    parser.add_argument(
        "--full", action="store_true", help="on many rows: also what costs much time and memory"
    )
    parser.add_argument("--pos-weight", metavar="W[,W]", help="undo pos_weight of the training")
    parser.add_argument("--train-prevalence", metavar="P,P", help="undo base rates of the training")
    parser.add_argument(
        "--prevalence", metavar="P,P", help="base rates to move to; default: those of the labels"
    )
    parser.add_argument(
        "--reject-recall",
        metavar="SHARE",
        type=float,
        help="threshold for none of these that keeps this share of known examples",
    )
    parser.add_argument("--none-label", metavar="LABEL", help="label of examples of no class")
    parser.add_argument(
        "--batch-size",
        type=int,
        default=256,
        metavar="B",
        help="of the means of batches that are shown beside; default: %(default)s",
    )
    add_forms(parser)
    return parser


def add_meaning(parser: Parser) -> None:
    """Flags that say what a file holds."""
    parser.add_argument("--head", metavar="NAME", help="the head that made the numbers")
    parser.add_argument("--link", metavar="LINK", help="last layer: softmax or sigmoid")
    parser.add_argument("--given", metavar="WHAT", help="logits or probabilities")
    parser.add_argument("--outcome", metavar="KIND", help="one_of, any_of or each_one_of")
    parser.add_argument(
        "--columns", metavar="NAME", help="array, or columns by pattern (prob_*), of numbers"
    )
    parser.add_argument(
        "--labels", metavar="NAME", help="array, columns by pattern, or a second .npy, of labels"
    )
    parser.add_argument("--class-names", metavar="A,B", help="in the order of the columns")
    parser.add_argument("--ids", metavar="NAME", help="array or column of unique names")
    parser.add_argument(
        "--cluster", metavar="NAME", help="array or column: rows of one value belong together"
    )


def add_forms(parser: Parser) -> None:
    """Flags of the output."""
    parser.add_argument("--html", metavar="FILE", help="also write one HTML page there")
    parser.add_argument("--json", action="store_true", help="everything as JSON")
    parser.add_argument("--csv", action="store_true", help="a row per number, full precision")
