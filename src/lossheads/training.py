"""The one training loop: n + 1 laps, so that the last state is measured by the same code as all.

The loop walks a cohort; a single run is a cohort of one. Nothing inside a step asks the device
for a number: losses are summed where they are and read at measuring steps.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from lossheads.batches import steps_per_epoch, stream
from lossheads.cohort import Cohort
from lossheads.datasets.dataset import Dataset, Split
from lossheads.predictions import predict
from lossheads.recording import Recorder
from lossheads.results import Lap, Right, Status
from lossheads.rulers import measure, right_bits, with_outliers, with_thresholds


@dataclass(frozen=True)
class Plan:
    """How long, how often measured, when to stop.

    Attributes:
        steps: Optimizer steps.
        batch_size: Examples per step.
        laps: Steps at which to measure; 0 and `steps` always are.
        schedule: Progress in [0, 1] -> factor on the learning rate.
        watch: Ruler that is shown, and that early stopping watches.
        patience: Laps without a better `watch` on validation before a member stops; None: never.
    """

    steps: int
    batch_size: int
    laps: frozenset[int]
    schedule: Callable[[float], float]
    watch: str
    patience: int | None = None


@dataclass
class Walk:
    """What one member leaves behind."""

    laps: list[Lap] = field(default_factory=list)
    status: Status = "running"
    diverged_at: dict[str, float] | None = None
    best: float = -math.inf
    best_step: int = 0
    best_weights: dict[str, Tensor] | None = None
    stopped: bool = False
    waited: int = 0


def train(
    cohort: Cohort,
    dataset: Dataset,
    plan: Plan,
    recorders: Sequence[Recorder],
    tell: Callable[[int, float], None],
    heed: Callable[[], None] = lambda: None,
) -> list[Walk]:
    """Train every member of `cohort` on `dataset` (both on one device) and measure it.

    Args:
        recorders: One per member.
        tell: Called at each lap with the step and the mean validation `watch` of the cohort.
        heed: Called before each step; what it raises ends the training.

    Returns:
        One walk per member, in order. Status is `finished` or `diverged`.
    """
    walks = [Walk() for _ in cohort.members]
    data_seeds = [member.data_seed for member in cohort.members]
    device = dataset.train.inputs.device
    batches = stream(len(dataset.train), plan.batch_size, data_seeds, device)
    tally = _Tally(len(walks))
    for step in range(plan.steps + 1):
        if step in plan.laps or step in (0, plan.steps):
            _lap(cohort, dataset, plan, step, tally, walks, recorders)
            tell(step, _mean_watched(walks, plan.watch))
        if step == plan.steps or all(walk.stopped for walk in walks):
            break
        heed()
        cohort.scale_rates(plan.schedule(step / plan.steps))
        tally.add(cohort.step(dataset.train.inputs, next(batches)))
    _finish(cohort, dataset, plan, walks, recorders)
    return walks


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


class _Tally:
    """Losses since the last lap and the first bad step; left on the device until a lap reads."""

    def __init__(self, size: int) -> None:
        self._losses: list[Tensor] = []
        self._sum, self._count = torch.zeros(size, dtype=torch.float64), 0
        self._bad_step = [-1] * size
        self._next_step = 0

    def add(self, losses: Tensor) -> None:
        """(K,) of the next step. No number is read, so the device is not waited for."""
        self._losses.append(losses)
        if len(self._losses) >= 4096:
            self._fold()

    def read(self) -> tuple[list[float], list[int]]:
        """Mean loss per member (NaN before the first step) and first bad step (-1: none)."""
        self._fold()
        nothing = [math.nan] * len(self._sum)
        means = (self._sum / self._count).tolist() if self._count else nothing
        self._sum, self._count = torch.zeros_like(self._sum), 0
        return means, self._bad_step

    def _fold(self) -> None:
        if not self._losses:
            return
        losses = torch.stack(self._losses).double().cpu()
        for k, bad in enumerate((~losses.isfinite()).int().T):
            if self._bad_step[k] < 0 and bad.any():
                self._bad_step[k] = self._next_step + int(bad.argmax())
        self._sum, self._count = self._sum + losses.sum(dim=0), self._count + len(losses)
        self._next_step += len(losses)
        self._losses.clear()


def _lap(
    cohort: Cohort,
    dataset: Dataset,
    plan: Plan,
    step: int,
    tally: _Tally,
    walks: Sequence[Walk],
    recorders: Sequence[Recorder],
) -> None:
    means, bad_steps = tally.read()
    logits = cohort.logits(dataset.val.inputs)
    factor = plan.schedule(min(step / plan.steps, 1.0)) if plan.steps else 1.0
    epoch_steps = steps_per_epoch(len(dataset.train), plan.batch_size)
    for k, walk in enumerate(walks):
        if walk.stopped:
            continue
        configured = float(cohort.members[k].rates["lr"])
        if bad_steps[k] >= 0 or not bool(logits[k].isfinite().all()):
            at = bad_steps[k] if bad_steps[k] >= 0 else step
            walk.status, walk.stopped = "diverged", True
            at_rate = configured * plan.schedule(at / max(plan.steps, 1))
            walk.diverged_at = {"step": at, "learning_rate": at_rate}
            continue
        head, split = cohort.members[k].head, dataset.val
        val = measure(predict(head, logits[k], split.labels, split.truth), full=False)
        lap = Lap(step, step / epoch_steps, means[k], configured * factor, val)
        walk.laps.append(lap)
        # The last lap is recorded once, by _finish, under every ruler.
        if step < plan.steps or plan.patience is not None:
            recorders[k].lap(lap)
        if plan.patience is not None:
            sign = -1 if plan.watch.endswith(("_loss", "_error")) else 1
            _watch(cohort, k, walk, step, sign * val.rulers[plan.watch], plan.patience)


def _watch(cohort: Cohort, k: int, walk: Walk, step: int, value: float, patience: int) -> None:
    """Early stopping: keep the best weights so far, stop when patience is spent."""
    if value > walk.best:
        walk.best, walk.best_step, walk.waited = value, step, 0
        walk.best_weights = cohort.weights(k)
        return
    walk.waited += 1
    walk.stopped = walk.waited >= patience


def _finish(
    cohort: Cohort,
    dataset: Dataset,
    plan: Plan,
    walks: Sequence[Walk],
    recorders: Sequence[Recorder],
) -> None:
    """Measure the state each member keeps on validation and test under every ruler."""
    for k, walk in enumerate(walks):
        if walk.best_weights is not None and walk.status != "diverged":
            cohort.restore(k, walk.best_weights)
    val_logits = cohort.logits(dataset.val.inputs)
    test_logits = cohort.logits(dataset.test.inputs)
    strange = {name: cohort.logits(inputs) for name, inputs in dataset.outliers.items()}
    examples = dataset.test.digest(dataset.outcome)
    for k, walk in enumerate(walks):
        if walk.status == "diverged":
            continue
        walk.status = "finished"
        head = cohort.members[k].head
        val = predict(head, val_logits[k], dataset.val.labels, dataset.val.truth)
        test = predict(head, test_logits[k], dataset.test.labels, dataset.test.truth)
        on_test = with_thresholds(measure(test, full=True), val, test)
        on_test = replace(on_test, right=Right(right_bits(test), examples))
        outliers = {name: logits[k] for name, logits in strange.items()}
        on_test = with_outliers(on_test, head, test_logits[k], outliers, dataset.none_class)
        last = replace(_kept_lap(walk), val=measure(val, full=True), test=on_test)
        _replace_lap(walk, last)
        recorders[k].lap(last)
        recorders[k].pictures(last.step, test, dataset.class_names)


def _kept_lap(walk: Walk) -> Lap:
    """The lap whose weights are kept: the best one under early stopping, else the last."""
    if walk.best_weights is None:
        return walk.laps[-1]
    return next(lap for lap in walk.laps if lap.step == walk.best_step)


def _replace_lap(walk: Walk, last: Lap) -> None:
    """The measured end replaces the lap of the same step and stands last."""
    walk.laps = [lap for lap in walk.laps if lap.step != last.step] + [last]


def _mean_watched(walks: Sequence[Walk], watch: str) -> float:
    values = [walk.laps[-1].val.rulers.get(watch, math.nan) for walk in walks if walk.laps]
    return sum(values) / len(values) if values else math.nan
