"""The page that a sweep leaves behind, and how pages over runs read kept predictions."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossheads.errors import UserError
from lossheads.records import Result

if TYPE_CHECKING:
    from lossheads.analysis.kept import KeptTest
    from lossheads.analysis.runs_page import Kept

SWEEP_PAGE = "sweep.html"  # below the outputs, of the latest sweep
MOST = 500  # runs; a page over 300 takes half a second


def write_sweep_page(
    results: Sequence[Result], outputs: Path, trust: Sequence[str] = (), data: Sequence[Path] = ()
) -> None:
    """Write the page over the runs of a sweep that compares something; that of another sweep goes.

    One that cannot be written takes none of the sweep's results away: it is left out.

    Args:
        trust: Packages whose heads and data sets these runs may name.
        data: Folders beside the current one in which data files that these runs name may be read.
    """
    if len(results) < 2:
        return
    from lossheads.analysis.html import write_html
    from lossheads.analysis.runs_page import runs_page

    page = outputs / SWEEP_PAGE
    try:
        if page.is_file():
            page.unlink()
        if len(results) > MOST:
            return
        write_html(page, runs_page(results, kept=kept_reader(outputs, trust, data)))
    except (UserError, OSError):  # no run has a value, or the folder cannot be written
        return


def data_folders_of(configs: Iterable[Mapping[str, Any]]) -> list[Path]:
    """Where the data lie that the user's own call named."""
    found = []
    for config in configs:
        if config["data_dir"]:
            found.append(Path(config["data_dir"]))
        if isinstance(path := config["dataset"].get("path"), str):
            found.append(Path(path).expanduser().parent)
    return list(dict.fromkeys(found))


def how_to_see(outputs: Path) -> str:
    """Where the page of the latest sweep lies, or the command that writes one over all runs."""
    page = outputs / SWEEP_PAGE
    command = f"lossheads report {outputs} --html {outputs / 'runs.html'}"
    return f"as a page: {page if page.is_file() else command}"


def kept_reader(outputs: Path, trust: Sequence[str], data: Sequence[Path] = ()) -> "Kept":
    """Reads kept predictions; torch is imported where a run has some.

    Args:
        data: Folders beside the current one in which data files that runs name may be read.
    """

    def read(runs: Sequence[Result]) -> "KeptTest":
        if not any((outputs / "runs" / run.name / "predictions.npz").is_file() for run in runs):
            raise UserError("none of these runs kept its predictions")
        from lossheads.evaluation.kept_tests import kept_test

        return kept_test(outputs, runs, trust, data)

    return read
