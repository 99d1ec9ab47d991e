"""One engine for single runs, sweeps and claims: train what has no result yet, as cohorts."""

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import torch
from rich.console import Console

from lossheads.datasets.dataset import Dataset
from lossheads.engine.batches import steps_per_epoch
from lossheads.engine.cohort import Cohort, build_cohort, bytes_per_member, can_stack
from lossheads.engine.member import Member, initial_net
from lossheads.engine.training import MemberHistory, Plan, first_step, train
from lossheads.errors import UserError
from lossheads.heads.base import inherited_reading
from lossheads.loggers.base import Logger, NullLogger
from lossheads.loggers.predictions import PredictionsLogger
from lossheads.loggers.progress import Reporter
from lossheads.loggers.tensorboard import TensorBoardLogger
from lossheads.outcomes import base_rates
from lossheads.predictions_file import MAX_BYTES, NAME, bytes_needed
from lossheads.records import Environment, Result
from lossheads.runs.dataset_cache import DatasetCache
from lossheads.runs.device import free_bytes, prepare, workers
from lossheads.runs.environment import describe_environment
from lossheads.runs.executors.settings import is_remote
from lossheads.runs.executors.submit import run_jobs
from lossheads.runs.plan import Run, by_device, cohorts, plan_run, unfinished
from lossheads.runs.validate import (
    check_backbone,
    check_memory,
    check_true_posterior,
    check_validations,
    monitored_metric,
)
from lossheads.runs.workers import in_processes, in_threads


def execute(
    configs: Sequence[Mapping[str, Any]],
    reporter: Reporter | None = None,
    known: Sequence[Result | None] = (),
) -> list[Result]:
    """The results of `configs`, in order; runs without a result are trained first.

    If a cohort fails, or a result cannot be read, the others are still trained; an interruption
    keeps finished runs.

    Args:
        known: All runs of the sweep that `configs` are a part of, in order: the result of a
            finished one, None for each of `configs`.

    Raises:
        UserError: If a configuration is not valid: before anything is written where that can be
            seen from the configuration alone, else after the other cohorts are finished.
    """
    runs = [plan_run(config) for config in configs]
    todo, refused = unfinished(runs)
    failures: list[Exception] = list(refused.values())
    with reporter or Reporter() as reporter:
        if refused and len(runs) > 1:
            for error in refused.values():
                reporter.say(f"skipped: {error}")
            reporter.say(f"{len(refused)} of {len(runs)} runs skipped: no result to be read")
        _report_missing_files([run for run in runs if run.key not in refused], todo, reporter)
        if todo and is_remote(todo[0].config):
            failures += run_jobs(todo, _names(runs, known), reporter)
        else:
            for group in by_device(todo):
                failures += DeviceRunner(group, reporter).work()
        # Cohorts often fail for the same reason. The first failure is raised, and printed by the
        # caller; results that cannot be read were named above.
        for message in dict.fromkeys(map(str, failures[max(1, len(refused)) :])):
            if message != str(failures[0]):
                reporter.say(f"another cohort failed: {message}")
    if failures:
        raise failures[0]
    return [_finished(run) for run in runs]


def _names(runs: Sequence[Run], known: Sequence[Result | None]) -> list[str]:
    """Folders of all runs of the sweep, in order."""
    rest = iter(runs)
    return [
        (result.name if result else next(rest).folder.path.name)
        for result in known or [None] * len(runs)
    ]


def _report_missing_files(runs: Sequence[Run], todo: Sequence[Run], reporter: Reporter) -> None:
    """A finished run is not trained again for files that were not saved: report it."""
    trained = {run.key for run in todo}
    for run in {run.key: run for run in runs if run.key not in trained}.values():
        folder = run.folder.path
        for what, file in (("weights", "weights.pt"), ("predictions", NAME)):
            if not run.config["recording"][what] or (folder / file).exists():
                continue
            if what == "weights" or _finished(run).status == "finished":  # a lost run has none
                reporter.say(
                    f"{folder.name} is finished but its {what} were not saved; force=true trains "
                    f"it again and saves them"
                )


