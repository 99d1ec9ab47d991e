"""Every metric of somebody's predictions, each beside its baseline and skill."""

import html
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lossheads.api.inputs import HeadLike, as_tensor, checked, resolve_head
from lossheads.errors import UserError, near_matches
from lossheads.metrics.base import BaseMetric, skill
from lossheads.metrics.evaluate import SHIPPED, measure, metrics_for, per_class_metrics_for
from lossheads.outcomes import Outcome
from lossheads.predictions import predict
from lossheads.runs.validate import check_own_metrics

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
    """

    name: str
    value: float
    baseline: float
    skill: float
    perfect: float
    higher_is_better: bool | None
    description: str
    undefined: int = 0

    def __float__(self) -> float:
        return self.value


@dataclass(frozen=True)
class Evaluation(Mapping[str, MetricValue]):
    """Metrics by name: `evaluation["accuracy_score"].value`.

    Attributes:
        head: Class and outcome of the head that read the logits, in words.
        n: Examples.
        per_class: Metric name -> one value per class, label, or class of each group; NaN where a
            class has nothing to be measured on.
    """

    head: str
    n: int
    metrics: Mapping[str, MetricValue]
    per_class: Mapping[str, list[float]]

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

    def to_frame(self) -> "pd.DataFrame":
        """One row per metric: value, baseline, skill, perfect, higher_is_better."""
        import pandas as pd

        columns = ("value", "baseline", "skill", "perfect", "higher_is_better")
        rows = {
            name: [getattr(metric, column) for column in columns]
            for name, metric in self.metrics.items()
        }
        return pd.DataFrame.from_dict(rows, orient="index", columns=list(columns)).rename_axis(
            "metric"
        )

    def table(self) -> str:
        """Plain text: one line per metric, aligned."""
        width = max(map(len, self.metrics))
        lines = [f"{self.head}, n = {self.n}", f"{'metric':{width}}    value baseline    skill"]
        for name, metric in self.metrics.items():
            numbers = " ".join(map(_cell, (metric.value, metric.baseline, metric.skill)))
            lines.append(f"{name:{width}} {numbers}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        return f"<Evaluation of {self.head}, n = {self.n}, {len(self)} metrics>"

    def _repr_html_(self) -> str:
        """The same table for notebooks; text is escaped."""
        rows = "".join(
            f'<tr title="{html.escape(metric.description)}"><td><code>{html.escape(name)}</code>'
            f"</td><td>{_cell(metric.value)}</td><td>{_cell(metric.baseline)}</td>"
            f"<td>{_cell(metric.skill)}</td></tr>"
            for name, metric in self.metrics.items()
        )
        return (
            f"<table><caption>{html.escape(self.head)}, n = {self.n}</caption><thead><tr>"
            f"<th>metric</th><th>value</th><th>baseline</th><th>skill</th></tr></thead>"
            f"<tbody>{rows}</tbody></table>"
        )


def evaluate(
    logits: Any,
    labels: Any,
    *,
    head: HeadLike,
    outcome: Outcome | None = None,
    extra_metrics: Sequence[BaseMetric] = (),
) -> Evaluation:
    """Every metric of these predictions, with what the best constant prediction would score.

    Args:
        logits: (N, U) as the last layer gives them, before softmax or sigmoid; grouped ones may be
            (N, S, M). Numpy, nested list or tensor on any device; it is not changed.
        labels: Integers (N,) are class indices, integers or bools (N, L) labels, integers (N, S)
            one class per group; floats of the outcome's shape are distributions.
        head: How the logits are read: a head such as `SoftmaxCCE(OneOf(10))`, or a name such as
            "softmax_cce", whose outcome follows from shapes and dtypes where they leave one.
        outcome: For a head given by name.
        extra_metrics: Of your own, made by `@lossheads.metric`.

    Raises:
        UserError: In one sentence, on anything that does not fit.
    """
    rows = as_tensor(logits, "logits", "evaluate")
    truth = as_tensor(labels, "labels", "evaluate")
    resolved = resolve_head(head, outcome, rows, truth, "evaluate")
    ready, rows, truth = checked(resolved, rows, truth, "evaluate")
    chosen = SHIPPED.with_own(extra_metrics)
    if extra_metrics:
        check_own_metrics(chosen, SHIPPED, ready)
    measured = measure(predict(ready, rows, truth), full=True, metrics=chosen)
    known = {metric.name: metric for metric in chosen.scalar_for(ready.outcome)}
    metrics = {
        name: MetricValue(
            name=name,
            value=value,
            baseline=(baseline := measured.baselines.get(name, math.nan)),
            skill=skill(value, baseline, known[name].perfect),
            perfect=known[name].perfect,
            higher_is_better=known[name].higher_is_better,
            description=known[name].description,
            undefined=measured.undefined.get(name, 0),
        )
        for name, value in measured.metrics.items()
    }
    return Evaluation(
        head=f"{type(ready).__name__} for {ready.outcome}",
        n=measured.n,
        metrics=metrics,
        per_class=measured.per_class,
    )


def metric_names(outcome: Outcome) -> list[str]:
    """Names of every metric defined for the outcome, those with one value per class last."""
    if not isinstance(outcome, Outcome):
        raise UserError(
            f"metric_names got {outcome!r}: pass an outcome, OneOf(C), AnyOf(L) or EachOneOf(S, M)"
        )
    return [metric.name for metric in (*metrics_for(outcome), *per_class_metrics_for(outcome))]


def _cell(number: float) -> str:
    return f"{'–':>8}" if math.isnan(number) else f"{number:8.4f}"
