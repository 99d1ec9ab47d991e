"""Results to Markdown: means over seeds with 95 % intervals, baselines, paired differences."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from benchmarks.several_labels.running import Arms, Trained
from lossheads.analysis.aggregate import baseline_of, last, seed_interval
from lossheads.analysis.statistics import Interval
from lossheads.records import Result

NOTHING = "–"


class Contrast(NamedTuple):
    """One arm less another under a metric, seed by seed."""

    arm: str
    other: str
    metric: str

    @property
    def title(self) -> str:
        """Heading of a column."""
        return f"`{self.arm}` − `{self.other}`: `{self.metric}`"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]], text_columns: int = 1) -> str:
    """A table; the first `text_columns` columns are text, the others numbers."""
    ruled = ["---"] * text_columns + ["---:"] * (len(head) - text_columns)
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ruled, *rows])


def metric_table(trained: Trained, metrics: Sequence[str]) -> str:
    """Part and arm down, metrics across; below each part the baseline."""
    n = seeds(trained)
    rows: list[list[str]] = []
    for part, arms in trained.items():
        for arm, results in arms.items():
            cells = [cell(level(results, metric), n) for metric in metrics]
            rows.append([part, f"`{arm}`", *cells])
        rows.append([part, "*baseline*", *(_baseline(arms, metric) for metric in metrics)])
    return markdown(["data", "head", *(f"`{r}`" for r in metrics)], _once(rows), text_columns=2)


def level(results: Sequence[Result], metric: str) -> Interval:
    """Over seeds on test, Student's interval, as the pages say."""
    return seed_interval([_value(result, metric) for result in results])


def contrast_table(trained: Trained, contrasts: Sequence[Contrast]) -> str:
    """Paired differences; a part without one of the arms is left out."""
    n = seeds(trained)
    needed = {arm for contrast in contrasts for arm in contrast[:2]}
    rows = [
        [part, *(cell(difference(arms, contrast), n, sign="+") for contrast in contrasts)]
        for part, arms in trained.items()
        if needed <= set(arms)
    ]
    return markdown(["data", *(contrast.title for contrast in contrasts)], rows)


def difference(arms: Mapping[str, Sequence[Result]], contrast: Contrast) -> Interval:
    """Of the test values at equal seeds; a seed without either value is left out."""
    pairs = zip(arms[contrast.arm], arms[contrast.other], strict=True)
    return seed_interval(
        [_value(a, contrast.metric) - _value(b, contrast.metric) for a, b in pairs]
    )


def cell(at: Interval, n: int, sign: str = "") -> str:
    """`0.9123 ± 0.0012`, half of the 95 % interval; with n where it is not `n`."""
    if at.n == 0:
        return NOTHING
    # Four digits show nothing of what is smaller than their last.
    digits = ".1e" if 0 < abs(at.mean) < 5e-5 else ".4f"
    text = f"{at.mean:{sign}{digits}}"
    if not math.isnan(at.half_width):
        text += f" ± {at.half_width:{digits}}"
    return text if at.n == n else f"{text} (n = {at.n})"


def seeds(trained: Trained) -> int:
    """Results per arm."""
    return max(len(results) for arms in trained.values() for results in arms.values())


def _value(result: Result, metric: str) -> float:
    end = last(result, "test")
    return math.nan if end is None else end.metrics.get(metric, math.nan)


def _baseline(arms: Arms, metric: str) -> str:
    baseline = baseline_of(next(iter(arms.values())), metric, "test")
    return NOTHING if math.isnan(baseline) else f"{baseline:.4f}"


def _once(rows: Sequence[list[str]]) -> list[list[str]]:
    """The first column only where it changes: a block reads as one."""
    before = ["", *(row[0] for row in rows)]
    return [
        ["" if row[0] == above else row[0], *row[1:]]
        for above, row in zip(before, rows, strict=False)
    ]
