"""A dataset: outcome, three splits, provenance. Plain tensors; `to` moves them to a device.

A *source* is the frozen description that a YAML file builds. It knows its outcome before
anything is read, so that a head that does not fit is refused early; `load` reads or draws.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from lossheads.errors import UserError
from lossheads.outcomes import Outcome, check_labels


@dataclass(frozen=True)
class Split:
    """Inputs float32 (N, ...) and labels of one split, in a fixed order.

    Attributes:
        true_posterior: Where known, the true posterior of each example: float64, shaped like
            (N, *outcome.columns). None for real data.
    """

    inputs: Tensor
    labels: Tensor
    true_posterior: Tensor | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def to(self, device: torch.device) -> "Split":
        true_posterior = None if self.true_posterior is None else self.true_posterior.to(device)
        return Split(self.inputs.to(device), self.labels.to(device), true_posterior)

    def digest(self, outcome: Outcome) -> str:
        """Ten hex digits naming these examples in this order: inputs and hardened labels.

        Hardened, so that splits which differ in how they write the same classes are the same.
        """
        digest = hashlib.sha256(self.inputs.contiguous().cpu().numpy().data)
        digest.update(outcome.hard(self.labels).contiguous().cpu().numpy().data)
        return digest.hexdigest()[:10]


@dataclass(frozen=True)
class Provenance:
    """Where the data come from: name, origin, checksum of what was used, licence."""

    name: str
    origin: str
    checksum: str
    licence: str


@dataclass(frozen=True)
class Dataset:
    """One outcome, three splits that share no example, names, provenance.

    Attributes:
        outliers: Named inputs (N, ...) that belong to no class, for out-of-distribution metrics.
        bayes_score: Best reachable accuracy_score on the test distribution, where known.
        none_class: Class that was trained to mean "none of the others", where there is one.
        notes: Warnings about these examples, a sentence each: printed, and kept with results.
    """

    outcome: Outcome
    train: Split
    val: Split
    test: Split
    class_names: tuple[str, ...]
    provenance: Provenance
    outliers: Mapping[str, Tensor] = field(default_factory=dict)
    bayes_score: float | None = None
    none_class: int | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        name = self.provenance.name
        if len(self.class_names) != self.outcome.n:
            raise UserError(
                f"{name} names {len(self.class_names)} classes: {self.outcome} has "
                f"{self.outcome.n}; give one name per class"
            )
        for part, split in (("train", self.train), ("val", self.val), ("test", self.test)):
            if len(split) == 0 or len(split.inputs) != len(split.labels):
                raise UserError(
                    f"{name} has {len(split.inputs)} inputs and {len(split.labels)} labels in "
                    f"its {part} split: both must be equal and at least 1"
                )
            if split.inputs.dtype != torch.float32:
                raise UserError(
                    f"{name} has {split.inputs.dtype} inputs in its {part} split: they must be "
                    f"torch.float32; convert them with inputs.float()"
                )
            check_labels(self.outcome, split.labels, f"{name} ({part})")

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example's inputs, without N."""
        return tuple(self.train.inputs.shape[1:])

    def to(self, device: torch.device) -> "Dataset":
        """The same dataset on `device`."""
        return replace(
            self,
            train=self.train.to(device),
            val=self.val.to(device),
            test=self.test.to(device),
            outliers={name: inputs.to(device) for name, inputs in self.outliers.items()},
        )


class DatasetSource(Protocol):
    """What a file in configs/dataset builds: cheap to build, knows its outcome before reading."""

    @property
    def outcome(self) -> Outcome:
        """What the labels can be, without touching a file where that is possible."""

    def load(self, data_dir: Path | None, cache: Path) -> Dataset:
        """Read or draw the data, on the CPU.

        Args:
            data_dir: Folder the user named for files they already have, or None.
            cache: Folder for decoded copies; made when needed, never left half-written.
        """
