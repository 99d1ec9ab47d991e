"""One net, tensors that stay where they are, fused Adam: the loop a careful person writes."""

from collections.abc import Iterator
from time import perf_counter

import torch
from torch import Tensor
from torch.nn import functional

from bench.peers import Run
from bench.peers.torch_parts import plain_net
from bench.setting import LEARNING_RATE, WARM_STEPS, Setting, load_rows


def build(setting: Setting) -> Run:
    images, classes = (torch.from_numpy(array) for array in load_rows(setting))
    inputs = images.unsqueeze(1).float().div_(255)
    net = plain_net(setting)
    optimizer = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE, fused=True)
    batches = _batches(len(inputs), setting.batch)

    def run(members: int, steps: int) -> float:
        started = 0.0
        for step in range(WARM_STEPS + steps):
            if step == WARM_STEPS:
                started = perf_counter()
            index = next(batches)
            logits = net(inputs.index_select(0, index))
            loss = functional.cross_entropy(logits, classes.index_select(0, index))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        return perf_counter() - started

    return run


def _batches(rows: int, batch: int) -> Iterator[Tensor]:
    while True:
        yield from torch.randperm(rows).split(batch)
