"""The table of a sweep: an arm a row, n once, each metric's baseline once, sortable."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from lossheads.analysis.aggregate import baseline_of, final, metric_info
from lossheads.analysis.drawing import icon
from lossheads.analysis.format import SPREAD, number, spread_text
from lossheads.analysis.page_tables import Cell, PageTable, number_cell, text_cell
from lossheads.analysis.sweep import NOT_COMPARED, Arm, Sweep, setting_text, short_key, sorted_arms
from lossheads.records import Result

# What tells most at a glance, of those that the runs were measured under.
_USUAL = (
    "accuracy_score",
    "exact_match_score",
    "elementwise_accuracy_score",
    "keras_2_3_accuracy",
    "balanced_accuracy_score",
    "macro_f1_score",
    "nll_loss",
    "expected_calibration_error",
    "macro_roc_auc_score",
    "mean_average_precision_score",
)
COLUMNS = 6


@dataclass(frozen=True)
class SortCell:
    """What a field shows and by which number, or text, it is sorted."""

    text: str
    condition: str = ""
    key: str = ""
    is_number: bool = False
    icon: Markup | None = None


@dataclass(frozen=True)
class SortTable:
    """Columns, each with whether higher is better; a first row of baselines; arms.

    Attributes:
        head: (name, note below it, whether numbers).
    """

    caption: str
    head: tuple[tuple[str, str, bool], ...]
    baselines: tuple[str, ...]
    rows: tuple[tuple[SortCell, ...], ...]
    sorted_by: str


def six(sweep: Sweep, metrics: Sequence[str]) -> list[str]:
    """The metric that is compared, and five more."""
    usual = [name for name in _USUAL if name in metrics]
    return list(dict.fromkeys([sweep.metric, *usual, *metrics]))[:COLUMNS]


def _words(sweep: Sweep) -> dict[str, str]:
    """Arm -> how it stands to the best; where settings part the arms, the best among its own."""
    found: dict[str, str] = {}
    several = len(sweep.conditions) > 1
    for condition in sweep.conditions:
        alone = "alone in its settings" if len(condition.arms) == 1 else ""
        for name, one in condition.compared.items():
            is_best = several and one.standing == "best"
            found[name] = alone or f"{one.words} among its settings" if is_best else one.words
    return found


def arms_table(sweep: Sweep, metrics: Sequence[str], sort: str = "") -> SortTable:
    """All arms under these metrics."""
    arms = sorted_arms(sweep, sweep.arms, sort)
    runs = [run for arm in arms for run in arm.runs]
    keys = sweep.by
    others = any(arm.others for arm in arms)
    compared = _words(sweep)
    shows_standing = sweep.metric in metrics and bool(compared)
    baselines = {
        metric: {number(baseline_of(arm.runs, metric, "test")) for arm in arms}
        for metric in metrics
    }
    shared = {metric: some.pop() for metric, some in baselines.items() if len(some) == 1}
    rows = []
    for arm in arms:
        cells = [_setting(arm, key, at == 0) for at, key in enumerate(keys)]
        if others:
            cells.append(SortCell(arm.others))
        cells.append(SortCell(str(arm.value.n), _lost(arm), str(arm.value.n), True))
        cells += [_metric(arm, metric, metric not in shared) for metric in metrics]
        if shows_standing:
            cells.append(SortCell(compared.get(arm.name, NOT_COMPARED.words)))
        rows.append(tuple(cells))
    head = [(short_key(key), "", False) for key in keys]
    if others:
        head.append(("other settings", "", False))
    head.append(("n", "seeds", True))
    for metric in metrics:
        better = metric_info(runs, metric).higher_is_better
        note = {True: "higher is better", False: "lower is better", None: ""}[better]
        head.append((metric, note, True))
    empty = len(keys) - 1 + others + 1
    row = ["baseline", *[""] * empty, *(shared.get(metric, "each its own") for metric in metrics)]
    if shows_standing:
        head.append(("against the best", "", False))
        row.append("")
    spread = max((arm.value.n for arm in arms), default=0)
    over = SPREAD if spread > 1 else "one seed, no interval"
    return SortTable(
        caption=(f"Test split; {over}; baseline: the score of the best constant prediction."),
        head=tuple(head),
        baselines=tuple(row),
        rows=tuple(rows),
        sorted_by=sort or sweep.metric,
    )


def _setting(arm: Arm, key: str, with_icon: bool) -> SortCell:
    value = arm.settings[key]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    text = "–" if value is None else setting_text(value)
    return SortCell(
        text,
        key=repr(float(value)) if is_number else text,
        icon=icon(arm.at_rate) if with_icon else None,
    )


def _lost(arm: Arm) -> str:
    lost = len(arm.runs) - arm.value.n
    return f"{lost} left out" if lost else ""


def _metric(arm: Arm, metric: str, with_baseline: bool) -> SortCell:
    at = final(arm.runs, metric, "test")
    if not at.n:
        return SortCell("–", key="", is_number=True)
    conditions = [spread_text(at)] if math.isfinite(at.half_width) else []
    if at.n != arm.value.n:
        conditions.append(f"n = {at.n}")
    if with_baseline:
        conditions.append(f"baseline {number(baseline_of(arm.runs, metric, 'test'))}")
    return SortCell(number(at.mean), "; ".join(conditions), repr(at.mean), True)


def plain_table(table: SortTable) -> PageTable:
    """The same for a terminal."""
    rows: list[tuple[Cell, ...]] = [tuple(text_cell(text) for text in table.baselines)]
    for cells in table.rows:
        rows.append(
            tuple(
                (number_cell if cell.is_number else text_cell)(cell.text, cell.condition)
                for cell in cells
            )
        )
    return PageTable(table.caption, tuple(name for name, _, _ in table.head), tuple(rows))


def notable_runs(runs: Sequence[Result], most: int = 200) -> tuple[list[Result], int]:
    """Those that ended early or have something to say first; and how many are left out."""
    order = sorted(runs, key=lambda run: (run.status == "finished", not run.notes))
    return order[:most], max(0, len(order) - most)
