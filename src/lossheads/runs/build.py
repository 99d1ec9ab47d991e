"""The one call site that turns YAML into objects, and admits only what it should.

A stranger's configuration must be safe to run: `_target_` may only name what a role is made of,
unless the user trusts a package by name on the command line.
"""

import hashlib
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lossheads.datasets.dataset import DatasetSource
from lossheads.engine.cohort import OptimizerBuilder
from lossheads.engine.member import BackboneBuilder
from lossheads.errors import TRUST_GIVEN, UserError, near_matches
from lossheads.heads.base import Head
from lossheads.runs.validate import check_optimizer, is_number, try_head

# Where the parts of a run come from. Nothing else is called for a configuration.
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


def build_parts(config: Mapping[str, Any]) -> Parts:
    """Build what `config` names; heads that do not fit the dataset's outcome refuse here.

    Raises:
        UserError: A target outside its role, an unknown option, an unfit pair.
    """
    trust = config["trust"]
    _refuse_smuggled(trust)
    made = {role: build(role, config[role], trust) for role in ROLES}
    source: DatasetSource = made["dataset"]
    optimizer, rates = _split_optimizer(made["optimizer"])
    schedule = made["schedule"]
    _try_schedule(schedule)
    return Parts(source, _fit(made["head"], source), made["model"], optimizer, rates, schedule)


def content_of(config: Mapping[str, Any], source: DatasetSource) -> dict[str, str]:
    """Digests of what the configuration names but does not hold: the user's files and modules.

    Part of a run's key, so that an edited file is another run. Empty without such things.
    """
    content = {}
    fingerprint = getattr(source, "fingerprint", None)
    if fingerprint is not None:
        content["dataset"] = str(fingerprint())
    for role in ROLES:
        module = str(config[role]["_target_"]).rpartition(".")[0]
        code = getattr(sys.modules.get(module), "__file__", None)
        if code and module.split(".")[0] not in ("lossheads", "torch"):
            content[role] = hashlib.sha256(Path(code).read_bytes()).hexdigest()[:16]
    return content


def build_head(config: Mapping[str, Any]) -> Head:
    """The head alone, for whoever needs to know its outcome without any data."""
    return _fit(
        build("head", config["head"], config["trust"]),
        build("dataset", config["dataset"], config["trust"]),
    )


def build(role: str, node: Mapping[str, Any], trust: Sequence[str]) -> Any:
    """The object a YAML node describes: its target called, or partly applied, with its options."""
    if not isinstance(node, Mapping) or "_target_" not in node:
        raise UserError(
            f"{role} got {node!r}: it needs a mapping with a _target_; choose one with {role}=NAME"
        )
    if not isinstance(node["_target_"], str):
        raise UserError(f"{role} got _target_={node['_target_']!r}: it is a name, package.Name")
    if not isinstance(node.get("_partial_", False), bool):
        raise UserError(f"{role} got _partial_={node['_partial_']!r}: it is true or false")
    options = {key: value for key, value in node.items() if key not in ("_target_", "_partial_")}
    target = _admit(role, node["_target_"], trust)
    _refuse_nested(role, options)
    _refuse_unknown(role, target, options)
    if node.get("_partial_", False):
        return partial(target, **options)
    try:
        return target(**options)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{role} {_name(target)} refuses {_describe_options(options)}: {error}"
        ) from error


def _refuse_smuggled(trust: Sequence[str]) -> None:
    """Trust comes from the command line; a configuration file cannot grant it to itself."""
    given = os.environ.get(TRUST_GIVEN)
    if given is not None and not set(trust) <= set(given.split(",")):
        raise UserError(
            f"a configuration file trusts {', '.join(trust)}: only you can, on the command line, "
            f"with trust=[{','.join(trust)}]"
        )


def _admit(role: str, path: str, trust: Sequence[str]) -> Callable[..., Any]:
    allowed = [ROLES[role], *trust]
    if not any(path.startswith(f"{package}.") for package in allowed):
        raise UserError(
            f"{role} names _target_ {path}: a {role} comes from {ROLES[role]}; if you trust "
            f"the package, say so on the command line with trust=[{path.split('.')[0]}]"
        )
    if trust and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # a user's own module lies where they stand
    module, _, name = path.rpartition(".")
    try:
        target = getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:  # a user's module may fail in any way
        raise UserError(
            f"{role} names _target_ {path}, which cannot be imported: {_first_line(error)}"
        ) from error
    # `lossheads.heads.base.os` starts well and is not ours: what counts is where it was written.
    home = getattr(target, "__module__", None) or ""
    if not callable(target) or not any(f"{home}.".startswith(f"{pkg}.") for pkg in allowed):
        raise UserError(
            f"{role} names _target_ {path}, which is not defined in {' or '.join(allowed)}"
        )
    return target  # type: ignore[no-any-return]


def _refuse_nested(role: str, options: Any) -> None:
    values = options.values() if isinstance(options, Mapping) else options
    if isinstance(options, Mapping) and "_target_" in options:
        raise UserError(f"{role} holds a nested _target_: options are plain values here")
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
                f"{role} {_name(target)} has no option {name!r}; {near_matches(name, known)}"
            )


def _fit(head: Callable[..., Head], source: DatasetSource) -> Head:
    outcome = source.outcome
    try:
        made = head(outcome=outcome)
    except UserError:
        raise
    except Exception as error:  # a user's own head may fail in any way
        said = _first_line(error)
        raise UserError(f"head {_name(head)} refuses its options: {said}") from error
    try_head(made, _name(head))
    return made


def _split_optimizer(made: partial[Any]) -> tuple[OptimizerBuilder, dict[str, Any]]:
    """The bare optimizer and its keyword arguments, tried once on a single weight."""
    if not isinstance(made, partial) or "lr" not in made.keywords:
        raise UserError("optimizer needs _partial_: true and a learning rate lr in its YAML")
    _refuse_kinds(made)
    kwargs = {k: tuple(v) if isinstance(v, list) else v for k, v in made.keywords.items()}
    check_optimizer(kwargs)
    try:
        weight = nn.Parameter(torch.zeros(1))
        weight.grad = torch.zeros(1)
        made.func([weight], **kwargs).step()
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
        else:  # no default to compare with; of torch's switches without one, none is a word
            valid, rule = not isinstance(value, str), "true, false or null"
        if not valid:
            raise UserError(f"optimizer.{name} must be {rule} for {_name(made)}, got {value}")


def _try_schedule(schedule: Callable[[float], float]) -> None:
    """A schedule that refuses its options does so now, and one that gives no number."""
    try:
        factors = [schedule(progress) for progress in (0.0, 0.5, 1.0)]
    except UserError:
        raise
    except Exception as error:  # a user's own schedule may fail in any way
        raise UserError(f"schedule {_name(schedule)} fails: {_first_line(error)}") from error
    if not all(map(is_number, factors)):
        raise UserError(
            f"schedule {_name(schedule)} gives {factors[0]!r}: it needs a factor on the learning "
            f"rate, a number"
        )


def _name(target: Any) -> str:
    inner = target.func if isinstance(target, partial) else target
    return str(getattr(inner, "__name__", inner))


def _describe_options(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in options.items()) or "no options"


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
