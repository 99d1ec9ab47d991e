"""The one training loop: n + 1 laps, so that the last state is measured by the same code as all.

The loop walks a cohort; a single run is a cohort of one. Nothing inside a step asks the device
for a number: losses are summed where they are and read at measuring steps.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from lossheads.datasets.dataset import Dataset, Split
from lossheads.engine.batches import steps_per_epoch, stream
from lossheads.engine.cohort import Cohort
from lossheads.loggers.base import Recorder
from lossheads.metrics import measure_cohort, right_bits, with_outliers, with_thresholds
from lossheads.predictions import Predictions, predict_cohort
from lossheads.records import Lap, Measurement, Right, Status, direction

# Numbers of a split (members × examples × logits) that are measured at once: enough to keep a
# card busy, and about 140 MB of what rulers share.
_CELLS_AT_ONCE = 1 << 20


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
    notes: list[str] = field(default_factory=list)

    @property
    def kept(self) -> int:
        """Which of the laps has the weights that are kept: the best one seen, else the last."""
        if self.best_weights is None:
            return len(self.laps) - 1
        return [lap.step for lap in self.laps].index(self.best_step)


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
    data_seeds = [member.data_seed for member in cohort.members]
    device = dataset.train.inputs.device
    batches = stream(len(dataset.train), plan.batch_size, data_seeds, device)
    course = _Course(cohort, dataset, plan, recorders)
    tally = _Tally(len(course.walks))
    for step in range(plan.steps + 1):
        if step in plan.laps or step in (0, plan.steps):
            course.lap(step, *tally.read())
            tell(step, course.mean_watched())
        if step == plan.steps or course.is_over():
            break
        heed()
        cohort.scale_rates(plan.schedule(step / plan.steps))
        tally.add(cohort.step(dataset.train.inputs, next(batches)))
    course.finish()
    return course.walks


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


class _Course:
    """Where members are measured: every lap on validation, and at the end on test as well."""

    def __init__(
        self, cohort: Cohort, dataset: Dataset, plan: Plan, recorders: Sequence[Recorder]
    ) -> None:
        self.walks = [Walk() for _ in cohort.members]
        self._cohort, self._dataset, self._plan = cohort, dataset, plan
        self._recorders = recorders
        self._epoch = steps_per_epoch(len(dataset.train), plan.batch_size)
        self._val_logits = torch.empty(0)  # of the last lap

    def is_over(self) -> bool:
        """Whether nobody walks any more."""
        return all(walk.stopped for walk in self.walks)

    def mean_watched(self) -> float:
        """Mean over members of the watched ruler, each at its last lap."""
        watch = self._plan.watch
        laps = [walk.laps[-1] for walk in self.walks if walk.laps]
        values = [lap.val.rulers.get(watch, math.nan) for lap in laps]
        return sum(values) / len(values) if values else math.nan

    def lap(self, step: int, means: Sequence[float], bad_steps: Sequence[int]) -> None:
        """Measure on validation whoever still walks.

        Args:
            means: Mean training loss of each member since the last lap.
            bad_steps: First step at which each member's loss was not finite; -1: none.
        """
        plan = self._plan
        self._val_logits = self._cohort.logits(self._dataset.val.inputs)
        walking = self._sound(step, bad_steps)
        factor = plan.schedule(step / plan.steps) if plan.steps else 1.0
        # The last lap is measured under every ruler; `finish` adds test and records it.
        last = step == plan.steps and plan.patience is None
        for k, _, val in self._measured(walking, self._val_logits, self._dataset.val, full=last):
            lap = Lap(step, step / self._epoch, means[k], self._rate(k) * factor, val)
            self.walks[k].laps.append(lap)
            if not last:
                self._recorders[k].lap(lap)
            if plan.patience is not None:
                self._watch(k, lap, plan.patience)

    def finish(self) -> None:
        """Measure the state each member keeps on validation and test under every ruler."""
        dataset = self._dataset
        done = [k for k, walk in enumerate(self.walks) if walk.status != "diverged"]
        if not done:
            return
        if self._plan.patience is not None:
            self._go_back_to_best(done)
        test_logits = self._cohort.logits(dataset.test.inputs)
        strange = {name: self._cohort.logits(rows) for name, rows in dataset.outliers.items()}
        examples = dataset.test.digest(dataset.outcome)
        for k, test, on_test in self._measured(done, test_logits, dataset.test, full=True):
            walk, head = self.walks[k], self._cohort.members[k].head
            on_test = with_thresholds(on_test, test, head, self._val_logits[k], dataset.val.labels)
            on_test = replace(on_test, right=Right(right_bits(test), examples))
            outliers = {name: logits[k] for name, logits in strange.items()}
            on_test = with_outliers(on_test, head, test_logits[k], outliers, dataset.none_class)
            kept = replace(walk.laps[walk.kept], test=on_test)
            walk.laps[walk.kept] = kept
            walk.status = "finished"
            self._recorders[k].lap(kept)
            self._recorders[k].pictures(kept, test, dataset.class_names)

    def _rate(self, k: int) -> float:
        return float(self._cohort.members[k].rates["lr"])

    def _sound(self, step: int, bad_steps: Sequence[int]) -> list[int]:
        """Who walks on with finite numbers; the others are stopped here."""
        finite = self._val_logits.isfinite().all(dim=2).all(dim=1).tolist()
        walking = []
        for k, walk in enumerate(self.walks):
            if walk.stopped:
                continue
            if bad_steps[k] < 0 and finite[k]:
                walking.append(k)
                continue
            at = bad_steps[k] if bad_steps[k] >= 0 else step
            walk.status, walk.stopped = "diverged", True
            rate = self._rate(k) * self._plan.schedule(at / max(self._plan.steps, 1))
            walk.diverged_at = {"step": at, "learning_rate": rate}
        return walking

    def _measured(
        self, which: Sequence[int], logits: Tensor, split: Split, full: bool
    ) -> Iterator[tuple[int, Predictions, Measurement]]:
        """For each member of `which`, side by side where heads are equal: number and findings."""
        heads = [member.head for member in self._cohort.members]
        for head in dict.fromkeys(heads[k] for k in which):
            alike = [k for k in which if heads[k] == head]
            size = max(1, _CELLS_AT_ONCE // max(1, logits[0].numel()))
            for some in (alike[at : at + size] for at in range(0, len(alike), size)):
                said = predict_cohort(head, logits[some], split.labels, split.truth)
                yield from zip(some, said, measure_cohort(said, full), strict=True)

    def _watch(self, k: int, lap: Lap, patience: int) -> None:
        """Early stopping: keep the best weights so far, stop when patience is spent."""
        watch, walk = self._plan.watch, self.walks[k]
        value = direction(watch) * lap.val.rulers[watch]
        if value > walk.best:
            walk.best, walk.best_step, walk.waited = value, lap.step, 0
            walk.best_weights = self._cohort.weights(k)
            return
        walk.waited += 1
        walk.stopped = walk.waited >= patience

    def _go_back_to_best(self, done: Sequence[int]) -> None:
        """Every member takes up the weights of its best lap, measured again under every ruler."""
        for k in done:
            weights = self.walks[k].best_weights
            if weights is not None:
                self._cohort.restore(k, weights)
        self._val_logits = self._cohort.logits(self._dataset.val.inputs)
        for k, _, val in self._measured(done, self._val_logits, self._dataset.val, full=True):
            walk = self.walks[k]
            walk.laps[walk.kept] = replace(walk.laps[walk.kept], val=val)
            walk.notes += self._noted(walk)

    def _noted(self, walk: Walk) -> list[str]:
        """What early stopping did, in a sentence; nothing if the last of all steps was best."""
        last, kept = walk.laps[-1], walk.laps[walk.kept]
        if kept is last and not walk.stopped:
            return []
        after = f"stopped at step {last.step} of {self._plan.steps}: " if walk.stopped else ""
        return [
            f"{after}kept step {kept.step} (epoch {kept.epoch:g}), the best "
            f"{self._plan.watch} on validation"
        ]
