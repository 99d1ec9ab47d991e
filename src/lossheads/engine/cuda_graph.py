"""The CUDA graph of a training step: captured once, then replayed.

A GPU runs a small step faster than Python can launch its kernels. The tests on a CPU check the
bookkeeping with a stand-in for the graph; `tests/engine/test_cuda.py` needs a GPU.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# Calls before the capture: libraries choose kernels and allocate workspace in their first calls,
# which a graph must not contain.
WARMUP_CALLS = 3

Work = Callable[..., Tensor]
# Work without arguments -> the buffer of its result, and a call that fills the buffer again.
Capture = Callable[[Callable[[], Tensor]], tuple[Tensor, Callable[[], object]]]


def capture_cuda_graph(work: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], object]]:
    """Capture `work` on the GPU without running it."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = work()
    return result, graph.replay


def on_side_stream(work: Work, *tensors: Tensor) -> Tensor:
    """Run `work` on a stream of its own: graphs cannot be captured on the default stream."""
    stream, here = torch.cuda.Stream(), torch.cuda.current_stream()
    stream.wait_stream(here)
    with torch.cuda.stream(stream):
        result = work(*tensors)
    here.wait_stream(stream)
    return result


class CUDAGraphStep:
    """`work`, replayed as a CUDA graph from its fourth call on.

    Args:
        work: Reads its arguments and its own tensors, writes its own tensors in place, and never
            waits for the device. Its arguments have the same shapes in every call.
    """

    def __init__(
        self, work: Work, capture: Capture = capture_cuda_graph, warmup: Any = on_side_stream
    ) -> None:
        self._work, self._capture, self._warmup = work, capture, warmup
        self._calls = 0
        self._buffers: list[Tensor] = []
        self._captured: tuple[Tensor, Callable[[], object]] | None = None

    def __call__(self, *tensors: Tensor) -> Tensor:
        if self._calls < WARMUP_CALLS:
            self._calls += 1
            result: Tensor = self._warmup(self._work, *tensors)
            return result
        if self._captured is None:
            self._buffers = [tensor.clone() for tensor in tensors]
            self._captured = self._capture(lambda: self._work(*self._buffers))
        for buffer, tensor in zip(self._buffers, tensors, strict=True):
            buffer.copy_(tensor)
        captured, replay = self._captured
        replay()
        return captured.clone()  # the next replay overwrites it
