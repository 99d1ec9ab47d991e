"""The adapter to Hydra: everything that needs its interface, its internals or its errors.

How overrides become one resolved dictionary, which code Hydra may call, and what its errors mean.
Never imports torch: `--help` and completion come through here.
"""

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from yaml import MarkedYAMLError

from lossheads.absent_losses import why_absent
from lossheads.errors import UserError, near_matches
from lossheads.runs import schema
from lossheads.runs.config_files import guard_hydra
from lossheads.runs.schema import claim_folder as claim_folder
from lossheads.runs.schema import config_folder as config_folder
from lossheads.runs.schema import options as options

HYDRA_VERSION = "1.3"

# Longer words and deeper lists would only cost the parser of overrides time and memory.
MAX_WORD, MAX_NESTING = 10_000, 30

# Launchers and sweepers that come in packages of their own.
_PLUGINS = {
    "joblib": "hydra-joblib-launcher",
    "optuna": "hydra-optuna-sweeper",
    "nevergrad": "hydra-nevergrad-sweeper",
    "ax": "hydra-ax-sweeper",
}


# Launchers of Hydra's that train runs one by one on other machines and show nothing of it.
_SILENT_LAUNCHERS = {
    "submitit_local": "local",
    "submitit_slurm": "slurm",
    "ray": "ray",
    "ray_aws": "ray",
}


def refuse_launcher(name: str) -> None:
    """Refuse a launcher that an executor of ours replaces.

    Args:
        name: As in `hydra/launcher=NAME`.

    Raises:
        UserError: With the executor's name.
    """
    if name in _SILENT_LAUNCHERS:
        raise UserError(
            f"hydra/launcher={name} would train runs one by one, without cohorts, and print no "
            f"result: use executor={_SILENT_LAUNCHERS[name]}, which trains cohorts and collects "
            f"their results"
        )


def compose(
    overrides: Sequence[str], config_dirs: Sequence[Path] = (), trust: Sequence[str] = ()
) -> dict[str, Any]:
    """The resolved configuration of one run, as a plain dictionary.

    Args:
        overrides: In Hydra's grammar: `head=sigmoid_bce`, `training.epochs=3`.
        config_dirs: Folders of the user's own YAML, searched beside ours.
        trust: Packages whose classes that YAML may name; `trust=[…]` among the overrides adds to
            them, since whoever writes overrides is the user.

    Raises:
        UserError, hydra.errors.HydraException: If the overrides do not compose.
    """
    check_overrides(overrides, sweep=False)
    config = load(overrides, config_dirs)
    return resolve(config, config.hydra.runtime.choices, [*trust, *granted_by(overrides)])


def load(overrides: Sequence[str], config_dirs: Sequence[Path] = ()) -> DictConfig:
    """What Hydra composes, with its own section."""
    guard_hydra()
    searched = ",".join(_quoted(f"file://{folder.resolve()}") for folder in config_dirs)
    extra = [f"hydra.searchpath=[{searched}]"] if searched else []
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_folder()), version_base=HYDRA_VERSION):
        return hydra_compose("config", overrides=[*overrides, *extra], return_hydra_config=True)


def _quoted(text: str) -> str:
    """As Hydra's grammar reads back any text, with its commas and brackets."""
    escaped = re.sub(r"(\\*)(?='|$)", r"\1\1", text).replace("'", r"\'")
    return f"'{escaped}'"


def granted_by(arguments: Iterable[str]) -> list[str]:
    """Packages that `trust=[…]` on a command line trusts; a file's own `trust` grants nothing."""
    found = (re.fullmatch(r"\+*trust=\[?([\w.,\s]*)\]?", argument) for argument in arguments)
    return [
        name.strip() for match in found if match for name in match[1].split(",") if name.strip()
    ]


