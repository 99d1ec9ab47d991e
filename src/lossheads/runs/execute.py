"""One engine for single runs, sweeps and claims: train what has no result yet, as cohorts."""

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from math import ceil
from typing import Any

import torch

from lossheads.analysis.arms import arm_names
from lossheads.analysis.terminal import PlainConsole
from lossheads.datasets.dataset import Dataset
from lossheads.engine.augmentation import Augmentation
from lossheads.engine.cohort import (
    bytes_per_member,
    can_stack,
    members_for_caches,
    shares_threads,
)
from lossheads.engine.member import initial_net
from lossheads.errors import UserError
from lossheads.loggers.progress import Reporter
from lossheads.predictions_file import MAX_BYTES, bytes_needed
from lossheads.records import Environment, Result, Status
from lossheads.runs.checkpoint import Checkpoint
from lossheads.runs.cohort_run import CohortRun, checkpoint_of, member_of, title_of
from lossheads.runs.dataset_cache import DatasetCache
from lossheads.runs.device import free_bytes, prepare, workers
from lossheads.runs.environment import describe_environment
from lossheads.runs.executors.settings import is_remote
from lossheads.runs.executors.submit import run_jobs
from lossheads.runs.folder import TakenRun, missing_files
from lossheads.runs.plan import Run, by_device, cohorts, plan_runs, unfinished
from lossheads.runs.validate import (
    check_augmentation,
    check_backbone,
    check_memory,
    check_true_posterior,
)
from lossheads.runs.workers import in_processes, in_threads

_SECONDS_BETWEEN_LOOKS = 0.3  # at runs that another process trains

WORTH_SAYING = 10_000_000  # bytes of predictions that a cohort writes


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
    runs = plan_runs(configs)
    todo, refused = unfinished(runs)
    failures: list[Exception] = list(refused.values())
    with reporter or Reporter() as reporter:
        if refused and len(runs) > 1:
            for error in refused.values():
                reporter.error(f"skipped: {error}")
            reporter.error(f"{len(refused)} of {len(runs)} runs skipped: no result to be read")
        _report_missing_files([run for run in runs if run.key not in refused], todo, reporter)
        if todo and is_remote(todo[0].config):
            failures += run_jobs(todo, _names(runs, known), reporter)
        else:
            names = arm_names([run.config for run in runs])
            by_key = {run.key: name for run, name in zip(runs, names, strict=True)}
            reporter.expect({run.folder.path.name: by_key[run.key] for run in todo})
            for group in by_device(todo):
                failures += DeviceRunner(group, reporter).work()
        # Cohorts often fail for the same reason. The first failure is raised, and printed by the
        # caller; results that cannot be read were named above.
        for message in dict.fromkeys(map(str, failures[max(1, len(refused)) :])):
            if message != str(failures[0]):
                reporter.error(f"another cohort failed: {message}")
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
        for what in missing_files(run.config, run.folder.path):
            if what == "weights" or _finished(run).status == "finished":  # a lost run has none
                reporter.say(
                    f"{run.folder.path.name} is finished but its {what} were not saved; force=true "
                    f"trains it again and saves them"
                )


