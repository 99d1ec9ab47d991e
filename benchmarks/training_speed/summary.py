"""From seconds per step to what is compared: medians, ratios, MFU; and the conditions."""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.training_speed.session import Row
from benchmarks.training_speed.setting import EPOCH, MODELS, flops_per_image

# The cohort that others are compared with: this many members, or the largest smaller one measured.
REFERENCE_MEMBERS = 20

_PACKAGES = ("lossheads", "torch", "torchvision", "numpy", "lightning", "keras", "jax", "jaxlib")


@dataclass(frozen=True)
class Summary:
    """One row of the table.

    Attributes:
        seconds_per_member_epoch: Median over rounds: seconds in which one member sees 60,000
            images.
        rounds: The same, round by round.
        mfu: Model FLOPs utilisation: seconds that the step's matrix products would take at the
            rate of one large product, by the library that is fastest at it here, ÷ the median.
        mfu_torch: The same by torch's rate. Above 1: another library multiplies faster.
        to_alone: Times as long as one member of this project; None where that was not measured.
        cohort: K of the cohort of this project that `to_cohort` refers to.
        to_cohort: Times as long as that cohort, likewise.
        plain_runs: What K members cost, in runs of the plain loop; likewise.
    """

    peer: str
    model: str
    batch: int
    members: int
    seconds_per_member_epoch: float
    rounds: list[float]
    mfu: float
    mfu_torch: float
    to_alone: float | None
    cohort: int | None
    to_cohort: float | None
    plain_runs: float | None
    steps_per_round: int
    first_seconds: float


def summarize(rows: Sequence[Row], gemm_rates: Mapping[str, float]) -> list[Summary]:
    """All rows; ratios are between medians of the same model and batch.

    Args:
        gemm_rates: FLOP/s by the names in `peers.GEMMS`, torch's among them.
    """
    return [_summarize(row, rows, gemm_rates) for row in rows]


def bound_seconds(model: str, gemm_rate: float) -> float:
    """The arithmetic bound: seconds per member-epoch that the matrix products alone would take."""
    return EPOCH * flops_per_image(MODELS[model]) / gemm_rate


def conditions(threads: int) -> dict[str, Any]:
    """When, on what and with which versions; `load` (of the last minute) shows if it was quiet."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu(),
        "card": _card(),
        "cores": os.cpu_count(),
        "threads": threads,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "platform": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def available_threads() -> int:
    """Processors this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _summarize(row: Row, rows: Sequence[Row], gemm_rates: Mapping[str, float]) -> Summary:
    alike = [other for other in rows if other.setting == row.setting]
    own = _member_epoch(row)
    members = _reference_members(alike)
    cohort = _of(alike, "lossheads", members)
    alone, plain = _of(alike, "lossheads", 1), _of(alike, "plain", 1)
    return Summary(
        peer=row.peer,
        model=row.setting.model,
        batch=row.setting.batch,
        members=row.members,
        seconds_per_member_epoch=median(own),
        rounds=own,
        mfu=bound_seconds(row.setting.model, max(gemm_rates.values())) / median(own),
        mfu_torch=bound_seconds(row.setting.model, gemm_rates["gemm-torch"]) / median(own),
        to_alone=None if alone is None else median(own) / alone,
        cohort=members,
        to_cohort=None if cohort is None else median(own) / cohort,
        plain_runs=None if plain is None else row.members * median(own) / plain,
        steps_per_round=row.steps,
        first_seconds=row.first_seconds,
    )


def _reference_members(rows: Sequence[Row]) -> int | None:
    counts = [row.members for row in rows if row.peer == "lossheads" and row.members > 1]
    return max((k for k in counts if k <= REFERENCE_MEMBERS), default=min(counts, default=None))


def _member_epoch(row: Row) -> list[float]:
    scale = EPOCH / row.setting.batch / row.members
    return [seconds * scale for seconds in row.rounds]


def _of(rows: Sequence[Row], peer: str, members: int | None) -> float | None:
    found = [row for row in rows if (row.peer, row.members) == (peer, members)]
    return median(_member_epoch(found[0])) if found else None


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    name = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    vectors = [word for word in ("avx2", "avx512f") if re.search(rf"\b{word}\b", text)]
    model = name[1] if name else platform.processor() or platform.machine()
    return " ".join([model, *vectors[-1:]])


def _card() -> str | None:
    """Name and driver of the first card, by nvidia-smi; this process loads no torch."""
    if shutil.which("nvidia-smi") is None:
        return None
    call = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    printed = subprocess.run(call, capture_output=True, text=True).stdout
    return next(iter(printed.splitlines()), None)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