def check_overrides(overrides: Sequence[str], sweep: bool) -> None:
    """Refuse overrides that Hydra would refuse in several lines.

    Args:
        sweep: Whether several values are allowed.

    Raises:
        UserError: Naming the first wrong override.
    """
    for text in overrides:
        if text.startswith("hydra/launcher="):
            refuse_launcher(text.partition("=")[2])
        _refuse_endless(text)
        try:
            override = parse_override(text)
        except HydraException:
            raise UserError(f"cannot parse {text!r}: settings are KEY=VALUE") from None
        key = override.key_or_group
        if override.is_sweep_override() and not sweep:
            raise UserError(
                f"{text} has several values: to sweep over them add -m; a list is [A,B]"
            )
        if key in schema.GROUPS and override.is_add():
            raise UserError(f"{key} is chosen already: write {key}=NAME, without the +")
        # A list chooses several files of a group, which is refused once they are composed.
        named = override.is_delete() or override.is_sweep_override()
        if key in schema.GROUPS and not named and not isinstance(override.value(), str | list):
            raise UserError(
                f"{key} must be chosen by name, as in {key}={options(key)[0]}, got {text}"
            )
        _check_value(key, override, text)


def _refuse_endless(text: str) -> None:
    if len(text) > MAX_WORD:
        raise UserError(
            f"{text[:40]}… has {len(text):,} characters: a setting has at most {MAX_WORD:,}; put "
            f"it into a file of your own (--config-dir FOLDER)"
        )
    if max(text.count(bracket) for bracket in "[{(") > MAX_NESTING:
        depth, deepest = 0, 0
        for character in text:
            depth += (character in "[{(") - (character in "]})")
            deepest = max(deepest, depth)
        if deepest > MAX_NESTING:
            raise UserError(
                f"{text[:40]}… is nested {deepest} levels deep: at most {MAX_NESTING} are read"
            )


def _check_value(key: str, override: Override, text: str) -> None:
    """Refuse values that Hydra takes and then fails with."""
    if override.is_delete() or override.is_sweep_override():
        return
    value = override.value()
    words = isinstance(value, list) and all(isinstance(item, str) for item in value)
    if key in schema.GROUPS and isinstance(value, list) and not words:
        raise UserError(f"{key} must be chosen by name, as in {key}=NAME, got {text}")
    if key == "hydra.verbose" and not (words or isinstance(value, bool | str)):
        raise UserError(f"{key} must be true, false or names of loggers, got {text}")
    if key == "hydra.searchpath" and isinstance(value, list):
        for place in value:
            if "://" in str(place) and not str(place).startswith("file://"):
                raise UserError(
                    f"hydra.searchpath names {place}: it must name folders; Python packages would "
                    f"be imported"
                )


@lru_cache(maxsize=10_000)  # a sweep has the same settings again and again
def parse_override(text: str) -> Override:
    """One override in Hydra's grammar."""
    return _parser().parse_override(text)


@cache
def _parser() -> OverridesParser:
    return OverridesParser.create()


def resolve(
    config: DictConfig, choices: Mapping[str, Any], granted: Sequence[str]
) -> dict[str, Any]:
    """A composed configuration, interpolations resolved and types checked, without Hydra's section.

    The names chosen from the groups are added under `choices`; they name folders and arms, and do
    not affect what a run computes.

    Args:
        granted: Packages that the user trusts. A file that claims trust for others is refused.
    """
    schema.refuse_missing(map(str, config))
    if "hydra" in config:  # which holds interpolations that only a running job can resolve
        config = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    data = OmegaConf.to_container(config, resolve=True)
    assert isinstance(data, dict)
    values = schema.checked({str(key): value for key, value in data.items()})
    claimed = [name for name in values["trust"] if name not in granted]
    if claimed:
        raise UserError(
            f"a configuration file sets trust to {', '.join(claimed)}: only the command line can "
            f"grant trust, with --trust {','.join(claimed)}"
        )
    values["trust"] = list(dict.fromkeys(granted))
    for group in schema.GROUPS:
        if not isinstance(choices.get(group), str):
            raise UserError(
                f"{group} is chosen as {choices.get(group)}: a run has one {group}, {group}=NAME; "
                f"a sweep has several, -m {group}=NAME,NAME"
            )
    return values | {"choices": {group: choices[group] for group in schema.GROUPS}}


# What Hydra's flags are here. Not: --experimental-rerun unpickles a file; --config-path and
# --config-name replace the configuration that everything else is checked against.
_FLAGS = (
    "overrides",
    "help",
    "hydra_help",
    "version",
    "cfg",
    "resolve",
    "package",
    "run",
    "multirun",
    "shell_completion",
    "config_dir",
    "info",
)


