"""Device, number of threads and precision of a run."""

import os
import sys
from collections.abc import Mapping
from ctypes import CDLL
from functools import cache
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossheads.errors import UserError

if TYPE_CHECKING:  # torch is imported where a device is used: a finished run needs none
    import torch

# What a driver of NVIDIA or AMD shows on Linux, in a container and in Windows' subsystem too.
_GPU_FILES = ("nvidia*", "nvhost*", "nvgpu*", "nvmap", "dxg", "kfd")


# Parameters of glibc's mallopt (malloc.h) and our values: most free bytes that are kept, and most
# bytes of one tensor that may come from them (the most that glibc accepts).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES, _TENSOR_BYTES = 2**28, 2**25


@cache
def _has_gpu() -> bool:
    """Whether torch can use a GPU; torch is not asked where there cannot be one."""
    if sys.platform == "linux" and not any(glob(f"/dev/{name}") for name in _GPU_FILES):
        return False
    import torch

    return torch.cuda.is_available()


def resolve_kind(kind: str) -> str:
    """`auto` becomes `cuda` if there is a GPU, else `cpu`; `cuda` without a GPU is refused."""
    if kind == "cpu":
        return kind
    available = _has_gpu()
    if kind == "auto":
        return "cuda" if available else "cpu"
    if kind == "cuda" and not available:
        raise UserError(
            "device=cuda finds no CUDA device that this torch can use: choose device=cpu or "
            "device=auto, or check the driver with nvidia-smi"
        )
    return kind


def cores() -> int:
    """Processors this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_bytes(device: "torch.device") -> int:
    """Free memory of the GPU, or of the machine; 4 GiB where the system does not tell."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        meminfo = Path("/proc/meminfo").read_text().split("MemAvailable:")[1]
        return 1024 * int(meminfo.split()[0])
    except (OSError, IndexError, ValueError):
        return 4 * 1024**3


def workers(settings: Mapping[str, Any]) -> int:
    """Number of cohorts that train at the same time: one per CPU thread, one on a GPU.

    Raises:
        UserError: On threads that are not between 1 and the cores.
    """
    threads, available = settings["threads"], cores()
    if threads is not None and not 1 <= threads <= available:
        raise UserError(
            f"device.threads must be between 1 and {available}, the cores of this machine, got "
            f"{threads}"
        )
    return (threads or available) if settings["kind"] == "cpu" else 1


@cache
def _keep_freed_memory() -> None:
    """Let glibc keep what is freed: the pages of fresh memory cost more than filling them.

    Torch makes and frees some tensors of megabytes in every step on images; by default their pages
    go back to the system each time (measured: 18.9 against 16.7 ms a step, cnn-32-64).
    """
    mallopt = getattr(CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _TENSOR_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def prepare(settings: Mapping[str, Any], threads: int) -> "torch.device":
    """Set torch's precision and denormals for this thread and process; returns the device.

    Args:
        threads: How many torch may use for one operation of this thread.

    Raises:
        UserError: If the precision or CUDA graphs need a GPU.
    """
    import torch

    kind, precision = settings["kind"], settings["precision"]
    if precision == "tf32" and kind != "cuda":
        raise UserError(
            "device.precision=tf32 needs device=cuda; on a CPU choose float32 or bfloat16"
        )
    if settings["graph"] and kind != "cuda":
        raise UserError("device.graph=true needs device=cuda: CUDA graphs need a GPU")
    torch.set_num_threads(threads)
    if kind == "cpu":
        _keep_freed_memory()
    # Adam's moments of constant inputs decay into denormals, which are far slower. The CPU keeps
    # this setting per thread.
    torch.set_flush_denormal(True)
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    if settings["deterministic"]:
        # cuBLAS reads this once, when it starts; deterministic products need it.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    # `use_deterministic_algorithms` does the same and imports torch's compiler, a second or two.
    torch.set_deterministic_debug_mode("error" if settings["deterministic"] else "default")
    return torch.device(kind)
