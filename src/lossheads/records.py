"""A run is a folder. This module names it, writes it and reads it back; it never imports torch.

outputs/runs/<dataset>-<head>-s<seed>-<key>/
    config.yaml        the resolved configuration
    environment.json   git commit, package versions, device
    status.json        running | finished | interrupted | diverged | failed; finished and diverged
                       only once there is a result
    metrics.jsonl      one line per validation step
    predictions.npz    logits of the test split, with recording.predictions=true
    weights.pt         with recording.weights=true
    result.json        written last and atomically: a run that has one is finished
    events.out.…       TensorBoard

The records are dataclasses of pydantic: checked when they are made, and again when they are read.
JSON has no NaN: NaN and the infinities are written as null, and null is read as NaN.
"""

import base64
import hashlib
import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    GetPydanticSchema,
    TypeAdapter,
    ValidationError,
)
from pydantic.dataclasses import dataclass
from pydantic_core import ErrorDetails, from_json
from typing_extensions import TypedDict

from lossheads.errors import UserError, reason
from lossheads.whole_files import whole_file

Status = Literal["running", "finished", "interrupted", "diverged", "failed"]

# Of result.json. A reader knows one version and refuses every other: nothing is guessed.
SCHEMA_VERSION: Literal[1] = 1

# Of result.json: a validation step at ten classes takes 6 kB.
MAX_BYTES = 1 << 29

# The key covers what a run computes, not where it is written, what is logged, on which machine
# or in which cohort it trains.
NOT_IN_KEY = (
    *("output_dir", "data_dir", "force", "trust", "recording", "cohort", "checkpoint", "executor"),
    "choices",
)

_STRANGERS_REFUSED = ConfigDict(extra="forbid")


def _read_as(kind: Any) -> GetPydanticSchema:
    """Numbers may be null in a file; the code sees NaN, so that its type is float alone."""
    return GetPydanticSchema(lambda _, handler: handler(kind))


def _nan(value: Any) -> Any:
    return math.nan if value is None else value


def _nans(values: Any) -> Any:
    if None not in values.values():  # most often; thousands of files are read at once
        return values
    return {name: _nan(value) for name, value in values.items()}


def _rows(rows: Any) -> Any:
    if len(set(map(len, rows.values()))) > 1:
        raise ValueError("its rows must have one length")
    return {
        name: [_nan(value) for value in row] if None in row else row for name, row in rows.items()
    }


def _base64(text: str) -> str:
    base64.b64decode(text, validate=True)  # binascii.Error is a ValueError
    return text


Number = Annotated[float, _read_as(float | None), AfterValidator(_nan)]
Numbers = Annotated[Mapping[str, float], _read_as(dict[str, float | None]), AfterValidator(_nans)]
Rows = Annotated[
    Mapping[str, list[float]], _read_as(dict[str, list[float | None]]), AfterValidator(_rows)
]
Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, config=_STRANGERS_REFUSED)
class CorrectMask:
    """Which examples of a split were decided correctly: all labels, all groups of the example.

    Attributes:
        bits: Eight examples to a byte, the first in the highest bit, base64: 10,000 in 1.7 kB.
        examples_digest: Digest of inputs and labels in order; only runs with equal digests are
            compared example by example.
    """

    bits: Annotated[str, AfterValidator(_base64)]
    examples_digest: str

    @property
    def packed(self) -> bytes:
        """The bits, eight to a byte."""
        return base64.b64decode(self.bits)

    @property
    def mask(self) -> int:
        """The bits as one whole number; those after the last example are 0."""
        return int.from_bytes(self.packed, "big")


@dataclass(frozen=True, config=_STRANGERS_REFUSED)
class MetricInfo:
    """What a reader of results has to know of a metric.

    Attributes:
        higher_is_better: None where neither direction is better.
        perfect: Value of perfect predictions; NaN where it is unknown.
        low, high: What it cannot leave; NaN where there is no such end, or none is known.
    """

    higher_is_better: bool | None
    perfect: Number
    low: Number = math.nan
    high: Number = math.nan

    @property
    def range(self) -> tuple[float, float]:
        """Both ends, infinite where there is none."""
        return (
            -math.inf if math.isnan(self.low) else self.low,
            math.inf if math.isnan(self.high) else self.high,
        )


@dataclass(frozen=True, config=_STRANGERS_REFUSED)
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

    metrics: Numbers
    baselines: Numbers
    per_class: Rows
    undefined: Mapping[str, Count]
    n: Count
    correct: CorrectMask | None = None


@dataclass(frozen=True, config=_STRANGERS_REFUSED)
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

    step: Count
    epoch: Annotated[float, Field(ge=0)]
    train_loss: Number
    learning_rate: Number
    val: Measurement
    test: Measurement | None = None


class Git(TypedDict):
    """The checkout that the code ran from; None for an installed package.

    Attributes:
        commit: 40 hex digits.
        changed: Whether files differed from the commit.
    """

    commit: str | None
    changed: bool | None


