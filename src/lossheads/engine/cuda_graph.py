"""A step recorded once and replayed: a card runs a small step faster than Python can launch it.

Nothing here has met a card yet: the CPU tests hold the bookkeeping with a stand-in for the
recording, `tests/engine/test_cuda.py` waits for the real thing, and `device.graph` is off.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# Calls made as they are before one is recorded: libraries choose kernels and take workspace in
# their first calls, which a recording must not contain.
WARMUP_CALLS = 3

Work = Callable[..., Tensor]
# From work without arguments to the buffer of its result and a call that fills it anew.
Capture = Callable[[Callable[[], Tensor]], tuple[Tensor, Callable[[], object]]]


def capture_cuda_graph(work: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], object]]:
    """Capture `work` on the card without carrying it out."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = work()
    return result, graph.replay


def on_side_stream(work: Work, *tensors: Tensor) -> Tensor:
    """Carry `work` out where a recording will be made: never on the card's default stream."""
    stream, here = torch.cuda.Stream(), torch.cuda.current_stream()
    stream.wait_stream(here)
    with torch.cuda.stream(stream):
        result = work(*tensors)
    here.wait_stream(stream)
    return result


class CUDAGraphStep:
    """`work`, called through a recording from its fourth call on.

    Args:
        work: Reads its arguments and what it keeps, writes in place what it keeps, waits for
            nothing. Its arguments have the same shapes at every call.
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
            warmed: Tensor = self._warmup(self._work, *tensors)
            return warmed
        if self._captured is None:
            self._buffers = [tensor.clone() for tensor in tensors]
            self._captured = self._capture(lambda: self._work(*self._buffers))
        for buffer, tensor in zip(self._buffers, tensors, strict=True):
            buffer.copy_(tensor)
        result, replay = self._captured
        replay()
        return result.clone()  # the next replay overwrites it
