"""Parts to results: every arm of a part with the same seeds, trained by the engine as cohorts.

A seed draws the data set, the initial weights and the batch order anew, the same for every arm of a
part. So an interval over seeds covers the data as well (a convex model with the data held fixed
would hardly vary), and differences between arms at equal seeds are paired.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any

from rich.console import Console

from benchmarks.several_labels.parts import Part
from lossheads.loggers.progress import Reporter
from lossheads.records import Result
from lossheads.runs.config import compose
from lossheads.runs.execute import execute

Config = dict[str, Any]
Arms = dict[str, list[Result]]  # arm -> one result per seed
Trained = dict[str, Arms]  # part -> arms

# One thread each: processes × threads stay within the cores, and numbers do not depend on them.
ALWAYS = ["device=cpu", "device.threads=1", "recording.tensorboard=false"]


def train(
    parts: Sequence[Part],
    seeds: int,
    jobs: int,
    settings: Sequence[str],
    report: Callable[[str], None],
) -> Trained:
    """All arms of all parts; what has a result in the outputs folder is read, not trained again.

    Args:
        jobs: Processes, one thread each.
        settings: Overrides for every run, as for `lossheads train`.
        report: Called with a line when a part is done for a seed.
    """
    arms = {part.name: list(part.arms()) for part in parts}
    work = [
        (part.name, seed, [_seeded(config, seed) for config in composed])
        for part, composed in ((part, _compose(part, settings)) for part in parts)
        for seed in range(seeds)
    ]
    done: dict[tuple[str, int], list[Result]] = {}
    started = time.perf_counter()
    for name, seed, results in _results(work, jobs):
        done[name, seed] = results
        elapsed = time.perf_counter() - started
        report(f"{len(done)} of {len(work)}, {elapsed:.0f} s: {name}, seed {seed}")
    return {
        name: {arm: [done[name, seed][k] for seed in range(seeds)] for k, arm in enumerate(names)}
        for name, names in arms.items()
    }


def _compose(part: Part, settings: Sequence[str]) -> list[Config]:
    return [compose([*ALWAYS, *overrides, *settings]) for overrides in part.arms().values()]


def _seeded(config: Config, seed: int) -> Config:
    """Composing takes a sixth of a second, so seeds are set afterwards."""
    dataset = {**config["dataset"], "seed": seed}
    return {**config, "dataset": dataset, "seed": seed, "data_seed": seed}


def _results(
    work: Sequence[tuple[str, int, list[Config]]], jobs: int
) -> Iterator[tuple[str, int, list[Result]]]:
    if jobs == 1:
        for name, seed, configs in work:
            yield name, seed, _execute(configs)
        return
    pool = ProcessPoolExecutor(jobs, get_context("spawn"))
    try:
        waiting = {pool.submit(_execute, configs): (name, seed) for name, seed, configs in work}
        for future in as_completed(waiting):
            yield *waiting[future], future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _execute(configs: Sequence[Config]) -> list[Result]:
    return execute(configs, Reporter(Console(stderr=True, quiet=True)))