class DeviceRunner:
    """Trains the runs of one device: cohorts in parallel, then runs that cannot be stacked."""

    def __init__(self, runs: Sequence[Run], reporter: Reporter) -> None:
        self._cohorts, self._reporter = cohorts(runs), reporter
        self._settings = runs[0].config["device"]
        self._workers = workers(self._settings)
        self._datasets = DatasetCache(self._workers)
        self._sharing: list[Run] = []  # stacked, and a cohort keeps all workers busy
        self._deferred: list[Run] = []
        self._taken: list[Run] = []  # by other processes
        self._failures: list[Exception] = []
        self._stop = threading.Event()
        self._reported_notes, self._notes_lock = set[str](), threading.Lock()

    def work(self) -> list[Exception]:
        """Train all runs, or wait for those that other processes train; returns the failures."""
        self._work(self._cohorts)
        while self._taken:
            self._work(cohorts(self._left_by_others()))
        return self._failures

    def _work(self, dealt: Sequence[Sequence[Run]]) -> None:
        in_threads(self._train_or_defer, dealt, self._workers, self._stop)
        sharing, self._sharing = self._sharing, []
        for runs in cohorts(sharing, one_by_one=True):
            with self._record_failures(runs):
                device = prepare(self._settings, threads=1)
                self._train_parts(runs, self._datasets.get(runs[0], device), device, self._workers)
        deferred, self._deferred = self._deferred, []
        processes = min(self._workers, len(deferred))
        if processes > 1:
            self._reporter.say(
                f"{title_of(deferred)}: cannot be stacked, {len(deferred)} runs in {processes} "
                f"processes"
            )
            with self._record_failures(deferred):
                in_processes(
                    _train_in_process,
                    [run.config for run in deferred],
                    processes,
                    self._report_ended,
                )
        for run in deferred if processes <= 1 else ():
            with self._record_failures([run]):
                device = prepare(self._settings, self._workers)
                self._train_if_it_fits([run], self._datasets.get(run, device), device, threads=1)

    def _report_ended(self, text: str) -> None:
        self._reporter.ended(text.partition(" ")[0])
        self._reporter.say(text)

    def _left_by_others(self) -> list[Run]:
        """Wait until another process is over with some of its runs: those without a result."""
        self._report_once(f"{len(self._taken)} run(s) are trained by another process: waiting")
        while all(run.folder.is_taken() for run in self._taken):
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        over = [run for run in self._taken if not run.folder.is_taken()]
        self._taken = [run for run in self._taken if run not in over]
        return unfinished(over)[0]

    def _train_or_defer(self, runs: Sequence[Run]) -> None:
        with self._record_failures(runs):
            device = prepare(self._settings, threads=1)
            dataset = self._datasets.get(runs[0], device)
            check_true_posterior(runs[0].config, dataset, runs[0].parts.metrics)
            check_augmentation(Augmentation.of(runs[0].config["training"]), dataset)
            self._report_notes(dataset)
            self._report_predictions(runs, dataset)
            if not _stackable(runs[0], dataset):
                self._deferred += runs
                return
            if shares_threads(runs[0].parts.backbone, dataset.input_shape):
                self._sharing += runs
                return
            self._train_parts(runs, dataset, device)

    def _train_parts(
        self, runs: Sequence[Run], dataset: Dataset, device: torch.device, threads: int = 1
    ) -> None:
        """Train these runs as one cohort, or as several where memory is short."""
        size = self._members_that_fit(runs, dataset, device)
        left = list(runs)
        while left:
            if self._train_if_it_fits(left[:size], dataset, device, threads):
                left = left[size:]
            else:
                size = len(left[:size]) // 2
                left = [run for run in left if not run.folder.closed and run not in self._taken]

    def _report_notes(self, dataset: Dataset) -> None:
        """Print the notes of the data, once for all cohorts that train on them."""
        for note in dataset.notes:
            self._report_once(f"{dataset.provenance.name}: {note}")

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
        if size * number >= WORTH_SAYING:
            self._reporter.say(
                f"{title_of(runs)}: recording.predictions writes {size / 1e6:.2f} MB for each of "
                f"{number} run(s) ({about})"
            )

    @contextmanager
    def _record_failures(self, runs: Sequence[Run]) -> Iterator[None]:
        """Keep a failure for later, and write it into the folders of runs without a result."""
        try:
            yield
        except Exception as error:
            self._failures.append(error)
            self._abandon(runs, "failed", f"{type(error).__name__}: {error}")
        except KeyboardInterrupt:
            self._abandon(runs, "interrupted", "stopped by the user")
            raise

    def _abandon(self, runs: Sequence[Run], status: Status, why: str) -> None:
        for run in runs:
            run.folder.abandon(status, why)
        if any(run.config["force"] for run in runs):
            self._report_once("force=true: runs that did not end keep the results they had before")

    def _members_that_fit(self, runs: Sequence[Run], dataset: Dataset, device: torch.device) -> int:
        """How many of `runs` fit into this worker's share of the memory as one cohort.

        On a CPU also into its caches, unless the user has set the number.
        """
        net = initial_net(runs[0].parts.backbone, dataset.input_shape, member_of(runs[0], dataset))
        num_evaluated = len(dataset.val) + len(dataset.test)
        rows = min(runs[0].config["training"]["batch_size"], len(dataset.train))
        amsgrad = bool(runs[0].parts.optimizer_kwargs.get("amsgrad", False))
        needed = bytes_per_member(net, dataset.input_shape, rows, num_evaluated, amsgrad)
        most = max(1, min(len(runs), free_bytes(device) // 2 // self._workers // needed))
        if device.type == "cpu" and runs[0].config["cohort"]["max_members"] is None:
            most = min(most, members_for_caches(net))
        return ceil(len(runs) / ceil(len(runs) / most))  # cohorts of about equal size

    def _train_if_it_fits(
        self, runs: Sequence[Run], dataset: Dataset, device: torch.device, threads: int
    ) -> bool:
        """Train these runs as one cohort; False where several are too many for the memory.

        Nothing is lost by it: a member's numbers do not depend on how many train beside it.

        Raises:
            UserError: If a single run does not fit.
        """
        try:
            self._train(runs, dataset, device, threads)
            return True
        except torch.OutOfMemoryError as error:
            if len(runs) == 1:
                raise UserError(
                    f"{title_of(runs)}: a single run does not fit into the memory of {device}: "
                    f"lower training.batch_size, choose a smaller model, or free memory ({error})"
                ) from error
        # Out of the except clause, where the error no longer keeps the cohort's tensors alive.
        for run in runs:
            run.folder.abandon("interrupted", "out of memory; a smaller cohort trains it again")
        if device.type == "cuda":
            torch.cuda.empty_cache()
        self._reporter.say(
            f"{title_of(runs)}: {len(runs)} runs do not fit into the memory of {device} as one "
            f"cohort, going on with {len(runs) // 2}"
        )
        return False

    def _train(
        self, runs: Sequence[Run], dataset: Dataset, device: torch.device, threads: int
    ) -> None:
        environment: Environment = {
            **describe_environment(device),
            "members": len(runs),
            "workers": self._workers,
            "data": asdict(dataset.provenance),
            "bayes_score": dataset.bayes_score,
        }
        opened: dict[int, list[tuple[Run, Checkpoint | None]]] = {}
        for run in runs:
            for pair in self._opened(run, dataset, environment):
                opened.setdefault(pair[1].state.step if pair[1] else 0, []).append(pair)
        for pairs in opened.values():  # more than one step where another process has gone on
            ready, checkpoints = zip(*pairs, strict=True)
            cohort = CohortRun(
                ready, checkpoints, dataset, device, threads, environment, self._reporter
            )
            cohort.train(self._check_interrupt)

    def _opened(
        self, run: Run, dataset: Dataset, environment: Environment
    ) -> list[tuple[Run, Checkpoint | None]]:
        """The run, its folder locked, and its checkpoint; nothing if it cannot be trained now."""
        try:
            run.folder.open(run.config, environment, force=run.config["force"])
        except TakenRun:
            self._taken.append(run)
            return []
        with self._record_failures([run]):
            return [(run, checkpoint_of(run, dataset))]
        return []

    def _report_once(self, text: str) -> None:
        with self._notes_lock:
            new = text not in self._reported_notes
            self._reported_notes.add(text)
        if new:
            self._reporter.say(text)

    def _check_interrupt(self) -> None:
        if self._stop.is_set():
            raise KeyboardInterrupt


def _train_in_process(config: Mapping[str, Any]) -> str:
    """One run in a process of its own; the result is in its folder."""
    with open(os.devnull, "w") as nowhere:
        (result,) = execute([config], Reporter(PlainConsole(file=nowhere)))
    return f"{result.name} ({result.status}, {result.seconds:.0f} s)"


def _stackable(run: Run, dataset: Dataset) -> bool:
    """Whether this run can be stacked; builds the backbone once, which checks its options."""
    parts = run.parts
    try:
        check_memory(parts.backbone, dataset.input_shape, dataset.train.inputs.device)
        linear = run.config["output_layer"].get("cosine_temperature") is None
        stacks = linear and can_stack(
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


def _finished(run: Run) -> Result:
    result = run.folder.result()
    if result is None:
        raise RuntimeError(f"run {run.folder.path.name} has no result after training")
    return result
