"""The one place that turns YAML into objects, and only of classes that it allows.

A configuration from elsewhere must be safe to run: `_target_` may only name classes of the role's
package, unless the user trusts another package by name on the command line.
"""

import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lossheads.bounded_yaml import read_text
from lossheads.datasets.dataset import DatasetSource
from lossheads.engine.cohort import OptimizerBuilder
from lossheads.engine.member import BackboneBuilder
from lossheads.engine.optimizers import build_optimizer, optimizer_step
from lossheads.errors import UserError, near_matches
from lossheads.heads.base import Head
from lossheads.metrics import SHIPPED, MetricSet
from lossheads.metrics.base import BaseMetric
from lossheads.outcomes import Outcome
from lossheads.runs.config_files import plain_data
from lossheads.runs.validate import (
    check_head,
    check_optimizer,
    check_own_metrics,
    check_source,
    is_number,
)

# The packages of the parts of a run. Nothing else is called for a configuration.
ROLES = {
    "dataset": "lossheads.datasets",
    "head": "lossheads.heads",
    "model": "lossheads.models",
    "optimizer": "torch.optim",
    "schedule": "lossheads.engine.schedules",
}


@dataclass(frozen=True)
class Parts:
    """The objects of one run, built before any data is read."""

    source: DatasetSource
    head: Head
    backbone: BackboneBuilder
    optimizer: OptimizerBuilder
    optimizer_kwargs: Mapping[str, Any]
    schedule: Callable[[float], float]
    metrics: MetricSet


def build_parts(config: Mapping[str, Any]) -> Parts:
    """Build what `config` names.

    Raises:
        UserError: For a target outside its role's package, an unknown option, or a head that does
            not support the outcome of the data.
    """
    trust = config["trust"]
    source = build_source(config)
    made = {role: build(role, config[role], trust) for role in ROLES if role != "dataset"}
    optimizer, kwargs = _split_optimizer(made["optimizer"])
    schedule = made["schedule"]
    _check_schedule(schedule)
    head = build_for(made["head"], source.outcome)
    metrics = build_metrics(config)
    check_own_metrics(metrics, SHIPPED, head)
    return Parts(source, head, made["model"], optimizer, kwargs, schedule, metrics)


def build_metrics(config: Mapping[str, Any]) -> MetricSet:
    """The shipped metrics and those that `extra_metrics` names, from trusted packages.

    Raises:
        UserError: If a name is no metric of a trusted package, or is taken.
    """
    own = []
    for path in config["extra_metrics"]:
        module = path.rpartition(".")[0]
        trusted = [*config["trust"], "lossheads.metrics"]  # ours that are not always measured
        if not any(f"{module}.".startswith(f"{package}.") for package in trusted):
            raise UserError(
                f"extra_metrics names {path}: a metric of your own is PACKAGE.NAME of a package "
                f"that you trust, with --trust {path.split('.')[0]}"
            )
        metric = _imported("extra_metrics", path)
        if not isinstance(metric, BaseMetric):
            raise UserError(
                f"extra_metrics names {path}, which is no metric: decorate the function with "
                f"@lossheads.metric or @lossheads.per_class_metric"
            )
        own.append(metric)
    return SHIPPED.with_own(own)


def content_of(config: Mapping[str, Any], source: DatasetSource) -> dict[str, str]:
    """Digests of what the configuration names but does not contain: the user's files and modules.

    Part of a run's key, so that an edited file is another run. Empty without such things.
    """
    content = {}
    fingerprint = getattr(source, "fingerprint", None)
    if fingerprint is not None:
        content["dataset"] = str(fingerprint())
    named = {role: str(config[role]["_target_"]) for role in ROLES}
    for role, path in [*named.items(), *((path, path) for path in config["extra_metrics"])]:
        module = path.rpartition(".")[0]
        code = getattr(sys.modules.get(module), "__file__", None)
        if code and module.split(".")[0] not in ("lossheads", "torch"):
            content[role] = hashlib.sha256(Path(code).read_bytes()).hexdigest()[:16]
    return content


