"""lossheads report: finished runs as tables or as one page; all verdicts as one page."""

import math
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lossheads.cli.arguments import Parser, data_folders
from lossheads.errors import UserError, near_matches

if TYPE_CHECKING:
    import pandas as pd

    from lossheads.analysis.sweep import Asked
    from lossheads.records import Result

# Flags that choose what is shown, each as it is where it was left out; --sort alone is "".
_CHOOSING = {"by": "", "metric": "", "sort": None, "reference": "", "margin": None}


def command(words: list[str], trust: Sequence[str] = ()) -> int:
    """`lossheads report`; returns the exit status."""
    given = _parser().parse_args(words)
    _refuse_two_forms(given)
    _refuse_idle(given)

    from lossheads.analysis.terminal import wide_console

    outputs = Path(given.outputs)
    if given.claims is not None:
        from lossheads.claims.render.html import write_claims_page
        from lossheads.claims.verdict_file import read_verdicts

        folder = Path(given.claims or outputs / "claims")
        for record in read_verdicts(folder):
            if not record.data:
                wide_console(stderr=True).print(f"{folder / record.slug}: {record.trouble[0]}")
        page = write_claims_page(folder, Path(given.html) if given.html else None)
        wide_console().print(f"Written: {page}", soft_wrap=True)
    elif given.html:
        from lossheads.analysis.runs_page import write_runs_page
        from lossheads.cli.sweep_page import kept_reader

        kept = kept_reader(outputs, trust, data_folders(given))
        page = write_runs_page(outputs, Path(given.html), _asked(given), kept)
        wide_console().print(f"Written: {page}", soft_wrap=True)
    else:
        _report_runs(outputs, given)
    return 0


def _asked(given: Namespace) -> "Asked":
    from lossheads.analysis.sweep import Asked

    by = tuple(map(str.strip, given.by.split(","))) if given.by else ()
    if not all(by):
        raise UserError(
            f"report got --by {given.by}: a setting has no name; give head,optimizer.lr"
        )
    if given.margin is not None and not 0 <= given.margin < math.inf:
        raise UserError(f"report: --margin must be at least 0 and finite, got {given.margin:g}")
    sort = given.metric if given.sort is None else given.sort
    return Asked(by, given.metric, sort or "", given.reference, given.margin)


def _refuse_two_forms(given: Namespace) -> None:
    tidy = [word for word, value in (("csv", given.csv), ("parquet", given.parquet)) if value]
    if tidy and given.claims is not None:
        raise UserError(f"report got --{tidy[0]} and --claims: verdicts have no table; choose one")
    forms = [*tidy, *(["html"] if given.html else [])]
    if len(forms) > 1:
        raise UserError(f"report got {' and '.join(f'--{form}' for form in forms)}: choose one")


def _refuse_idle(given: Namespace) -> None:
    """Refuse what the chosen form would pass over in silence."""
    takes, form, why = ["by", "metric", "sort"], "", "the page alone shows it; add --html FILE"
    if given.claims is not None:
        takes, form, why = [], " and --claims", "verdicts have metrics of their own; leave it out"
    elif given.csv or given.parquet:
        takes, form = ["metric"], " and --csv" if given.csv else " and --parquet"
        why = "its rows are chosen by --metric alone; leave the other out"
    elif given.html:
        return
    for name, unset in _CHOOSING.items():
        if name not in takes and getattr(given, name) != unset:
            raise UserError(f"report got --{name}{form}: {why}")


def _report_runs(outputs: Path, given: Namespace) -> None:
    from lossheads.analysis.runs_page import read_runs
    from lossheads.analysis.tables import csv
    from lossheads.analysis.terminal import wide_console
    from lossheads.analysis.tidy import tidy, write_parquet
    from lossheads.cli.console import print_arms

    results = read_runs(outputs)
    if given.csv:
        print(csv(_under(given.metric, tidy(results))), end="")
    elif given.parquet:
        path = Path(given.parquet)
        page = write_parquet(_under(given.metric, tidy(results)), path)
        wide_console().print(f"Written: {page}", soft_wrap=True)
    elif given.by or given.metric or given.sort is not None:
        _print_sweeps(results, _asked(given))
    else:
        print_arms(results, wide_console())


def _under(metric: str, rows: "pd.DataFrame") -> "pd.DataFrame":
    """The rows of one metric; all without a name."""
    if not metric:
        return rows
    known = rows["metric"].unique().tolist()
    if metric not in known:
        raise UserError(
            f"report got --metric {metric}: no run was measured under it; "
            f"{near_matches(metric, known)}"
        )
    return rows[rows["metric"] == metric]


def _print_sweeps(results: "Sequence[Result]", asked: "Asked") -> None:
    """An arm a row, under the metric that is compared, sorted."""
    from lossheads.analysis.arms_table import arms_table, plain_table
    from lossheads.analysis.page_tables import rich_table
    from lossheads.analysis.runs_page import sweeps_of
    from lossheads.analysis.terminal import wide_console
    from lossheads.analysis.test_sets import by_test_set

    tests = [data for data in by_test_set(results) if data.finished]
    for data, sweep in sweeps_of(tests, asked):
        shown = plain_table(arms_table(sweep, [sweep.metric], asked.sort))
        wide_console().print(rich_table(shown, f"{data.title}, test, {data.examples}"))


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
    parser.add_argument(
        "--by",
        default="",
        metavar="KEY,KEY",
        help="settings to compare by, as head,optimizer.lr: the first by colour, the second across",
    )
    parser.add_argument(
        "--metric",
        default="",
        metavar="NAME",
        help="what is compared, default: the monitored one; with --csv or --parquet its rows alone",
    )
    parser.add_argument(
        "--sort",
        nargs="?",
        const="",
        metavar="KEY",
        help="rows by a setting of --by; alone, by the metric, best first",
    )
    parser.add_argument(
        "--reference",
        default="",
        metavar="ARM",
        help="the arm or head that others are held against",
    )
    parser.add_argument(
        "--margin",
        type=float,
        metavar="NUMBER",
        help="differences up to it count as none; default: 0.01 for metrics from 0 to 1",
    )
    parser.add_data()
    return parser
