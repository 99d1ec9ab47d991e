"""The keys of a configuration and their types, checked once it is composed.

Values are in configs/, none in code. The open groups (dataset, head, model, optimizer, schedule)
hold the options of the class that they name; these are checked where the class is called, in
`runs.build`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import yaml

from lossheads.errors import UserError, near_matches

# What every run has one of, and what folders and arms are named by.
GROUPS = ("dataset", "head", "model", "optimizer", "schedule")


@dataclass
class Device:
    """Where tensors are; `precision` is of matrix products alone, everything else is float32."""

    kind: Literal["cpu", "cuda", "auto"]
    threads: int | None
    precision: Literal["float32", "tf32", "bfloat16"]
    deterministic: bool
    graph: bool


@dataclass
class Training:
    epochs: float
    steps: int | None
    batch_size: int
    validations_per_epoch: int
    patience: int | None
    monitor: str | None
    random_crop: int
    random_flip: bool


@dataclass
class OutputLayer:
    prior_bias: bool
    cosine_temperature: float | None


@dataclass
class Recording:
    tensorboard: bool
    weights: bool
    predictions: bool


@dataclass
class Checkpoints:
    every_steps: int | None
    every_minutes: float | None
    keep: bool


@dataclass
class CohortSize:
    max_members: int | None


@dataclass
class LocalExecutor:
    kind: Literal["local"]


@dataclass
class SlurmExecutor:
    kind: Literal["slurm"]
    runs_per_job: int
    parallelism: int
    cpus: int
    gpus: int
    memory: str | None
    time: int
    partition: str | None
    account: str | None
    requeues: int
    directives: dict[str, Any]


@dataclass
class RayExecutor:
    kind: Literal["ray"]
    runs_per_job: int
    cpus: int
    gpus: float
    address: str | None
    retries: int


# What trains the runs: each kind has keys of its own.
EXECUTORS = {"local": LocalExecutor, "slurm": SlurmExecutor, "ray": RayExecutor}


@dataclass
class Config:
    """A run."""

    dataset: Any
    head: Any
    model: Any
    optimizer: Any
    schedule: Any
    device: Device
    executor: Any
    training: Training
    output_layer: OutputLayer
    recording: Recording
    cohort: CohortSize
    checkpoint: Checkpoints
    seed: int
    data_seed: int
    output_dir: str
    data_dir: str | None
    force: bool
    trust: list[str]
    extra_metrics: list[str]


# Keys that came after runs had been published, with the value that changes nothing. At that value
# they are left out of the configuration: earlier runs keep their keys and their arms.
_LATER: dict[str, dict[str, Any]] = {
    "training": {"random_crop": 0, "random_flip": False},
    "output_layer": {"cosine_temperature": None},
    "head": {"label_smoothing": 0, "smooth_towards": None, "alpha_as": "balance"},
}


def checked(data: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with every closed key of its type: an int where a float is due becomes one.

    Raises:
        UserError: For a key that is unknown or missing, or a value of another type.
    """
    values = _section("", Config, data, data)
    values["executor"] = _executor(values["executor"], data)
    _refuse_unset(values)
    if not values["output_dir"].strip():
        raise UserError("output_dir must not be empty; output_dir=. is the current folder")
    for section, neutral in _LATER.items():
        if section == "head" and not _is_shipped(values[section]):
            continue  # a key of a stranger's head may have another neutral value
        kept = {k: v for k, v in values[section].items() if k not in neutral or v != neutral[k]}
        values[section] = kept
    return values


def _is_shipped(head: Any) -> bool:
    target = head.get("_target_") if isinstance(head, Mapping) else None
    return str(target).startswith("lossheads.heads.")


def refuse_missing(keys: Iterable[str]) -> None:
    """`~` lets Hydra delete any key, also one that others refer to.

    Raises:
        UserError: Naming the first key of a run that is not among `keys`.
    """
    present = set(keys)
    for field in fields(Config):
        if field.name not in present:
            named = f"choose one with {field.name}=NAME"
            remedy = named if field.name in GROUPS else "do not delete it"
            raise UserError(f"a run needs the key {field.name!r}, which is missing: {remedy}")


