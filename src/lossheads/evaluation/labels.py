"""Labels as a file has them -> as an outcome has them: indices, words, one-hot, multi-hot, soft.

Which kinds of outcome an array of labels can be is told from its shape, type and values; where
that leaves more than one, the caller asks.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossheads.dialects import Kind
from lossheads.errors import UserError, near_matches
from lossheads.outcomes import AnyOf, EachOneOf, OneOf, Outcome

Array = NDArray[Any]
KINDS = ("one_of", "any_of", "each_one_of")
_SUM_TOLERANCE = 1e-3


def squeezed(labels: Array) -> Array:
    """(N, 1) -> (N,); bytes -> words."""
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8", "replace")
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels


def is_binary(labels: Array) -> bool:
    """Whether all values are 0 or 1."""
    return labels.dtype.kind == "b" or (
        labels.dtype.kind in "iuf" and bool(((labels == 0) | (labels == 1)).all())
    )


def is_one_hot(labels: Array) -> bool:
    """(N, C): one 1 in every row, else 0."""
    return labels.ndim == 2 and is_binary(labels) and bool((labels.sum(axis=1) == 1).all())


def possible_outcomes(labels: Array, num_logits: int) -> list[Outcome]:
    """Every outcome that labels of this shape, type and range can have, beside U numbers."""
    kind = labels.dtype.kind
    if labels.ndim == 1:
        if kind == "f" and not is_whole(labels):
            return []
        return [OneOf(max(2, num_logits))]
    if labels.ndim == 3:
        _, groups, n = labels.shape
        return [EachOneOf(groups, n)] if groups * n == num_logits and n > 1 else []
    if labels.ndim != 2:
        return []
    columns, found = labels.shape[1], list[Outcome]()
    fractions = kind == "f" and not is_whole(labels)
    as_rows = _sums_to_one(labels) if fractions else is_one_hot(labels)
    if columns == num_logits and columns > 1 and as_rows:
        found.append(OneOf(columns, soft=fractions))
    in_range = kind != "U" and bool(((labels >= 0) & (labels <= 1)).all())
    if in_range and num_logits in (columns, 2 * columns):
        found.append(AnyOf(columns, soft=fractions))
    if not fractions and columns < num_logits and num_logits % columns == 0:
        found.append(EachOneOf(columns, num_logits // columns))
    return found


def is_whole(labels: Array) -> bool:
    """Whether floats are whole numbers, as tables often hold classes."""
    return labels.dtype.kind == "f" and bool((labels == np.round(labels)).all())


def _sums_to_one(labels: Array) -> bool:
    return bool((np.abs(labels.sum(axis=-1, dtype=np.float64) - 1) < _SUM_TOLERANCE).all())


def outcome_of_kind(kind: str, labels: Array, num_logits: int, source: str) -> Outcome:
    """The outcome of the kind that the user names.

    Raises:
        UserError: If labels of this shape cannot be of that kind.
    """
    if kind not in KINDS:
        raise UserError(f"outcome={kind!r} is unknown; {near_matches(kind, KINDS)}")
    for outcome in possible_outcomes(labels, num_logits):
        if kind_of(outcome) == kind:
            return outcome
    if labels.ndim == 1 and kind == "any_of" and num_logits == 1:
        return AnyOf(1)
    rules = {
        "one_of": f"labels (N,), or one-hot rows or distributions (N, {num_logits})",
        "any_of": f"0 / 1 or shares in labels (N, {num_logits})",
        "each_one_of": "labels (N, S), one class per group, with U = S · M numbers",
    }
    raise UserError(
        f"{source}: labels of shape {labels.shape} and type {labels.dtype} beside {num_logits} "
        f"numbers per example cannot be {kind}, which needs {rules[kind]}"
    )


def kind_of(outcome: Outcome) -> Kind:
    """OneOf -> one_of."""
    kinds: dict[type, Kind] = {OneOf: "one_of", AnyOf: "any_of", EachOneOf: "each_one_of"}
    return kinds[type(outcome)]


def as_outcome_labels(
    labels: Array, outcome: Outcome, names: Sequence[str], source: str
) -> tuple[Array, str]:
    """Labels as the outcome takes them, and how they were read, in words.

    Raises:
        UserError: On words that no class has, or numbers that are none.
    """
    if labels.dtype.kind == "U":
        return _numbers_of_words(labels, names, source), "labels are words"
    if labels.dtype.kind == "f":
        bad = ~np.isfinite(labels)
        if bad.any():
            row = int(np.argwhere(bad)[0][0])
            raise UserError(
                f"{source}, row {row}: the label is {labels[row]}, which is no number: leave such "
                f"rows out"
            )
    if isinstance(outcome, AnyOf):
        shaped = labels.reshape(len(labels), -1)
        if outcome.soft:
            return shaped.astype(np.float64), "labels are shares in [0, 1]"
        if not is_binary(shaped):
            row = int(np.argwhere((shaped != 0) & (shaped != 1))[0][0])
            raise UserError(f"{source}, row {row}: {outcome} takes 0 or 1 for each label")
        return shaped.astype(bool), "labels are multi-hot rows"
    if labels.shape[1:] == outcome.columns:
        if outcome.soft:
            return labels.astype(np.float64), "labels are distributions"
        return labels.argmax(axis=-1), "labels are one-hot rows, read as class indices"
    if labels.dtype.kind == "f" and not is_whole(labels):
        row = int(np.argwhere(labels != np.round(labels))[0][0])
        raise UserError(f"{source}, row {row}: the label {labels[row]} is no class index")
    if labels.dtype.kind == "b":
        labels = labels.astype(np.int8)
    return labels.astype(np.int64), "labels are class indices"


def _numbers_of_words(words: Array, names: Sequence[str], source: str) -> Array:
    if not names:
        some = ", ".join(map(repr, np.unique(words)[:4].tolist()))
        raise UserError(
            f"{source} holds words as labels ({some} …) and no class names, so which column each "
            f"belongs to is unknown: give them in the order of the columns, --class-names cat,dog"
        )
    known, inverse = np.unique(words, return_inverse=True)
    places = {name: place for place, name in enumerate(names)}
    numbers = np.array([places.get(str(word), -1) for word in known], dtype=np.int64)
    labels = numbers[inverse].reshape(words.shape)
    if (labels < 0).any():
        row = int(np.argwhere(labels < 0)[0][0])
        word = str(np.ravel(words[row])[np.ravel(labels[row]).argmin()])
        raise UserError(
            f"{source}, row {row}: the label {word[:60]!r} is none of the {len(names)} classes; "
            f"{near_matches(word, names)}"
        )
    return labels
