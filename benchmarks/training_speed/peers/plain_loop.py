"""One net, tensors resident on the device, fused Adam: the loop a careful person writes."""

from collections.abc import Iterator
from time import perf_counter

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.training_speed.peers import Run
from benchmarks.training_speed.peers.torch_parts import in_precision, plain_net, wait_for_card
from benchmarks.training_speed.setting import LEARNING_RATE, WARM_STEPS, Setting, load_rows


def build(setting: Setting) -> Run:
    rows = load_rows(setting)
    images, classes = (torch.from_numpy(array).to(setting.device) for array in rows)
    inputs = images.unsqueeze(1).float().div_(255)
    net = plain_net(setting).to(setting.device)
    forward = in_precision(net, setting)
    optimizer = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE, fused=True)
    batches = _batches(len(inputs), setting.batch, setting.device)

    def run(members: int, steps: int) -> float:
        started = 0.0
        for step in range(WARM_STEPS + steps):
            if step == WARM_STEPS:
                wait_for_card(setting)
                started = perf_counter()
            index = next(batches)
            logits = forward(inputs.index_select(0, index))
            loss = functional.cross_entropy(logits, classes.index_select(0, index))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        wait_for_card(setting)
        return perf_counter() - started

    return run


def _batches(rows: int, batch: int, device: str) -> Iterator[Tensor]:
    while True:
        yield from torch.randperm(rows, device=device).split(batch)
