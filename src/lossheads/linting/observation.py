"""What was seen of one batch, whichever framework computed it: the only thing the rules look at."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

Kind = Literal["softmax", "log_softmax", "sigmoid", "relu", "tanh", "logits", "unknown"]
Reads = Literal["logits", "probabilities", "log_probabilities", "numbers", "unknown"]
Link = Literal["softmax", "sigmoid"]

CLOSE = 1e-3  # of a sum to 1: half precision on 1,000 classes is closer
FEW = 24  # numbers in [0, 1] by chance: below 2^-24 for logits around 0


@dataclass(frozen=True)
class Activation:
    """One activation below the outputs.

    Attributes:
        size: Length of the dimension that a softmax runs over, where known.
    """

    kind: Kind
    size: int | None = None


@dataclass(frozen=True)
class LastLayers:
    """What the outputs passed last.

    Attributes:
        activations: Nearest to the loss first; empty where none was seen.
        linear: A product, convolution or sum stands directly below them.
        picked: Single columns were selected after the activations, so rows need not sum to 1.
        clamped: Values were clipped to a range.
        seen_by: "autograd graph", "layer configuration" or "values".
    """

    activations: tuple[Activation, ...] = ()
    linear: bool = False
    picked: bool = False
    clamped: bool = False
    seen_by: str = "values"


@dataclass(frozen=True)
class LossCall:
    """One loss, or one link inside a loss of somebody's own, and the tensors it was given.

    Attributes:
        reads: What its first argument must be.
        link: The link whose outputs it scores; None where it has none.
        class_dim: Where the classes lie; None where any dimension but the first will do.
        takes_indices: Integer targets are class indices.
        whole: It is a loss; False for a softmax or sigmoid within one.
        error: What it said when it refused, else empty.
        value: What it returned, with its graph.
    """

    name: str
    reads: Reads
    link: Link | None
    outputs: Tensor
    target: Tensor | None
    last: LastLayers
    class_dim: int | None = None
    takes_indices: bool = False
    whole: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    value: Tensor | None = None

    @property
    def num_outputs(self) -> int:
        """Length of the class dimension; of the last one where any will do."""
        if self.outputs.ndim == 0 or (self.class_dim is None and self.outputs.ndim == 1):
            return 1
        return self.outputs.shape[-1 if self.class_dim is None else self.class_dim]

    @property
    def kind(self) -> Kind:
        """What the outputs are: by what computed them, else by their values."""
        if self.last.activations:
            return self.last.activations[0].kind
        if self.last.linear:
            return "logits"
        return kind_by_values(self.outputs, self.class_dim)

    @property
    def one_unit(self) -> bool:
        """A softmax runs over a single unit, in the model or in the loss."""
        if any(each.size == 1 and "softmax" in each.kind for each in self.last.activations):
            return True
        by_class = self.takes_indices or self.class_dim is not None
        return (
            self.link == "softmax" and by_class and self.num_outputs == 1 and self.outputs.ndim > 1
        )

    @property
    def seen_by(self) -> str:
        """How `kind` is known."""
        return self.last.seen_by if self.last.activations or self.last.linear else "values"


@dataclass(frozen=True)
class Observation:
    """One batch through model and loss.

    Attributes:
        subject: Model and loss in words.
        outputs: What the metric gets; None where that is not known.
        labels: As the user passed them.
        loss: What came back, detached; None where the loss refused.
        trainable: Number of parameters that ask for a gradient; None where none were taken.
        reached: Number of those whose gradient is not exactly zero.
        unreached: Names of the others.
        has_graph: The loss leads back to some parameter.
        doubled: The loss of the batch taken twice; None where that could not be computed.
        refused: The sentence for a loss that refused; a finding that explains it is better.
        doubling_by_design: The library sums over the batch, as its documentation says.
        settings: What the framework was told, such as problem_type.
    """

    subject: str
    calls: tuple[LossCall, ...]
    outputs: Tensor | None = None
    labels: Tensor | None = None
    loss: Tensor | None = None
    trainable: int | None = None
    reached: int = 0
    unreached: tuple[str, ...] = ()
    has_graph: bool | None = None
    doubled: Tensor | None = None
    doubling_by_design: bool = False
    refused: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    not_checked: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def sums_to_one(values: Tensor, class_dim: int | None) -> bool:
    """Whether rows sum to 1 over the class dimension, or over any but the first where unknown."""
    if values.ndim == 0:
        return False
    dims = range(1, values.ndim) if class_dim is None else [class_dim]
    return any(bool(((values.sum(dim=dim) - 1).abs() < CLOSE).all()) for dim in dims)


def kind_by_values(outputs: Tensor, class_dim: int | None) -> Kind:
    """What values alone tell; "unknown" where they could be anything."""
    values = outputs.detach().double()
    if not bool(values.isfinite().all()) or values.numel() < 4:
        return "unknown"
    low, high = values.min().item(), values.max().item()
    size = values.shape[class_dim] if class_dim is not None else values.shape[-1]
    if low >= 0 and high <= 1 and size > 1 and sums_to_one(values, class_dim):
        return "softmax"
    if high <= 0 and size > 1 and sums_to_one(values.exp(), class_dim):
        return "log_softmax"
    if values.numel() < FEW:
        return "unknown"
    if low == 0 and 0.02 < (values == 0).double().mean().item() < 1:
        return "relu"
    return "sigmoid" if low >= 0 and high <= 1 else "unknown"


def dtype_is_whole(tensor: Tensor) -> bool:
    """Integers or bools."""
    return not tensor.is_floating_point() and not tensor.is_complex()


def span(tensor: Tensor) -> str:
    """Smallest and largest value, for sentences."""
    values = tensor.detach()
    if values.dtype == torch.bool:
        values = values.int()
    return f"[{values.min().item():.4g}, {values.max().item():.4g}]"
