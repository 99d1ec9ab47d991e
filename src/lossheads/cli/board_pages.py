"""The pages of the board: which log directory each shows, and in which of TensorBoard's views."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import quote, urlencode

from lossheads.analysis import OVERVIEW_PICTURE, OVERVIEWS
from lossheads.errors import UserError

RUNS_BY_HEAD = r"regex:([^/]+)-s\d+-[0-9a-f]+$"  # colour by dataset and head, not by seed
LINES_BY_ARM = r"regex:^(.+?)(?: · .+)?$"  # one colour an arm, whatever its lines count
EVENTS = "events.out.tfevents.*"
LARGEST = 64 << 20  # of an overview's file: more of it is not looked through


@dataclass(frozen=True)
class Page:
    """One link.

    Attributes:
        label: What the link is called.
        slug: Its last part.
        folder: Of the overview: the log directory that is shown.
        view: TensorBoard's name of the view, with what its address takes after it.
    """

    label: str
    slug: str
    folder: str
    view: str


# Custom Scalars and Scalars read their smoothing behind the #, Time Series behind the ?.
UNSMOOTHED = "&_smoothingWeight=0"
PICTURE = "images"  # they are 350 pixels wide there, so that the link shows the file
PAGES = (
    Page("Puzzle", "puzzle", "puzzle", "timeseries"),
    Page("Bands", "bands", "bands", f"custom_scalars{UNSMOOTHED}"),
    Page("Per class", "classes", "classes", f"custom_scalars{UNSMOOTHED}"),
    Page("Confusions", "confusions", "confusions", PICTURE),
    Page("PR", "pr", "classes", "pr_curves"),
    Page("HParams", "hparams", "runs", "hparams"),
)


@dataclass(frozen=True)
class Sweep:
    """An overview that was written for a sweep or claim.

    Attributes:
        slug: Its name as part of an address.
    """

    folder: Path
    slug: str

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def picture(self) -> Path | None:
        """The one picture, where it was drawn; a link is none, for its target would be shown."""
        path = self.folder / OVERVIEW_PICTURE
        return path if path.is_file() and not path.is_symlink() else None

    @cached_property
    def pages(self) -> list[Page]:
        """Those that have something to show."""
        return [
            page
            for page in PAGES
            if _is_whole(self.folder / page.folder) and (page.slug != "pr" or self._has_curves)
        ]

    @property
    def _has_curves(self) -> bool:
        """Whether precision-recall curves were pooled: runs without events have none."""
        for path in (self.folder / "classes").rglob(EVENTS):
            with path.open("rb") as file:
                if b"pr_curves" in file.read(LARGEST):
                    return True
        return False


def sweeps_of(outputs: Path) -> list[Sweep]:
    """The overviews below `outputs` that have a page, the latest first."""
    folder = outputs / OVERVIEWS
    # A link may lead anywhere, and what lies there would be served.
    there = folder.iterdir() if folder.is_dir() and not folder.is_symlink() else ()
    entries = [entry for entry in there if entry.is_dir() and not entry.is_symlink()]
    entries.sort(key=lambda entry: (-entry.stat().st_mtime, entry.name))
    found: dict[str, Sweep] = {}
    for entry in entries:
        slug = re.sub(r"[^A-Za-z0-9._-]+", "-", entry.name).strip("-.") or "sweep"
        while slug in found or slug == "runs":  # that one is the page of all runs
            slug += "-2"
        if (sweep := Sweep(entry, slug)).pages:
            found[slug] = sweep
    return list(found.values())


def all_runs_of(outputs: Path) -> Path | None:
    """Where the runs themselves lie, if they have events."""
    runs = outputs / "runs"
    if has_events(runs):
        return runs
    others = (path for path in outputs.rglob(EVENTS) if OVERVIEWS not in path.parts)
    return outputs if next(others, None) is not None else None


def refuse_endless(outputs: Path) -> None:
    """Refuse events that are no files, before TensorBoard waits for the end of a pipe or device.

    Raises:
        UserError: Naming the first one.
    """
    for path in outputs.rglob(EVENTS):
        if not path.is_file():
            raise UserError(f"board found {path}, which is no file: delete it, and begin again")


def has_events(folder: Path) -> bool:
    """Whether there is an event file anywhere below."""
    return next(folder.rglob(EVENTS), None) is not None


def _is_whole(folder: Path) -> bool:
    """Whether a page's folder has events, and no link: TensorBoard would follow it anywhere."""
    return has_events(folder) and not any(
        path.is_symlink() for path in (folder, *folder.rglob("*"))
    )


