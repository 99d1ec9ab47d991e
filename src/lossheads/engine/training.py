"""The one training loop: n + 1 validation steps, so that the last state is measured by the same code as all.

The loop histories a cohort; a single run is a cohort of one. Nothing inside a step asks the device
for a number: losses are summed where they are and read at measuring steps.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from lossheads.datasets.dataset import Dataset, Split
from lossheads.engine.batches import batch_stream, steps_per_epoch
from lossheads.engine.cohort import Cohort
from lossheads.loggers.base import Logger
from lossheads.metrics import (
    add_ood_metrics,
    add_threshold_metrics,
    correct_mask_bits,
    measure_cohort,
)
from lossheads.predictions import Predictions, predict_cohort
from lossheads.records import CorrectMask, Measurement, Status, ValidationStep, direction

# Numbers of a split (members × examples × logits) that are measured at once: enough to keep a
# card busy, and about 140 MB of what metrics share.
_CELLS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Plan:
    """How long, how often measured, when to stop.

    Attributes:
        steps: Optimizer steps.
        batch_size: Examples per step.
        validate_at: Steps at which to measure; 0 and `steps` always are.
        schedule: Progress in [0, 1] -> factor on the learning rate.
        monitor: Metric that is shown, and that early stopping watches.
        patience: Validation steps without a better `monitor` on validation before a member stops; None: never.
    """

    steps: int
    batch_size: int
    validate_at: frozenset[int]
    schedule: Callable[[float], float]
    monitor: str
    patience: int | None = None


@dataclass
class MemberHistory:
    """What one member leaves behind."""

    validations: list[ValidationStep] = field(default_factory=list)
    status: Status = "running"
    diverged_at: dict[str, float] | None = None
    best_value: float = -math.inf
    best_step: int = 0
    best_weights: dict[str, Tensor] | None = None
    stopped: bool = False
    wait: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def kept_index(self) -> int:
        """Which of the validation steps has the weights that are kept: the best one seen, else the last."""
        if self.best_weights is None:
            return len(self.validations) - 1
        return [validation.step for validation in self.validations].index(self.best_step)


def train(
    cohort: Cohort,
    dataset: Dataset,
    plan: Plan,
    loggers: Sequence[Logger],
    on_validation: Callable[[int, float], None],
    check_interrupt: Callable[[], None] = lambda: None,
) -> list[MemberHistory]:
    """Train every member of `cohort` on `dataset` (both on one device) and measure it.

    Args:
        loggers: One per member.
        on_validation: Called at each validation step with the step and the mean validation `monitor` of the cohort.
        check_interrupt: Called before each step; what it raises ends the training.

    Returns:
        One history per member, in order. Status is `finished` or `diverged`.
    """
    data_seeds = [member.data_seed for member in cohort.members]
    device = dataset.train.inputs.device
    batches = batch_stream(len(dataset.train), plan.batch_size, data_seeds, device)
    run = _Validation(cohort, dataset, plan, loggers)
    losses = LossTracker(len(run.histories))
    for step in range(plan.steps + 1):
        if step in plan.validate_at or step in (0, plan.steps):
            run.validate(step, *losses.compute())
            on_validation(step, run.mean_monitored())
        if step == plan.steps or run.all_stopped():
            break
        check_interrupt()
        cohort.scale_learning_rates(plan.schedule(step / plan.steps))
        losses.add(cohort.step(dataset.train.inputs, next(batches)))
    run.finish()
    return run.histories


def first_step(cohort: Cohort, split: Split) -> list[dict[str, float]]:
    """Where each head starts: mean loss and mean L2 norm of the gradient on one example's logits.

    "The same learning rate" is a choice: heads start with gradients of different lengths. Taken
    over the first 1,024 training examples, before any step.
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
    """Losses since the last validation step and the first bad step; left on the device until a validation step reads."""

    def __init__(self, size: int) -> None:
        self._losses: list[Tensor] = []
        self._sum, self._count = torch.zeros(size, dtype=torch.float64), 0
        self._first_nonfinite_step = [-1] * size
        self._next_step = 0

    def add(self, losses: Tensor) -> None:
        """(K,) of the next step. No number is read, so the device is not wait for."""
        self._losses.append(losses)
        if len(self._losses) >= 4096:
            self._flush()

    def compute(self) -> tuple[list[float], list[int]]:
        """Mean loss per member (NaN before the first step) and first bad step (-1: none)."""
        self._flush()
        nothing = [math.nan] * len(self._sum)
        means = (self._sum / self._count).tolist() if self._count else nothing
        self._sum, self._count = torch.zeros_like(self._sum), 0
        return means, self._first_nonfinite_step

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


