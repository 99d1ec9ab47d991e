"""Runs of a sweep as arms: what differs names the arm, seeds are its repetitions."""

import json
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

from lossheads.analysis.palette import RATE, Mark, marks
from lossheads.records import NOT_IN_KEY, Result

Config = Mapping[str, Any]

# Other seeds of a run, and whether they follow its seed when the runs do not show it: see configs.
_FOLLOWS_SEED_BY_DEFAULT = {"data_seed": True, "dataset.seed": False}


def arms_of(results: Iterable[Result]) -> dict[str, list[Result]]:
    """Arm name -> one result per seed, in the order met.

    Seeds repeat an arm; everything else that differs makes another one. An arm is named by its
    head and by every setting in which the arms differ, in the terms of the command line: a group
    by the name that was chosen, a key by its last part where that is enough to know it.
    """
    # A run that was asked for twice is one repetition, not two.
    unique = list({result.key: result for result in results}.values())
    arms: dict[str, list[Result]] = {}
    for result, name in zip(unique, arm_names([run.config for run in unique]), strict=True):
        arms.setdefault(name, []).append(result)
    return arms


def marks_of(arms: Mapping[str, Sequence[Result]]) -> dict[str, Mark]:
    """Arm -> mark: by the head of its runs and by the settings in which the arms differ."""
    configs = [results[0].config for results in arms.values()]
    leaves = identities(configs)
    differing = [key for key in _differing(leaves) if key not in ("seed", "head._target_")]
    return marks(
        {
            arm: {key: leaf[key] for key in differing if key in leaf}
            | {"head": config.get("choices", {}).get("head", ""), RATE: leaf.get(RATE)}
            for arm, config, leaf in zip(arms, configs, leaves, strict=True)
        }
    )


def arm_names(
    configs: Sequence[Config], known: Sequence[Mapping[str, Any]] | None = None
) -> list[str]:
    """The name of each run's arm, see `arms_of`.

    Args:
        known: The `identities` of these runs, where somebody has them already.
    """
    numbers: dict[str, int] = {}
    leaves, arm_of_run = [], []
    for config, whole in zip(configs, known or identities(configs), strict=True):
        identity = {key: value for key, value in whole.items() if key != "seed"}
        arm = json.dumps(identity, sort_keys=True, default=str)
        if arm not in numbers:
            leaves.append(identity | choices_of(config))
        arm_of_run.append(numbers.setdefault(arm, len(numbers)))
    differing = _differing(leaves)
    names = _names(leaves, [key for key in differing if not key.startswith("head.")])
    if len(set(names)) < len(names):  # heads that differ only in an option of theirs
        names = _names(leaves, differing)
    return [names[arm] for arm in arm_of_run]


def identities(configs: Sequence[Config]) -> list[dict[str, Any]]:
    """Every setting that makes an arm, and the seed, of each run.

    Another seed that follows the run's seed is no setting: it reads "follows seed".
    """
    found = [_identity(config) for config in configs]
    for key, usual in _FOLLOWS_SEED_BY_DEFAULT.items():
        _mark_followers(key, usual, found)
    return found


def _identity(settings: Config) -> dict[str, Any]:
    config = {k: v for k, v in settings.items() if k not in (*NOT_IN_KEY, "content")}
    leaves = flat(config)
    leaves.pop("device.threads", None)
    # The same path with other contents is other data: the digests show it, shortened.
    content = settings.get("content", {})
    return leaves | {f"content.{role}": str(digest)[:8] for role, digest in content.items()}


def _mark_followers(key: str, usual: bool, identities: Sequence[dict[str, Any]]) -> None:
    """Where another seed follows the seed, it repeats with it; where it is fixed, it is a setting.

    Two different seeds that are followed show it. A single run at which both happen to be equal
    belongs to the fixed ones beside it, if there are any, else to what the other arms do, else to
    what is usual.
    """
    alike: dict[str, list[dict[str, Any]]] = {}
    for leaves in identities:
        if isinstance(leaves.get(key, []), Hashable):
            rest = {k: v for k, v in leaves.items() if k not in ("seed", "data_seed", key)}
            alike.setdefault(json.dumps(rest, sort_keys=True, default=str), []).append(leaves)
    followers, open_ones, follows = [], [], []
    for group in alike.values():
        equal = [leaves for leaves in group if leaves[key] == leaves["seed"]]
        fixed = {leaves[key] for leaves in group if leaves[key] != leaves["seed"]}
        if len({leaves["seed"] for leaves in equal}) > 1:
            followers += equal
            follows.append(True)
        elif equal and equal[0][key] not in fixed:
            open_ones += equal
        else:
            follows.append(False)
    if any(follows) if follows else usual:
        followers += open_ones
    for leaves in followers:
        leaves[key] = "follows seed"


