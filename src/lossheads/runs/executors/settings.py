"""What a configuration says about who trains it; checked without torch, before anything else."""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from lossheads.errors import UserError
from lossheads.runs.device import resolve_kind

# Of sbatch, and set by this project or by submitit.
_OWN_DIRECTIVES = {
    *("job-name", "array", "output", "error", "open-mode", "signal", "chdir", "wrap", "export"),
    *("export-file", "ntasks", "ntasks-per-node", "nodes", "requeue", "no-requeue", "dependency"),
}
_SETTINGS = {"time", "partition", "account", "mem", "cpus-per-task", "gpus-per-node"}
_WORD = re.compile(r"[\w.,:;=@%+/\[\]()&|*!-]+")


def is_remote(config: Mapping[str, Any]) -> bool:
    """Whether other machines train the run."""
    return bool(config["executor"]["kind"] != "local")


def placed(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with `device.kind` as it is on the machine that trains.

    Raises:
        UserError: If the device cannot be known or used there, or this process is one of several
            that share a run.
    """
    refuse_world()
    kind = config["device"]["kind"]
    kind = _said_kind(config) if is_remote(config) else resolve_kind(kind)
    return {**config, "device": {**config["device"], "kind": kind}}


def refuse_world() -> None:
    """Refuse torchrun and its like, which start one run as several processes.

    Raises:
        UserError: If there are several.
    """
    size = os.environ.get("WORLD_SIZE", "")
    if size.isdecimal() and int(size) > 1:
        raise UserError(
            f"WORLD_SIZE is {size}, but a run is one process here: start lossheads once, without "
            f"torchrun; many runs go to a cluster with executor=slurm or executor=ray"
        )


def refuse_several(configs: Sequence[Mapping[str, Any]]) -> None:
    """Refuse runs that ask for different executors, or remote ones for different folders.

    Raises:
        UserError: Naming both.
    """
    for config in configs[1:]:
        first = configs[0]
        if config["executor"] != first["executor"]:
            kinds = dict.fromkeys((first["executor"]["kind"], config["executor"]["kind"]))
            raise UserError(
                f"a sweep must have one executor with one value for each of its settings, got "
                f"{' and '.join(kinds) if len(kinds) > 1 else 'different settings of one'}: start "
                f"one sweep for each"
            )
        if is_remote(config) and config["output_dir"] != first["output_dir"]:
            raise UserError(
                f"executor={config['executor']['kind']} must have one value of output_dir, got "
                f"{first['output_dir']} and {config['output_dir']}"
            )


def _said_kind(config: Mapping[str, Any]) -> str:
    executor, device = config["executor"], config["device"]
    name = f"executor={executor['kind']}"
    if device["kind"] == "auto":
        raise UserError(
            f"{name} must have device=cpu or device=cuda, got device=auto: this machine cannot "
            f"know what the others have"
        )
    if device["kind"] == "cuda" and not executor["gpus"]:
        raise UserError(
            f"device=cuda needs executor.gpus above 0 with {name}, got {executor['gpus']}"
        )
    threads = device["threads"]
    if threads is not None and not 1 <= threads <= executor["cpus"]:
        raise UserError(
            f"device.threads must be between 1 and executor.cpus, which is {executor['cpus']}, got "
            f"{threads}"
        )
    if executor["kind"] == "slurm":
        _check_words(executor)
    return str(device["kind"])


def _check_words(executor: Mapping[str, Any]) -> None:
    """What becomes lines of a batch script must be one word each: a second line would be run."""
    words = {name: executor[name] for name in ("memory", "partition", "account")}
    for name, value in executor["directives"].items():
        plain = str(name).replace("_", "-")
        if not re.fullmatch(r"[a-z][a-z0-9-]*", plain):
            raise UserError(f"executor.directives got {name!r}: a directive is a word, as in qos")
        if plain in _OWN_DIRECTIVES:
            raise UserError(f"executor.directives.{name} cannot be set: lossheads sets it itself")
        if plain in _SETTINGS:
            raise UserError(
                f"executor.directives.{name} has a setting of its own: use executor.time, "
                f"partition, account, memory, cpus or gpus"
            )
        if value is not True:
            words[f"directives.{name}"] = value
    for name, value in words.items():
        if value is not None and not _WORD.fullmatch(str(value)):
            raise UserError(f"executor.{name} must be one word for sbatch, got {value!r}")
