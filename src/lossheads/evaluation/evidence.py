"""What numbers and labels show of themselves, for the sentence that asks what they mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lossheads.errors import UserError
from lossheads.evaluation.labels import (
    is_binary,
    is_one_hot,
    is_whole,
    kind_of,
    possible_outcomes,
)
from lossheads.evaluation.raw import RawPredictions
from lossheads.heads.reading import heads_of_link

_SAMPLE = 10_000
SUM_TOLERANCE = 0.01  # of probabilities written with two or three digits
SUM_NOISE = 1e-4  # of probabilities that were not rounded: beyond it the sums are told


def refuse_values(rows: Tensor, start: int, source: str, given: str) -> None:
    """Refuse what is not finite, and probabilities out of range, naming the row."""
    if not rows.is_floating_point():
        rows = rows.double()
    # One pass in most cases: a sum is finite unless some number is not.
    if not bool(rows.sum(dtype=torch.float64).isfinite()):
        bad = ~rows.isfinite()
        row, column = (int(i) for i in bad.nonzero()[0])
        raise UserError(
            f"{source}, row {start + row}: column {column} holds {rows[row, column].item()}, rows "
            f"that are not finite: {int(bad.any(dim=1).sum())}; no metric is defined for "
            f"them: leave these rows out, or find where they come from"
        )
    if given == "probabilities":
        bad = (rows < 0) | (rows > 1)
        if bool(bad.any()):
            row, column = (int(i) for i in bad.nonzero()[0])
            raise UserError(
                f"{source}, row {start + row}: column {column} holds {rows[row, column].item():.6g}"
                f": probabilities must be in [0, 1]; if these are logits, say given=logits"
            )


def sample_of(numbers: NDArray[Any]) -> NDArray[Any]:
    """Up to some ten thousand rows, evenly spaced."""
    return np.array(numbers[:: max(1, len(numbers) // _SAMPLE)])


@dataclass(frozen=True)
class Evidence:
    """What numbers and labels show of themselves, on up to 10,000 rows."""

    low: float
    high: float
    sum_low: float
    sum_high: float

    @classmethod
    def of(cls, raw: RawPredictions) -> "Evidence":
        sample = sample_of(raw.numbers).astype(np.float64)
        rows = sample.reshape(len(sample), -1)
        refuse_values(torch.from_numpy(rows), 0, raw.source, "logits")
        sums = rows.sum(axis=1)
        return cls(rows.min(), rows.max(), sums.min(), sums.max())

    @property
    def in_unit_interval(self) -> bool:
        return self.low >= 0 and self.high <= 1

    @property
    def sums_to_one(self) -> bool:
        return abs(self.sum_low - 1) < SUM_TOLERANCE and abs(self.sum_high - 1) < SUM_TOLERANCE


def ask(
    raw: RawPredictions, columns: int, who: str, fitting: Sequence[str] | None = None
) -> UserError:
    """The question, with the evidence and the calls that fit it; the caller raises it.

    Args:
        fitting: Those calls, where a head is named; None finds them.
    """
    evidence = Evidence.of(raw)
    numbers = (
        f"{columns} number{'s' * (columns > 1)} a row{f' ({raw.named})' if raw.named else ''} "
        f"from {evidence.low:.4g} to {evidence.high:.4g}"
    )
    if columns > 1:
        low, high = evidence.sum_low, evidence.sum_high
        numbers += ", rows sum to " + ("1" if evidence.sums_to_one else f"{low:.4g} … {high:.4g}")
    if not possible_outcomes(raw.labels, columns):
        return UserError(
            f"{who}: labels of {raw.source} are {_labels_in_words(raw.labels)}, which fits no "
            f"outcome beside {columns} numbers a row: they must be class indices or words (N,), "
            f"rows of 0 and 1 or of shares (N, {columns}), or one class per group (N, S)"
        )
    calls = _fitting_calls(raw, columns, evidence) if fitting is None else fitting
    return UserError(
        f"{who} is not told what the numbers of {raw.source} are: it finds {numbers}; labels are "
        f"{_labels_in_words(raw.labels)}; "
        f"what fits: {' | '.join(calls) or 'no last layer of this project'}"
    )


def called_logits(raw: RawPredictions) -> bool:
    """Whether the file calls its numbers so: evidence, never an answer."""
    return raw.named.startswith("logit")


def _labels_in_words(labels: NDArray[Any]) -> str:
    shape = f"({', '.join(['N', *map(str, labels.shape[1:])])}{',' * (labels.ndim == 1)})"
    if labels.dtype.kind == "U":
        return f"{len(np.unique(labels))} different words of shape {shape}"
    if is_one_hot(labels):
        return f"one-hot rows {shape}"
    if labels.ndim > 1 and is_binary(labels):
        ones = labels.reshape(len(labels), -1).sum(axis=1)
        return f"0 / 1 of shape {shape}, {ones.min():g} to {ones.max():g} ones a row"
    kind = "fractions" if labels.dtype.kind == "f" and not is_whole(labels) else "integers"
    return f"{kind} {shape} from {labels.min():g} to {labels.max():g}"


def _fitting_calls(raw: RawPredictions, columns: int, evidence: Evidence) -> list[str]:
    """Up to three, the likeliest first."""
    calls = []
    for outcome in possible_outcomes(raw.labels, columns):
        for link in ("softmax", "sigmoid"):
            try:
                head = heads_of_link(link, outcome, columns)[0]
            except UserError:
                continue
            if head.num_logits != columns:
                continue
            grouped = kind_of(outcome) == "each_one_of"
            behind = evidence.in_unit_interval and (
                link == "sigmoid" or evidence.sums_to_one or grouped
            )
            wrong_on_purpose = link == "softmax" and kind_of(outcome) == "any_of"
            given = "probabilities" if behind else "logits"
            if given == "logits" and evidence.in_unit_interval and not called_logits(raw):
                continue
            score = (wrong_on_purpose, link == "sigmoid" and evidence.sums_to_one)
            calls.append((score, f"--link {link} --given {given} --outcome {kind_of(outcome)}"))
    return [call for _, call in sorted(calls, key=lambda pair: pair[0])[:3]]
