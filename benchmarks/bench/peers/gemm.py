"""The machine's rate at what a net mostly is: one large product in float32, by one library."""

from collections.abc import Callable
from importlib import import_module
from time import perf_counter
from typing import Any

import numpy as np

from bench.peers import Run
from bench.setting import GEMM_SIZE, Setting


def build(setting: Setting, library: str) -> Run:
    square = np.random.default_rng(0).random((GEMM_SIZE, GEMM_SIZE), dtype=np.float32)
    multiply = _LIBRARIES[library](square)

    def run(members: int, steps: int) -> float:
        multiply()
        started = perf_counter()
        for _ in range(steps):
            multiply()
        return perf_counter() - started

    return run


def _torch(square: Any) -> Callable[[], Any]:
    torch = import_module("torch")
    factor, product = torch.from_numpy(square), torch.empty(square.shape)
    return lambda: torch.mm(factor, factor, out=product)


def _numpy(square: Any) -> Callable[[], Any]:
    product = np.empty_like(square)
    return lambda: np.matmul(square, square, out=product)


def _jax(square: Any) -> Callable[[], Any]:
    jax = import_module("jax")
    factor, multiply = jax.numpy.asarray(square), jax.jit(lambda x: x @ x)
    return lambda: multiply(factor).block_until_ready()


_LIBRARIES = {"torch": _torch, "numpy": _numpy, "jax": _jax}
