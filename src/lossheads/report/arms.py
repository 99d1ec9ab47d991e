"""Runs of a sweep as arms: what differs names the arm, seeds are its repetitions."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lossheads.results import NOT_IN_KEY, Result

# Other seeds of a run, and whether they follow its seed when the runs do not tell: see configs.
_USUALLY_FOLLOWS = {"data_seed": True, "dataset.seed": False}


def arms_of(results: Iterable[Result]) -> dict[str, list[Result]]:
    """Arm name -> one result per seed, in the order met.

    Seeds repeat an arm; everything else that differs makes another one. An arm is named by its
    head and by every setting in which the arms differ.
    """
    # A run that was asked for twice is one repetition, not two.
    unique = list({result.key: result for result in results}.values())
    groups: dict[str, list[Result]] = {}
    leaves = []
    for result, identity in zip(unique, identities(unique), strict=True):
        identity.pop("seed")
        words = json.dumps(identity, sort_keys=True, default=str)
        if words not in groups:
            leaves.append(identity | _head(result))
        groups.setdefault(words, []).append(result)
    keys = list(dict.fromkeys(key for leaf in leaves for key in leaf))
    differing = [key for key in keys if len({str(leaf.get(key)) for leaf in leaves}) > 1]
    names = [_name(leaf, [k for k in differing if not k.startswith("head.")]) for leaf in leaves]
    if len(set(names)) < len(names):  # heads that differ only in an option of theirs
        names = [_name(leaf, differing) for leaf in leaves]
    return dict(zip(names, groups.values(), strict=True))


def identities(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Every setting that makes an arm, and the seed, of each result.

    A further seed that follows the seed is no setting: it reads "the seed's".
    """
    found = [_identity(result) for result in results]
    for key, usual in _USUALLY_FOLLOWS.items():
        _mark_followers(key, usual, found)
    return found


def _identity(result: Result) -> dict[str, Any]:
    config = {k: v for k, v in result.config.items() if k not in (*NOT_IN_KEY, "content")}
    leaves = flat(config)
    leaves.pop("device.threads", None)
    # The same path with other contents is other data: their digests tell, shortened to be read.
    content = result.config.get("content", {})
    return leaves | {f"content.{role}": str(digest)[:8] for role, digest in content.items()}


def _mark_followers(key: str, usual: bool, identities: Sequence[dict[str, Any]]) -> None:
    """Where another seed follows the seed, it repeats with it; where it is fixed, it is a setting.

    Two different seeds that are followed tell. A single run at which both happen to be equal
    belongs to the fixed ones beside it, if there are any, else to what the other arms do, else to
    what is usual.
    """
    alike: dict[str, list[dict[str, Any]]] = {}
    for leaves in identities:
        if key in leaves:
            rest = {k: v for k, v in leaves.items() if k not in ("seed", "data_seed", key)}
            alike.setdefault(json.dumps(rest, sort_keys=True, default=str), []).append(leaves)
    followers, open_ones, told = [], [], []
    for group in alike.values():
        equal = [leaves for leaves in group if leaves[key] == leaves["seed"]]
        fixed = {leaves[key] for leaves in group if leaves[key] != leaves["seed"]}
        if len({leaves["seed"] for leaves in equal}) > 1:
            followers += equal
            told.append(True)
        elif equal and equal[0][key] not in fixed:
            open_ones += equal
        else:
            told.append(False)
    if any(told) if told else usual:
        followers += open_ones
    for leaves in followers:
        leaves[key] = "the seed's"


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