class Environment(TypedDict, total=False):
    """Software and hardware of a run: `environment.json`, and `environment` in `result.json`.

    Attributes:
        python: Version.
        packages: Distribution -> version, "absent" where it is not installed.
        device: Name of the GPU, or the kind of CPU.
        cpu_capability: Vector instructions that torch uses; last bits of numbers depend on them.
        threads: Of torch, for this run.
        flush_denormal: Whether numbers too small for full precision were taken as 0.
        started: ISO 8601, UTC, to the second.
        members: Runs in the cohort, this one included.
        resumed_at: Step from which a stopped run went on, the last time.
        workers: Cohorts trained at the same time, at most.
        data: Name, origin, checksum and licence of the dataset.
        bayes_score: Best reachable accuracy_score on the test distribution, where known.
    """

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]  # pydantic's own way

    git: Git
    python: str
    packages: Mapping[str, str]
    device: str
    cpu_capability: str
    threads: Count
    flush_denormal: bool
    started: str
    members: Count
    resumed_at: Count
    workers: Count
    data: Mapping[str, str]
    bayes_score: float | None


@dataclass(frozen=True, config=_STRANGERS_REFUSED)
class Result:
    """All that is known about a run when it is over: plain data, readable without torch.

    Attributes:
        key: Ten hex digits, see `run_key`.
        name: Of the run's folder.
        seconds: Wall time of the run's share of its cohort.
        first_step: Mean `loss` in nats and mean `gradient_norm` per example before any step.
        notes: Warnings, a sentence each.
        diverged_at: `step` and `learning_rate` at the first loss that was not finite.
        metric_info: Name -> facts about every metric that the run may have measured, those of
            other decision rules (`tuned/…`) and of outliers included.
    """

    key: str
    name: str
    status: Status
    config: Mapping[str, Any]
    class_names: list[str]
    history: list[ValidationStep]
    seconds: Annotated[float, Field(ge=0)]
    environment: Environment
    first_step: Numbers = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    diverged_at: Numbers | None = None
    metric_info: Mapping[str, MetricInfo] = field(default_factory=dict)
    schema_version: Literal[1] = SCHEMA_VERSION

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


def write_json(path: Path, data: Any, after_key: str = ": ", durable: bool = True) -> None:
    """Write the file, whole or not at all; NaN is written as null."""
    separators = (",", after_key)
    text = json.dumps(plain(data), indent=1, separators=separators, allow_nan=False)
    with whole_file(path, durable) as file:
        file.write(text.encode("utf-8"))


_RESULT = TypeAdapter(Result)
_MARKS = re.compile(rb'\{"schema_version":1,"checksum":"([0-9a-f]{64})",')
_BEYOND_FLOATS = re.compile(rb"[:,\[]-?\d{309}")


def write_result(folder: Path, result: Result) -> None:
    """Write `result.json`: from now on the run is finished."""
    content = {"schema_version": SCHEMA_VERSION, **from_json(_RESULT.dump_json(result))}
    marks = {"schema_version": SCHEMA_VERSION, "checksum": checksum(content)}
    write_json(folder / "result.json", marks | content, after_key=":")


def checksum(content: Mapping[str, Any]) -> str:
    """SHA-256, in hex, of what a result file holds besides its checksum: JSON without spaces.

    The order of the keys counts: it is the order in which metrics are shown.
    """
    return hashlib.sha256(_compact(content)).hexdigest()


def _compact(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":"), allow_nan=False).encode("ascii")


def read_result(folder: Path) -> Result | None:
    """The folder's result, or None when it has none. Missing numbers come back as NaN.

    Raises:
        UserError: If the file cannot be read, is damaged, was changed after it was written, or
            was written under another schema version.
    """
    path = folder / "result.json"
    try:
        if not path.is_file():
            return None
        if path.stat().st_size > MAX_BYTES:
            raise _damaged(path, f"it has over {MAX_BYTES / 1e6:.0f} MB, as no run writes")
        text = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {reason(error)}; change its rights") from error
    return _read_as_written(text) or _read_with_care(path, text)


def _read_as_written(text: bytes) -> Result | None:
    """The result, if the file is as `write_result` wrote it: the quick way, without a second look.

    Line breaks and the indent go: inside a string JSON has no line break.
    """
    compact = b"".join(line.lstrip(b" ") for line in text.split(b"\n"))
    marks = _MARKS.match(compact)
    if marks is None:
        return None
    compact = b'{"schema_version":1,' + compact[marks.end() :]
    if hashlib.sha256(compact).hexdigest().encode() != marks[1]:
        return None
    try:
        result = _RESULT.validate_json(compact, strict=True)
    except ValidationError:
        return None
    return None if _missing(result) else result


