"""The table arm × metric, long for machines, wide for eyes: pandas, rich, Markdown, CSV."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from lossheads.analysis.aggregate import (
    Arms,
    Split,
    baseline_of,
    check_shown,
    final,
    perfect,
    skill,
)
from lossheads.analysis.format import SPREAD, spread_text
from lossheads.analysis.statistics import Interval
from lossheads.errors import printable

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["arm", "metric", "mean", "low", "high", "n", "left_out", "baseline", "skill", "split"]


def table(arms: Arms, metrics: Sequence[str], split: Split = "test") -> "pd.DataFrame":
    """One row per arm and metric, in the order given.

    Columns: `mean`, `low` and `high` (95 % interval over seeds; NaN for n < 2),
    `n` seeds, `left_out` seeds without a value, `baseline` (the score of the best constant
    prediction), `skill` (of the mean: 0 at the baseline, 1 at perfect), `split`.

    Raises:
        UserError: Without arms or metrics, or for a metric that no run was measured under.
    """
    check_shown(arms, metrics, "table")
    rows = []
    for arm, results in arms.items():
        for metric in metrics:
            at = final(results, metric, split)
            baseline = baseline_of(results, metric, split)
            gained = skill(at.mean, baseline, perfect(results, metric))
            ends = (at.low, at.high) if at.n > 1 else (math.nan, math.nan)
            left_out = len(results) - at.n
            rows.append((arm, metric, at.mean, *ends, at.n, left_out, baseline, gained, split))
    import pandas as pd  # here: a single run is shown without a table of arms

    return pd.DataFrame(rows, columns=COLUMNS)


def csv(data: "pd.DataFrame") -> str:
    """The long form, every digit kept; an unknown number is an empty field."""
    text: str = data.to_csv(index=False)
    return text


def markdown(data: "pd.DataFrame") -> str:
    """A table for README and verdict pages, with its conditions in the line below."""
    return f"{markdown_rows(_wide(data), align='---:')}\n\n{caption(data)}.\n"


def markdown_rows(lines: Sequence[Sequence[str]], align: str = "---") -> str:
    """A Markdown table of a head and rows; `align` holds for all columns but the first."""
    head, *rows = lines
    escaped = [[_escape(cell) for cell in line] for line in (head, *rows)]
    escaped.insert(1, ["---", *[align] * (len(head) - 1)])
    return "\n".join("| " + " | ".join(line) + " |" for line in escaped)


def rich_tables(data: "pd.DataFrame", title: str, width: int) -> list[Table]:
    """The same table for a terminal of so many columns; several where the arms do not fit."""
    arms = list(data["arm"].unique())
    parts = math.ceil(len(arms) / _arms_that_fit(data, width))
    size = math.ceil(len(arms) / parts)
    found = []
    for first in range(0, len(arms), size):
        own = arms[first : first + size]
        span = _span(first + 1, first + len(own), len(arms)) if parts > 1 else ""
        found.append(_rich_table(data[data["arm"].isin(own)], f"{title}{span}"))
    found[-1].caption = caption(data)
    return found


def _span(first: int, last: int, of: int) -> str:
    return f", arm {first} of {of}" if first == last else f", arms {first} to {last} of {of}"


def _arms_that_fit(data: "pd.DataFrame", width: int) -> int:
    """Arms in a table whose columns break neither numbers nor, between separators, names."""
    head, *rows = _wide(data)
    names = [*head, *(row[0] for row in rows)]
    lines = [line for row in rows for cell in row[1:] for line in cell.splitlines()]
    need = max(map(len, [*lines, *(piece for name in names for piece in pieces(name))]))
    # Rich narrows the widest columns first: all that are equally wide have what they need.
    return max(1, (width - 1) // (need + 3) - 1)


def _rich_table(data: "pd.DataFrame", title: str) -> Table:
    head, *rows = _wide(data)
    shown = Table(title=title, caption_justify="left")
    shown.add_column(head[0], overflow="fold")
    for arm in head[1:]:
        shown.add_column(FoldedName(arm), justify="right", overflow="fold")
    for metric, *cells in rows:
        shown.add_row(FoldedName(metric), *cells, end_section=True)
    return shown


def caption(data: "pd.DataFrame") -> str:
    """The conditions under which the numbers hold."""
    over = SPREAD
    if data["n"].max() == 1:
        over = "one seed, no interval"
    text = f"{'/'.join(data['split'].unique())} split; {over}; baseline: best constant prediction"
    left_out = data.groupby("arm", sort=False)["left_out"].max()
    missing = [f"{count} of {arm}" for arm, count in left_out.items() if count]
    return f"{text}; seeds left out, no value: {', '.join(missing)}" if missing else text


def _wide(data: "pd.DataFrame") -> list[list[str]]:
    """Header and one line per metric; a cell holds mean ± half-width and, below it, its baseline.

    Metrics go down although they are the columns of the argument: there are more of them than
    arms and their names are long, so the table still fits 100 characters.
    """
    seeds = data.groupby("arm", sort=False)["n"].max()
    lines = [["metric", *(f"{arm} (n = {n})" for arm, n in seeds.items())]]
    for metric, rows in data.groupby("metric", sort=False):
        by_arm = rows.set_index("arm")
        cells = [_cell(by_arm.loc[arm], int(n)) for arm, n in seeds.items()]
        lines.append([str(metric), *cells])
    return lines


def _cell(row: "pd.Series[float]", seeds: int) -> str:
    if row["n"] == 0:
        return "undefined"
    text = f"{row['mean']:.4f}"
    if not math.isnan(row["high"]):
        at = Interval(row["mean"], row["low"], row["high"], 0.95, math.nan, int(row["n"]))
        spread = spread_text(at)
        text += f" {spread}" if "±" in spread else f"\n{spread}"
    if row["n"] != seeds:
        text += f" (n = {row['n']:.0f})"
    return text if math.isnan(row["baseline"]) else f"{text}\nbaseline {row['baseline']:.4f}"


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", "<br>")


# After a space, ·, _, / or a hyphen inside a name; not inside "n = 5", nor in 1e-3.
_SEPARATORS = re.compile(r"(?<=[ ·_/])(?<!= )(?! |=)|(?<=\w-)(?<!\d[eE]-)(?=\w)")


@dataclass(frozen=True)
class FoldedName:
    """A name that rich folds at its separators."""

    text: str

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        widest = max(map(cell_len, pieces(self.text)), default=0)
        lines = max(map(cell_len, self.text.splitlines()), default=0)
        return Measurement(widest, lines).with_maximum(options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        yield Text(fold(printable(self.text), options.max_width))


def pieces(text: str) -> list[str]:
    """The parts that are never broken, each with the separator that ends it."""
    return [piece.rstrip() for piece in _SEPARATORS.split(text)]


def fold(text: str, width: int) -> str:
    """Lines of at most `width` cells where the pieces allow it, each as full as they do."""
    return "\n".join(_filled(line, width) for line in text.split("\n"))


def _filled(line: str, width: int) -> str:
    lines = [""]
    for piece in _SEPARATORS.split(line):
        if lines[-1] and cell_len(lines[-1] + piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return "\n".join(full.rstrip() for full in lines)
