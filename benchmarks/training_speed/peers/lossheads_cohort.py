"""This project, built as `runs.execute` builds it: K seeds of one configuration."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from math import ceil
from multiprocessing import get_context
from multiprocessing.pool import Pool
from time import perf_counter

import torch

from benchmarks.training_speed.peers import Run
from benchmarks.training_speed.peers.torch_parts import wait_for_card
from benchmarks.training_speed.setting import LEARNING_RATE, MODELS, WARM_STEPS, Setting, load_rows
from lossheads.datasets.fashion_mnist import pixels
from lossheads.engine.batches import batch_stream
from lossheads.engine.cohort import (
    Batch,
    Cohort,
    build_cohort,
    can_stack,
    members_for_caches,
    shares_threads,
)
from lossheads.engine.member import Member, initial_net
from lossheads.runs.build import build_parts
from lossheads.runs.config import compose
from lossheads.runs.device import prepare
from lossheads.runs.plan import MAX_MEMBERS_ON_CPU
from lossheads.runs.workers import in_threads


def build(setting: Setting) -> Run:
    while _pools:  # of the last setting
        _pools.pop().terminate()
    engine = Engine(setting)
    if engine.stacks:
        return engine.train
    if setting.device == "cuda":
        raise ValueError(f"{setting.model} cannot be stacked and is measured on the CPU alone")
    side_by_side = _in_processes(setting)

    def run(members: int, steps: int) -> float:
        return engine.train(1, steps) if members == 1 else side_by_side(members, steps)

    return run


class Engine:
    """The parts of a run and its data; builds cohorts when they are first asked for."""

    def __init__(self, setting: Setting) -> None:
        self._config = compose(overrides(setting))
        self._setting = setting
        self._parts = parts = build_parts(self._config)
        images, classes = load_rows(setting)
        self._inputs, self._labels = (
            tensor.to(setting.device) for tensor in (pixels(images), torch.from_numpy(classes))
        )
        self._shape = tuple(self._inputs.shape[1:])
        self.stacks = can_stack(
            parts.backbone, self._shape, parts.optimizer, parts.optimizer_kwargs
        )
        self._threads = 1 if self.stacks else setting.threads
        on_cpu = setting.device == "cpu"
        # One cohort at a time on a card, and where its threads share the step.
        self._sharing = self.stacks and shares_threads(parts.backbone, self._shape)
        self._threads_at_once = setting.threads if on_cpu and not self._sharing else 1
        self._threads_per_cohort = setting.threads if on_cpu and self._sharing else 1
        self._device = prepare(self._config["device"], self._threads)
        self._kept: dict[int, list[tuple[Cohort, Iterator[Batch]]]] = {}

    def train(self, members: int, steps: int, warm: int = WARM_STEPS) -> float:
        """Seconds of `steps` steps of all members, cohorts side by side."""
        if members not in self._kept:
            self._kept[members] = self._cohorts(members)
        cohorts, stop = self._kept[members], threading.Event()
        in_threads(
            lambda pair: self._train_steps(*pair, warm), cohorts, self._threads_at_once, stop
        )
        wait_for_card(self._setting)
        started = perf_counter()
        in_threads(
            lambda pair: self._train_steps(*pair, steps), cohorts, self._threads_at_once, stop
        )
        wait_for_card(self._setting)
        return perf_counter() - started

    def _train_steps(self, cohort: Cohort, batches: Iterator[Batch], steps: int) -> None:
        prepare(self._config["device"], self._threads)  # settings that torch keeps per thread
        for _ in range(steps):
            cohort.scale_learning_rates(1.0)  # as `train` does at every step
            cohort.step(self._inputs, next(batches))

    def _cohorts(self, members: int) -> list[tuple[Cohort, Iterator[Batch]]]:
        """Cohorts as `runs.plan` forms them, each with its batches."""
        own, parts = self._setting.order == "own", self._parts
        dtype = torch.bfloat16 if self._setting.precision == "bfloat16" else torch.float32
        everyone = [
            Member(parts.head, seed, seed if own else 0, parts.optimizer_kwargs)
            for seed in range(members)
        ]
        threads = self._threads_at_once
        most = MAX_MEMBERS_ON_CPU if self._setting.device == "cpu" else members
        count = min(members, ceil(ceil(members / most) / threads) * threads)
        if self._setting.device == "cpu":
            net = initial_net(parts.backbone, self._shape, everyone[0])
            count *= ceil(ceil(members / count) / members_for_caches(net))
        made = []
        for k in range(count):
            group = everyone[members * k // count : members * (k + 1) // count]
            cohort = build_cohort(
                *(parts.backbone, self._shape, group, self._labels, parts.optimizer, self._device),
                compute_dtype=dtype,
                graph=self._setting.graph,
                threads=self._threads_per_cohort,
            )
            seeds = [member.data_seed for member in group]
            rows = len(self._inputs)
            made.append((cohort, batch_stream(rows, self._setting.batch, seeds, self._device)))
        return made


def overrides(setting: Setting) -> list[str]:
    """The setting as overrides of the command line."""
    model = MODELS[setting.model]
    if model.blocks:
        net = ["model=resnet9", f"model.channels={list(model.channels)}"]
    elif model.channels:
        net = ["model=cnn", f"model.channels={list(model.channels)}"]
        net.append(f"model.dense={model.hidden[0]}")
    else:
        net = ["model=mlp", f"model.hidden={list(model.hidden)}"]
    return [
        "dataset=fashion_mnist",
        "head=softmax_cce",
        "optimizer=adam",
        f"optimizer.lr={LEARNING_RATE}",
        f"device={setting.device}",
        f"device.threads={setting.threads}",
        f"device.precision={setting.precision}",
        f"device.graph={str(setting.graph).lower()}",
        f"training.batch_size={setting.batch}",
        *net,
    ]


# Members that cannot be stacked train as `runs.workers` does it: one process per core, one thread
# each, one member at a time. Processes and nets are built outside the timed part, because their
# cost is small beside a run of many epochs.
_pools: list[Pool] = []
_in_this_process: list[Engine] = []


def _in_processes(setting: Setting) -> Run:
    alone = replace(setting, threads=1)
    pool = get_context("spawn").Pool(setting.threads, _begin, [alone])
    _pools.append(pool)

    def run(members: int, steps: int) -> float:
        pool.map(_train_one, [WARM_STEPS] * setting.threads, chunksize=1)
        started = perf_counter()
        pool.map(_train_one, [steps] * members, chunksize=1)
        return perf_counter() - started

    return run


def _begin(setting: Setting) -> None:
    _in_this_process[:] = [Engine(setting)]


def _train_one(steps: int) -> None:
    _in_this_process[0].train(1, steps, warm=0)
