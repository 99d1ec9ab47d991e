"""lossheads report: finished runs as tables or as one page; all verdicts as one page."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from lossheads.cli.arguments import Parser
from lossheads.errors import UserError


def command(words: list[str], trust: Sequence[str] = ()) -> int:
    """`lossheads report`; returns the exit status."""
    given = _parser().parse_args(words)
    _refuse_two_forms(given)

    from lossheads.analysis.terminal import wide_console

    outputs = Path(given.outputs)
    if given.claims is not None:
        from lossheads.claims.render.html import write_claims_page

        folder = Path(given.claims or outputs / "claims")
        page = write_claims_page(folder, Path(given.html) if given.html else None)
        wide_console().print(f"Written: {page}")
    elif given.html:
        from lossheads.analysis.runs_page import write_runs_page

        wide_console().print(f"Written: {write_runs_page(outputs, Path(given.html))}")
    else:
        _report_runs(outputs, given)
    return 0


def _refuse_two_forms(given: Namespace) -> None:
    tidy = [word for word, value in (("csv", given.csv), ("parquet", given.parquet)) if value]
    if tidy and given.claims is not None:
        raise UserError(f"report got --{tidy[0]} and --claims: verdicts have no table; choose one")
    forms = [*tidy, *(["html"] if given.html else [])]
    if len(forms) > 1:
        raise UserError(f"report got {' and '.join(f'--{form}' for form in forms)}: choose one")


def _report_runs(outputs: Path, given: Namespace) -> None:
    from lossheads.analysis.slim import slim
    from lossheads.analysis.tables import csv
    from lossheads.analysis.terminal import wide_console
    from lossheads.analysis.tidy import tidy, write_parquet
    from lossheads.cli.console import print_arms
    from lossheads.records import read_results

    results = list(slim(result for _, result in read_results(outputs / "runs")))
    if not any(result.status == "finished" for result in results):
        raise UserError(
            f"report finds no finished run in {outputs}/runs: train one with lossheads "
            f"train, or name another folder"
        )
    if given.csv:
        print(csv(tidy(results)), end="")
    elif given.parquet:
        wide_console().print(f"Written: {write_parquet(tidy(results), Path(given.parquet))}")
    else:
        print_arms(results, wide_console())


def _parser() -> Parser:
    """Flags and positionals of `lossheads report`."""
    parser = Parser(
        prog="lossheads report",
        description="Tables of all finished runs: arm × metric, over seeds.",
    )
    parser.add_argument("outputs", nargs="?", default="outputs", help="folder that holds runs/")
    parser.add_argument(
        "--csv", action="store_true", help="CSV: a row per run and metric, full precision"
    )
    parser.add_argument("--parquet", metavar="FILE", help="the same rows as a Parquet file")
    parser.add_argument(
        "--claims",
        nargs="?",
        const="",
        metavar="FOLDER",
        help="one HTML page over the verdicts in FOLDER (by default OUTPUTS/claims)",
    )
    parser.add_argument(
        "--html",
        metavar="FILE",
        help="write one HTML page there: of the runs, or with --claims of the verdicts "
        "(by default FOLDER/report.html)",
    )
    return parser
