"""The machine's rate at what a net mostly is: one large product in float32."""

from time import perf_counter

import torch

from bench.peers import Run
from bench.setting import GEMM_SIZE, Setting


def build(setting: Setting) -> Run:
    draw = torch.Generator().manual_seed(0)
    left, right = (torch.rand(GEMM_SIZE, GEMM_SIZE, generator=draw) for _ in range(2))
    product = torch.empty(GEMM_SIZE, GEMM_SIZE)

    def run(members: int, steps: int) -> float:
        torch.mm(left, right, out=product)
        started = perf_counter()
        for _ in range(steps):
            torch.mm(left, right, out=product)
        return perf_counter() - started

    return run
