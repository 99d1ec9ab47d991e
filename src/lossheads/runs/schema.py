"""Types of the configuration's closed sections. Values live in configs/, never here."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING


class DeviceKind(Enum):
    """Where tensors live."""

    cpu = "cpu"
    cuda = "cuda"
    auto = "auto"


class Precision(Enum):
    """How products are computed; weights, losses and optimizer are float32 throughout."""

    float32 = "float32"
    tf32 = "tf32"
    bfloat16 = "bfloat16"


@dataclass
class Device:
    kind: DeviceKind = MISSING
    threads: int | None = MISSING
    precision: Precision = MISSING
    deterministic: bool = MISSING
    graph: bool = MISSING


@dataclass
class Training:
    epochs: float = MISSING
    steps: int | None = MISSING
    batch_size: int = MISSING
    validations_per_epoch: int = MISSING
    patience: int | None = MISSING
    monitor: str | None = MISSING


@dataclass
class OutputLayer:
    prior_bias: bool = MISSING


@dataclass
class Recording:
    tensorboard: bool = MISSING
    weights: bool = MISSING


@dataclass
class CohortSize:
    max_members: int | None = MISSING


@dataclass
class Config:
    """A run. The open groups (dataset, head, model, optimizer, schedule) hold any keys."""

    dataset: Any = MISSING
    head: Any = MISSING
    model: Any = MISSING
    optimizer: Any = MISSING
    schedule: Any = MISSING
    device: Device = field(default_factory=Device)
    training: Training = field(default_factory=Training)
    output_layer: OutputLayer = field(default_factory=OutputLayer)
    recording: Recording = field(default_factory=Recording)
    cohort: CohortSize = field(default_factory=CohortSize)
    seed: int = MISSING
    data_seed: int = MISSING
    output_dir: str = MISSING
    data_dir: str | None = MISSING
    force: bool = MISSING
    trust: list[str] = MISSING


def register() -> None:
    """Make the types known to Hydra under the name that config.yaml begins with."""
    ConfigStore.instance().store(name="schema", node=Config, provider="lossheads")
