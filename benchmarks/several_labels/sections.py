"""The text of each marked part of docs/open-question.md and docs/several-labels.md."""

import os
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

import torch

from benchmarks.several_labels import parts
from benchmarks.several_labels.parts import Part
from benchmarks.several_labels.running import Trained
from benchmarks.several_labels.steps import Cost, Size, measure_steps, ratio
from benchmarks.several_labels.tables import (
    Contrast,
    cell,
    contrast_table,
    level,
    markdown,
    metric_table,
    seeds,
)
from lossheads.claims.checks.labels import multilabel_temperature
from lossheads.records import Result

Train = Callable[[Sequence[Part]], Trained]

GROUPED_METRICS = [
    "accuracy_score",
    "balanced_accuracy_score",
    "worst_recall_score",
    "posterior_kl_loss",
    "nll_loss",
]
CONTRASTS = [
    Contrast("grouped_balanced_cce", "grouped_cce", "worst_recall_score"),
    Contrast("grouped_balanced_cce", "grouped_logit_adjusted_cce", "balanced_accuracy_score"),
    Contrast("grouped_balanced_cce", "grouped_centred_cce", "balanced_accuracy_score"),
    Contrast("grouped_balanced_cce", "grouped_logsum_cce", "nll_loss"),
    Contrast("grouped_pairwise_cce", "grouped_cce", "worst_recall_score"),
]
LABEL_METRICS = [
    "macro_f1_score",
    "micro_f1_score",
    "macro_recall_score",
    "mean_average_precision_score",
    "exact_match_score",
    "hamming_loss",
    "expected_calibration_error",
    "fitted_temperature",
]
# Every head here decides where its score passes 1/2, so `one_half/` would repeat the plain names.
THRESHOLD_METRICS = [
    f"{rule}{metric}"
    for metric in ("macro_f1_score", "macro_recall_score", "exact_match_score")
    for rule in ("", "tuned/")
]
TEMPERATURE_METRICS = [
    "fitted_temperature",
    "posterior_kl_loss",
    "hamming_loss",
    "macro_f1_score",
]


@dataclass(frozen=True)
class Section:
    """One table or two: which page they go to, and how they are made of runs and the call."""

    page: str
    make: Callable[[Train, str], dict[str, str]]


def grouped(train: Train, call: str) -> dict[str, str]:
    """The comparison of losses for groups of classes."""
    trained = train(parts.grouped())
    text = [
        metric_table(trained, GROUPED_METRICS),
        conditions(trained, call),
        "Paired differences, seed by seed:",
        contrast_table(trained, CONTRASTS),
    ]
    return {"grouped-comparison": "\n\n".join(text)}


def labels(train: Train, call: str) -> dict[str, str]:
    """Heads for any subset of labels, then the same scores cut at tuned thresholds."""
    trained = train(parts.labels())
    return {
        "label-heads": f"{metric_table(trained, LABEL_METRICS)}\n\n{conditions(trained, call)}",
        "thresholds": metric_table(trained, THRESHOLD_METRICS),
    }


def temperature(train: Train, call: str) -> dict[str, str]:
    """The fitted temperature of the log-sum loss, by number of labels."""
    wanted = parts.temperature()
    trained = train(list(wanted.values()))
    n = seeds(trained)
    head = ["labels", *(f"`{h}`, {k}" for k in ("hard", "soft") for h in _TWO), "no inputs, hard"]
    prevalence = _every(trained)[0].config["dataset"]["prevalence"]
    rows = []
    for count in dict.fromkeys(count for count, _ in wanted):
        fitted = [
            cell(level(trained[wanted[count, kind].name][h], "fitted_temperature"), n)
            for kind in ("hard", "soft")
            for h in _TWO
        ]
        rows.append([str(count), *fitted, f"{multilabel_temperature(count, prevalence):.4f}"])
    return {
        "temperature-drift": f"{markdown(head, rows)}\n\n{conditions(trained, call)}",
        "temperature-metrics": metric_table(trained, TEMPERATURE_METRICS),
    }


_TWO = ("sigmoid_bce", "multilabel_cce")


def steps(train: Train, call: str, size: Size | None = None) -> dict[str, str]:
    """Time per step of every grouped loss."""
    size = size or Size()
    costs = measure_steps(parts.swept("grouped", "head"), size)
    plain = costs["grouped_cce"]
    rows = [_cost_row(name, cost, plain) for name, cost in costs.items()]
    head = ["head", "loss, ms", "× `grouped_cce`", "step, ms", "× `grouped_cce`"]
    load = os.getloadavg()[0]
    text = (
        f"Loss: value and gradient by the logits. Step: the same within a training step of a "
        f"linear model with {size.features} inputs and fused Adam. {size.groups} groups of "
        f"{size.classes} classes, batch {size.batch}, hard labels, float32, one thread; medians "
        f"of {size.rounds} rounds in which the heads took turns; ratios are medians over rounds. "
        f"`{call}`, {datetime.now(UTC):%Y-%m-%d}, {_machine()}, torch {_torch()}; load "
        f"average {load:.1f} on {os.cpu_count()} cores."
    )
    return {"step-times": f"{markdown(head, rows)}\n\n{text}"}


SECTIONS = {
    "grouped": Section("open-question.md", grouped),
    "labels": Section("several-labels.md", labels),
    "temperature": Section("several-labels.md", temperature),
    "steps": Section("several-labels.md", steps),
}


def conditions(trained: Trained, call: str) -> str:
    """What the numbers of a table were measured on and with; `call` is how to repeat them."""
    results = _every(trained)
    first = results[0].environment
    ends = {result.test.n for result in results if result.status == "finished"}
    sizes = " or ".join(f"{n:,}" for n in sorted(ends))
    days = _joined(str(r.environment["started"])[:10] for r in results)
    commits = _joined(_commit(r) for r in results)
    return (
        f"Test split of {sizes} examples; mean ± half of the 95 % interval (Student's t) over "
        f"n = {seeds(trained)} seeds; baseline: the best constant prediction. A "
        f"seed draws data, initial weights and batch order anew, the same for all heads of a "
        f"block. Trained on {days} by `{call}` at {commits}: {_machine()}, one thread, "
        f"torch {first['packages']['torch']}, Python {first['python']}."
    )


def _cost_row(name: str, cost: Cost, plain: Cost) -> list[str]:
    return [
        f"`{name}`",
        f"{1e3 * median(cost.loss):.1f}",
        f"{ratio(cost.loss, plain.loss):.2f}",
        f"{1e3 * median(cost.step):.1f}",
        f"{ratio(cost.step, plain.step):.2f}",
    ]


def _every(trained: Trained) -> list[Result]:
    return [result for arms in trained.values() for runs in arms.values() for result in runs]


def _commit(result: Result) -> str:
    git = result.environment["git"]
    if git["commit"] is None:
        return "an unknown commit"
    return f"commit {git['commit'][:7]}{' with changes' if git['changed'] else ''}"


def _joined(texts: Iterable[str]) -> str:
    return " and ".join(dict.fromkeys(texts))


def _torch() -> str:
    return torch.__version__.split("+")[0]


def _machine() -> str:
    return f"{platform.machine()} CPU, {torch.backends.cpu.get_cpu_capability()}"