def address_of(page: Page) -> str:
    """What follows a page's path: TensorBoard's own words for view, smoothing and colours.

    Smoothing is 0: TensorBoard's default of 0.6 draws values that were not measured.
    """
    query = {"smoothing": "0"}
    if page.view == "timeseries":
        query["tagFilter"] = "."  # all: with a filter, no room is kept for pinned charts
        query["runColorGroup"] = LINES_BY_ARM
    return f"?{urlencode(query, quote_via=quote)}#{page.view}"


def all_runs_address() -> str:
    """What follows the path of all runs: coloured by data set and head."""
    query = {"smoothing": "0", "runColorGroup": RUNS_BY_HEAD}
    return f"?{urlencode(query, quote_via=quote)}#timeseries"


# What TensorBoard's address does not take it keeps in the browser: the settings panel closed, cards
# as wide as they get, room for the names of runs (on a telephone no room: there the table under the
# chart names them); and in Custom Scalars no line cut off.
OPENING = """
const key = "_tb_global_settings", wide = innerWidth >= 800;
let known = {};
try { known = JSON.parse(localStorage.getItem(key)) || {}; } catch {}
Object.assign(known, {
  scalarSmoothing: 0, timeSeriesSettingsPaneOpened: false,
  timeSeriesCardMinWidth: wide ? 735 : 335, sideBarWidthInPercent: wide ? 22 : 0,
});
try {
  localStorage.setItem(key, JSON.stringify(known));
  localStorage.setItem("_ignoreYOutliers", "false");
} catch {}
location.replace(document.querySelector("a").href);
"""


def opening_page(target: str) -> str:
    """A page that puts the browser's settings for TensorBoard and goes on to `target`."""
    link = f'<p><a href="{html.escape(target)}">Open the page</a></p>'
    return _html_page("lossheads board", f"{link}<script>{OPENING}</script>")


def picture_page(sweep: Sweep) -> str:
    """The one picture of a sweep in full size, with links to the sweep's other pages."""
    return _html_page(sweep.name, _links(sweep) + _picture(sweep))


def first_page(sweeps: Sequence[Sweep], all_runs: Path | None) -> str:
    """All links, sweep by sweep; the latest one with its picture."""
    parts = []
    for number, sweep in enumerate(sweeps):
        parts.append(f"<h2>{html.escape(sweep.name)}</h2>{_links(sweep)}")
        parts += [_picture(sweep)] if number == 0 and sweep.picture else []
    if all_runs is not None:
        parts.append('<h2>all runs</h2><p><a href="/runs">One by one</a></p>')
    return _html_page("lossheads board", "".join(parts))


def _links(sweep: Sweep) -> str:
    links = [f'<a href="/{sweep.slug}/{page.slug}">{page.label}</a>' for page in sweep.pages]
    return f"<p>{' · '.join(links)}</p>"


def _picture(sweep: Sweep) -> str:
    words = "Accuracies of every head under several metrics, confusions, and who is right"
    return f'<img src="/{sweep.slug}/{OVERVIEW_PICTURE}" alt="{words}">'


def _html_page(title: str, body: str) -> str:
    style = "body{font:16px/1.5 system-ui,sans-serif;max-width:80rem;margin:1rem auto;"
    style += "padding:0 1rem}h1{font-size:1.3rem}h2{font-size:1rem;margin:1.2rem 0 0}"
    style += "p{margin:.2rem 0}img{max-width:100%;height:auto;background:#fff}"
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,"><title>{html.escape(title)}</title>
<style>:root{{color-scheme:light dark}}{style}</style>
<h1>{html.escape(title)}</h1>
{body}
</html>
"""
