"""This project, built as `experiment.execute` builds it: K seeds of one configuration."""

from collections.abc import Iterator
from time import perf_counter

import torch
from torch import Tensor

from bench.peers import Run
from bench.setting import LEARNING_RATE, MODELS, WARM_STEPS, NotMeasured, Setting, load_rows
from lossheads.batches import stream
from lossheads.cohort import Batch, Cohort, build_cohort, can_stack
from lossheads.configuration import compose
from lossheads.datasets.fashion_mnist import pixels
from lossheads.experiment.building import build_parts
from lossheads.experiment.devices import prepare
from lossheads.members import Member


def build(setting: Setting) -> Run:
    config = compose(overrides(setting))
    device = prepare(config["device"])
    parts = build_parts(config)
    images, classes = load_rows(setting)
    inputs, labels = pixels(images), torch.from_numpy(classes)
    shape = tuple(inputs.shape[1:])
    most = int(config["cohort"]["max_members"])
    kept: dict[int, list[tuple[Cohort, Iterator[Batch]]]] = {}

    def company(members: int) -> list[tuple[Cohort, Iterator[Batch]]]:
        """Cohorts of at most `max_members` that train one after another, as the engine does."""
        seeds = range(members)
        everyone = [
            Member(parts.head, seed, seed if setting.order == "own" else 0, parts.rates)
            for seed in seeds
        ]
        groups = [everyone[at : at + most] for at in range(0, members, most)]
        return [
            (
                build_cohort(parts.trunk, shape, group, labels, parts.optimizer, device),
                stream(len(inputs), setting.batch, [one.data_seed for one in group], device),
            )
            for group in groups
        ]

    def run(members: int, steps: int) -> float:
        if members > 1 and not can_stack(parts.trunk, shape, parts.optimizer, parts.rates):
            raise NotMeasured("the engine trains these members one by one: K times the cost of one")
        if members not in kept:
            kept[members] = company(members)
        seconds = 0.0
        for cohort, batches in kept[members]:
            _walk(cohort, inputs, batches, WARM_STEPS)
            started = perf_counter()
            _walk(cohort, inputs, batches, steps)
            seconds += perf_counter() - started
        return seconds

    return run


def _walk(cohort: Cohort, inputs: Tensor, batches: Iterator[Batch], steps: int) -> None:
    for _ in range(steps):
        cohort.scale_rates(1.0)  # the loop sets the schedule's factor at every step
        cohort.step(inputs, next(batches))


def overrides(setting: Setting) -> list[str]:
    """The setting in the words of the command line."""
    model = MODELS[setting.model]
    if model.channels:
        net = ["model=cnn", f"model.channels={list(model.channels)}"]
        net.append(f"model.dense={model.hidden[0]}")
    else:
        net = ["model=mlp", f"model.hidden={list(model.hidden)}"]
    return [
        "dataset=fashion_mnist",
        "head=softmax_cce",
        "optimizer=adam",
        f"optimizer.lr={LEARNING_RATE}",
        "device=cpu",
        f"device.threads={setting.threads}",
        f"training.batch_size={setting.batch}",
        *net,
    ]
