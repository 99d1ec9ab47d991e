"""What every way of training on a card gets: nets, rows on the device, and a clock."""

import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from lossheads.models import cnn, mlp, resnet9
from lossheads.runs.device import prepare

CLASSES, EPOCH = 10, 60_000  # images of an epoch, as in benchmarks/training_speed
LEARNING_RATE = 1e-3
NETS: dict[str, Callable[[tuple[int, ...]], nn.Sequential]] = {
    "mlp-128": lambda shape: mlp(shape, hidden=[128]),
    "cnn-32-64": lambda shape: cnn(shape, channels=[32, 64], dense=128),
    "resnet9": lambda shape: resnet9(shape, channels=[8, 16, 32, 64], groups=4),
}
SHAPE = (1, 28, 28)

# (K, B) rows of every member -> its losses (K,) after one optimizer step of all members.
Step = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Work:
    """K members of one net on rows that lie on the device.

    Attributes:
        net: Key of `NETS`.
        device: `cuda`, or `cpu` for a dry run.
        precision: Of products: float32, tf32, bfloat16.
        graph: Replay the step as a CUDA graph, where the way can.
    """

    net: str
    members: int
    batch: int
    device: torch.device
    precision: str = "float32"
    graph: bool = False

    def rows(self, passes: int = 100) -> tuple[Tensor, Tensor]:
        """Random images (N, 1, 28, 28) and classes (N,): so many batches."""
        draw = torch.Generator().manual_seed(0)
        inputs = torch.rand(passes * self.batch, *SHAPE, generator=draw)
        labels = torch.randint(0, CLASSES, (len(inputs),), generator=draw)
        return inputs.to(self.device), labels.to(self.device)

    def nets(self) -> list[nn.Sequential]:
        """Each member's net on the device, from a seed of its own; ten logits."""
        made = []
        for seed in range(self.members):
            torch.manual_seed(seed)
            backbone = NETS[self.net](SHAPE)
            width = backbone(torch.zeros(1, *SHAPE)).shape[1]
            made.append(nn.Sequential(*backbone, nn.Linear(width, CLASSES)).to(self.device))
        return made

    def prepare(self) -> None:
        """Torch's settings as a run of the command line makes them, determinism included."""
        settings: dict[str, Any] = {
            "kind": self.device.type,
            "precision": self.precision,
            "graph": self.graph,
            "deterministic": True,
        }
        prepare(settings, torch.get_num_threads())


@dataclass
class Row:
    """One way of training with K members.

    Attributes:
        way: `plain`, `lossheads`, `jax`, or a candidate for convolutions.
        step_ms: Milliseconds of a step of all members: one value per round.
        peak_mb: Most memory of the card that torch's tensors took meanwhile; None on a CPU.
        first_s: Building, compiling, capturing and the first steps.
        note: Why there is no time, or what else was seen.
    """

    net: str
    way: str
    members: int
    batch: int
    precision: str
    graph: bool
    step_ms: list[float] = field(default_factory=list)
    peak_mb: float | None = None
    first_s: float | None = None
    note: str = ""

    @property
    def ms(self) -> float:
        """The median; NaN without a measurement."""
        return median(self.step_ms) if self.step_ms else float("nan")

    @property
    def epoch_s(self) -> float:
        """Seconds in which one member sees 60,000 images."""
        return self.ms / 1e3 / self.members * EPOCH / self.batch


@dataclass(frozen=True)
class Clock:
    """How long to measure.

    Attributes:
        rounds: Per row; the median counts.
        seconds: Of a round, about.
        steps: Most steps of a round.
    """

    rounds: int
    seconds: float
    steps: int

    def row(self, way: str, work: Work, build: Callable[[Work], Callable[[], Any]]) -> Row:
        """Build a step and time it; whatever fails becomes the row's note."""
        row = Row(work.net, way, work.members, work.batch, work.precision, work.graph)
        on_card = work.device.type == "cuda"
        if on_card:
            gc.collect()  # what the last row kept in cycles
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        try:
            work.prepare()
            begun = perf_counter()
            step = build(work)
            # Three calls before a capture, the capture, and one replay.
            self._seconds(step, 5, work.device)
            row.first_s = perf_counter() - begun
            probe = self._seconds(step, min(3, self.steps), work.device)
            steps = max(1, min(self.steps, int(self.seconds / max(probe, 1e-9))))
            for _ in range(self.rounds):
                row.step_ms.append(1e3 * self._seconds(step, steps, work.device))
        except Exception as error:  # another way may still work: this one's failure is a result
            row.note = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            row.step_ms = []
        if on_card:
            row.peak_mb = torch.cuda.max_memory_allocated() / 1e6
        return row

    @staticmethod
    def _seconds(step: Callable[[], Any], steps: int, device: torch.device) -> float:
        wait_for(device)
        begun = perf_counter()
        for _ in range(steps):
            step()
        wait_for(device)
        return (perf_counter() - begun) / steps


def wait_for(device: torch.device) -> None:
    """A card computes while Python goes on: wait for it before reading a clock."""
    if device.type == "cuda":
        torch.cuda.synchronize()
