"""One engine for single runs, sweeps and claims: train what has no result yet, as cohorts."""

import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from lossheads.batches import steps_per_epoch
from lossheads.cohort import Cohort, build_cohort, can_stack
from lossheads.console import Reporter
from lossheads.datasets.dataset import Dataset
from lossheads.errors import UserError
from lossheads.experiment.building import Parts, build_parts, content_of
from lossheads.experiment.checking import check_laps, check_numbers, try_trunk, watched
from lossheads.experiment.devices import cores, prepare, resolve_kind
from lossheads.experiment.environment import describe
from lossheads.experiment.folders import RunFolder, refusing_to_write, run_path
from lossheads.experiment.workers import in_processes
from lossheads.members import Member
from lossheads.outcomes import base_rates
from lossheads.recording import NullRecorder, Recorder
from lossheads.recording_tensorboard import TensorBoardRecorder
from lossheads.results import Result, run_key
from lossheads.training import Plan, Walk, first_step, train


@dataclass(frozen=True, eq=False)
class Run:
    """A configuration on its way to a result."""

    config: Mapping[str, Any]
    parts: Parts
    folder: RunFolder

    @cached_property
    def key(self) -> str:
        return run_key(self.config)

    @cached_property
    def company(self) -> str:
        """Runs with equal words here can train side by side."""
        shared = {
            name: self.config[name]
            for name in ("dataset", "model", "schedule", "device", "training", "data_dir")
        }
        optimizer = self.config["optimizer"]["_target_"]
        fused, units = self.parts.rates.get("fused", False), self.parts.head.units
        content = self.config.get("content", {}).get("dataset")
        return json.dumps([shared, optimizer, fused, units, content], sort_keys=True, default=str)


def execute(configs: Sequence[Mapping[str, Any]], reporter: Reporter | None = None) -> list[Result]:
    """The results of `configs`, in order; what has none yet is trained first.

    A cohort that fails does not take the others with it; an interruption keeps what is finished.

    Raises:
        UserError: What a configuration asks cannot be done. Before anything is written where the
            configuration alone tells; after the other cohorts are done otherwise.
    """
    runs = [_plan(config) for config in configs]
    todo = _unfinished(runs)
    failures: list[Exception] = []
    datasets = _DatasetShelf()
    with reporter or Reporter() as told:
        _tell_missing_weights(runs, todo, told)
        for cohort in _cohorts(todo):
            try:
                _train(cohort, datasets, told)
            except Exception as error:
                failures.append(error)
                for run in cohort:
                    run.folder.abandon("failed", f"{type(error).__name__}: {error}")
            except KeyboardInterrupt:
                for run in cohort:
                    run.folder.abandon("interrupted", "stopped by the user")
                raise
        # Cohorts often fail for one reason; the first failure is raised, and told by the caller.
        for said in dict.fromkeys(map(str, failures[1:])):
            if said != str(failures[0]):
                told.say(f"another cohort failed: {said}")
    if failures:
        raise failures[0]
    return [_finished(run) for run in runs]


def _plan(config: Mapping[str, Any]) -> Run:
    kind = resolve_kind(config["device"]["kind"])
    config = {**config, "device": {**config["device"], "kind": kind}}
    check_numbers(config)
    parts = build_parts(config)
    watched(config, parts.head.outcome)
    content = content_of(config, parts.source)
    if content:
        config = {**config, "content": content}
    return Run(config, parts, RunFolder(run_path(config)))


def _unfinished(runs: Iterable[Run]) -> list[Run]:
    """Runs to train: no result yet or `force`, each key once."""
    todo: dict[str, Run] = {}
    for run in runs:
        if run.config["force"] or run.folder.result() is None:
            todo.setdefault(run.key, run)
    return list(todo.values())


def _tell_missing_weights(runs: Sequence[Run], todo: Sequence[Run], told: Reporter) -> None:
    """A finished run is not trained again for weights that it did not keep: say so."""
    trained = {run.key for run in todo}
    for run in {run.key: run for run in runs if run.key not in trained}.values():
        folder = run.folder.path
        if run.config["recording"]["weights"] and not (folder / "weights.pt").exists():
            told.say(f"{folder.name} is finished and kept no weights: force=true makes them")


