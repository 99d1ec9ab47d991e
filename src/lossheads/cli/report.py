"""lossheads report: finished runs as tables or as one page; all verdicts as one page."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lossheads.cli.arguments import Parser
from lossheads.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from lossheads.records import Result


def command(words: list[str], trust: Sequence[str] = ()) -> int:
    """`lossheads report`; returns the exit status."""
    given = _parser().parse_args(words)

    from lossheads.analysis.runs_page import write_runs_page
    from lossheads.claims.render.html import write_claims_page
    from lossheads.cli.console import wide_console

    if given.claims is not None:
        if given.csv:
            raise UserError("report got --csv and --claims: verdicts have no CSV; choose one")
        folder = Path(given.claims or Path(given.outputs) / "claims")
        page = write_claims_page(folder, Path(given.html) if given.html else None)
        wide_console().print(f"Written: {page}")
        return 0
    if given.html:
        if given.csv:
            raise UserError("report got --csv and --html: choose one")
        page = write_runs_page(Path(given.outputs), Path(given.html))
        wide_console().print(f"Written: {page}")
        return 0
    return _report_runs(Path(given.outputs), given.csv)


def _report_runs(outputs: Path, as_csv: bool) -> int:
    from lossheads.analysis.tables import csv
    from lossheads.cli.console import print_arms, wide_console
    from lossheads.records import read_results

    results = [result for _, result in read_results(outputs / "runs")]
    finished = [result for result in results if result.status == "finished"]
    if not finished:
        raise UserError(
            f"report finds no finished run in {outputs}/runs: train one with lossheads "
            f"train, or name another folder"
        )
    if as_csv:
        print(csv(_long_form(results)), end="")
    else:
        print_arms(results, wide_console())
    return 0


def _long_form(results: "Sequence[Result]") -> "pd.DataFrame":
    """All arms, each with the metrics of its own data; names distinguish them among all."""
    import pandas as pd

    from lossheads.analysis.arms import arms_of
    from lossheads.analysis.tables import table
    from lossheads.analysis.test_sets import by_test_set

    arms = arms_of(results)
    tables = []
    for data in by_test_set(results):
        keys = {run.key for run in data.runs}
        here = {arm: runs for arm, runs in arms.items() if runs[0].key in keys}
        if data.finished:
            tables.append(table(here, data.metrics))
    return pd.concat(tables, ignore_index=True)


def _parser() -> Parser:
    """Flags and positionals of `lossheads report`."""
    parser = Parser(
        prog="lossheads report",
        description="Tables of all finished runs: arm × metric, over seeds.",
    )
    parser.add_argument("outputs", nargs="?", default="outputs", help="folder that holds runs/")
    parser.add_argument("--csv", action="store_true", help="long-format CSV with full precision")
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
