"""lossheads report: every finished run below a folder, as tables."""

from pathlib import Path

from lossheads.arguments import Parser
from lossheads.errors import UserError
from lossheads.report.announcing import print_arms, wide_console
from lossheads.report.arms import arms_of
from lossheads.report.tables import csv, table
from lossheads.results import read_results


def report_command(words: list[str]) -> int:
    """Carry out `lossheads report`; returns the exit status."""
    parser = Parser(
        prog="lossheads report", description="Tables of all finished runs: arm × ruler over seeds."
    )
    parser.add_argument("outputs", nargs="?", default="outputs", help="folder that holds runs/")
    parser.add_argument("--csv", action="store_true", help="the long form, every digit kept")
    asked = parser.parse_args(words)
    found = read_results(Path(asked.outputs) / "runs")
    results = [result for _, result in found]
    finished = [result for result in results if result.status == "finished"]
    if not finished:
        raise UserError(
            f"report finds no finished run in {asked.outputs}/runs: train one with lossheads "
            f"train, or name another folder"
        )
    if asked.csv:
        rulers = list(dict.fromkeys(name for result in finished for name in result.test.rulers))
        print(csv(table(arms_of(results), rulers)), end="")
    else:
        print_arms(results, wide_console())
    return 0
