"""Validation steps, predictions and results of a tiny member, and its event file read back."""

import math
from pathlib import Path

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lossheads import metrics
from lossheads.heads.multiclass import SigmoidBCE, SoftmaxCCE
from lossheads.outcomes import AnyOf, OneOf, Outcome
from lossheads.predictions import Predictions, predict
from lossheads.records import Result, ValidationStep

THREE = OneOf(3)
NAMES = ("T-shirt/top", "bag", "coat")


def predictions(outcome: Outcome, n: int = 60, strength: float = 2.0) -> Predictions:
    """Answers of a head that is right more often than not; every class occurs."""
    generator = torch.Generator().manual_seed(7)
    if isinstance(outcome, AnyOf):
        labels = torch.rand(n, outcome.n, generator=generator) < 0.3
        right, head = 2 * labels.float() - 1, SigmoidBCE(outcome)
    else:
        labels = torch.arange(n) % outcome.n
        right, head = torch.eye(outcome.n)[labels], SoftmaxCCE(outcome)
    noise = torch.randn(n, outcome.n, generator=generator)
    return predict(head, strength * right + noise, labels)


def validation_steps(steps: int = 3, outcome: Outcome = THREE) -> list[ValidationStep]:
    """Validation steps at 0, 10, 20, … of a member that gets better; the last has a test split."""
    found = []
    for index in range(steps):
        said, end = predictions(outcome, strength=float(index)), index == steps - 1
        measured = metrics.measure(said, full=end)
        loss = math.nan if index == 0 else 1.0 / index
        found.append(
            ValidationStep(10 * index, index / 2, loss, 1e-3, measured, measured if end else None)
        )
    return found


def result(walked: list[ValidationStep], **changes: object) -> Result:
    fields = {
        "key": "0123456789",
        "name": "toy-softmax_cce-s0-0123456789",
        "status": "finished",
        "config": {
            "seed": 3,
            "output_dir": "elsewhere",
            "head": {"_target_": "lossheads.heads.SoftmaxCCE", "_partial_": True},
            "optimizer": {"lr": 0.001, "betas": [0.9, 0.999], "nesterov": False},
            "data_dir": None,
            "choices": {"head": "softmax_cce"},
        },
        "class_names": list(NAMES),
        "history": walked,
        "seconds": 1.5,
        "environment": {},
        "first_step": {"gradient_norm": 0.816},
        "notes": ["a note with a | in it"],
    }
    return Result(**(fields | changes))


def read(folder: Path) -> EventAccumulator:
    """Every event below the folder, nothing thinned out."""
    kinds = ("scalars", "images", "tensors", "histograms")
    events = EventAccumulator(str(folder), size_guidance=dict.fromkeys(kinds, 0))
    events.Reload()
    return events


def text(events: EventAccumulator, tag: str) -> str:
    (event,) = events.Tensors(f"{tag}/text_summary")
    return event.tensor_proto.string_val[0].decode()
