"""The loop of PyTorch's quickstart tutorial, with Adam."""

from time import perf_counter

import torch
from torch import nn
from torch.utils.data import DataLoader

from benchmarks.training_speed.peers import Run
from benchmarks.training_speed.peers.torch_parts import endless, plain_net
from benchmarks.training_speed.peers.torchvision_rows import Rows
from benchmarks.training_speed.setting import LEARNING_RATE, WARM_STEPS, Setting


def build(setting: Setting, workers: int) -> Run:
    loader = DataLoader(Rows(setting), setting.batch, shuffle=True, num_workers=workers)
    net, loss_fn = plain_net(setting), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE)

    def run(members: int, steps: int) -> float:
        net.train()
        batches, started = endless(loader), 0.0
        for step in range(WARM_STEPS + steps):
            if step == WARM_STEPS:
                started = perf_counter()
            images, labels = next(batches)
            loss = loss_fn(net(images), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            if step % 100 == 0:  # the tutorial prints here
                loss.item()
        return perf_counter() - started

    return run
