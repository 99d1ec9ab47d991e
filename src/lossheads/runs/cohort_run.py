"""One cohort of runs, from open folders to results."""

import time
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO

import torch

from lossheads.datasets.dataset import Dataset
from lossheads.engine.augmentation import Augmentation
from lossheads.engine.batches import steps_per_epoch
from lossheads.engine.cohort import Cohort, build_cohort
from lossheads.engine.member import Member
from lossheads.engine.training import ForeignState, MemberHistory, Plan, States, first_step, train
from lossheads.errors import UserError, reason, refusing_to_write
from lossheads.heads.base import inherited_reading
from lossheads.loggers.base import Logger, NullLogger
from lossheads.loggers.predictions import PredictionsLogger
from lossheads.loggers.progress import Reporter
from lossheads.loggers.tensorboard import TensorBoardLogger
from lossheads.outcomes import base_rates
from lossheads.predictions_file import NAME as PREDICTIONS
from lossheads.records import Environment, Result
from lossheads.runs.checkpoint import Checkpoint, Due, read_checkpoint, write_checkpoint
from lossheads.runs.folder import CHECKPOINT, WEIGHTS
from lossheads.runs.plan import Run
from lossheads.runs.validate import check_validations, monitored_metric
from lossheads.whole_files import whole_file


class CohortRun:
    """Runs that are trained as one cohort: each one's folder is closed as soon as it is over.

    Args:
        runs: With open folders.
        checkpoints: One per run, all at one step; or None for every run.
        threads: How many share the steps of a cohort that can be shared.
        environment: Of these runs, for their results.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        checkpoints: Sequence[Checkpoint | None],
        dataset: Dataset,
        device: torch.device,
        threads: int,
        environment: Environment,
        reporter: Reporter,
    ) -> None:
        self._started = time.perf_counter()
        self._runs, self._dataset, self._reporter = runs, dataset, reporter
        for checkpoint in checkpoints[:1]:
            if checkpoint is not None:  # else its last bits would depend on how it goes on
                torch.set_num_threads(checkpoint.threads)
        self._plan = training_plan(runs[0], len(dataset.train))
        self._cohort = _build(runs, dataset, device, threads)
        self._first_steps = first_step(self._cohort, dataset.train)
        self._before = [checkpoint.seconds if checkpoint else 0.0 for checkpoint in checkpoints]
        self._states = [checkpoint.state for checkpoint in checkpoints if checkpoint]
        self._environment = environment
        if self._states:
            self._environment = {**environment, "resumed_at": self._states[0].step}
        self._loggers = [_logger(run, dataset) for run in runs]
        self._due = Due(runs[0].config["checkpoint"])
        self._reported = False  # that no checkpoint can be written

    def train(self, check_interrupt: Callable[[], None]) -> None:
        """Train what is left of all runs, and write their results."""
        for logger, state in zip(self._loggers, self._states, strict=False):
            for validation in state.history.validations:
                logger.log_validation(validation)  # its events were deleted with the folder's files
        plan, runs = self._plan, self._runs
        progress = self._reporter.cohort(title_of(runs), len(runs), plan.steps)
        epoch = steps_per_epoch(len(self._dataset.train), plan.batch_size)
        try:
            train(
                self._cohort,
                self._dataset,
                plan,
                self._loggers,
                on_validation=lambda step, value: progress.on_validation(
                    step, step / epoch, plan.monitor, value
                ),
                check_interrupt=check_interrupt,
                on_end=self._write_result,
                on_step=self._write_checkpoints,
                resume=self._states,
            )
        except ForeignState as error:
            raise UserError(
                f"a checkpoint of {', '.join(run.folder.path.name for run in runs)} is of another "
                f"training: delete {CHECKPOINT} there to train from the start"
            ) from error

    def _write_result(self, k: int, history: MemberHistory) -> None:
        run, seconds = self._runs[k], self._seconds(k)
        result = _result(
            run, history, self._dataset, self._environment, seconds, self._first_steps[k]
        )
        self._loggers[k].close(result)
        run.folder.close(result, _saved(run, result, self._cohort, k))

    def _write_checkpoints(self, step: int, states: States) -> None:
        if not self._due(step):
            return
        try:
            for k, state in states().items():
                run = self._runs[k]
                write_checkpoint(run.folder.writing, run.config, state, self._seconds(k))
        except (OSError, ForeignState) as error:  # a run that can go on is not stopped for it
            if not self._reported:
                self._reporter.say(
                    f"{title_of(self._runs)}: no checkpoint can be written: {reason(error)}; "
                    f"training goes on"
                )
            self._reported = True

    def _seconds(self, k: int) -> float:
        """Of training so far: the run's share of its cohort, and what came before a stop."""
        return self._before[k] + (time.perf_counter() - self._started) / len(self._runs)


def checkpoint_of(run: Run, dataset: Dataset) -> Checkpoint | None:
    """Where the run's training stands.

    Raises:
        UserError: If its checkpoint cannot be used.
    """
    plan = training_plan(run, len(dataset.train))
    return read_checkpoint(run.folder.writing, run.config, plan, run.parts.head.outcome)


def _build(runs: Sequence[Run], dataset: Dataset, device: torch.device, threads: int) -> Cohort:
    parts = runs[0].parts
    members = [member_of(run, dataset) for run in runs]
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
        threads=threads,
    )


def member_of(run: Run, dataset: Dataset) -> Member:
    """What a run is in its cohort."""
    config = run.config
    rates = base_rates(dataset.outcome, dataset.train.labels)
    head = run.parts.head.with_base_rates(rates)
    layer, kwargs = config["output_layer"], run.parts.optimizer_kwargs
    bias = head.prior_bias(rates).float().cpu() if layer["prior_bias"] else None
    cosine = layer.get("cosine_temperature")
    return Member(head, config["seed"], config["data_seed"], kwargs, bias, cosine)


def training_plan(run: Run, n: int) -> Plan:
    """How long a run trains on n examples, and when it is validated."""
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
        augmentation=Augmentation.of(training),
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
    recording, folder = run.config["recording"], run.folder.writing
    logger: Logger = NullLogger()
    if recording["tensorboard"]:
        measured = run.parts.metrics
        logger = TensorBoardLogger(folder, dataset.class_names, dataset.outcome, measured)
    return PredictionsLogger(folder, logger) if recording["predictions"] else logger


def _saved(run: Run, result: Result, cohort: Cohort, k: int) -> list[str]:
    """Save member k's weights if the run asks for them; all files that were saved for it."""
    names, recording = [], run.config["recording"]
    if recording["weights"]:
        content = BytesIO()  # torch reports a full disk as an error of its own
        torch.save(cohort.weights(k), content)
        with refusing_to_write(run.folder.path), whole_file(run.folder.writing / WEIGHTS) as file:
            file.write(content.getbuffer())
        names.append(WEIGHTS)
    if recording["predictions"] and result.status == "finished":
        names.append(PREDICTIONS)
    return names


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


def title_of(runs: Sequence[Run]) -> str:
    """What a reader calls these runs."""
    heads = dict.fromkeys(run.config["choices"]["head"] for run in runs)
    return f"{runs[0].config['choices']['dataset']} · {', '.join(heads)}"
