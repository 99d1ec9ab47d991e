"""Hydra at the rim: where the YAML lies, how overrides become one plain resolved dictionary.

Never imports torch: `--help` and completion come through here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from lossheads import schema
from lossheads.errors import UserError, near_matches

HYDRA_VERSION = "1.3"


def config_folder() -> Path:
    """The folder of the YAML: inside an installed package, at the top level of a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parents[1] / "configs"


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


def plain(config: DictConfig, choices: Mapping[str, Any]) -> dict[str, Any]:
    """Every interpolation resolved, enums by name, Hydra's own section left out.

    The names chosen from the groups come along under `choices`; they name folders and arms, and
    are no part of what a run computes.
    """
    data = OmegaConf.to_container(
        OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"]),
        resolve=True,
        throw_on_missing=True,
        enum_to_str=True,
    )
    assert isinstance(data, dict)
    known = {str(key): value for key, value in data.items()}
    _refuse_unknown(known)
    groups = ("dataset", "head", "model", "optimizer", "schedule")
    return known | {"choices": {group: str(choices.get(group)) for group in groups}}


def _refuse_unknown(data: Mapping[str, Any]) -> None:
    """`+` lets Hydra add any key; one that nobody reads is a typo that changes the run's key."""
    sections = {field.name: field for field in fields(schema.Config)}
    for name, value in data.items():
        if name not in sections:
            raise UserError(f"a run has no key {name!r}; {near_matches(name, sections)}")
        section: Any = sections[name].default_factory
        if is_dataclass(section):
            known = [field.name for field in fields(section)]
            for key in value:
                if key not in known:
                    raise UserError(f"{name} has no key {key!r}; {near_matches(key, known)}")


def options(group: str) -> list[str]:
    """Names of the files in one of our configuration groups."""
    return sorted(path.stem for path in (config_folder() / group).glob("*.yaml"))
