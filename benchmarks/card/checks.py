"""What must hold on a card: a step waits for nothing, ways agree, precision costs no accuracy."""

from collections.abc import Callable, Sequence
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from benchmarks.card import ways
from benchmarks.card.work import LEARNING_RATE, NETS, SHAPE, Step, Work
from lossheads.analysis.statistics import t_interval
from lossheads.engine.augmentation import Augmentation
from lossheads.engine.batches import batch_stream
from lossheads.engine.cohort import build_cohort
from lossheads.engine.member import Member
from lossheads.heads import SigmoidBCE, SoftmaxCCE
from lossheads.loggers.progress import Reporter
from lossheads.outcomes import OneOf
from lossheads.runs.config import compose
from lossheads.runs.execute import execute

HEADS = (SoftmaxCCE(OneOf(10)), SigmoidBCE(OneOf(10)))
AGREEMENT = 1e-3  # of a mean loss of about ln 10; rounding is 1e-6, another computation 1e-2
SYNC_STEPS = 8


def waiting(work: Work, augmented: bool) -> str:
    """What a step of this project waited for: empty where it waited for nothing.

    Torch raises at an operation that waits for the card. Without a card it only takes the steps.
    """
    inputs, labels = work.rows()
    members = [
        Member(HEADS[k % 2], k, k, {"lr": LEARNING_RATE, "fused": True})
        for k in range(work.members)
    ]
    how = Augmentation(crop=2, flip=True) if augmented else None
    watch = torch.cuda.set_sync_debug_mode if work.device.type == "cuda" else lambda mode: None
    try:
        work.prepare()
        cohort = build_cohort(
            *(NETS[work.net], SHAPE, members, labels, partial(torch.optim.Adam), work.device),
            compute_dtype=torch.bfloat16 if work.precision == "bfloat16" else torch.float32,
            graph=work.graph,
        )
        seeds = [member.data_seed for member in members]
        batches = batch_stream(len(inputs), work.batch, seeds, work.device, how)
        for _ in range(5):  # builds, captures, and copies the order of the epoch
            cohort.step(inputs, next(batches))
        watch("error")
        for _ in range(SYNC_STEPS):
            cohort.scale_learning_rates(0.5)
            cohort.step(inputs, next(batches))
    except Exception as error:
        return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    finally:
        watch("default")
    return ""


def first_losses(work: Work, way: Callable[[Work], Step], steps: int = 3) -> Tensor:
    """(steps, K) losses of a way on the same rows for every way."""
    rows = len(work.rows()[0])
    draw = torch.Generator().manual_seed(2)
    index = torch.randint(0, rows, (steps, work.members, work.batch), generator=draw)
    work.prepare()
    step = way(work)
    return torch.stack([step(each) for each in index.to(work.device)]).cpu()


def disagreements(work: Work, names: Sequence[str]) -> dict[str, float | str]:
    """Way -> largest difference of its first losses from one by one's, or why it has none."""
    found: dict[str, float | str] = {}
    expected = first_losses(work, ways.one_by_one)
    for name in names:
        try:
            losses = first_losses(work, ways.CANDIDATES[name])
            found[name] = float((losses - expected).abs().max())
        except Exception as error:
            found[name] = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    return found


def accuracies(
    device: str, modes: Sequence[tuple[str, bool]], seeds: int, steps: int, folder: Path
) -> list[dict[str, Any]]:
    """Test accuracy of whole runs on scikit-learn's digits in each (precision, graph).

    The difference is from the first mode, paired by seed, with half of its 95 % interval.
    """
    found: list[dict[str, Any]] = []
    for precision, graph in modes:
        words = [
            *("dataset=digits", "head=softmax_cce", "recording.tensorboard=false"),
            *(f"training.steps={steps}", f"device={device}", f"device.precision={precision}"),
            *(
                f"device.graph={str(graph).lower()}",
                f"output_dir={folder}",
                "training.batch_size=64",
            ),
        ]
        row: dict[str, Any] = {"precision": precision, "graph": graph, "seeds": seeds}
        try:
            quiet = Reporter(Console(file=StringIO()))
            results = execute([compose([*words, f"seed={seed}"]) for seed in range(seeds)], quiet)
            row["scores"] = [result.test.metrics["accuracy_score"] for result in results]
            row["losses"] = [result.kept.train_loss for result in results]
        except Exception as error:
            row["note"] = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        if "scores" in row and "scores" in (first := found[0] if found else row):
            pairs = zip(row["scores"], first["scores"], strict=True)
            differences = [own - other for own, other in pairs]
            row["difference"] = sum(differences) / len(differences)
            interval = t_interval(differences) if len(differences) > 1 else None
            row["half_interval"] = (interval.high - interval.low) / 2 if interval else None
        found.append(row)
    return found
