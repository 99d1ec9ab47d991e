"""The training loop.

It validates n + 1 times, so that the last state is measured by the same code as all others. The
loop trains a cohort; a single run is a cohort of one. Nothing inside a step asks the device for a
number: losses are summed where they are and read at validation steps.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lossheads.datasets.dataset import Dataset, Split
from lossheads.engine.augmentation import Augmentation
from lossheads.engine.batches import batch_stream, steps_per_epoch
from lossheads.engine.cohort import Cohort
from lossheads.engine.early_stopping import EarlyStopping
from lossheads.engine.evaluation import Evaluation
from lossheads.loggers.base import Logger
from lossheads.metrics import SHIPPED, MetricSet
from lossheads.outcomes import Outcome
from lossheads.records import Status, ValidationStep


@dataclass(frozen=True)
class Plan:
    """How long to train, when to validate, when to stop.

    Attributes:
        steps: Optimizer steps.
        batch_size: Examples per step.
        validate_at: Steps at which to validate; 0 and `steps` always are.
        schedule: Progress in [0, 1] -> factor on the learning rate.
        monitor: Metric that is shown, and that early stopping compares.
        patience: Validation steps without a better `monitor` before a member stops; None: never.
        metrics: What is measured.
        augmentation: Of the training rows; None: they are taken as they are.
    """

    steps: int
    batch_size: int
    validate_at: frozenset[int]
    schedule: Callable[[float], float]
    monitor: str
    patience: int | None = None
    metrics: MetricSet = SHIPPED
    augmentation: Augmentation | None = None

    def learning_rate_factor(self, step: int) -> float:
        """Factor on the learning rate at a step."""
        return self.schedule(step / self.steps) if self.steps else 1.0

    def early_stopping(self, outcome: Outcome) -> EarlyStopping | None:
        """A new early stopping of one member; None without patience."""
        if self.patience is None:
            return None
        higher_is_better = self.metrics.find(self.monitor, outcome).higher_is_better
        if higher_is_better is None:
            raise ValueError(f"early stopping cannot monitor {self.monitor}: no value is better")
        return EarlyStopping(self.monitor, higher_is_better, self.patience)


@dataclass
class MemberHistory:
    """History of one member: validation steps, status and, with early stopping, best weights."""

    validations: list[ValidationStep] = field(default_factory=list)
    status: Status = "running"
    diverged_at: dict[str, float] | None = None
    early_stopping: EarlyStopping | None = None
    stopped: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def kept_index(self) -> int:
        """Index of the validation step whose weights are kept: the best one, else the last."""
        if self.early_stopping is None or self.early_stopping.best_weights is None:
            return len(self.validations) - 1
        steps = [validation.step for validation in self.validations]
        return steps.index(self.early_stopping.best_step)


States = Callable[[], "dict[int, MemberState]"]


@dataclass(frozen=True)
class MemberState:
    """Where a member's training stands between two steps: with it, it goes on as if never stopped.

    Attributes:
        step: Optimizer steps taken.
        cohort: Weights and moments, see `Cohort.state`.
        losses: See `LossTracker.state`.
        history: Its validation steps so far, the one at `step` included if there is one.
    """

    step: int
    cohort: Mapping[str, Any]
    losses: Mapping[str, Any]
    history: MemberHistory

    def check(self, plan: Plan) -> None:
        """Compare its parts with one another and with the plan; `train` meets what is left.

        Raises:
            ForeignState: If no training by this plan has this state.
        """
        seen = [validation.step for validation in self.history.validations]
        due = [step for step in sorted({0, *plan.validate_at}) if step <= self.step]
        summed, waiting = self.losses["next_step"], self.losses["waiting"]
        whole = waiting.dim() == 1 and summed + len(waiting) == self.step
        if not 0 < self.step < plan.steps or seen != due or not whole:
            raise ForeignState
        stopping = self.history.early_stopping
        if stopping is not None and stopping.best_weights is not None:
            shapes = {name: value.shape for name, value in self.cohort["weights"].items()}
            if {name: value.shape for name, value in stopping.best_weights.items()} != shapes:
                raise ForeignState


class ForeignState(ValueError):
    """A state of another training."""


def train(
    cohort: Cohort,
    dataset: Dataset,
    plan: Plan,
    loggers: Sequence[Logger],
    on_validation: Callable[[int, Sequence[float]], None],
    check_interrupt: Callable[[], None] = lambda: None,
    on_end: Callable[[int, MemberHistory], None] = lambda k, history: None,
    on_step: Callable[[int, Callable[[], dict[int, MemberState]]], None] = lambda step, states: (
        None
    ),
    resume: Sequence[MemberState] = (),
) -> list[MemberHistory]:
    """Train every member of `cohort` on `dataset` (both on one device) and measure it.

    Args:
        loggers: One per member.
        on_validation: Called at each validation step with the step and each member's `monitor`
            on validation.
        check_interrupt: Called before each step; what it raises ends the training.
        on_end: Called with a member's index and complete history as soon as it is over.
        on_step: Called before each step but the first with its number and what gives the states of
            the members that still train, by index.
        resume: One state per member, all at the same step, to go on from; empty to begin.

    Returns:
        One history per member, in order. Status is `finished` or `diverged`.

    Raises:
        ForeignState: If a state to go on from does not fit its member.
    """
    data_seeds = [member.data_seed for member in cohort.members]
    device = dataset.train.inputs.device
    start = resume[0].step if resume else 0
    batches = batch_stream(
        len(dataset.train), plan.batch_size, data_seeds, device, plan.augmentation, start
    )
    histories = _Histories(cohort, dataset, plan, loggers, on_end)
    losses = LossTracker(len(data_seeds))
    if resume:
        histories.members = [state.history for state in resume]
        try:
            losses.load_states([state.losses for state in resume], device)
            for k, state in enumerate(resume):
                cohort.load_state(k, state.cohort)
        except Exception as error:  # whatever somebody else's file may hold
            raise ForeignState from error
    for step in range(start, plan.steps + 1):
        if step in plan.validate_at or step in (0, plan.steps):
            if step > start or not resume:  # else this was done before
                histories.validate(step, *losses.compute())
            on_validation(step, histories.monitored())
        if step == plan.steps or histories.all_stopped():
            break
        if step > start:
            on_step(
                step,
                lambda step=step: {  # type: ignore[misc]
                    k: MemberState(step, cohort.state(k), losses.state(k), histories.members[k])
                    for k in histories.still_training()
                },
            )
        check_interrupt()
        cohort.scale_learning_rates(plan.learning_rate_factor(step))
        losses.add(cohort.step(dataset.train.inputs, next(batches)))
    histories.finish(histories.still_training())
    return histories.members


def first_step(cohort: Cohort, split: Split) -> list[dict[str, float]]:
    """Where each head starts: mean loss and mean L2 norm of the gradient on one example's logits.

    An equal learning rate favours heads that start with larger gradients. Taken over the first
    1,024 training examples, before any step.
    """
    inputs, labels = split.inputs[:1024], split.labels[:1024]
    rows = []
    for member, logits in zip(cohort.members, cohort.logits(inputs), strict=True):
        leaf = logits.detach().clone().requires_grad_()
        losses = member.head.loss(leaf, member.head.encode(labels))
        (gradient,) = torch.autograd.grad(losses.sum(), leaf)
        norm = gradient.norm(dim=1).mean()
        rows.append({"loss": float(losses.detach().mean()), "gradient_norm": float(norm)})
    return rows


class LossTracker:
    """Training losses since the last validation step, and the first step that was not finite.

    Losses stay on the device until `compute` reads them.
    """

    def __init__(self, size: int) -> None:
        self._losses: list[Tensor] = []
        self._sum, self._count = torch.zeros(size, dtype=torch.float64), 0
        self._first_nonfinite_step = [-1] * size
        self._next_step = 0

    def add(self, losses: Tensor) -> None:
        """(K,) of the next step. No number is read, so nothing waits for the device."""
        self._losses.append(losses)
        if len(self._losses) >= 4096:
            self._flush()

    def compute(self) -> tuple[list[float], list[int]]:
        """Mean loss per member (NaN before the first step), first step not finite (-1: none)."""
        self._flush()
        unknown = [math.nan] * len(self._sum)
        means = (self._sum / self._count).tolist() if self._count else unknown
        self._sum, self._count = torch.zeros_like(self._sum), 0
        return means, self._first_nonfinite_step

    def state(self, k: int) -> dict[str, Any]:
        """What `load_states` needs of member k: plain values and a tensor.

        Losses that are not yet summed stay so: sums in other portions have other last bits.
        """
        waiting = [losses[k] for losses in self._losses]
        return {
            "waiting": torch.stack(waiting).cpu() if waiting else torch.empty(0),
            "sum": float(self._sum[k]),
            "count": self._count,
            "first_nonfinite_step": self._first_nonfinite_step[k],
            "next_step": self._next_step,
        }

    def load_states(self, states: Sequence[Mapping[str, Any]], device: torch.device) -> None:
        """Go on where `state` was taken of each member; `device`: where losses are computed."""
        waiting = torch.stack([state["waiting"] for state in states], dim=1)
        self._losses = list(waiting.to(device))
        self._sum = torch.tensor([state["sum"] for state in states], dtype=torch.float64)
        self._first_nonfinite_step = [int(state["first_nonfinite_step"]) for state in states]
        self._count, self._next_step = int(states[0]["count"]), int(states[0]["next_step"])

    def _flush(self) -> None:
        if not self._losses:
            return
        losses = torch.stack(self._losses).double().cpu()
        for k, bad in enumerate((~losses.isfinite()).int().T):
            if self._first_nonfinite_step[k] < 0 and bad.any():
                self._first_nonfinite_step[k] = self._next_step + int(bad.argmax())
        self._sum, self._count = self._sum + losses.sum(dim=0), self._count + len(losses)
        self._next_step += len(losses)
        self._losses.clear()


class _Histories:
    """The members' histories: written at every validation step, and completed at the end."""

    def __init__(
        self,
        cohort: Cohort,
        dataset: Dataset,
        plan: Plan,
        loggers: Sequence[Logger],
        on_end: Callable[[int, MemberHistory], None],
    ) -> None:
        self.members = [
            MemberHistory(early_stopping=plan.early_stopping(member.head.outcome))
            for member in cohort.members
        ]
        self._cohort, self._dataset, self._plan = cohort, dataset, plan
        self._loggers, self._on_end = loggers, on_end
        self._evaluation = Evaluation(cohort, dataset, plan.metrics)
        self._steps_per_epoch = steps_per_epoch(len(dataset.train), plan.batch_size)

    def all_stopped(self) -> bool:
        """Whether all members have stopped."""
        return not self.still_training()

    def still_training(self) -> list[int]:
        """Members that have neither diverged nor stopped early."""
        return [k for k, history in enumerate(self.members) if not history.stopped]

    def monitored(self) -> list[float]:
        """The monitored metric of each member at its last validation step; NaN before the first."""
        monitor = self._plan.monitor
        return [
            history.validations[-1].val.metrics.get(monitor, math.nan)
            if history.validations
            else math.nan
            for history in self.members
        ]

    def validate(self, step: int, losses: Sequence[float], nonfinite_at: Sequence[int]) -> None:
        """Validate every member that is still training; those that stop now are finished.

        Args:
            losses: Mean training loss of each member since the last validation step.
            nonfinite_at: First step at which each member's loss was not finite; -1: none.
        """
        plan = self._plan
        before = self.still_training()
        training = self._without_diverged(step, self._evaluation.forward(), nonfinite_at)
        # The last validation step has every metric at once; `finish` adds test and logs it.
        last = step == plan.steps and plan.patience is None
        for k, val in self._evaluation.on_val(training, full=last):
            history, rate = self.members[k], self._learning_rate(k, step)
            validation = ValidationStep(step, step / self._steps_per_epoch, losses[k], rate, val)
            history.validations.append(validation)
            if not last:
                self._loggers[k].log_validation(validation)
            if (stopping := history.early_stopping) is not None:
                value = val.metrics[stopping.monitor]
                stopping.update(step, value, partial(self._cohort.weights, k))
                history.stopped = stopping.should_stop
        self.finish([k for k in before if self.members[k].stopped])

    def finish(self, members: Sequence[int]) -> None:
        """Measure the state these members keep on validation and test with every metric."""
        finished = [k for k in members if self.members[k].status != "diverged"]
        if finished:
            self._measure_kept(finished)
        for k in members:
            self._on_end(k, self.members[k])

    def _measure_kept(self, finished: Sequence[int]) -> None:
        if self._plan.patience is not None:
            self._restore_best_weights(finished)
        for k, test, predictions in self._evaluation.on_test(finished):
            history = self.members[k]
            kept = replace(history.validations[history.kept_index], test=test)
            history.validations[history.kept_index] = kept
            history.status = "finished"
            self._loggers[k].log_validation(kept)
            self._loggers[k].log_figures(kept, predictions, self._dataset.class_names)

    def _learning_rate(self, k: int, step: int) -> float:
        rate = float(self._cohort.members[k].optimizer_kwargs["lr"])
        return rate * self._plan.learning_rate_factor(step)

    def _without_diverged(
        self, step: int, finite: Sequence[bool], nonfinite_at: Sequence[int]
    ) -> list[int]:
        """Members whose loss and logits are finite; the others are marked diverged."""
        training = []
        for k, history in enumerate(self.members):
            if history.stopped:
                continue
            if nonfinite_at[k] < 0 and finite[k]:
                training.append(k)
                continue
            at = nonfinite_at[k] if nonfinite_at[k] >= 0 else step
            history.status, history.stopped = "diverged", True
            history.diverged_at = {"step": at, "learning_rate": self._learning_rate(k, at)}
        return training

    def _restore_best_weights(self, members: Sequence[int]) -> None:
        """Restore each member's best weights and validate them with every metric."""
        for k in members:
            stopping = self.members[k].early_stopping
            if stopping is not None and stopping.best_weights is not None:
                self._cohort.restore(k, stopping.best_weights)
        self._evaluation.forward()
        for k, val in self._evaluation.on_val(members, full=True):
            history = self.members[k]
            kept = replace(history.validations[history.kept_index], val=val)
            history.validations[history.kept_index] = kept
            history.notes += self._early_stopping_note(history)

    def _early_stopping_note(self, history: MemberHistory) -> list[str]:
        """What early stopping did, in a sentence; nothing if the last of all steps was best."""
        last, kept = history.validations[-1], history.validations[history.kept_index]
        if kept is last and not history.stopped:
            return []
        after = f"stopped at step {last.step} of {self._plan.steps}: " if history.stopped else ""
        return [
            f"{after}kept step {kept.step} (epoch {kept.epoch:g}), the best "
            f"{self._plan.monitor} on validation"
        ]
