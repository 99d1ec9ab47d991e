"""What a file of predictions holds, before anybody says what it means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossheads.errors import UserError

Array = NDArray[Any]

# What arrays and columns are called where the user names none; several at once are refused.
NUMBERS = (
    *("logits", "probabilities", "probs", "scores", "outputs", "predictions", "preds"),
    *("y_pred", "y_score", "y_prob", "y_proba"),
)
LABELS = ("labels", "label", "y", "y_true", "targets", "target", "true_label")
IDS = ("ids", "id", "example_ids", "example_id")
NAMES = ("class_names", "classes")


@dataclass(frozen=True)
class Columns:
    """What the user calls things in the file: array names, or column names with `*`.

    Attributes:
        labels: An array or columns; beside an .npy of numbers, another .npy file.
    """

    numbers: str | None = None
    labels: str | None = None
    ids: str | None = None
    cluster: str | None = None
    part: str | None = None


@dataclass(frozen=True)
class RawPredictions:
    """Arrays of one file, all of N rows; nothing is converted yet.

    Attributes:
        numbers: (N, ...) floats, perhaps mapped from disk.
        labels: (N, ...) numbers or words.
        named: What the file calls the numbers: evidence, never an answer.
        ids, clusters, parts: (N,) or None.
        class_names: In the order of the columns; () where the file names none.
        digest: Of the examples, where a run folder knows it.
    """

    source: str
    numbers: Array
    labels: Array
    named: str
    ids: Array | None = None
    clusters: Array | None = None
    parts: Array | None = None
    class_names: tuple[str, ...] = ()
    digest: str = ""


def refuse_named_twice(source: object, named: Mapping[str, str | Sequence[str] | None]) -> None:
    """Refuse numbers or labels that are named as something else, too.

    Args:
        named: What each is called in the file, by "numbers", "labels", "ids" and so on.

    Raises:
        UserError: Naming the column and both uses.
    """
    met: dict[str, str] = {}
    for what, names in named.items():
        for name in [names] if isinstance(names, str) else names or ():
            if met.get(name) in ("numbers", "labels"):
                raise UserError(
                    f"{source}: {name!r} was named twice, as {met[name]} and as {what}: name "
                    f"another one for either"
                )
            met[name] = what


def checked_lengths(raw: RawPredictions) -> RawPredictions:
    """The same, once all arrays have one length and ids are unique.

    Raises:
        UserError: Naming both lengths, or the id.
    """
    if raw.numbers.ndim == 0 or raw.labels.ndim == 0:
        raise UserError(f"{raw.source}: numbers and labels must have rows, got a single value")
    rows = len(raw.numbers)
    others = {"labels": raw.labels, "ids": raw.ids, "cluster": raw.clusters, "part": raw.parts}
    for what, array in others.items():
        if array is not None and len(array) != rows:
            raise UserError(
                f"{raw.source} has {rows} rows of numbers and {len(array)} of {what}: they must "
                f"be equal in number; save both from one pass over the data"
            )
    if rows == 0:
        raise UserError(f"{raw.source} has 0 examples: at least one is needed")
    if raw.ids is not None:
        known, counts = np.unique(raw.ids, return_counts=True)
        if counts.max() > 1:
            twice = str(known[counts.argmax()])[:60]
            raise UserError(
                f"{raw.source} has the id {twice!r} {counts.max()} times: ids must be unique; for "
                f"several rows of one subject name it as --cluster"
            )
    return raw
