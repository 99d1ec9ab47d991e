"""A run is a folder. This module names it, writes it and reads it back; it never imports torch.

outputs/runs/<dataset>-<head>-s<seed>-<key>/
    config.yaml        the resolved configuration
    environment.json   git commit, package versions, device
    status.json        running | finished | interrupted | diverged | failed
    metrics.jsonl      one line per validation step
    result.json        written last and atomically: a run that has one is finished
    events.out.…       TensorBoard
"""

import base64
import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from lossheads.errors import UserError

Status = Literal["running", "finished", "interrupted", "diverged", "failed"]

# Of result.json. A reader knows one version and refuses every other: nothing is guessed.
SCHEMA_VERSION = 1

# The key covers what a run computes, not where it is written, what is logged or which cohort it
# trains in.
NOT_IN_KEY = ("output_dir", "force", "trust", "data_dir", "recording", "cohort", "choices")


@dataclass(frozen=True)
class CorrectMask:
    """Which examples of a split were decided correctly: all labels, all groups of the example.

    Attributes:
        bits: Eight examples to a byte, the first in the highest bit, base64: 10,000 in 1.7 kB.
        examples_digest: Digest of inputs and labels in order; only runs with equal digests are
            compared example by example.
    """

    bits: str
    examples_digest: str

    @property
    def mask(self) -> int:
        """The bits as one whole number; those after the last example are 0."""
        return int.from_bytes(base64.b64decode(self.bits), "big")


@dataclass(frozen=True)
class MetricInfo:
    """What a reader of results has to know of a metric.

    Attributes:
        higher_is_better: None where neither direction is better.
        perfect: Value of perfect predictions; NaN where it is unknown.
    """

    higher_is_better: bool | None
    perfect: float


@dataclass(frozen=True)
class Measurement:
    """One split under every metric: name -> value; NaN where a metric is undefined.

    Attributes:
        metrics: Scalars.
        baselines: Value of the best constant prediction, same names.
        per_class: Name -> one value per class (or label, or flattened group·class).
        undefined: Number of NaN values: name -> count.
        n: Examples measured.
        correct: Which of them were decided correctly; on the test split only.
    """

    metrics: Mapping[str, float]
    baselines: Mapping[str, float]
    per_class: Mapping[str, list[float]]
    undefined: Mapping[str, int]
    n: int
    correct: CorrectMask | None = None


@dataclass(frozen=True)
class ValidationStep:
    """One validation step of one member.

    Attributes:
        step: Optimizer steps taken so far; 0 is before training.
        epoch: `step` in passes over the training split, fractional.
        train_loss: Mean training loss since the last validation step, in the head's own nats per
            example: not comparable between heads. NaN at step 0.
        learning_rate: At this step.
        val: The validation split under the metrics.
        test: The test split; only at the validation step whose weights are kept.
    """

    step: int
    epoch: float
    train_loss: float
    learning_rate: float
    val: Measurement
    test: Measurement | None = None


