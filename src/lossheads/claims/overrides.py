"""Configuration overrides as a claim may write them: plain words and numbers, nothing else.

Refused are keys that name code (`_target_`), that belong to whoever runs the claim (`output_dir`,
`trust`, `hydra`, …), or that the contest sets itself (`seed`), and values in which the
configuration language could hide an interpolation, a quote or a second override.
"""

import re
from collections.abc import Mapping

from lossheads.claims.plain_yaml import Item, Scalar
from lossheads.records import NOT_IN_KEY

Value = Scalar | tuple[Scalar, ...]
Overrides = Mapping[str, Value]

_KEY = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_-]*([./][A-Za-z0-9_-]+)*")
_RUNNERS = {"hydra", "defaults", *NOT_IN_KEY}


def read_overrides(item: Item) -> dict[str, Value]:
    """A mapping such as {head: softmax_cce, training.epochs: 5}, each key and value checked."""
    found = {}
    for key, value in item.mapping().items():
        first = key.split(".")[0]
        if first in _RUNNERS:
            value.refuse(f"{first!r} belongs to whoever runs the claim, not to the claim")
        if first == "seed":
            value.refuse("the contest sets the seed itself; say how many under `seeds`")
        if not _KEY.fullmatch(key):
            value.refuse(
                f"{key!r} is no configuration key: words joined by dots, none with a _ before it"
            )
        found[key] = read_value(value)
    return found


def read_value(item: Item) -> Value:
    """A word, a number, true, false, null, or a list of them."""
    if item.is_list:
        return tuple(_plain(entry) for entry in item.items())
    return _plain(item)


def _plain(item: Item) -> Scalar:
    value = item.scalar()
    if isinstance(value, str) and not _WORD.fullmatch(value):
        item.refuse(
            f"{value!r} is no plain value: a number, true, false, null, or a word of letters, "
            f"digits, _ and -, parts joined by a dot or slash"
        )
    return value


def as_arguments(overrides: Overrides) -> list[str]:
    """The overrides as the command line takes them: ["head=softmax_cce", …]."""
    return [f"{key}={_written(value)}" for key, value in overrides.items()]


def _written(value: Value) -> str:
    if isinstance(value, tuple):
        return f"[{','.join(_written(entry) for entry in value)}]"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
