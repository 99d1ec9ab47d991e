"""Hydra at the rim: where the YAML lies, how overrides become one plain resolved dictionary.

Never imports torch: `--help` and completion come through here.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from omegaconf import DictConfig, OmegaConf

from lossheads.errors import TRUST_GIVEN, UserError, near_matches
from lossheads.runs import schema

HYDRA_VERSION = "1.3"

_LOAD = ConfigLoaderImpl.load_configuration  # as Hydra wrote it

# Keys of Hydra's own section whose value is called, and what may stand there: classes of Hydra, its
# plugins and logs, each from the module that defines it (`logging.os.system` is no log).
_CALLS = ("_target_", "()", "class")
_HARMLESS = re.compile(
    r"(hydra\._internal\.core_plugins\.\w+|hydra_plugins\.\w+(\.\w+)?|hydra\.experimental\.callbacks"
    r"|logging(\.handlers)?|colorlog)\.[A-Z]\w*"
)

# What every run has one of, and folders and arms are named by.
_GROUPS = ("dataset", "head", "model", "optimizer", "schedule")


def config_folder() -> Path:
    """Hydra's groups of YAML files."""
    return _shipped("configs", "configs")


def claim_folder() -> Path:
    """The claim files, which are no choice for a run and so no group of Hydra's."""
    return _shipped("claim_files", "claims")


def _shipped(installed: str, checkout: str) -> Path:
    """A folder of YAML: inside an installed package, at the top level of a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / installed
    return inside if inside.is_dir() else package.parents[1] / checkout


def compose(overrides: Sequence[str], config_dirs: Sequence[Path] = ()) -> dict[str, Any]:
    """The resolved configuration of one run, as a plain dictionary.

    Args:
        overrides: In Hydra's grammar: `head=sigmoid_bce`, `training.epochs=3`.
        config_dirs: Folders of the user's own YAML, searched beside ours.

    Raises:
        hydra.errors.HydraException: If the overrides do not compose.
    """
    schema.register()
    searched = ",".join(f"file://{folder.resolve()}" for folder in config_dirs)
    extra = [f"hydra.searchpath=[{searched}]"] if searched else []
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_folder()), version_base=HYDRA_VERSION):
        config = hydra_compose("config", overrides=[*overrides, *extra], return_hydra_config=True)
        return plain(config, config.hydra.runtime.choices)


def refuse_foreign_code() -> None:
    """Let Hydra refuse configurations whose own section names code from elsewhere.

    Hydra calls what `hydra.callbacks` and the settings of its log name, before a run of ours
    begins: a stranger's file could run anything there.
    """

    def guarded(*args: Any, **kwargs: Any) -> DictConfig:
        config: DictConfig = _LOAD(*args, **kwargs)
        _refuse_targets(OmegaConf.to_container(config.hydra, resolve=False), "hydra")
        return config

    ConfigLoaderImpl.load_configuration = guarded  # type: ignore[method-assign]


def _refuse_targets(node: Any, where: str) -> None:
    trusted = (word for word in os.environ.get(TRUST_GIVEN, "").split(",") if word)
    own = tuple(f"{package}." for package in trusted)
    for key, value in node.items() if isinstance(node, Mapping) else enumerate(node):
        if isinstance(value, Mapping | list):
            _refuse_targets(value, f"{where}.{key}")
        elif key in _CALLS and not (_HARMLESS.fullmatch(str(value)) or str(value).startswith(own)):
            raise UserError(
                f"{where}.{key} names {value}: a configuration may not bring code of its own; if "
                f"you trust the package, say so on the command line with "
                f"trust=[{str(value).split('.')[0]}]"
            )


def cache_group_listing() -> None:
    """Let Hydra's help and completion list what a run can choose in half the time.

    Hydra copies all it knows each time it looks into a group, some 90 times for one help.
    """
    copies: dict[tuple[Any, ...], CachingConfigRepository] = {}

    def listed(
        self: ConfigLoaderImpl,
        group_name: str,
        results_filter: ObjectType | None = ObjectType.CONFIG,
        config_name: str | None = None,
        overrides: list[str] | None = None,
    ) -> list[str]:
        asked = (self, config_name, *(overrides or ()))
        if asked not in copies:
            _, copies[asked] = self._parse_overrides_and_create_caching_repo(
                config_name, overrides or []
            )
        found: list[str] = copies[asked].get_group_options(group_name, results_filter)
        return found

    ConfigLoaderImpl.get_group_options = listed  # type: ignore[method-assign]


def plain(config: DictConfig, choices: Mapping[str, Any]) -> dict[str, Any]:
    """Every interpolation resolved, enums by name, Hydra's own section left out.

    The names chosen from the groups come along under `choices`; they name folders and arms, and
    are no part of what a run computes.
    """
    _refuse_missing(config)
    data = OmegaConf.to_container(
        OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"]),
        resolve=True,
        throw_on_missing=True,
        enum_to_str=True,
    )
    assert isinstance(data, dict)
    known = {str(key): value for key, value in data.items()}
    _refuse_unknown(known)
    for group in _GROUPS:
        if not isinstance(choices.get(group), str):
            raise UserError(
                f"{group} is chosen as {choices.get(group)}: a run has one {group}, {group}=NAME; "
                f"a sweep has several, -m {group}=NAME,NAME"
            )
    return known | {"choices": {group: choices[group] for group in _GROUPS}}


def _refuse_missing(config: DictConfig) -> None:
    """`~` lets Hydra take any key away."""
    for field in fields(schema.Config):
        if OmegaConf.is_missing(config, field.name) or field.name not in config:
            remedy = f"choose one with {field.name}=NAME" if field.name in _GROUPS else "keep it"
            raise UserError(f"a run needs the key {field.name!r}, which is missing: {remedy}")
    if not str(config.output_dir).strip():
        raise UserError("output_dir= is empty: name a folder; output_dir=. is the one you stand in")


def _refuse_unknown(data: Mapping[str, Any]) -> None:
    """`+` lets Hydra add any key; one that nobody reads is a typo that changes the run's key."""
    sections = {field.name: field for field in fields(schema.Config)}
    for name, value in data.items():
        if name not in sections:
            raise UserError(f"a run has no key {name!r}; {near_keys(name, data, sections)}")
        section: Any = sections[name].default_factory
        if is_dataclass(section):
            known = [field.name for field in fields(section)]
            for key in value:
                if key not in known:
                    near = near_keys(f"{name}.{key}", data, known)
                    raise UserError(f"{name} has no key {key!r}; {near}")