def choices_of(config: Config) -> dict[str, Any]:
    """The names under which the groups of a run were chosen."""
    return {f"choices.{group}": name for group, name in config["choices"].items()}


def settings_of(
    configs: Sequence[Config], known: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Every setting that makes an arm and the names of its groups, of each run.

    Args:
        known: The `identities` of these runs.
    """
    return [
        {key: value for key, value in identity.items() if key != "seed"} | choices_of(config)
        for config, identity in zip(configs, known, strict=True)
    ]


def flat(config: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """A nested configuration with dotted keys."""
    leaves: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            leaves |= flat(value, f"{above}{key}.")
        else:
            leaves[f"{above}{key}"] = value
    return leaves


def _differing(leaves: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys that distinguish arms, without those that follow from others."""
    keys = dict.fromkeys(key for leaf in leaves for key in leaf if not key.startswith("choices."))
    differing = [key for key in keys if len({str(leaf.get(key)) for leaf in leaves}) > 1]
    return [key for key in differing if not _is_implied(key, leaves)]


def _is_implied(key: str, leaves: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a digest of contents only follows from the settings that name the contents."""
    above, _, role = key.rpartition(".")
    if above != "content":
        return False
    follows: dict[str, set[str]] = {}
    for leaf in leaves:
        settings = str({k: v for k, v in leaf.items() if k.startswith(f"{role}.")})
        follows.setdefault(settings, set()).add(str(leaf.get(key)))
    return all(len(digests) == 1 for digests in follows.values())


def _names(leaves: Sequence[Mapping[str, Any]], differing: Sequence[str]) -> list[str]:
    settings = _settings(leaves, differing)
    heads = [str(leaf["choices.head"]) for leaf in leaves]
    return [", ".join([head, *words]) for head, words in zip(heads, settings, strict=True)]


def labelled(leaves: Sequence[Mapping[str, Any]], asked: Callable[[str], bool]) -> list[str]:
    """Of each arm, those settings in which the arms differ and that are `asked` for, by key.

    A group that the command line chose is named so, its own `_target_` of a head left out.
    """
    differing = [key for key in _differing(leaves) if asked(key) and key != "head._target_"]
    return [", ".join(words) for words in _settings(leaves, differing)]


def _settings(leaves: Sequence[Mapping[str, Any]], differing: Sequence[str]) -> list[list[str]]:
    short = short_names(differing)
    chosen = {key for key in differing if _is_known_by_choice(key, leaves)}
    found = []
    for leaf in leaves:
        parts = []
        for key in differing:
            if key in leaf:
                group = key.rpartition(".")[0]
                value = leaf[f"choices.{group}"] if key in chosen else leaf[key]
                parts.append(f"{short[key]}={value}")
        found.append(parts)
    return found


def _is_known_by_choice(key: str, leaves: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the names chosen for a group distinguish its targets; they may be a user's own."""
    group, _, last = key.rpartition(".")
    if last != "_target_" or any(f"choices.{group}" not in leaf for leaf in leaves):
        return False
    pairs = {(str(leaf[f"choices.{group}"]), str(leaf.get(key))) for leaf in leaves}
    return len({choice for choice, _ in pairs}) == len(pairs)


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Key -> short name: `optimizer.lr` -> `lr`, in full where two keys end alike.

    A group's `_target_` is named after the group, the digest of a file or module `contents`.
    """
    short = {key: _short_name(key) for key in keys}
    taken = [*short.values(), "seed"]  # alone, it is the run's own
    return {key: name if taken.count(name) == 1 else _full_name(key) for key, name in short.items()}


def _short_name(key: str) -> str:
    above, _, last = key.rpartition(".")
    if above == "content":
        return "contents"
    return above if last == "_target_" else last


def _full_name(key: str) -> str:
    above, _, last = key.rpartition(".")
    if above == "content":
        return f"{last}.contents"
    return above if last == "_target_" else key
