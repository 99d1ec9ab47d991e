"""What a configuration file that is not shipped may say.

Hydra composes files of ours and of folders that the user names (--config-dir). The latter may be a
stranger's, so each is read within bounds and checked as it stands, before Hydra sees it:

* plain YAML without tags and aliases, in a file below its folder;
* interpolations of keys of the run only: no resolvers, nothing of Hydra's section;
* defaults that choose files of the run, none of Hydra's;
* of Hydra's section `hydra.sweeper.params` and `hydra.mode`, as plain values, wherever the file is
  placed; an `output_dir` below the default one;
* nothing of `executor`: whoever runs it says with which cluster it talks, and on whose account.

Everything else of Hydra's section comes from shipped files and from the command line, whose words
are the user's own. `_target_` is held to its role in `runs.build`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.override_parser.types import ChoiceSweep, Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf
from omegaconf._utils import get_yaml_loader

from lossheads.bounded_yaml import PLAIN_TAGS, Bounded, read_text
from lossheads.errors import UserError
from lossheads.runs.interpolations import REFERENCE, check_endless, refers_to_keys
from lossheads.runs.schema import config_folder

MAX_FILES = 200  # of one configuration; ours have about 20
MAX_RUNS = 10_000  # of one sweep
OUTPUTS = PurePosixPath("outputs")  # as configs/config.yaml has it

_NAME = r"[A-Za-z_]\w*"
_PACKAGE = re.compile(rf"{_NAME}(\.{_NAME}){{0,9}}")
_GROUP = re.compile(r"(?:(?:override|optional) +)*(/?[\w-]+(?:/[\w-]+)*)(?:@([\w.]+))?")
_CHOICE = re.compile(r"/?[\w-][\w.-]*(?:/[\w-][\w.-]*)*(?:@([\w.]+))?")
# A value of a sweep becomes a word of the command line: no quotes, braces or escapes.
_SWEPT_KEY = re.compile(rf"{_NAME}(\.{_NAME})*")
_SWEPT_VALUE = re.compile(r"[\w .,+/*()\[\]-]{0,10000}")
_NOT_SWEPT = ("hydra", "trust", "output_dir", "executor")


class _PlainLoader(Bounded, get_yaml_loader()):  # type: ignore[misc]
    """OmegaConf's own reading of YAML, of plain values only."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        node = super().compose_node(parent, index)
        if node is not None and node.tag not in PLAIN_TAGS:
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            raise yaml.MarkedYAMLError(
                problem=f"{tag} is no plain value; write the value itself",
                problem_mark=node.start_mark,
            )
        return node


@dataclass
class ForeignConfig(ConfigResult):
    """What Hydra loaded from a file that is not shipped."""

    file: str = ""


class ConfigFiles(FileConfigSource):
    """A folder of YAML. Ours is Hydra's to read; files of another are read within bounds."""

    def __init__(self, provider: str, path: str) -> None:
        super().__init__(provider, path)
        self._shipped = Path(self.path).resolve() == config_folder().resolve()

    def load_config(self, config_path: str) -> ConfigResult:
        """One file; raises `UserError` for what a file that is not shipped may not say."""
        if self._shipped:
            return super().load_config(config_path)
        file = Path(self.path) / self._normalize_file_name(config_path)
        if not file.resolve().is_relative_to(Path(self.path).resolve()):
            raise UserError(
                f"{file} is a link that leads out of its folder, which is not followed: copy the "
                f"file there"
            )
        text = read_text(file, str(file), "a configuration file")
        header = self._get_header_dict(text[:512])
        if not _PACKAGE.fullmatch(header["package"] or "_global_"):
            raise UserError(
                f"{file} names the package {header['package'] or ''}: a package is a section of "
                f"a run, or _global_"
            )
        return ForeignConfig(
            config=OmegaConf.create(plain_data(text, str(file))),
            path=f"{self.scheme()}://{self.path}",
            provider=self.provider,
            header=header,
            file=str(file),
        )

    def is_config(self, config_path: str) -> bool:
        """Whether there is such a file; raises `UserError` where it would be part of Hydra's."""
        found: bool = super().is_config(config_path)
        if not found or self._shipped:
            return found
        parts = PurePosixPath(config_path.lstrip("/")).parts
        if parts[0] == "hydra":
            raise UserError(
                f"{self.path}/{config_path} belongs to Hydra's section, which your own files "
                f"cannot set: give hydra.KEY=VALUE on the command line"
            )
        return ".." not in parts

    def is_group(self, config_path: str) -> bool:
        """Whether there is such a folder; links and more than eight levels are no groups."""
        found: bool = super().is_group(config_path)
        if not found or self._shipped:
            return found
        below = PurePosixPath(config_path.lstrip("/"))
        here = Path(self.path).resolve()
        return (
            ".." not in below.parts
            and len(below.parts) <= 8
            and (here / below).resolve() == here / below
        )


