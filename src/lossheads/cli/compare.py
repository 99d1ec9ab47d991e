"""lossheads compare: does one model beat another on the same examples?"""

from collections.abc import Sequence
from pathlib import Path

from lossheads.cli.arguments import Parser
from lossheads.cli.evaluate import add_forms, add_meaning, meaning_of, refuse_two_forms, show
from lossheads.errors import UserError


def command(words: list[str], trust: Sequence[str] = ()) -> int:
    """`lossheads compare A B`; returns the exit status."""
    given = _parser().parse_args(words)
    refuse_two_forms("compare", given)
    names, models = _models(given.models)

    from lossheads.api.comparing import compare

    meaning = meaning_of(given)
    for name in ("head", "link", "given", "columns"):  # one for all, or one for each model
        if meaning[name] is not None:
            meaning[name] = [part.strip() for part in meaning[name].split(",")]
    found = compare(
        *models,
        **meaning,
        labels=given.labels,
        metric=given.metric,
        margin=given.margin,
        names=names,
        full=given.full,
        trust=trust,
    )
    from lossheads.evaluation.tables import csv_of_comparison, sections_of_comparison

    show(
        given,
        title=f"{len(models)} models on n = {found.n} examples",
        lead="On these examples, and on new ones like them; differences are second minus first.",
        notes=found.notes,
        sections=sections_of_comparison(found),
        data=found.to_dict(),
        csv=lambda: csv_of_comparison(found),
    )
    return 0


def _models(words: Sequence[str]) -> tuple[list[str] | None, list[str | list[str]]]:
    """NAME=FILE[,FILE …] or FILE[,FILE …]: names where all have one."""
    names, models = [], list[str | list[str]]()
    for word in words:
        name, equals, files = word.partition("=")
        if not equals or Path(word).exists():
            name, files = "", word
        whole = bool(files) and Path(files).exists()
        runs = [files] if whole else [f for f in files.split(",") if f]
        if not runs:
            raise UserError(f"compare got {word!r}: name a file or run folder after =")
        names.append(name)
        models.append(runs[0] if len(runs) == 1 else runs)
    return (names if all(names) else None), models


def _parser() -> Parser:
    parser = Parser(
        prog="lossheads compare",
        description="Models on the same examples: paired intervals of every difference, McNemar's "
        "test, and whether one is better, within a margin, or undecided.",
        epilog="Several training runs of one model: NAME=RUN,RUN. --head, --link, --given and "
        "--columns take one value for all models, or one for each, separated by commas.",
    )
    parser.add_argument(
        "models",
        nargs="+",
        metavar="[NAME=]FILE",
        help="files or run folders; the first is the reference",
    )
    parser.add_argument(
        "--metric", metavar="NAME", help="what is concluded on; default: exact_match_score"
    )
    parser.add_argument(
        "--margin", type=float, default=0.0, help="differences up to it count as none"
    )
    add_meaning(parser)
    parser.add_argument(
        "--full", action="store_true", help="on many rows: also what costs much time and memory"
    )
    add_forms(parser)
    return parser