@dataclass(frozen=True)
class Result:
    """All that is known about a run when it is over: plain data, readable without torch.

    Attributes:
        metric_info: Name -> facts about every metric that the run may have measured, those of
            other decision rules (`tuned/…`) and of outliers included.
    """

    key: str
    name: str
    status: Status
    config: Mapping[str, Any]
    class_names: list[str]
    history: list[ValidationStep]
    seconds: float
    environment: Mapping[str, Any]
    first_step: Mapping[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    diverged_at: Mapping[str, float] | None = None
    metric_info: Mapping[str, MetricInfo] = field(default_factory=dict)

    def info(self, metric: str) -> MetricInfo:
        """Facts about a metric; of one that the run does not know, no better side, perfect NaN."""
        return self.metric_info.get(metric, MetricInfo(None, math.nan))

    @property
    def kept(self) -> ValidationStep:
        """The validation step whose weights were kept: the one with a test split.

        The last one of a diverged run. Early stopping keeps the best; those after it stay in
        `history`, in the order of steps.
        """
        if not self.history:
            raise ValueError(f"run {self.name} ({self.status}) has no validation step")
        return next(
            (validation for validation in self.history if validation.test is not None),
            self.history[-1],
        )

    @property
    def test(self) -> Measurement:
        """The test split at the kept validation step."""
        measured = self.kept.test if self.history else None
        if measured is None:
            raise ValueError(f"run {self.name} ({self.status}) has no test measurement")
        return measured

    @property
    def val(self) -> Measurement:
        """The validation split at the kept validation step."""
        return self.kept.val


def run_key(config: Mapping[str, Any]) -> str:
    """Ten hex digits naming what a resolved configuration computes.

    Threads are left out with the rest: a member's bits do not depend on their number.
    """
    kept = {name: value for name, value in config.items() if name not in NOT_IN_KEY}
    if isinstance(kept.get("device"), Mapping):
        kept["device"] = {k: v for k, v in kept["device"].items() if k != "threads"}
    text = json.dumps(kept, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def write_json(path: Path, data: Any) -> None:
    """Write aside, flush, rename: the file is whole or absent. NaN is written as null."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with aside.open("w", encoding="utf-8") as file:
            json.dump(_nan_to_null(data), file, indent=1, allow_nan=False)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_result(folder: Path, result: Result) -> None:
    """Write `result.json`, the last act of a run."""
    write_json(folder / "result.json", {"schema_version": SCHEMA_VERSION, **asdict(result)})


def read_result(folder: Path) -> Result | None:
    """The folder's result, or None when it has none. Missing numbers come back as NaN.

    Raises:
        UserError: If the file is damaged, or was written under another schema version.
    """
    path = folder / "result.json"
    if not path.is_file():
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        _check_version(path, data.pop("schema_version", None))
        history = [_validation_step(entry) for entry in data.pop("history")]
        infos = {name: _metric_info(info) for name, info in data.pop("metric_info").items()}
        return Result(**data, history=history, metric_info=infos)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} is damaged, it is no result of schema version {SCHEMA_VERSION}: delete the "
            f"folder to train the run again"
        ) from error


def _check_version(path: Path, version: object) -> None:
    if type(version) is int and version == SCHEMA_VERSION:
        return
    got = "no schema_version" if version is None else f"schema_version {version!r}"
    raise UserError(
        f"{path} has {got}, schema_version {SCHEMA_VERSION} is needed: delete the folder to train "
        f"the run again, or read it with the version of lossheads that wrote it"
    )


def read_results(runs: Path) -> Iterator[tuple[Path, Result]]:
    """Every finished run below `runs`, by folder name."""
    if runs.is_dir():
        for folder in sorted(runs.iterdir()):
            result = read_result(folder)
            if result is not None:
                yield folder, result


def select(results: Iterable[Result], **wanted: Any) -> list[Result]:
    """Results whose configuration holds `wanted`, keys written with `__` for a dot."""

    def holds(result: Result) -> bool:
        return all(_dig(result.config, key) == value for key, value in wanted.items())

    return [result for result in results if holds(result)]


def _dig(config: Mapping[str, Any], key: str) -> Any:
    value: Any = config
    for part in key.split("__"):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _validation_step(data: dict[str, Any]) -> ValidationStep:
    val, test = data.pop("val"), data.pop("test")
    return ValidationStep(
        step=data["step"],
        epoch=data["epoch"],
        train_loss=_null_to_nan(data["train_loss"]),
        learning_rate=data["learning_rate"],
        val=_measurement(val),
        test=None if test is None else _measurement(test),
    )


def _metric_info(data: dict[str, Any]) -> MetricInfo:
    return MetricInfo(data["higher_is_better"], _null_to_nan(data["perfect"]))


def _measurement(data: dict[str, Any]) -> Measurement:
    return Measurement(
        metrics={name: _null_to_nan(value) for name, value in data["metrics"].items()},
        baselines={name: _null_to_nan(value) for name, value in data["baselines"].items()},
        per_class={
            name: [_null_to_nan(value) for value in row] for name, row in data["per_class"].items()
        },
        undefined=data["undefined"],
        n=data["n"],
        correct=CorrectMask(**data["correct"]) if data.get("correct") else None,
    )


def _null_to_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _nan_to_null(data: Any) -> Any:
    if isinstance(data, float) and not math.isfinite(data):
        return None
    if isinstance(data, Mapping):
        return {key: _nan_to_null(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_nan_to_null(value) for value in data]
    return data
