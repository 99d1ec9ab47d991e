"""Many heads by one setting across: a table whose cells are tinted by the metric."""

import math
from dataclasses import dataclass

from markupsafe import Markup

from lossheads.analysis.aggregate import over_seeds
from lossheads.analysis.drawing import icon
from lossheads.analysis.format import number, spread_text
from lossheads.analysis.sweep import (
    Arm,
    Condition,
    Sweep,
    across_values,
    setting_text,
    short_key,
    sorted_arms,
)

ROWS = 60


@dataclass(frozen=True)
class HeatCell:
    """One arm.

    Attributes:
        heat: 0 for the worst that is shown, 1 for the best or, where none is better, highest.
        kind: `best`, `optimum` of its series, or "".
        says: The same for those who do not see a frame.
    """

    number: str
    conditions: str
    heat: str
    kind: str
    says: str


@dataclass(frozen=True)
class HeatRow:
    """One series in one combination of the other settings; None where no arm has a value."""

    icon: Markup
    name: str
    cells: tuple[HeatCell | None, ...]


@dataclass(frozen=True)
class Heat:
    """The table; `left` says how many rows are not shown."""

    caption: str
    series: str
    head: tuple[str, ...]
    rows: tuple[HeatRow, ...]
    left: int


def heat_of(sweep: Sweep, condition: Condition) -> Heat:
    """The best row first, or the one with the highest number."""
    values = [setting_text(value) for value in across_values(condition.arms)]
    known = [arm for arm in condition.arms if arm.value.n]
    by_row: dict[tuple[str, str], dict[str, Arm]] = {}
    for arm in sorted_arms(sweep, known, ""):
        by_row.setdefault((arm.series, arm.panel), {})[setting_text(arm.across)] = arm
    shown = dict(list(by_row.items())[:ROWS])
    means = [arm.value.mean for row in shown.values() for arm in row.values()]
    low, high = min(means), max(means)

    def heat(arm: Arm) -> str:
        share = (arm.value.mean - low) / (high - low) if high > low else 0.5
        return f"{share if sweep.higher_is_better in (True, None) else 1 - share:.2f}"

    rows = tuple(
        HeatRow(
            icon(next(iter(row.values())).mark),
            ", ".join(filter(None, name)),
            tuple(_cell(condition, row[v], heat(row[v])) if v in row else None for v in values),
        )
        for name, row in shown.items()
    )
    across = short_key(sweep.across_key)
    return Heat(
        caption=(
            f"{sweep.metric} on test by {across}, "
            f"{over_seeds([arm.value.n for arm in known], 'interval')}; the stronger the tint, the "
            + (
                "higher the number."
                if sweep.higher_is_better is None
                else f"better; framed: the best on validation of each "
                f"{short_key(sweep.series_key)}, thick of all."
            )
        ),
        series=short_key(sweep.series_key),
        head=tuple(f"{across}={value}" for value in values),
        rows=rows,
        left=len(by_row) - len(shown),
    )


def _cell(condition: Condition, arm: Arm, heat: str) -> HeatCell:
    is_optimum = condition.optima.get(arm.series) is arm
    kind = "best" if condition.best is arm else "optimum" if is_optimum else ""
    says = {"best": "best on validation", "optimum": f"best of {arm.series} on validation", "": ""}
    half = spread_text(arm.value) if math.isfinite(arm.value.half_width) else ""
    return HeatCell(number(arm.value.mean), half, heat, kind, says[kind])