def _cohorts(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs that can train side by side, in parts of at most `cohort.max_members`."""
    companies: dict[str, list[Run]] = {}
    for run in runs:
        companies.setdefault(run.company, []).append(run)
    parts = []
    for company in companies.values():
        size = int(company[0].config["cohort"]["max_members"])
        parts += [company[at : at + size] for at in range(0, len(company), size)]
    return parts


class _DatasetShelf:
    """The dataset in use: cohorts of one dataset come one after the other, so one is enough."""

    def __init__(self) -> None:
        self._loaded: dict[str, Dataset] = {}

    def get(self, run: Run, device: torch.device) -> Dataset:
        named = json.dumps(
            [run.config["dataset"], run.config["data_dir"], str(device)], default=str
        )
        if named not in self._loaded:
            data_dir = run.config["data_dir"]
            cache = Path(run.config["outputs"]) / "cache"
            self._loaded.clear()
            with refusing_to_write(cache):
                loaded = run.parts.source.load(Path(data_dir) if data_dir else None, cache)
            self._loaded[named] = loaded.to(device)
        return self._loaded[named]


def _train(runs: Sequence[Run], datasets: _DatasetShelf, told: Reporter) -> None:
    device = prepare(runs[0].config["device"])
    dataset = datasets.get(runs[0], device)
    if _stackable(runs[0], dataset):
        _train_together(runs, dataset, device, told)
    elif len(runs) > 1 and device.type == "cpu" and cores() > 1:
        told.say(f"{_title(runs)}: cannot be stacked, {len(runs)} runs in {cores()} processes")
        in_processes(_train_apart, [run.config for run in runs], cores(), told.say)
    else:
        for run in runs:
            _train_together([run], dataset, device, told)


def _train_apart(config: Mapping[str, Any]) -> str:
    """One run in a process of its own; its folder carries the result."""
    with open(os.devnull, "w") as nowhere:
        (result,) = execute([config], Reporter(Console(file=nowhere)))
    return f"{result.name} ({result.status}, {result.seconds:.0f} s)"


def _train_together(
    runs: Sequence[Run], dataset: Dataset, device: torch.device, told: Reporter
) -> None:
    started = time.perf_counter()
    cohort = _build(runs, dataset, device)
    plan = _make_plan(runs[0], len(dataset.train))
    environment = describe(device) | {
        "members": len(runs),
        "data": asdict(dataset.provenance),
        "bayes_score": dataset.bayes_score,
    }
    for run in runs:
        run.folder.open(run.config, environment, force=run.config["force"])
    recorders = [_recorder(run, dataset) for run in runs]
    told.cohort(_title(runs), len(runs), plan.steps)
    epoch = steps_per_epoch(len(dataset.train), plan.batch_size)
    starts = first_step(cohort, dataset.train)
    walks = train(
        cohort,
        dataset,
        plan,
        recorders,
        lambda step, value: told.lap(step, step / epoch, plan.watch, value),
    )
    seconds = (time.perf_counter() - started) / len(runs)
    for k, (run, walk, recorder) in enumerate(zip(runs, walks, recorders, strict=True)):
        result = _result(run, walk, dataset, environment, seconds, starts[k])
        recorder.close(result)
        if run.config["recording"]["weights"]:
            torch.save(cohort.weights(k), run.folder.path / "weights.pt")
        run.folder.close(result)


def _build(runs: Sequence[Run], dataset: Dataset, device: torch.device) -> Cohort:
    parts = runs[0].parts
    members = [_member(run, dataset) for run in runs]
    shape, labels = dataset.input_shape, dataset.train.labels
    return build_cohort(parts.trunk, shape, members, labels, parts.optimizer, device)


def _stackable(run: Run, dataset: Dataset) -> bool:
    """Whether this run can train beside others; builds the trunk once, so its options are tried."""
    parts = run.parts
    try:
        stacks = can_stack(parts.trunk, dataset.input_shape, parts.optimizer, parts.rates)
        if not stacks:  # a trunk of any making: let it look at two rows before files are written
            try_trunk(parts.trunk, dataset.input_shape)
        return stacks
    except UserError:
        raise
    except Exception as error:  # a user's own trunk may fail in any way
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"model {run.config['model']['_target_']} cannot be built for inputs of shape "
            f"{dataset.input_shape}: {said}"
        ) from error


def _member(run: Run, dataset: Dataset) -> Member:
    config = run.config
    rates = base_rates(dataset.outcome, dataset.train.labels)
    head = run.parts.head.with_base_rates(rates)
    start = head.prior_bias(rates).float().cpu() if config["readout"]["prior_bias"] else None
    return Member(head, config["seed"], config["data_seed"], run.parts.rates, start)


def _make_plan(run: Run, n: int) -> Plan:
    training = run.config["training"]
    size = min(training["batch_size"], n)  # more than all rows would be empty seats
    epoch = steps_per_epoch(n, size)
    steps = training["steps"]
    if steps is None:
        steps = round(training["epochs"] * epoch)
    between = max(1, epoch // training["laps_per_epoch"])
    check_laps(steps // between)
    return Plan(
        steps=steps,
        batch_size=size,
        laps=frozenset(range(0, steps + 1, between)),
        schedule=run.parts.schedule,
        patience=training["patience"],
        watch=watched(run.config, run.parts.head.outcome),
    )


def _recorder(run: Run, dataset: Dataset) -> Recorder:
    if not run.config["recording"]["tensorboard"]:
        return NullRecorder()
    return TensorBoardRecorder(run.folder.path, dataset.class_names, dataset.outcome)


def _result(
    run: Run,
    walk: Walk,
    dataset: Dataset,
    environment: Mapping[str, Any],
    seconds: float,
    start: Mapping[str, float],
) -> Result:
    return Result(
        key=run.key,
        name=run.folder.path.name,
        status=walk.status,
        config=dict(run.config),
        class_names=list(dataset.class_names),
        laps=walk.laps,
        seconds=seconds,
        environment=environment,
        first_step=start,
        diverged_at=walk.diverged_at,
    )


def _title(runs: Sequence[Run]) -> str:
    heads = dict.fromkeys(run.config["choices"]["head"] for run in runs)
    return f"{runs[0].config['choices']['dataset']} · {', '.join(heads)}"


def _finished(run: Run) -> Result:
    result = run.folder.result()
    if result is None:
        raise RuntimeError(f"run {run.folder.path.name} has no result after training")
    return result