def build_head(config: Mapping[str, Any]) -> Head:
    """The head alone, without reading any data."""
    made = build("head", config["head"], config["trust"])
    return build_for(made, build_source(config).outcome)


def build_source(config: Mapping[str, Any]) -> DatasetSource:
    """What describes the data, without reading any."""
    source: DatasetSource = build("dataset", config["dataset"], config["trust"])
    check_source(source)
    return source


def head_builder(
    file: Path, trust: Sequence[str], options: Mapping[str, Any] | None = None
) -> Callable[[Outcome], Head]:
    """What makes the head of a YAML file, some of its options changed, for an outcome.

    Raises:
        UserError: If the file names a class that is not trusted, or is no YAML of a head.
    """
    node = plain_data(read_text(file, str(file), "a head's file"), str(file))
    made: Callable[[Outcome], Head] = build("head", {**node, **(options or {})}, trust)
    return made


def build(role: str, node: Mapping[str, Any], trust: Sequence[str]) -> Any:
    """The object that a YAML node describes: its target called with its options, or a partial."""
    if not isinstance(node, Mapping) or "_target_" not in node:
        raise UserError(
            f"{role} must be a mapping with a _target_, got {node!r}; choose one with {role}=NAME"
        )
    if not isinstance(node["_target_"], str):
        raise UserError(f"{role}._target_ must be a name, package.Name, got {node['_target_']!r}")
    if not isinstance(node.get("_partial_", False), bool):
        raise UserError(f"{role}._partial_ must be true or false, got {node['_partial_']!r}")
    options = {key: value for key, value in node.items() if key not in ("_target_", "_partial_")}
    target = _admit(role, node["_target_"], trust)
    _refuse_nested(role, options)
    _refuse_unknown(role, target, options)
    if node.get("_partial_", False):
        return partial(target, **options)
    try:
        return target(**options)
    except UserError:
        raise
    except Exception as error:  # whatever a class makes of a stranger's options
        later = "" if role == "dataset" else f" (the file of a {role} needs _partial_: true)"
        raise UserError(
            f"{role} {_name(target)} refuses {_describe_options(options)}: {_first_line(error)}"
            f"{later}"
        ) from error


def is_admitted(role: str, path: str, trust: Sequence[str]) -> bool:
    """Whether a target may be imported: of the role's package, or of one that the user trusts."""
    return any(path.startswith(f"{package}.") for package in (ROLES[role], *trust))


def _admit(role: str, path: str, trust: Sequence[str]) -> Callable[..., Any]:
    allowed = [ROLES[role], *trust]
    if not is_admitted(role, path, trust):
        raise UserError(
            f"{role}._target_ must be in {ROLES[role]}, got {path}; if you trust the package, add "
            f"--trust {path.split('.')[0]} to the command line"
        )
    target = _imported(f"{role}._target_", path)
    # `lossheads.heads.base.os` has an allowed prefix: what counts is where it is defined.
    home = getattr(target, "__module__", None) or ""
    if not callable(target) or not any(f"{home}.".startswith(f"{pkg}.") for pkg in allowed):
        raise UserError(f"{role}._target_ must be defined in {' or '.join(allowed)}, got {path}")
    # Beside its sources the package of the data has readers of files and downloads.
    is_shipped = home.split(".")[0] == "lossheads"
    if role in ("dataset", "head") and is_shipped and not inspect.isclass(target):
        raise UserError(f"{role}._target_ must name a class, got {path}")
    return target  # type: ignore[no-any-return]


def _imported(key: str, path: str) -> Any:
    """What an admitted path names."""
    module, _, name = path.rpartition(".")
    own = module.split(".")[0] not in ("lossheads", "torch")
    if own and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # a user's own module is in the current folder
    try:
        return getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:  # a user's module may fail in any way
        raise UserError(f"{key} {path} cannot be imported: {_first_line(error)}") from error


