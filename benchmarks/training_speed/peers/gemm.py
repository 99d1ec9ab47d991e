"""The machine's arithmetic rate: one large matrix product, by one library."""

from collections.abc import Callable
from importlib import import_module
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.training_speed.peers import Run
from benchmarks.training_speed.setting import GEMM_SIZE, Setting


def build(setting: Setting, library: str) -> Run:
    size = GEMM_SIZE[setting.device]
    square = np.random.default_rng(0).random((size, size), dtype=np.float32)
    multiply = _LIBRARIES[library](square, setting)

    def run(members: int, steps: int) -> float:
        multiply()
        _wait_for_card(setting)
        started = perf_counter()
        for _ in range(steps):
            multiply()
        _wait_for_card(setting)
        return perf_counter() - started

    return run


def _wait_for_card(setting: Setting) -> None:
    if setting.device == "cuda":  # torch alone measures there
        import_module("torch").cuda.synchronize()


def _torch(square: Any, setting: Setting) -> Callable[[], Any]:
    torch = import_module("torch")
    torch.set_float32_matmul_precision("high" if setting.precision == "tf32" else "highest")
    dtype = torch.bfloat16 if setting.precision == "bfloat16" else torch.float32
    factor = torch.from_numpy(square).to(setting.device, dtype)
    product = torch.empty_like(factor)
    return lambda: torch.mm(factor, factor, out=product)


def _numpy(square: Any, setting: Setting) -> Callable[[], Any]:
    product = np.empty_like(square)
    return lambda: np.matmul(square, square, out=product)


def _jax(square: Any, setting: Setting) -> Callable[[], Any]:
    jax = import_module("jax")
    factor, multiply = jax.numpy.asarray(square), jax.jit(lambda x: x @ x)
    return lambda: multiply(factor).block_until_ready()


_LIBRARIES = {"torch": _torch, "numpy": _numpy, "jax": _jax}
