"""What a label can be.

Shape letters, here and everywhere: N examples, C classes, L labels, S groups of M classes each,
U logits per example, K members, B batch.

Labels are hard (int64 or bool) or soft (float distributions over the same events). Which of the
two a dataset gives is part of its outcome, never guessed from values.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from lossheads.errors import UserError


def _at_least(name: str, field: str, value: int, least: int) -> None:
    if type(value) is not int or value < least:
        raise UserError(f"{name}: {field} must be an integer of at least {least}, got {value!r}")


@dataclass(frozen=True)
class OneOf:
    """Multiclass: exactly one of n classes.

    Labels int64 (N,); soft: float (N, C), rows sum to 1.
    """

    n: int
    soft: bool = False

    def __post_init__(self) -> None:
        _at_least("OneOf", "n", self.n, 2)

    def __str__(self) -> str:
        return f"{'soft ' * self.soft}OneOf(n={self.n})"

    @property
    def columns(self) -> tuple[int, ...]:
        """Shape of one example's per-class scores: (C,)."""
        return (self.n,)

    @property
    def events(self) -> tuple[int, ...]:
        """Shape of one example's log-probabilities: (C,)."""
        return (self.n,)

    def indicators(self, labels: Tensor) -> Tensor:
        """How present each class is: (N, C) float in [0, 1], one-hot for hard labels."""
        return labels.float() if self.soft else _one_hot(labels, self.n)

    def hard(self, labels: Tensor) -> Tensor:
        """The likeliest class of each label: int64 (N,). Hard labels pass through."""
        return labels.argmax(dim=-1) if self.soft else labels


@dataclass(frozen=True)
class AnyOf:
    """Multi-label: any subset of n labels.

    Labels bool (N, L); soft: float (N, L) in [0, 1].
    """

    n: int
    soft: bool = False

    def __post_init__(self) -> None:
        _at_least("AnyOf", "n", self.n, 1)

    def __str__(self) -> str:
        return f"{'soft ' * self.soft}AnyOf(n={self.n})"

    @property
    def columns(self) -> tuple[int, ...]:
        """Shape of one example's per-label scores: (L,)."""
        return (self.n,)

    @property
    def events(self) -> tuple[int, ...]:
        """Shape of one example's log-probabilities: (L, 2), holding [off, on]."""
        return (self.n, 2)

    def indicators(self, labels: Tensor) -> Tensor:
        """How present each label is: (N, L) float in [0, 1]."""
        return labels.float()

    def hard(self, labels: Tensor) -> Tensor:
        """Which labels are more likely on than off: bool (N, L). Exactly one half is off."""
        return labels > 0.5 if self.soft else labels


@dataclass(frozen=True)
class EachOneOf:
    """Multi-output: one of n classes in each of several groups.

    Labels int64 (N, S); soft: float (N, S, M), rows sum to 1.
    """

    groups: int
    n: int
    soft: bool = False

    def __post_init__(self) -> None:
        _at_least("EachOneOf", "groups", self.groups, 1)
        _at_least("EachOneOf", "n", self.n, 2)

    def __str__(self) -> str:
        return f"{'soft ' * self.soft}EachOneOf(groups={self.groups}, n={self.n})"

    @property
    def columns(self) -> tuple[int, ...]:
        """Shape of one example's per-class scores: (S, M)."""
        return (self.groups, self.n)

    @property
    def events(self) -> tuple[int, ...]:
        """Shape of one example's log-probabilities: (S, M)."""
        return (self.groups, self.n)

    def indicators(self, labels: Tensor) -> Tensor:
        """How present each class of each group is: (N, S, M) float in [0, 1]."""
        return labels.float() if self.soft else _one_hot(labels, self.n)

    def hard(self, labels: Tensor) -> Tensor:
        """The likeliest class of each group: int64 (N, S). Hard labels pass through."""
        return labels.argmax(dim=-1) if self.soft else labels


Outcome = OneOf | AnyOf | EachOneOf


def base_rates(outcome: Outcome, labels: Tensor) -> Tensor:
    """Share of examples in which each class is present: float64, shaped like `outcome.columns`."""
    return outcome.indicators(labels).double().mean(dim=0)


def check_labels(outcome: Outcome, labels: Tensor, who: str) -> None:
    """Refuse labels that `outcome` does not allow, naming the first row that is wrong.

    Args:
        who: Where the labels come from, for the sentence ("labels.csv", "digits").

    Raises:
        UserError: On a wrong dtype or shape, a class out of range, or a soft row that is not a
            distribution (rows must sum to 1 within 1e-4; AnyOf cells must lie in [0, 1]).
    """
    tail = outcome.columns if outcome.soft or isinstance(outcome, AnyOf) else outcome.columns[:-1]
    if tuple(labels.shape[1:]) != tail:
        raise UserError(
            f"{who}: labels of {outcome} must have shape (N, {', '.join(map(str, tail))})".replace(
                ", )", ",)"
            )
            + f", got {tuple(labels.shape)}"
        )
    kind = torch.bool if isinstance(outcome, AnyOf) else torch.int64
    if labels.is_floating_point() != outcome.soft or (not outcome.soft and labels.dtype != kind):
        wanted = "a float type" if outcome.soft else f"type {kind}"
        raise UserError(f"{who}: labels of {outcome} must be of {wanted}, got {labels.dtype}")
    _refuse_rows(outcome, labels, who)


def _refuse_rows(outcome: Outcome, labels: Tensor, who: str) -> None:
    remedy = ""
    if outcome.soft:
        bad = ~((labels >= 0) & (labels <= 1))
        rule = "probabilities must be in [0, 1]"
        if not bad.any() and not isinstance(outcome, AnyOf):
            bad = (labels.double().sum(dim=-1) - 1).abs() > 1e-4
            rule = "a row of soft labels must sum to 1"
    elif isinstance(outcome, AnyOf):
        return
    else:
        bad = (labels < 0) | (labels >= outcome.n)
        rule = f"labels must be in 0 … {outcome.n - 1}"
        remedy = "; count classes from 0, and leave out rows whose label is to be ignored"
    if bad.any():
        row = int(bad.reshape(len(bad), -1).any(dim=1).nonzero()[0])
        raise UserError(f"{who}, row {row}: {rule}, got {labels[row].tolist()}{remedy}")


def _one_hot(labels: Tensor, n: int) -> Tensor:
    # A comparison instead of one_hot, which inspects its input (a wait on a GPU), and of scatter,
    # which torch.vmap takes one by one.
    return (labels.unsqueeze(-1) == torch.arange(n, device=labels.device)).float()