def _refuse_nested(role: str, options: Any) -> None:
    values = options.values() if isinstance(options, Mapping) else options
    if isinstance(options, Mapping) and "_target_" in options:
        raise UserError(f"{role} has a nested _target_: options must be plain values")
    for value in values:
        if isinstance(value, Mapping | list):
            _refuse_nested(role, value)


def _refuse_unknown(role: str, target: Callable[..., Any], options: Mapping[str, Any]) -> None:
    known = inspect.signature(target).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values()):
        return
    for name in options:
        if name not in known:
            raise UserError(
                f"{role} {_name(target)} has no option {name!r}; {near_matches(name, known)} (an "
                f"option of the chosen file is removed with ~{role}.{name})"
            )


def build_for(head: Callable[..., Head], outcome: Outcome) -> Head:
    """What `build` made of a head's YAML, for an outcome.

    Raises:
        UserError: If it is no head, or does not support the outcome.
    """
    try:
        made = head(outcome=outcome)
    except UserError:
        raise
    except Exception as error:  # a user's own head may fail in any way
        raise UserError(f"head {_name(head)} refuses its options: {_first_line(error)}") from error
    check_head(made, _name(head))
    return made


def _split_optimizer(made: partial[Any]) -> tuple[OptimizerBuilder, dict[str, Any]]:
    """The bare optimizer and its keyword arguments, tried once on a single weight."""
    if not isinstance(made, partial) or "lr" not in made.keywords:
        raise UserError("optimizer must have _partial_: true and a learning rate lr in its YAML")
    _refuse_kinds(made)
    kwargs = {k: tuple(v) if isinstance(v, list) else v for k, v in made.keywords.items()}
    check_optimizer(kwargs)
    try:
        weight = nn.Parameter(torch.zeros(1))
        weight.grad = torch.zeros(1)
        optimizer_step(build_optimizer(made.func, [weight], **kwargs))
    except Exception as error:  # whatever a constructor makes of a user's values
        raise UserError(
            f"optimizer {_name(made)} refuses {_describe_options(kwargs)}: {_first_line(error)}"
        ) from error
    return partial(made.func), kwargs


def _refuse_kinds(made: partial[Any]) -> None:
    """Settings of another type than the optimizer's own defaults: torch takes many in silence."""
    known = inspect.signature(made.func).parameters
    for name, value in made.keywords.items():
        default = known[name].default if name in known else None
        if isinstance(default, bool):
            valid, rule = isinstance(value, bool), "true or false"
        elif isinstance(default, int | float):
            valid, rule = is_number(value), "a number"
        elif isinstance(default, tuple) and all(map(is_number, default)):
            valid = isinstance(value, list | tuple) and len(value) == len(default)
            valid = valid and all(map(is_number, value))
            rule = f"a list of {len(default)} numbers"
        else:  # no default to compare with; none of torch's options without one is a string
            valid, rule = not isinstance(value, str), "true, false or null"
        if not valid:
            raise UserError(f"optimizer.{name} must be {rule} for {_name(made)}, got {value}")


def _check_schedule(schedule: Callable[[float], float]) -> None:
    """Refuse a schedule that rejects its options or returns no number."""
    try:
        factors = [schedule(progress) for progress in (0.0, 0.5, 1.0)]
    except UserError:
        raise
    except Exception as error:  # a user's own schedule may fail in any way
        raise UserError(f"schedule {_name(schedule)} fails: {_first_line(error)}") from error
    if not all(map(is_number, factors)):
        raise UserError(
            f"schedule {_name(schedule)} must return a factor on the learning rate, a number, got "
            f"{factors[0]!r}"
        )


def _name(target: Any) -> str:
    inner = target.func if isinstance(target, partial) else target
    return str(getattr(inner, "__name__", inner))


def _describe_options(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in options.items()) or "no options"


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