def refuse_flags(given: Namespace, parser: ArgumentParser) -> None:
    """Refuse flags of Hydra that are none of this project's.

    Raises:
        UserError: Naming the first of them.
    """
    for action in parser._actions:
        value = getattr(given, action.dest, action.default)
        if action.dest not in _FLAGS and value != action.default:
            raise UserError(
                f"train does not take {action.option_strings[0]}: a run is composed of the "
                f"shipped configuration, files in --config-dir FOLDER and settings KEY=VALUE"
            )


def argument_parser() -> ArgumentParser:
    """The parser of Hydra's command line: its flags, and the overrides."""
    parser: ArgumentParser = get_args_parser()
    return parser


def cache_group_listing() -> None:
    """Let Hydra's help and completion list what a run can choose in half the time.

    Hydra copies its whole repository each time it lists a group, some 90 times for one help.
    """
    copies: dict[tuple[Any, ...], CachingConfigRepository] = {}

    def listed(
        self: ConfigLoaderImpl,
        group_name: str,
        results_filter: ObjectType | None = ObjectType.CONFIG,
        config_name: str | None = None,
        overrides: list[str] | None = None,
    ) -> list[str]:
        query = (self, config_name, *(overrides or ()))
        if query not in copies:
            _, copies[query] = self._parse_overrides_and_create_caching_repo(
                config_name, overrides or []
            )
        found: list[str] = copies[query].get_group_options(group_name, results_filter)
        return found

    ConfigLoaderImpl.get_group_options = listed  # type: ignore[method-assign]


def explain(error: BaseException) -> str:
    """One sentence about an error of Hydra, OmegaConf or YAML; empty for other errors."""
    if isinstance(error, MissingConfigException):
        return _missing_choice(error)
    if isinstance(error, MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        where = f"{mark.name}, line {mark.line + 1}" if mark else "a configuration file"
        return f"{where} cannot be read as YAML: {error.problem}"
    if isinstance(error, ConfigKeyError | ConfigAttributeError) and error.full_key:
        node: Any = error.parent_node
        known = [str(name) for name in node or () if not str(name).startswith(("_", "hydra"))]
        return schema.unknown_key(str(error.full_key), _sections(node), known)
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        return f"{error.full_key}: {_first_line(error)}"
    return ""


def raised_by_hydra(error: BaseException) -> bool:
    """Whether the user's input caused it; Hydra fails on some of it with errors of Python's."""
    if isinstance(error, HydraException | OmegaConfBaseException):
        return True
    frame, last = error.__traceback__, ""
    while frame is not None:
        module = str(frame.tb_frame.f_globals.get("__name__")).split(".")[0]
        last = module if module in ("hydra", "omegaconf", "lossheads", "hydra_plugins") else last
        frame = frame.tb_next
    return isinstance(error, Exception) and last in ("hydra", "omegaconf")


def _missing_choice(error: MissingConfigException) -> str:
    group, _, choice = str(error.missing_cfg_file or "").rpartition("/")
    if choice in _PLUGINS and group.startswith("hydra/"):
        return (
            f"{group}={choice} needs the package {_PLUGINS[choice]}, which is not installed: "
            f"pip install {_PLUGINS[choice]}"
        )
    if error.options and group:
        return _unknown_choice(group, choice, error.options)
    # Hydra lists no options where a sweep or a file's defaults name the choice.
    found = re.search(r"Could not load '(\w+)/(.+)'", str(error))
    if found and options(found[1]):
        return _unknown_choice(found[1], found[2], options(found[1]))
    return _first_line(error).strip()


def _unknown_choice(group: str, choice: str, known: Iterable[str]) -> str:
    absent = why_absent(choice) if group == "head" else ""
    return f"{group} has no {choice!r}; {absent or near_matches(choice, known)}"


def _sections(node: Any) -> dict[str, Any]:
    """All that is composed so far around `node`, without Hydra's own section."""
    root = node._get_root() if isinstance(node, DictConfig) else node
    data = OmegaConf.to_container(root) if isinstance(root, DictConfig) else {}
    return {str(k): v for k, v in data.items() if k != "hydra"} if isinstance(data, dict) else {}


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0]
