"""Configurations of many runs: Hydra composes each choice of groups once, not each run.

Composing takes Hydra some 60 ms, nearly all of it for files and defaults. What runs of a sweep
differ in are mostly values, `seed=3`, `optimizer.lr=0.1`, and these Hydra applies to what it has
composed, last of all, in a fraction of a millisecond. So does this module, by the same function.
"""

import copy
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from lossheads.runs.config import (
    check_overrides,
    config_folder,
    granted_by,
    load,
    parse_override,
    resolve,
)

Load = Callable[[list[str]], DictConfig]

# Settings without a section that are values and no groups.
_VALUES = ("seed", "data_seed", "output_dir", "data_dir", "force", "trust", "extra_metrics")
# An interpolation that needs nothing but the run's own keys.
_OWN_KEY = re.compile(r"\$\{(?!hydra\b)\w+(\.\w+)*\}")


class Composer:
    """Composes runs one after another; what Hydra composed for one serves the next.

    Made for one sweep or claim: files that change meanwhile are not seen.

    Args:
        load: Hydra's composition of a list of overrides, its own section included.
        granted: Packages that the user trusts.
    """

    def __init__(self, load: Load, granted: Sequence[str]) -> None:
        self._load, self._granted = load, granted
        self._bases: dict[tuple[str, ...], tuple[DictConfig, Mapping[str, Any]] | None] = {}

    def compose(self, overrides: Sequence[str]) -> dict[str, Any]:
        """The resolved configuration of one run, as a plain dictionary: exactly Hydra's.

        Raises:
            UserError, hydra.errors.HydraException: If the overrides do not compose.
        """
        granted = [*self._granted, *granted_by(overrides)]
        parsed = [parse_override(text) for text in overrides]
        values = [override for override in parsed if _sets_value(override)]
        choices = [override for override in parsed if not _sets_value(override)]
        base = self._base(choices) if all(map(_chooses, choices)) else None
        if base is not None:
            config = copy.deepcopy(base[0])
            with suppress(OmegaConfBaseException, HydraException):  # refused below, in their words
                ConfigLoaderImpl._apply_overrides_to_config(values, config)
                return resolve(config, base[1], granted)
        config = self._load(list(overrides))
        return resolve(config, config.hydra.runtime.choices, granted)

    def _base(self, choices: Sequence[Override]) -> tuple[DictConfig, Mapping[str, Any]] | None:
        """What Hydra makes of the choices alone; None if a value in it needs more than its keys."""
        key = tuple(str(choice.input_line) for choice in choices)
        if key not in self._bases:
            config = self._load(list(key))
            chosen = dict(config.hydra.runtime.choices)
            with open_dict(config):
                del config["hydra"]
            text = OmegaConf.to_container(config, resolve=False)
            self._bases[key] = (config, chosen) if _needs_own_keys(text) else None
        return self._bases[key]


def own_composer(
    config_dirs: Sequence[Path] = (), trust: Sequence[str] = ()
) -> Callable[[Sequence[str]], dict[str, Any]]:
    """`config.compose` for many lists of overrides."""
    composer = Composer(lambda words: load(words, config_dirs), trust)

    def compose(overrides: Sequence[str]) -> dict[str, Any]:
        check_overrides(overrides, sweep=False)
        return composer.compose(overrides)

    return compose


def _chooses(override: Override) -> bool:
    """Whether Hydra applies it while it chooses files, or to its own section: before any value."""
    if override.is_hydra_override():
        return True
    return not isinstance(override.value(), dict) and _is_group(override.key_or_group)


@cache
def _is_group(key: str) -> bool:
    """Whether it is a group of shipped files; with others Hydra composes every run itself."""
    return (config_folder() / key).is_dir()


def _sets_value(override: Override) -> bool:
    """Whether Hydra applies it when all files are composed, without a look at its own section."""
    key = override.key_or_group
    return (
        ("." in key or key in _VALUES)
        and override.package is None
        and not override.is_hydra_override()
        and _needs_own_keys(override.value())
    )


def _needs_own_keys(node: Any) -> bool:
    return all("${" not in _OWN_KEY.sub("", text) for text in _words(node))


def _words(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        for value in node.values():
            yield from _words(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _words(value)
    elif isinstance(node, str):
        yield node
