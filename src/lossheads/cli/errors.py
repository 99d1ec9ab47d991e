"""What went wrong, in one sentence, and with which exit status. Hydra's reports are translated."""

import errno
import os
import re
from collections.abc import Iterator
from typing import Any

from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from yaml import MarkedYAMLError

from lossheads.errors import RunsFailed, UserError, near_matches
from lossheads.runs.config import near_keys, options

# What a disk or its rights refuse to a writer; the user can mend it.
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)

# OmegaConf's sentences about a value of the wrong kind, and the rule behind each.
_RULES = {
    r"Value '(.*)' of type '.*' could not be converted to Integer": "a whole number",
    r"Value '(.*)' of type '.*' could not be converted to Float": "a number",
    r"Value '(.*)' is not a valid bool": "true or false",
    r"Cannot convert '.*' to string: '(.*)'": "a word",
    r"Invalid value assigned: \w+ is not a ListConfig, list or tuple": "a list, [A,B]",
    r"Invalid type assigned": "a section, whose keys are set one by one",
    r"Cannot merge DictConfig with ListConfig": "a section, whose keys are set one by one",
    r"field '.*' is not Optional": "never null",
    r"Missing mandatory value": "missing, and a run needs it",
    r".* does not support deletion": "needed by every run, and cannot be taken away",
}


def message_and_status(error: BaseException) -> tuple[str, int]:
    """One sentence and the exit status it deserves: 2 for the user's mistakes, 1 for the rest.

    Notes added to the error on its way say where, and stand before the sentence.
    """
    said, status = _message_of(error)
    return ": ".join([*getattr(error, "__notes__", ()), said]), status


def _message_of(error: BaseException) -> tuple[str, int]:
    chain = list(_causes(error))
    for cause in chain:
        if isinstance(cause, UserError):
            return _one_line(cause), 2
    for cause in chain:
        if isinstance(cause, RunsFailed):
            return _one_line(cause), 1
    for cause in chain:
        said = _system_error(cause, cause is error) or _composition_error(cause)
        if said:
            return said, 2
    if isinstance(error, HydraException | OmegaConfBaseException) or _raised_by_hydra(error):
        return _one_line(error), 2
    return f"{type(error).__name__}: {_one_line(error)} (the whole story: --debug)", 1


def _causes(error: BaseException) -> Iterator[BaseException]:
    """From the outermost error to the first cause."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _system_error(cause: BaseException, outermost: bool) -> str:
    """What the disk, its rights or the memory refuse; else nothing. The user can mend it."""
    unwritable = isinstance(cause, OSError) and cause.errno in _UNWRITABLE
    # Code tries a file and goes on without it: such an error deeper down explains nothing.
    if isinstance(cause, OSError) and cause.errno and (unwritable or outermost):
        verb = "written" if unwritable else "used"
        where = cause.filename or "the outputs"
        return (
            f"{where} cannot be {verb}: {os.strerror(cause.errno).lower()}; mend that, or name "
            f"another place (output_dir=FOLDER)"
        )
    full = isinstance(cause, MemoryError) or type(cause).__name__ == "OutOfMemoryError"
    if full or "can't allocate memory" in str(cause):
        return (
            "the memory does not hold this run: choose a smaller model or dataset, or lower "
            "training.batch_size or cohort.max_members"
        )
    return ""


def _raised_by_hydra(error: BaseException) -> bool:
    """Hydra answers some mistakes in the call by plain ValueErrors."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    module = "" if frame is None else str(frame.tb_frame.f_globals.get("__name__"))
    return isinstance(error, ValueError | RuntimeError) and module.startswith("hydra.")


def _composition_error(cause: BaseException) -> str:
    """What does not compose, where Hydra or OmegaConf say enough; else nothing."""
    if isinstance(cause, MissingConfigException):
        return _missing(cause)
    if isinstance(cause, OverrideParseException):
        return f"the words {cause.override!r} cannot be read: settings are KEY=VALUE"
    if isinstance(cause, ConfigCompositionException) and "Ambiguous value" in str(cause):
        words = str(cause).split("'")[1]
        return f"{words} names several values: to sweep over them add -m; a list is KEY=[A,B]"
    if isinstance(cause, ConfigCompositionException) and "Multiple values for" in str(cause):
        group = str(cause).split("for ")[1].split(".")[0]
        return f"{group} is chosen already: write {group}=NAME, without the +"
    if "Config group override must be a string or a list" in str(cause):
        return "a group is chosen by name: write GROUP=NAME, as in head=softmax_cce"
    if isinstance(cause, MarkedYAMLError):
        mark = cause.problem_mark or cause.context_mark
        where = f"{mark.name}, line {mark.line + 1}" if mark else "a configuration file"
        return f"{where} is not YAML as it is read here: {cause.problem}"
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        return _unknown_key(cause) if _is_unknown(cause) else _wrong_value(cause)
    return ""


def _missing(error: MissingConfigException) -> str:
    name = str(error.missing_cfg_file or "")
    group, _, choice = name.rpartition("/")
    if error.options and group:
        return f"{group} has no {choice!r}; {near_matches(choice, error.options)}"
    found = re.search(r"Could not load '(\w+)/(.+)'", str(error))
    if found and options(found[1]):
        return f"{found[1]} has no {found[2]!r}; {near_matches(found[2], options(found[1]))}"
    return _first(error).strip()


def _is_unknown(error: OmegaConfBaseException) -> bool:
    return isinstance(error, ConfigKeyError | ConfigAttributeError)


def _unknown_key(error: OmegaConfBaseException) -> str:
    parent, _, key = str(error.full_key).rpartition(".")
    if not parent and options(key):
        return (
            f"the file chosen with {key}=NAME sets keys below {key!r}, where nobody reads them: "
            f"let it begin with the line '# @package _global_'"
        )
    node: Any = error.parent_node
    names = map(str, node) if isinstance(node, DictConfig) else ()
    known = [name for name in names if name != "hydra" and not name.startswith("_")]
    where = f"{parent} has" if parent else "a run has"
    return f"{where} no key {key!r}; {near_keys(str(error.full_key), _sections(node), known)}"


def _sections(node: Any) -> dict[str, Any]:
    """All that is composed so far around `node`, without Hydra's own section."""
    root = node._get_root() if isinstance(node, DictConfig) else node
    data = OmegaConf.to_container(root) if isinstance(root, DictConfig) else {}
    return {str(k): v for k, v in data.items() if k != "hydra"} if isinstance(data, dict) else {}


def _wrong_value(error: OmegaConfBaseException) -> str:
    key, said = error.full_key, _first(error)
    for pattern, rule in _RULES.items():
        found = re.match(pattern, said)
        if found:
            value = f"={found[1]}" if found.re.groups else ""
            return f"{key}{value}: it is {rule}"
    found = re.match(r"Invalid value '(.*)', expected one of \[(.*)\]", said)
    if found:
        return f"{key}={found[1]}: {near_matches(found[1], found[2].split(', '))}"
    return f"{key}: {said}"


def _first(error: BaseException) -> str:
    return str(error).splitlines()[0]


def _one_line(error: BaseException) -> str:
    return re.sub(r"\s+", " ", str(error)).strip()