def near_keys(key: str, config: Mapping[str, Any], known: Iterable[str]) -> str:
    """A sentence part naming the settings that an unknown `key` may have meant.

    Args:
        key: As written; people leave out the section (`epochs=3`) or take another one.
        config: The run's sections, which are searched for the key's last part.
        known: What stands where the key was written; named when nothing else is near.
    """
    section, _, word = key.rpartition(".")
    known = tuple(known)
    here = [f"{name}.{word}" for name, keys in config.items() if _holds(keys, word)]
    here = [full for full in here if full != key]
    elsewhere = _with_other_choices(word)
    own = [words for words in elsewhere if section and words.startswith(f"{section}.")]
    if own or here or elsewhere:
        return f"did you mean {' or '.join(own or here or elsewhere)}?"
    if not section and not get_close_matches(word, known, cutoff=0.75):
        # A slip in a key of some section: near enough only if it is very near.
        below = (
            str(last) for keys in config.values() if isinstance(keys, Mapping) for last in keys
        )
        for near in get_close_matches(word, set(below), n=1, cutoff=0.75):
            return near_keys(near, config, known)
    return near_matches(word, known)


def _holds(keys: Any, word: str) -> bool:
    return isinstance(keys, Mapping) and word in keys and not word.startswith("_")


def _with_other_choices(word: str) -> list[str]:
    """`head.gamma (with head=focal)`: keys of files that this run has not chosen."""
    found = []
    for group in _GROUPS:
        files = ((name, config_folder() / group / f"{name}.yaml") for name in options(group))
        having = [
            name for name, file in files if _holds(yaml.safe_load(file.read_text("utf-8")), word)
        ]
        if having:
            found.append(f"{group}.{word} (with {group}={' or '.join(having)})")
    return found


def options(group: str) -> list[str]:
    """Names of the files in one of our configuration groups."""
    return sorted(path.stem for path in (config_folder() / group).glob("*.yaml"))