class _Validation:
    """Where members are measured: every validation step on validation, and at the end on test as well."""

    def __init__(
        self, cohort: Cohort, dataset: Dataset, plan: Plan, loggers: Sequence[Logger]
    ) -> None:
        self.histories = [MemberHistory() for _ in cohort.members]
        self._cohort, self._dataset, self._plan = cohort, dataset, plan
        self._loggers = loggers
        self._epoch = steps_per_epoch(len(dataset.train), plan.batch_size)
        self._val_logits = torch.empty(0)  # of the last validation step

    def all_stopped(self) -> bool:
        """Whether nobody histories any more."""
        return all(history.stopped for history in self.histories)

    def mean_monitored(self) -> float:
        """Mean over members of the monitored metric, each at its last validation."""
        monitor = self._plan.monitor
        validations = [history.validations[-1] for history in self.histories if history.validations]
        values = [validation.val.metrics.get(monitor, math.nan) for validation in validations]
        return sum(values) / len(values) if values else math.nan

    def validate(self, step: int, means: Sequence[float], nonfinite_steps: Sequence[int]) -> None:
        """Measure on validation whoever still histories.

        Args:
            means: Mean training loss of each member since the last validation.
            nonfinite_steps: First step at which each member's loss was not finite; -1: none.
        """
        plan = self._plan
        self._val_logits = self._cohort.logits(self._dataset.val.inputs)
        running = self._stop_diverged(step, nonfinite_steps)
        factor = plan.schedule(step / plan.steps) if plan.steps else 1.0
        # The last validation step is measured under every metric; `finish` adds test and records it.
        last = step == plan.steps and plan.patience is None
        for k, _, val in self._measure_members(
            running, self._val_logits, self._dataset.val, full=last
        ):
            validation = ValidationStep(
                step, step / self._epoch, means[k], self._learning_rate(k) * factor, val
            )
            self.histories[k].validations.append(validation)
            if not last:
                self._loggers[k].log_validation(validation)
            if plan.patience is not None:
                self._update_early_stopping(k, validation, plan.patience)

    def finish(self) -> None:
        """Measure the state each member keeps on validation and test under every metric."""
        dataset = self._dataset
        done = [k for k, history in enumerate(self.histories) if history.status != "diverged"]
        if not done:
            return
        if self._plan.patience is not None:
            self._restore_best_weights(done)
        test_logits = self._cohort.logits(dataset.test.inputs)
        outlier_logits = {
            name: self._cohort.logits(rows) for name, rows in dataset.outliers.items()
        }
        examples = dataset.test.digest(dataset.outcome)
        for k, test, on_test in self._measure_members(done, test_logits, dataset.test, full=True):
            history, head = self.histories[k], self._cohort.members[k].head
            on_test = add_threshold_metrics(
                on_test, test, head, self._val_logits[k], dataset.val.labels
            )
            on_test = replace(on_test, correct=CorrectMask(correct_mask_bits(test), examples))
            outliers = {name: logits[k] for name, logits in outlier_logits.items()}
            on_test = add_ood_metrics(on_test, head, test_logits[k], outliers, dataset.none_class)
            kept = replace(history.validations[history.kept_index], test=on_test)
            history.validations[history.kept_index] = kept
            history.status = "finished"
            self._loggers[k].log_validation(kept)
            self._loggers[k].log_figures(kept, test, dataset.class_names)

    def _learning_rate(self, k: int) -> float:
        return float(self._cohort.members[k].optimizer_kwargs["lr"])

    def _stop_diverged(self, step: int, nonfinite_steps: Sequence[int]) -> list[int]:
        """Who histories on with finite numbers; the others are stopped here."""
        finite = self._val_logits.isfinite().all(dim=2).all(dim=1).tolist()
        running = []
        for k, history in enumerate(self.histories):
            if history.stopped:
                continue
            if nonfinite_steps[k] < 0 and finite[k]:
                running.append(k)
                continue
            at = nonfinite_steps[k] if nonfinite_steps[k] >= 0 else step
            history.status, history.stopped = "diverged", True
            rate = self._learning_rate(k) * self._plan.schedule(at / max(self._plan.steps, 1))
            history.diverged_at = {"step": at, "learning_rate": rate}
        return running

    def _measure_members(
        self, which: Sequence[int], logits: Tensor, split: Split, full: bool
    ) -> Iterator[tuple[int, Predictions, Measurement]]:
        """For each member of `which`, side by side where heads are equal: number and findings."""
        heads = [member.head for member in self._cohort.members]
        for head in dict.fromkeys(heads[k] for k in which):
            same_head = [k for k in which if heads[k] == head]
            size = max(1, _CELLS_AT_ONCE // max(1, logits[0].numel()))
            for chunk in (same_head[at : at + size] for at in range(0, len(same_head), size)):
                predictions = predict_cohort(
                    head, logits[chunk], split.labels, split.true_posterior
                )
                yield from zip(chunk, predictions, measure_cohort(predictions, full), strict=True)

    def _update_early_stopping(self, k: int, validation: ValidationStep, patience: int) -> None:
        """Early stopping: keep the best weights so far, stop when patience is spent."""
        monitor, history = self._plan.monitor, self.histories[k]
        value = direction(monitor) * validation.val.metrics[monitor]
        if value > history.best_value:
            history.best_value, history.best_step, history.wait = value, validation.step, 0
            history.best_weights = self._cohort.weights(k)
            return
        history.wait += 1
        history.stopped = history.wait >= patience

    def _restore_best_weights(self, done: Sequence[int]) -> None:
        """Every member takes up the weights of its best validation, measured again under every metric."""
        for k in done:
            weights = self.histories[k].best_weights
            if weights is not None:
                self._cohort.restore(k, weights)
        self._val_logits = self._cohort.logits(self._dataset.val.inputs)
        for k, _, val in self._measure_members(
            done, self._val_logits, self._dataset.val, full=True
        ):
            history = self.histories[k]
            history.validations[history.kept_index] = replace(
                history.validations[history.kept_index], val=val
            )
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
