"""Runs of a sweep as arms: what differs names the arm, seeds are its repetitions."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lossheads.results import NOT_IN_KEY, Result

# Seeds repeat an arm; everything else that differs makes another one.
_REPETITION = ("seed", "data_seed")


def arms_of(results: Iterable[Result]) -> dict[str, list[Result]]:
    """Arm name -> one result per seed, in the order met.

    An arm is named by its head and by every setting in which the arms differ.
    """
    groups: dict[str, list[Result]] = {}
    for result in results:
        kept = {
            key: value
            for key, value in result.config.items()
            if key not in (*NOT_IN_KEY, *_REPETITION)
        }
        groups.setdefault(json.dumps(kept, sort_keys=True, default=str), []).append(result)
    leaves = [flat(group[0].config) for group in groups.values()]
    differing = [
        key
        for key in leaves[0]
        if not key.startswith(("head.", "choices.", *_REPETITION))
        and key.split(".")[0] not in NOT_IN_KEY
        and len({str(leaf.get(key)) for leaf in leaves}) > 1
    ]
    names = [_name(leaf, differing) for leaf in leaves]
    if len(set(names)) < len(names):  # heads that differ only in an option of theirs
        options = [key for key in _all_keys(leaves) if key.startswith("head.")]
        options = [key for key in options if len({str(leaf.get(key)) for leaf in leaves}) > 1]
        names = [_name(leaf, [*differing, *options]) for leaf in leaves]
    return dict(zip(names, groups.values(), strict=True))


def flat(config: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """A nested configuration with dotted keys."""
    leaves: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            leaves |= flat(value, f"{above}{key}.")
        else:
            leaves[f"{above}{key}"] = value
    return leaves


def _all_keys(leaves: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for leaf in leaves for key in leaf))


def _name(leaf: Mapping[str, Any], differing: Sequence[str]) -> str:
    words = [str(leaf["choices.head"])]
    words += [f"{_short(key)}={leaf[key]}" for key in differing if key in leaf]
    return ", ".join(words)


def _short(key: str) -> str:
    """`optimizer.lr` -> `lr`; a group's `_target_` goes by the group."""
    group, _, last = key.rpartition(".")
    return group if last == "_target_" else last
