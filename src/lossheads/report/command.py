"""lossheads report: finished runs as tables or as one page; all verdicts as one page."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from lossheads.errors import UserError
from lossheads.report.announcing import print_arms, wide_console
from lossheads.report.arguments import report_parser
from lossheads.report.arms import arms_of
from lossheads.report.claims_page import write_claims_page
from lossheads.report.runs_page import write_runs_page
from lossheads.report.same_data import by_data
from lossheads.report.tables import csv, table
from lossheads.results import Result, read_results


def report_command(words: list[str]) -> int:
    """Carry out `lossheads report`; returns the exit status."""
    asked = report_parser().parse_args(words)
    if asked.claims is not None:
        if asked.csv:
            raise UserError("report got --csv and --claims: verdicts have no CSV; choose one")
        folder = Path(asked.claims or Path(asked.outputs) / "claims")
        page = write_claims_page(folder, Path(asked.html) if asked.html else None)
        wide_console().print(f"Written: {page}")
        return 0
    if asked.html:
        if asked.csv:
            raise UserError("report got --csv and --html: choose one, or call it twice")
        page = write_runs_page(Path(asked.outputs), Path(asked.html))
        wide_console().print(f"Written: {page}")
        return 0
    return _report_runs(Path(asked.outputs), asked.csv)


def _report_runs(outputs: Path, as_csv: bool) -> int:
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


def _long_form(results: Sequence[Result]) -> pd.DataFrame:
    """Every arm, named among all, under the rulers of its own data."""
    arms = arms_of(results)
    tables = []
    for data in by_data(results):
        keys = {run.key for run in data.runs}
        here = {arm: runs for arm, runs in arms.items() if runs[0].key in keys}
        if data.finished:
            tables.append(table(here, data.rulers))
    return pd.concat(tables, ignore_index=True)
