"""What `evaluate` returns: every metric with interval, baseline and skill, and further answers."""

import html
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lossheads.errors import near_matches
from lossheads.records import plain

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class MetricValue:
    """One metric on one set of predictions.

    Attributes:
        value: NaN where the metric is undefined.
        baseline: What the best constant prediction scores on the same labels; NaN where there is
            none.
        skill: (value - baseline) / (perfect - baseline): 0 at the baseline, 1 at perfect.
        higher_is_better: None where neither is.
        undefined: How many of the parts it averages (classes, labels) had nothing to be measured.
        low, high: 95 % interval over examples, or over clusters; NaN where none was asked for, or
            none is known.
        interval: How it was made.
    """

    name: str
    value: float
    baseline: float
    skill: float
    perfect: float
    higher_is_better: bool | None
    description: str
    undefined: int = 0
    low: float = math.nan
    high: float = math.nan
    interval: str = ""

    def __float__(self) -> float:
        return self.value


@dataclass(frozen=True)
class PrintedValue:
    """A number that frameworks would have printed as accuracy for these predictions.

    Attributes:
        name: A key of `dialects.QUANTITIES`.
        printed_by: Library, versions and call; in brackets the loss, or what the model hands over,
            where that decides.
        same_as: A metric of this project that has the same value here; "" if none has.
        reason: What it counts, in a clause.
    """

    name: str
    printed_by: tuple[str, ...]
    value: float
    baseline: float
    low: float
    high: float
    same_as: str
    reason: str


@dataclass(frozen=True)
class Answer:
    """A further table: what was asked, its rows of equal keys, and what to know of them."""

    title: str
    text: str
    rows: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Evaluation(Mapping[str, MetricValue]):
    """Metrics by name: `evaluation["accuracy_score"].value`.

    Attributes:
        head: Class and outcome of the head that read the logits, in words.
        n: Examples measured.
        per_class: Metric name -> one value per class, label, or class of each group; NaN where a
            class has nothing to be measured on.
        source: The file, or "" for arrays.
        printed: What frameworks would have printed.
        answers: Calibration, thresholds, prior shift, rejection: what was asked and can be told.
        notes: How the numbers were read and what was left out, a sentence each.
    """

    head: str
    n: int
    metrics: Mapping[str, MetricValue]
    per_class: Mapping[str, list[float]]
    source: str = ""
    class_names: tuple[str, ...] = ()
    per_class_low: Mapping[str, list[float]] = field(default_factory=dict)
    per_class_high: Mapping[str, list[float]] = field(default_factory=dict)
    printed: tuple[PrintedValue, ...] = ()
    answers: tuple[Answer, ...] = ()
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> MetricValue:
        if name not in self.metrics:
            if name in self.per_class:
                raise KeyError(f"{name} has one value per class: evaluation.per_class[{name!r}]")
            raise KeyError(f"no metric {name!r}; {near_matches(name, self.metrics)}")
        return self.metrics[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.metrics)

    def __len__(self) -> int:
        return len(self.metrics)

    @property
    def has_intervals(self) -> bool:
        """Whether any metric has one."""
        return any(not math.isnan(metric.low) for metric in self.metrics.values())

    def to_frame(self) -> "pd.DataFrame":
        """One row per metric: value, baseline, skill, perfect, higher_is_better; low and high."""
        import pandas as pd

        columns = ["value", "baseline", "skill", "perfect", "higher_is_better"]
        columns += ["low", "high"] * self.has_intervals
        rows = {
            name: [getattr(metric, column) for column in columns]
            for name, metric in self.metrics.items()
        }
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("metric")

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data for JSON: NaN and infinities are None."""
        return {
            "schema_version": 1,
            "source": self.source,
            "head": self.head,
            "n": self.n,
            "notes": list(self.notes),
            "metrics": {name: plain(vars(metric)) for name, metric in self.metrics.items()},
            "printed": [plain(vars(printed)) for printed in self.printed],
            "class_names": list(self.class_names),
            "per_class": plain(self.per_class),
            "per_class_low": plain(self.per_class_low),
            "per_class_high": plain(self.per_class_high),
            "answers": [plain(vars(answer)) for answer in self.answers],
        }

    def table(self) -> str:
        """Plain text: one line per metric, aligned."""
        width = max(map(len, self.metrics))
        between = "      low     high" if self.has_intervals else ""
        lines = [
            f"{self.head}, n = {self.n}",
            f"{'metric':{width}}    value{between} baseline    skill",
        ]
        for name, metric in self.metrics.items():
            ends = (metric.low, metric.high) if between else ()
            cells = map(_cell, (metric.value, *ends, metric.baseline, metric.skill))
            lines.append(f"{name:{width}} {' '.join(cells)}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        return f"<Evaluation of {self.head}, n = {self.n}, {len(self)} metrics>"

    def _repr_html_(self) -> str:
        """The same table for notebooks; text is escaped."""
        shown = ["value", *(["low", "high"] if self.has_intervals else []), "baseline", "skill"]
        rows = "".join(
            f'<tr title="{html.escape(metric.description)}"><td><code>{html.escape(name)}</code>'
            f"</td>{''.join(f'<td>{_cell(getattr(metric, one))}</td>' for one in shown)}</tr>"
            for name, metric in self.metrics.items()
        )
        head = "".join(f"<th>{name}</th>" for name in ("metric", *shown))
        return (
            f"<table><caption>{html.escape(self.head)}, n = {self.n}</caption><thead><tr>"
            f"{head}</tr></thead><tbody>{rows}</tbody></table>"
        )


def _cell(number: float) -> str:
    return f"{'–':>8}" if math.isnan(number) else f"{number:8.4f}"
