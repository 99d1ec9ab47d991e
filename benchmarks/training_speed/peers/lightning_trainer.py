"""Lightning's Trainer with every default as installed: logger, checkpoints, progress bar."""

import tempfile
from time import perf_counter
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader

from benchmarks.training_speed.peers import Run
from benchmarks.training_speed.peers.torch_parts import plain_net
from benchmarks.training_speed.peers.torchvision_rows import Rows
from benchmarks.training_speed.setting import LEARNING_RATE, WARM_STEPS, Setting


class Classifier(LightningModule):
    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.net = plain_net(setting)

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        images, labels = batch
        loss = functional.cross_entropy(self.net(images), labels)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=LEARNING_RATE)


class Clock(Callback):
    """Reads the clock after the last warm step and after the last step."""

    def __init__(self, steps: int) -> None:
        self.reads: list[float] = []
        self._at = (WARM_STEPS, WARM_STEPS + steps)

    def on_train_batch_end(self, trainer: Trainer, *rest: Any) -> None:
        if trainer.global_step in self._at:
            self.reads.append(perf_counter())


def build(setting: Setting) -> Run:
    loader = DataLoader(Rows(setting), setting.batch, shuffle=True)
    classifier = Classifier(setting)

    def run(members: int, steps: int) -> float:
        clock = Clock(steps)
        with tempfile.TemporaryDirectory() as folder:
            trainer = Trainer(
                max_steps=WARM_STEPS + steps, callbacks=[clock], default_root_dir=folder
            )
            trainer.fit(classifier, loader)
        started, ended = clock.reads
        return ended - started

    return run
