"""Software and hardware of a run."""

import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

_PACKAGES = (
    "lossheads",
    "torch",
    "torchvision",
    "hydra-core",
    "omegaconf",
    "numpy",
    "scikit-learn",
)


def describe_environment(device: torch.device) -> dict[str, Any]:
    """Git commit, versions, device, threads, time: the content of `environment.json`."""
    return {
        "git": dict(_git()),
        "python": platform.python_version(),
        "packages": dict(_versions()),
        "device": _device_name(device),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "flush_denormal": True,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@cache
def _git() -> tuple[tuple[str, Any], ...]:
    """Commit of the checkout that this code runs from; None for an installed package."""
    here = Path(__file__).parent

    def ask(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(here), *arguments], capture_output=True, text=True, timeout=10
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    if ask("ls-files", "--error-unmatch", __file__) is None:
        return (("commit", None), ("changed", None))  # installed inside somebody else's checkout
    top = ask("rev-parse", "--show-toplevel") or "."
    commit, changes = ask("rev-parse", "HEAD"), ask("status", "--porcelain", "--", top)
    return (("commit", commit), ("changed", None if changes is None else bool(changes)))


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
    return f"{platform.machine()} CPU"