def _section(name: str, kind: Any, data: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        raise UserError(f"{name} must be a section, whose keys are set one by one, got {data!r}")
    hints = _types(kind)
    for key in data:
        if key not in hints:
            raise UserError(unknown_key(f"{name}.{key}" if name else str(key), config, hints))
    values = {}
    for key, hint in hints.items():
        full = f"{name}.{key}" if name else key
        if key not in data:
            raise UserError(f"{full} must be set, it is missing: every run needs it")
        section = is_dataclass(hint)
        values[key] = (
            _section(full, hint, data[key], config) if section else _value(full, hint, data[key])
        )
    return values


def _executor(data: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    kind = data.get("kind") if isinstance(data, Mapping) else None
    if kind not in EXECUTORS:
        raise UserError(f"executor.kind got {kind}: {near_matches(str(kind), EXECUTORS)}")
    return _section("executor", EXECUTORS[kind], data, config)


@cache
def _types(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _value(key: str, hint: Any, value: Any) -> Any:
    """`value` as `hint` asks; what a person writes for a word may be a number, 2024 or 1.5."""
    if hint is Any or value == "???":
        return value
    kinds = [kind for kind in get_args(hint) if kind is not NoneType]
    optional = NoneType in get_args(hint)
    if value is None and optional:
        return None
    if get_origin(hint) is Literal:
        if value not in kinds:
            raise UserError(f"{key} got {value}: {near_matches(str(value), kinds)}")
        return value
    kind = kinds[0] if optional else hint
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is float and number:
        return float(value)
    if kind is str and number:
        return str(value)
    if get_origin(kind) is dict:
        if isinstance(value, Mapping):
            return dict(value)
        raise UserError(f"{key} must be a section, whose keys are set one by one, got {value!r}")
    if get_origin(kind) is list:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return value
        raise UserError(f"{key} must be a list of words, [A,B], got {value!r}")
    if type(value) is not kind:
        rule = {bool: "true or false", int: "an integer", float: "a number", str: "a word"}[kind]
        or_null = " or null" if optional else ""
        raise UserError(f"{key} must be {rule}{or_null}, got {'null' if value is None else value}")
    return value


def _refuse_unset(values: Mapping[str, Any], prefix: str = "") -> None:
    """`???` is Hydra's sign for a value that somebody has to set."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            _refuse_unset(value, f"{prefix}{name}.")
        elif value == "???":
            raise UserError(f"{prefix}{name} must be set, it is missing: every run needs it")


def unknown_key(key: str, config: Mapping[str, Any], known: Iterable[str]) -> str:
    """The sentence about a key that no run has.

    Args:
        key: As written, with its section.
        config: The run's sections.
        known: The keys that exist where it was written.
    """
    parent, _, last = key.rpartition(".")
    if not parent and options(last):
        return (
            f"the file chosen with {last}=NAME sets keys below {last!r}, where they have no "
            f"effect: its first line must be '# @package _global_'"
        )
    where = f"{parent} has" if parent else "a run has"
    return f"{where} no key {last!r}; {near_keys(key, config, known)}"


def near_keys(key: str, config: Mapping[str, Any], known: Iterable[str]) -> str:
    """A part of a sentence: the settings that an unknown `key` may have meant.

    Args:
        key: As written; people leave out the section (`epochs=3`) or take another one.
        config: The run's sections, which are searched for the last part of the key.
        known: The keys that exist where it was written; named when nothing else is near.
    """
    section, _, word = key.rpartition(".")
    known = tuple(known)
    here = [f"{name}.{word}" for name, keys in config.items() if _holds(keys, word)]
    here = [full for full in here if full != key]
    elsewhere = _with_other_choices(word)
    own = [words for words in elsewhere if section and words.startswith(f"{section}.")]
    if own or here or elsewhere:
        return f"did you mean {' or '.join(own or here or elsewhere)}?"
    if not section and not get_close_matches(word, known, cutoff=0.75):
        # Perhaps a typing error in a key of some section, if it is very near.
        below = (
            str(last) for keys in config.values() if isinstance(keys, Mapping) for last in keys
        )
        for near in get_close_matches(word, set(below), n=1, cutoff=0.75):
            return near_keys(near, config, known)
    return near_matches(word, known)


def _holds(keys: Any, word: str) -> bool:
    return isinstance(keys, Mapping) and word in keys and not word.startswith("_")


def _with_other_choices(word: str) -> list[str]:
    """`head.gamma (with head=focal)`: keys of files that this run does not use."""
    found = []
    for group in GROUPS:
        files = ((name, config_folder() / group / f"{name}.yaml") for name in options(group))
        having = [
            name for name, file in files if _holds(yaml.safe_load(file.read_text("utf-8")), word)
        ]
        if having:
            found.append(f"{group}.{word} (with {group}={' or '.join(having)})")
    return found


def options(group: str) -> list[str]:
    """Names of the files in one group of the shipped configuration."""
    return sorted(path.stem for path in (config_folder() / group).glob("*.yaml"))


def config_folder() -> Path:
    """The YAML files of the configuration, a folder per group."""
    return _shipped("configs", "configs")


def claim_folder() -> Path:
    """The claim files; they are no group of Hydra's."""
    return _shipped("claim_files", "claims")


def _shipped(installed: str, checkout: str) -> Path:
    """A folder of YAML: inside an installed package, at the top level of a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / installed
    return inside if inside.is_dir() else package.parents[1] / checkout
