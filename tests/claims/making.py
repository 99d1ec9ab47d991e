"""Claim files from a small text, and an engine that trains nothing."""

import base64
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lossheads.claims.reading import load_claim
from lossheads.claims.schema import Claim, Hypothesis
from lossheads.metrics.evaluate import ALL_METRICS
from lossheads.records import CorrectMask, Measurement, Result, Status, ValidationStep, run_key

CLAIM = """\
source: {document: d.txt, url: "https://example.org/1", date: 2019-11, framework: Keras 2.3}
says: A is better than B.
statement: On the test split A scores higher than B.
explanation: No reason known.
would_change: More seeds.
shared: {dataset: digits}
arms:
  a: {head: softmax_cce}
  b: {head: sigmoid_bce}
protocol: same_rate
seeds: 4
hypotheses:
  better: {metric: accuracy_score, arms: [a, b], relation: greater, margin: 0.01}
verdict: {reproduced: [better]}
"""


def write(folder: Path, text: str = CLAIM, name: str = "a-claim.yaml") -> Path:
    """A claim file; `text` may be indented."""
    path = folder / name
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def claim(folder: Path, *changes: tuple[str, str]) -> Claim:
    """`CLAIM` with pieces of its text replaced; a piece that is not there is a bug of the test."""
    text = CLAIM
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return load_claim(write(folder, text))


def hypothesis(relation: str = "greater", **fields: Any) -> Hypothesis:
    """A hypothesis about arms a and b under accuracy_score, unless said otherwise."""
    arms = fields.pop("arms", ("a", "b"))
    metrics = fields.pop("metrics", ("accuracy_score",) * len(arms))
    defaults = {"name": "p", "value": 0.0, "margin": 0.0, "says": "", "location": "here"}
    return Hypothesis(relation=relation, arms=arms, metrics=metrics, **{**defaults, **fields})


def measurement(**metrics: float) -> Measurement:
    return Measurement(metrics, dict.fromkeys(metrics, 0.1), {}, {}, 100)


def result(
    config: Mapping[str, Any],
    test: Mapping[str, float],
    val: Mapping[str, float] | None = None,
    status: Status = "finished",
) -> Result:
    """A run that ended with these metrics; validation is 0.5 everywhere unless given."""
    before, after = measurement(**dict.fromkeys(test, 0.5)), measurement(**test)
    val_after = before if val is None else measurement(**val)
    history = [
        ValidationStep(0, 0.0, math.nan, 0.1, before),
        ValidationStep(10, 1.0, 0.5, 0.1, val_after, after),
    ]
    key = run_key(config)
    first = {"gradient_norm": 0.9, "loss": 2.3}
    return Result(
        key,
        f"run-{key}",
        status,
        dict(config),
        [],
        history,
        1.0,
        {"torch": "x"},
        first,
        metric_info={metric.name: metric.info for metric in ALL_METRICS},
    )


def deciding(run: Result, right: Sequence[bool], examples: str = "one set") -> Result:
    """The same run with its right answers recorded; accuracy_score counts them."""
    n, bits = len(right), "".join("01"[one] for one in right)
    packed = int(bits.ljust(-(-n // 8) * 8, "0"), 2).to_bytes(-(-n // 8), "big")
    known = CorrectMask(base64.b64encode(packed).decode(), examples)
    metrics = {**run.test.metrics, "accuracy_score": sum(right) / n}
    test = replace(run.test, metrics=metrics, n=n, correct=known)
    return replace(run, history=[*run.history[:-1], replace(run.history[-1], test=test)])


def compose(arguments: list[str]) -> dict[str, Any]:
    """Overrides as a flat configuration, the dataset with a seed of its own."""
    pairs = (argument.split("=", 1) for argument in arguments)
    flat = {key: int(value) if key.endswith("seed") else value for key, value in pairs}
    return flat | {"dataset": {"name": flat.get("dataset"), "seed": flat.pop("dataset.seed", 0)}}


class Engine:
    """Answers configurations through `score(config) -> test metrics`, and keeps what was asked."""

    def __init__(self, answer: Callable[[Mapping[str, Any]], Result]) -> None:
        self.answer = answer
        self.calls: list[list[dict[str, Any]]] = []

    def __call__(self, configs: Sequence[Mapping[str, Any]]) -> list[Result]:
        self.calls.append([dict(config) for config in configs])
        return [self.answer(config) for config in configs]

    @property
    def asked(self) -> list[tuple[str, int]]:
        """Head and seed of every run asked for."""
        return [(config["head"], int(config["seed"])) for call in self.calls for config in call]
