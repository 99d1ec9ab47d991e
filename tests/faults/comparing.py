"""What stands in an output folder, without what differs between two equal trainings."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from lossheads.records import read_result

# Of the calls that met a fault, in the test at work: see `--faults-log`.
statuses: list[int] = []

# Clocks, and in which company a run was trained.
_VOLATILE = ("seconds", "checksum", "environments")
_LINES_WITH_CLOCKS = r"(?m)^.*([Ss]tarted|cpu.capability|\b[\d.]+ s\b).*$\n"
_COMPANY = ("started", "members", "workers", "threads", "resumed_at")


def contents(outputs: Path) -> dict[str, Any]:
    """Run folder / file -> content, every bit that a training decides."""
    found: dict[str, Any] = {}
    for folder in sorted((outputs / "runs").glob("*")):
        for path in sorted(folder.iterdir()):
            name = "events" if path.name.startswith("events.out") else path.name
            assert f"{folder.name}/{name}" not in found, "two files of events"
            found[f"{folder.name}/{name}"] = _content(path)
    for path in sorted((outputs / "claims").rglob("*")):
        if path.is_file():
            found[str(path.relative_to(outputs))] = _content(path)
    return found


def results(outputs: Path) -> dict[str, Any]:
    """Run folder -> what its result says; a damaged one is an error."""
    found = {}
    for folder in sorted((outputs / "runs").glob("*")):
        if read_result(folder) is not None:
            found[folder.name] = _content(folder / "result.json")
    return found


def left_over(outputs: Path) -> list[str]:
    """Files that belong to no finished run, verdict or page."""
    return [
        str(path.relative_to(outputs))
        for path in outputs.rglob("*")
        if path.name in (".new", ".whole") or path.name.endswith(".part")
    ]


def said_finished_too_early(outputs: Path) -> list[str]:
    """Run folders whose status is that of a finished run, and that have no result."""
    found = []
    for path in (outputs / "runs").glob("*/status.json"):
        text = path.read_text()
        over = text and json.loads(text)["status"] in ("finished", "diverged")
        if over and not (path.parent / "result.json").exists():
            found.append(path.parent.name)
    return found


def _content(path: Path) -> Any:
    if path.name == ".lock":  # what stands in it nobody reads
        return None
    if path.name == "weights.pt":
        return {name: t.numpy().tobytes() for name, t in torch.load(path).items()}
    if path.name == "predictions.npz":
        with np.load(path) as arrays:
            return {name: arrays[name].tobytes() for name in arrays.files}
    if path.name.startswith("events.out"):
        return _events(path)
    if path.suffix == ".json":
        return _without_clocks(json.loads(path.read_text()))
    if path.name == "config.yaml":
        return re.sub(r"(?m)^force: .*$", "", path.read_text())
    if path.suffix in (".md", ".html"):
        return re.sub(_LINES_WITH_CLOCKS, "", path.read_text())
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _without_clocks(data: Any) -> Any:
    if isinstance(data, Mapping):
        kept = {k: _without_clocks(v) for k, v in data.items() if k not in _VOLATILE + _COMPANY}
        kept.pop("force", None)
        return kept
    if isinstance(data, list):
        return [_without_clocks(value) for value in data]
    return data


def _events(path: Path) -> list[tuple[int, str, bytes]]:
    """Step, tag and value of every number, picture and text, but for the one with the clock."""
    return sorted(
        (event.step, value.tag, value.SerializeToString(deterministic=True))
        for event in EventFileLoader(str(path)).Load()
        for value in event.summary.value
        if value.tag not in ("about/run/text_summary", "_hparams_/session_start_info")
    )
