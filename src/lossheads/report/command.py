"""lossheads report: finished runs as tables or as one page; all verdicts as one page."""

from pathlib import Path

from lossheads.errors import UserError
from lossheads.report.announcing import print_arms, wide_console
from lossheads.report.arguments import report_parser
from lossheads.report.arms import arms_of
from lossheads.report.claims_page import write_claims_page
from lossheads.report.runs_page import write_runs_page
from lossheads.report.tables import csv, table
from lossheads.results import read_results


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
        rulers = list(dict.fromkeys(name for result in finished for name in result.test.rulers))
        print(csv(table(arms_of(results), rulers)), end="")
    else:
        print_arms(results, wide_console())
    return 0