def plain_data(text: str, file: str) -> dict[Any, Any]:
    """The content of a configuration file that is not shipped: sections and plain values.

    Raises:
        UserError: For everything else, and for interpolations and defaults that are not allowed.
    """
    try:
        loader = _PlainLoader(text)  # type: ignore[call-arg]
        data = loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{file}{line} cannot be read as YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError) as error:
        first = " ".join(str(error).split())
        raise UserError(f"{file} cannot be read as YAML: {first}") from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise UserError(f"{file} must hold keys and values, KEY: VALUE, got {_shown(data)}")
    _check_defaults(data.get("defaults"), file)
    for where, word in _words({key: data[key] for key in data if key != "defaults"}):
        if not refers_to_keys(word):
            raise UserError(
                f"{file}, {where} is {_shown(word)}: a file of your own may refer to keys of the "
                f"run, as in ${{seed}}, and to nothing else; give the value itself, or set it on "
                f"the command line"
            )
    return data


def _words(node: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Every text in `node`, keys too, and where it stands."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            full = f"{where}.{key}" if where else str(key)
            yield where or "a key", str(key)
            yield from _words(value, full)
    elif isinstance(node, list):
        for item in node:
            yield from _words(item, where)
    elif isinstance(node, str):
        yield where, node


def _check_defaults(defaults: Any, file: str) -> None:
    """Refuse defaults that choose files of Hydra's section, or place something there."""
    for item in defaults if isinstance(defaults, list) else []:  # Hydra refuses what is no list
        chosen = list(item.items()) if isinstance(item, Mapping) else [("", item)]
        for group, values in chosen:
            for value in values if isinstance(values, list) else [values]:
                if not _may_choose(group, value):
                    raise UserError(
                        f"{file} has {_shown(item)} among its defaults: a file of your own may "
                        f"choose files of its folder and of the run's groups, by name, none of "
                        f"Hydra's"
                    )


def _may_choose(group: Any, value: Any) -> bool:
    named = re.fullmatch(_GROUP, str(group)) if group else None
    if group and not named:
        return False
    if value is None and named:
        path, package = "", None
    elif isinstance(value, str) and (found := _CHOICE.fullmatch(REFERENCE.sub("x", value))):
        path, package = value, found[1]
    else:
        return False
    places = [path, package or "", *(named.groups("") if named else ())]
    closed = {"hydra", "executor"}
    return all(closed.isdisjoint(re.split(r"[/.@${}]", place)) for place in places)


def check_place(config: Any, file: str) -> None:
    """Refuse what a file that is not shipped may not set, once it is where Hydra puts it.

    Raises:
        UserError: Naming the file and the first such key.
    """
    data = OmegaConf.to_container(config, resolve=False)
    if not isinstance(data, dict):
        return
    if "hydra" in data:
        _check_hydra(data["hydra"], file)
    if "executor" in data:
        raise UserError(
            f"{file} sets executor: a file of your own may not say who trains; say it on the "
            f"command line, executor=NAME, executor.KEY=VALUE"
        )
    if "output_dir" in data:
        folder = data["output_dir"]
        path = PurePosixPath(folder if isinstance(folder, str) else "/")
        if "${" in str(path) or ".." in path.parts or not path.is_relative_to(OUTPUTS):
            raise UserError(
                f"{file} sets output_dir to {_shown(folder)}: a file of your own may only choose "
                f"a folder below {OUTPUTS}; name another one on the command line, "
                f"output_dir=FOLDER"
            )


def _check_hydra(section: Any, file: str) -> None:
    for key, value in _flat(section, "hydra"):
        rest = key.removeprefix("hydra.sweeper.params.")
        plain = value is None or isinstance(value, str | int | float)
        if key == "hydra.mode" and plain and _SWEPT_KEY.fullmatch(str(value)):
            continue
        if rest == key:
            raise UserError(
                f"{file} sets {key}: of Hydra's section a file of your own may set "
                f"hydra.sweeper.params and hydra.mode, as plain values; give {key}=VALUE on the "
                f"command line"
            )
        if not _SWEPT_KEY.fullmatch(rest) or rest.split(".")[0] in _NOT_SWEPT:
            raise UserError(
                f"{file} sweeps over {_shown(rest)}: a file of your own may sweep over keys of a "
                f"run, but not over {', '.join(_NOT_SWEPT)}"
            )
        if not plain or not _SWEPT_VALUE.fullmatch(str(value)):
            raise UserError(
                f"{file} sets {key} to {_shown(value)}: values of a sweep are plain words and "
                f"numbers, as in a,b or range(0,5)"
            )


def _flat(node: Any, where: str) -> Iterator[tuple[str, Any]]:
    """Keys below `hydra` and their values; `sweeper.params` has values, no sections."""
    if isinstance(node, Mapping) and where.count(".") < 3:
        for key, value in node.items():
            yield from _flat(value, f"{where}.{key}")
    else:
        yield where, node


def check_runs(overrides: Sequence[Override]) -> None:
    """Refuse sweeps of more runs than can be begun.

    Raises:
        UserError: Naming their number.
    """
    runs = 1
    for override in overrides:
        runs *= _values(override)
    if runs > MAX_RUNS:
        raise UserError(
            f"the sweep has {runs:,} runs: it must have at most {MAX_RUNS:,}; sweep over fewer "
            f"values"
        )


def _values(override: Override) -> int:
    sweep = override.value()
    if isinstance(sweep, ChoiceSweep):
        return len(sweep.list)
    if isinstance(sweep, RangeSweep):
        bounds = sweep.start, sweep.stop, sweep.step
        if None in bounds or sweep.step == 0:
            return 1
        return max(0, int((float(bounds[1]) - float(bounds[0])) / float(bounds[2])))  # type: ignore[arg-type]
    return 1


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


@cache
def guard_hydra() -> None:
    """Let Hydra read, place and resolve within the bounds of this module, from now on."""
    Plugins.instance()  # registers Hydra's own source of files

    place, load = ConfigLoaderImpl._embed_result_config, ConfigLoaderImpl.load_configuration
    find = CachingConfigRepository.load_config

    def placed(ret: ConfigResult, package_override: str | None) -> ConfigResult:
        result: ConfigResult = place(ret, package_override)
        if isinstance(result, ForeignConfig):
            check_place(result.config, result.file)
        return result

    def loaded(*args: Any, **kwargs: Any) -> DictConfig:
        config: DictConfig = load(*args, **kwargs)
        check_endless(config)
        return config

    def counted(self: Any, config_path: str) -> ConfigResult | None:
        self.asked = getattr(self, "asked", 0) + 1
        if self.asked > MAX_FILES:
            raise UserError(
                f"{config_path} is one of more than {MAX_FILES} files of one configuration: let "
                f"no file name itself in its defaults"
            )
        found: ConfigResult | None = find(self, config_path)
        return found

    SourcesRegistry.instance().types["file"] = ConfigFiles
    ConfigLoaderImpl._embed_result_config = staticmethod(placed)  # type: ignore[method-assign]
    ConfigLoaderImpl.load_configuration = loaded  # type: ignore[method-assign]
    CachingConfigRepository.load_config = counted  # type: ignore[method-assign]
