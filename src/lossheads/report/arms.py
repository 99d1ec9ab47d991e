"""Runs of a sweep as arms: what differs names the arm, seeds are its repetitions."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lossheads.results import NOT_IN_KEY, Result


def arms_of(results: Iterable[Result]) -> dict[str, list[Result]]:
    """Arm name -> one result per seed, in the order met.

    Seeds repeat an arm; everything else that differs makes another one. An arm is named by its
    head and by every setting in which the arms differ.
    """
    groups: dict[str, list[Result]] = {}
    # A run that was asked for twice is one repetition, not two.
    for result in {result.key: result for result in results}.values():
        identity = json.dumps(_identity(result), sort_keys=True, default=str)
        groups.setdefault(identity, []).append(result)
    leaves = [_identity(group[0]) | _head(group[0]) for group in groups.values()]
    keys = list(dict.fromkeys(key for leaf in leaves for key in leaf))
    differing = [key for key in keys if len({str(leaf.get(key)) for leaf in leaves}) > 1]
    names = [_name(leaf, [k for k in differing if not k.startswith("head.")]) for leaf in leaves]
    if len(set(names)) < len(names):  # heads that differ only in an option of theirs
        names = [_name(leaf, differing) for leaf in leaves]
    return dict(zip(names, groups.values(), strict=True))


def _identity(result: Result) -> dict[str, Any]:
    """Every setting that makes an arm: the run's key without its seeds."""
    config = {k: v for k, v in result.config.items() if k not in (*NOT_IN_KEY, "content")}
    leaves = flat(config)
    leaves.pop("device.threads", None)
    seed = leaves.pop("seed")
    if leaves.get("data_seed") == seed:  # follows the seed, so it repeats with it
        leaves["data_seed"] = "the seed's"
    return leaves


def _head(result: Result) -> dict[str, Any]:
    return {"choices.head": result.config["choices"]["head"]}


def flat(config: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """A nested configuration with dotted keys."""
    leaves: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            leaves |= flat(value, f"{above}{key}.")
        else:
            leaves[f"{above}{key}"] = value
    return leaves


def _name(leaf: Mapping[str, Any], differing: Sequence[str]) -> str:
    words = [str(leaf["choices.head"])]
    words += [f"{_short(k)}={leaf[k]}" for k in differing if k in leaf and k != "choices.head"]
    return ", ".join(words)


def _short(key: str) -> str:
    """`optimizer.lr` -> `lr`; a group's `_target_` goes by the group."""
    group, _, last = key.rpartition(".")
    return group if last == "_target_" else last