def _read_with_care(path: Path, text: bytes) -> Result:
    """The result, or what is wrong with the file; its white space does not matter."""
    try:
        content = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise _damaged(path, f"it is not whole JSON ({error})" if text else "it is empty") from None
    if not isinstance(content, dict):
        raise _damaged(path, f"it must be an object, got {_short(content)}")
    _check_version(path, content.get("schema_version"))
    stated = content.pop("checksum", None)
    try:
        compact = _compact(content)
    except ValueError:  # 1e999
        raise _damaged(path, "a number in it is beyond all floats") from None
    if _BEYOND_FLOATS.search(compact):  # as an integer; pydantic would take it as infinite
        raise _damaged(path, "a number in it is beyond all floats")
    try:
        result = _RESULT.validate_json(compact, strict=True)
    except ValidationError as error:
        raise _damaged(path, _first_fault(error)) from None
    if missing := _missing(result):
        raise _damaged(path, f"{missing} is missing or of another type")
    if stated != hashlib.sha256(compact).hexdigest():
        got = "has no checksum" if stated is None else "does not have the content of its checksum"
        raise _damaged(path, f"it {got}, so it was changed after it was written")
    return result


def _damaged(path: Path, fault: str) -> UserError:
    return UserError(f"{path} is damaged: {fault}; delete the folder to train the run again")


def _first_fault(error: ValidationError) -> str:
    """A clause: which field is wrong and why; pydantic lists all, and one is enough to know."""
    fault, *others = error.errors(include_url=False, include_context=False)
    more = f" (and {len(others)} more)" if others else ""
    return f"{_field(fault)} {_fault(fault)}{more}"


def _field(fault: ErrorDetails) -> str:
    return _one_line(".".join(map(str, fault["loc"])), 100)


def _fault(fault: ErrorDetails) -> str:
    kind = fault["type"]
    if kind in ("missing", "missing_argument"):
        return "is missing"
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        return "is an unknown key"
    got = f", got {_short(fault['input'])}"
    if kind.startswith("dataclass") or kind in ("dict_type", "mapping_type"):
        return f"must be an object{got}"
    said = fault["msg"].removeprefix("Value error, ").removeprefix("Input should ")
    return f"must {said}{got}" if said.startswith("be ") else f"is wrong: {_one_line(said, 100)}"


def _short(value: object) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return "null" if value is None else _one_line(repr(value), 40)


def _one_line(text: str, limit: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _missing(result: Result) -> str | None:
    """The first thing that a result of its status has, and without which no table can be made."""
    choices = result.config.get("choices")
    if not isinstance(choices, Mapping):
        return "config.choices"
    if absent := [name for name in ("dataset", "head") if not isinstance(choices.get(name), str)]:
        return f"config.choices.{absent[0]}"
    if type(result.config.get("seed")) is not int:
        return "config.seed"
    if not isinstance(result.config.get("content", {}), Mapping):
        return "config.content"
    if result.status == "finished" and not any(step.test for step in result.history):
        return "the measurement of the test split"
    at = result.diverged_at or {}
    if result.status == "diverged" and not {"step", "learning_rate"} <= at.keys():
        return "step or learning_rate of diverged_at"
    return None


def _check_version(path: Path, version: object) -> None:
    if type(version) is int and version == SCHEMA_VERSION:
        return
    got = "no schema_version" if version is None else f"schema_version {_short(version)}"
    raise UserError(
        f"{path} has {got}, schema_version {SCHEMA_VERSION} is needed: delete the folder to train "
        f"the run again, or read it with the version of lossheads that wrote it"
    )


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def read_results(runs: Path, say: Callable[[str], None] = _say) -> Iterator[tuple[Path, Result]]:
    """Every finished run below `runs`, by folder name.

    Args:
        say: Gets a sentence about every result that cannot be read and is skipped, at the end
            their number; by default they go to stderr.
    """
    skipped, folders = 0, sorted(runs.iterdir()) if runs.is_dir() else []
    for folder in folders:
        try:
            result = read_result(folder)
        except UserError as error:
            skipped += 1
            say(f"skipped: {error}")
            continue
        if result is not None:
            yield folder, result
    if skipped:
        word = "run" if skipped == 1 else "runs"
        say(f"{skipped} {word} of {len(folders)} folders in {runs} skipped: no result to be read")


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


def plain(data: Any) -> Any:
    """Mappings and sequences for JSON, which has no NaN and no infinities: they are null."""
    if isinstance(data, float) and not math.isfinite(data):
        return None
    if isinstance(data, Mapping):
        return {str(key): plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [plain(value) for value in data]
    return data.item() if hasattr(data, "item") else data


def skill(score: float, baseline: float, perfect: float = 1.0) -> float:
    """Skill score: 0 at the baseline, 1 at the perfect value, negative below the baseline.

    NaN where the baseline is perfect already (calibration errors, splits with a single class):
    there is nothing to gain.
    """
    return (score - baseline) / (perfect - baseline) if perfect != baseline else math.nan
