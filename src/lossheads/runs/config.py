"""The adapter to Hydra: everything that needs its interface, its internals or its errors.

How overrides become one resolved dictionary, which code Hydra may call, and what its errors mean.
Never imports torch: `--help` and completion come through here.
"""

import re
from argparse import ArgumentParser
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

from lossheads.errors import UserError, near_matches
from lossheads.runs import schema
from lossheads.runs.schema import claim_folder as claim_folder
from lossheads.runs.schema import config_folder as config_folder
from lossheads.runs.schema import options as options

HYDRA_VERSION = "1.3"

_LOAD = ConfigLoaderImpl.load_configuration  # Hydra's own

# Keys of Hydra's own section whose value is called, and what is allowed there: classes of Hydra, of
# its plugins and of logging, each from the module that defines it (`logging.os.system` is no log).
_CALLS = ("_target_", "()", "class")
_HARMLESS = re.compile(
    r"(hydra\._internal\.core_plugins\.\w+|hydra_plugins\.\w+(\.\w+)?|hydra\.experimental\.callbacks"
    r"|logging|colorlog)\.[A-Z]\w*"
)
# Handlers of `logging` that write files or send what they log.
_NO_HANDLERS = re.compile(r"logging\.(?!StreamHandler$|NullHandler$)\w*Handler")
# Parts of Hydra's section that it calls or hands on: nothing in them may be hidden.
_PLAIN_PARTS = ("callbacks", "job_logging", "hydra_logging")

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
    searched = ",".join(f"file://{folder.resolve()}" for folder in config_dirs)
    extra = [f"hydra.searchpath=[{searched}]"] if searched else []
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_folder()), version_base=HYDRA_VERSION):
        return hydra_compose("config", overrides=[*overrides, *extra], return_hydra_config=True)


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


def argument_parser() -> ArgumentParser:
    """The parser of Hydra's command line: its flags, and the overrides."""
    parser: ArgumentParser = get_args_parser()
    return parser


def refuse_foreign_code(granted: Sequence[str]) -> None:
    """Let Hydra refuse configurations whose section `hydra` names code from elsewhere.

    Hydra calls what `hydra.callbacks` and its log settings name, before a run begins: a file from
    elsewhere could run anything there.
    """

    def guarded(*args: Any, **kwargs: Any) -> DictConfig:
        config: DictConfig = _LOAD(*args, **kwargs)
        section = OmegaConf.to_container(config.hydra, resolve=False)
        assert isinstance(section, dict)
        for part in _PLAIN_PARTS:
            _refuse_hidden(section.get(part), f"hydra.{part}")
        _refuse_targets(section, "hydra", granted)
        return config

    ConfigLoaderImpl.load_configuration = guarded  # type: ignore[method-assign]


def _refuse_hidden(node: Any, where: str) -> None:
    """Interpolations and `ext://` could name what the check of targets does not see."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            _refuse_hidden(value, f"{where}.{key}")
    elif isinstance(node, list):
        for item in node:
            _refuse_hidden(item, where)
    elif isinstance(node, str) and ("${" in node or _FOREIGN.match(node)):
        raise UserError(
            f"{where} is {node!r}: Hydra's callbacks and logs must be plain values; set them in a "
            f"program of your own"
        )


# What the logs of a configuration may take from Python: the streams of the terminal.
_FOREIGN = re.compile(r"(ext|cfg)://(?!sys\.std(out|err)$)")


def _refuse_targets(node: Any, where: str, granted: Sequence[str]) -> None:
    own = tuple(f"{package}." for package in granted)
    for key, value in node.items() if isinstance(node, Mapping) else enumerate(node):
        if isinstance(value, Mapping | list):
            _refuse_targets(value, f"{where}.{key}", granted)
        elif key in _CALLS and (
            _NO_HANDLERS.fullmatch(str(value))
            or not (_HARMLESS.fullmatch(str(value)) or str(value).startswith(own))
        ):
            raise UserError(
                f"{where}.{key} names {value}: a configuration may not run other code; if you "
                f"trust the package, add --trust {str(value).split('.')[0]} to the command line"
            )


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
    """Whether the user's input caused it; some of these errors are Hydra's ValueErrors."""
    if isinstance(error, HydraException | OmegaConfBaseException):
        return True
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    module = "" if frame is None else str(frame.tb_frame.f_globals.get("__name__"))
    return isinstance(error, ValueError | RuntimeError) and module.startswith("hydra.")


def _missing_choice(error: MissingConfigException) -> str:
    group, _, choice = str(error.missing_cfg_file or "").rpartition("/")
    if choice in _PLUGINS and group.startswith("hydra/"):
        return (
            f"{group}={choice} needs the package {_PLUGINS[choice]}, which is not installed: "
            f"pip install {_PLUGINS[choice]}"
        )
    if error.options and group:
        return f"{group} has no {choice!r}; {near_matches(choice, error.options)}"
    # Hydra lists no options where a sweep or a file's defaults name the choice.
    found = re.search(r"Could not load '(\w+)/(.+)'", str(error))
    if found and options(found[1]):
        return f"{found[1]} has no {found[2]!r}; {near_matches(found[2], options(found[1]))}"
    return _first_line(error).strip()


def _sections(node: Any) -> dict[str, Any]:
    """All that is composed so far around `node`, without Hydra's own section."""
    root = node._get_root() if isinstance(node, DictConfig) else node
    data = OmegaConf.to_container(root) if isinstance(root, DictConfig) else {}
    return {str(k): v for k, v in data.items() if k != "hydra"} if isinstance(data, dict) else {}


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0]
