"""Software and hardware of a run."""

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from lossheads.records import Environment

_PACKAGES = (
    "lossheads",
    "torch",
    "torchvision",
    "hydra-core",
    "omegaconf",
    "numpy",
    "scikit-learn",
)

_FOR_GIT = ("PATH", "HOME", "SYSTEMROOT")


def describe_environment(device: torch.device) -> Environment:
    """Git commit, versions, device, threads, time: the content of `environment.json`."""
    commit, changed = _git()
    return {
        "git": {"commit": commit, "changed": changed},
        "python": platform.python_version(),
        "packages": dict(_versions()),
        "device": _device_name(device),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "flush_denormal": True,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@cache
def _git() -> tuple[str | None, bool | None]:
    """Commit of the checkout that this code runs from, and whether files differ from it.

    None for an installed package, also inside somebody else's checkout. Variables such as
    GIT_CONFIG_COUNT make git run commands: it is given none but where programs and its own
    settings lie, and asks no monitor of files.
    """
    top = Path(__file__).resolve().parents[3]
    if not (top / ".git").exists():
        return None, None
    environment = {name: os.environ[name] for name in _FOR_GIT if name in os.environ}
    options = ["-c", "core.fsmonitor=false", "--no-optional-locks", "-C", str(top)]

    def ask(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", *options, *arguments],
                capture_output=True,
                text=True,
                timeout=10,
                env=environment,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    if ask("ls-files", "--error-unmatch", __file__) is None:
        return None, None  # not part of this checkout
    commit, changes = ask("rev-parse", "HEAD"), ask("status", "--porcelain", "--", str(top))
    return commit, None if changes is None else bool(changes)


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    found = []
    for name in _PACKAGES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            found.append((name, "absent"))
    return tuple(found)


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return processor() or f"{platform.machine()} CPU"


@cache
def processor() -> str:
    """The model's name, as Linux tells it; empty elsewhere. Last bits of numbers depend on it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else ""