class DeviceRunner:
    """Trains the runs of one device: cohorts in parallel, then runs that cannot be stacked."""

    def __init__(self, runs: Sequence[Run], reporter: Reporter) -> None:
        self._cohorts, self._reporter = cohorts(runs), reporter
        self._settings = runs[0].config["device"]
        self._workers = workers(self._settings)
        self._datasets = DatasetCache(self._workers)
        self._deferred: list[Run] = []
        self._failures: list[Exception] = []
        self._stop = threading.Event()
        self._reported_notes, self._notes_lock = set[str](), threading.Lock()

    def work(self) -> list[Exception]:
        """Train all runs; returns the failures."""
        in_threads(self._train_or_defer, self._cohorts, self._workers, self._stop)
        deferred, processes = self._deferred, min(self._workers, len(self._deferred))
        if processes > 1:
            self._reporter.say(
                f"{_title(deferred)}: cannot be stacked, {len(deferred)} runs in {processes} "
                f"processes"
            )
            with self._record_failures(deferred):
                in_processes(
                    _train_in_process,
                    [run.config for run in deferred],
                    processes,
                    self._reporter.say,
                )
        for run in deferred if processes <= 1 else ():
            with self._record_failures([run]):
                device = prepare(self._settings, self._workers)
                self._train([run], self._datasets.get(run, device), device)
        return self._failures

    def _train_or_defer(self, runs: Sequence[Run]) -> None:
        with self._record_failures(runs):
            device = prepare(self._settings, threads=1)
            dataset = self._datasets.get(runs[0], device)
            check_true_posterior(runs[0].config, dataset, runs[0].parts.metrics)
            self._report_notes(dataset)
            self._report_predictions(runs, dataset)
            if not _stackable(runs[0], dataset):
                self._deferred += runs
                return
            size = self._members_that_fit(runs, dataset, device)
            for at in range(0, len(runs), size):
                self._train(runs[at : at + size], dataset, device)

    def _report_notes(self, dataset: Dataset) -> None:
        """Print the notes of the data, once for all cohorts that train on them."""
        with self._notes_lock:
            new = [note for note in dataset.notes if note not in self._reported_notes]
            self._reported_notes.update(new)
        for note in new:
            self._reporter.say(f"{dataset.provenance.name}: {note}")

    def _report_predictions(self, runs: Sequence[Run], dataset: Dataset) -> None:
        """Print how large the files of predictions will be; refuse them above a limit."""
        number = sum(bool(run.config["recording"]["predictions"]) for run in runs)
        if not number:
            return
        rows, labels = len(dataset.test), dataset.test.labels
        label_bytes = labels.element_size() * labels[0].numel()
        size = bytes_needed(rows, runs[0].parts.head.num_logits, label_bytes)
        about = f"{rows:,} examples × {runs[0].parts.head.num_logits:,} logits"
        if size > MAX_BYTES:
            raise UserError(
                f"recording.predictions would write {size / 1e9:.1f} GB for each run ({about}): "
                f"at most {MAX_BYTES / 1e9:.1f} GB are written; set recording.predictions=false, "
                f"or use a smaller test split"
            )
        self._reporter.say(
            f"{_title(runs)}: recording.predictions writes {size / 1e6:.2f} MB for each of "
            f"{number} run(s) ({about})"
        )

    @contextmanager
    def _record_failures(self, runs: Sequence[Run]) -> Iterator[None]:
        """Keep a failure for later, and write it into the folders of runs without a result."""
        try:
            yield
        except Exception as error:
            self._failures.append(error)
            for run in runs:
                run.folder.abandon("failed", f"{type(error).__name__}: {error}")
        except KeyboardInterrupt:
            for run in runs:
                run.folder.abandon("interrupted", "stopped by the user")
            raise

    def _members_that_fit(self, runs: Sequence[Run], dataset: Dataset, device: torch.device) -> int:
        """How many of `runs` fit into this worker's share of the memory as one cohort."""
        net = initial_net(runs[0].parts.backbone, dataset.input_shape, _member(runs[0], dataset))
        num_evaluated = len(dataset.val) + len(dataset.test)
        rows = min(runs[0].config["training"]["batch_size"], len(dataset.train))
        amsgrad = bool(runs[0].parts.optimizer_kwargs.get("amsgrad", False))
        needed = bytes_per_member(net, rows, num_evaluated, amsgrad)
        return max(1, min(len(runs), free_bytes(device) // 2 // self._workers // needed))

    def _train(self, runs: Sequence[Run], dataset: Dataset, device: torch.device) -> None:
        started = time.perf_counter()
        cohort = _build(runs, dataset, device)
        plan = _make_plan(runs[0], len(dataset.train))
        environment: Environment = {
            **describe_environment(device),
            "members": len(runs),
            "workers": self._workers,
            "data": asdict(dataset.provenance),
            "bayes_score": dataset.bayes_score,
        }
        for run in runs:
            run.folder.open(run.config, environment, force=run.config["force"])
        loggers = [_logger(run, dataset) for run in runs]
        progress = self._reporter.cohort(_title(runs), len(runs), plan.steps)
        epoch = steps_per_epoch(len(dataset.train), plan.batch_size)
        first_steps = first_step(cohort, dataset.train)
        histories = train(
            cohort,
            dataset,
            plan,
            loggers,
            on_validation=lambda step, value: progress.on_validation(
                step, step / epoch, plan.monitor, value
            ),
            check_interrupt=self._check_interrupt,
        )
        seconds = (time.perf_counter() - started) / len(runs)
        for k, (run, history, logger) in enumerate(zip(runs, histories, loggers, strict=True)):
            result = _result(run, history, dataset, environment, seconds, first_steps[k])
            logger.close(result)
            if run.config["recording"]["weights"]:
                torch.save(cohort.weights(k), run.folder.path / "weights.pt")
            run.folder.close(result)

    def _check_interrupt(self) -> None:
        if self._stop.is_set():
            raise KeyboardInterrupt


def _train_in_process(config: Mapping[str, Any]) -> str:
    """One run in a process of its own; the result is in its folder."""
    with open(os.devnull, "w") as nowhere:
        (result,) = execute([config], Reporter(Console(file=nowhere)))
    return f"{result.name} ({result.status}, {result.seconds:.0f} s)"


def _build(runs: Sequence[Run], dataset: Dataset, device: torch.device) -> Cohort:
    parts = runs[0].parts
    members = [_member(run, dataset) for run in runs]
    shape, labels = dataset.input_shape, dataset.train.labels
    settings = runs[0].config["device"]
    return build_cohort(
        parts.backbone,
        shape,
        members,
        labels,
        parts.optimizer,
        device,
        compute_dtype=torch.bfloat16 if settings["precision"] == "bfloat16" else torch.float32,
        graph=bool(settings["graph"]),
    )


def _stackable(run: Run, dataset: Dataset) -> bool:
    """Whether this run can be stacked; builds the backbone once, which checks its options."""
    parts = run.parts
    try:
        check_memory(parts.backbone, dataset.input_shape, dataset.train.inputs.device)
        stacks = can_stack(
            parts.backbone, dataset.input_shape, parts.optimizer, parts.optimizer_kwargs
        )
        if not stacks:  # an unknown backbone: try it on two rows before files are written
            check_backbone(parts.backbone, dataset.input_shape)
        return stacks
    except UserError:
        raise
    except Exception as error:  # a user's own backbone may fail in any way
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"model {run.config['model']['_target_']} cannot be built for inputs of shape "
            f"{dataset.input_shape}: {message}"
        ) from error


def _member(run: Run, dataset: Dataset) -> Member:
    config = run.config
    rates = base_rates(dataset.outcome, dataset.train.labels)
    head = run.parts.head.with_base_rates(rates)
    bias = head.prior_bias(rates).float().cpu() if config["output_layer"]["prior_bias"] else None
    return Member(head, config["seed"], config["data_seed"], run.parts.optimizer_kwargs, bias)


def _make_plan(run: Run, n: int) -> Plan:
    training = run.config["training"]
    size = min(training["batch_size"], n)  # beyond all rows there would only be padding
    epoch = steps_per_epoch(n, size)
    steps = training["steps"]
    if steps is None:
        steps = round(training["epochs"] * epoch)
    return Plan(
        steps=steps,
        batch_size=size,
        validate_at=_validation_steps(steps, epoch, training["validations_per_epoch"]),
        schedule=run.parts.schedule,
        patience=training["patience"],
        monitor=monitored_metric(run.config, run.parts.head.outcome, run.parts.metrics),
        metrics=run.parts.metrics,
    )


def _validation_steps(steps: int, epoch: int, per_epoch: int) -> frozenset[int]:
    """Optimizer steps with a validation: number i at the step nearest to i / per_epoch epochs.

    The end of every epoch is one of them, and so is the last step.
    """
    per_epoch = min(per_epoch, epoch)
    check_validations(steps * per_epoch // epoch)
    steps_at = (
        (2 * i * epoch + per_epoch) // (2 * per_epoch)
        for i in range(steps * per_epoch // epoch + 1)
    )
    return frozenset(steps_at) | {steps}


def _logger(run: Run, dataset: Dataset) -> Logger:
    recording, folder = run.config["recording"], run.folder.path
    logger: Logger = NullLogger()
    if recording["tensorboard"]:
        measured = run.parts.metrics
        logger = TensorBoardLogger(folder, dataset.class_names, dataset.outcome, measured)
    return PredictionsLogger(folder, logger) if recording["predictions"] else logger


def _result(
    run: Run,
    history: MemberHistory,
    dataset: Dataset,
    environment: Environment,
    seconds: float,
    first: Mapping[str, float],
) -> Result:
    return Result(
        key=run.key,
        name=run.folder.path.name,
        status=history.status,
        config=dict(run.config),
        class_names=list(dataset.class_names),
        history=history.validations,
        seconds=seconds,
        environment=environment,
        first_step=first,
        notes=[*dataset.notes, *filter(None, [inherited_reading(run.parts.head)]), *history.notes],
        diverged_at=history.diverged_at,
        metric_info=run.parts.metrics.info(dataset.outcome, dataset.outliers),
    )


def _title(runs: Sequence[Run]) -> str:
    heads = dict.fromkeys(run.config["choices"]["head"] for run in runs)
    return f"{runs[0].config['choices']['dataset']} · {', '.join(heads)}"


def _finished(run: Run) -> Result:
    result = run.folder.result()
    if result is None:
        raise RuntimeError(f"run {run.folder.path.name} has no result after training")
    return result
