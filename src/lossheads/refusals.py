"""What went wrong, in one sentence, and with which exit status. Hydra's reports are translated."""

import errno
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from lossheads.errors import RunsFailed, UserError, near_matches

# What a disk or its rights refuse; the user can mend it.
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)


def sentence_of(error: BaseException) -> tuple[str, int]:
    """One sentence and the exit status it deserves: 2 for the user's mistakes, 1 for the rest.

    Notes added to the error on its way say where, and stand before the sentence.
    """
    said, status = _said_of(error)
    return ": ".join([*getattr(error, "__notes__", ()), said]), status


def _said_of(error: BaseException) -> tuple[str, int]:
    chain = list(_causes(error))
    for cause in chain:
        if isinstance(cause, UserError):
            return _one_line(cause), 2
    for cause in chain:
        if isinstance(cause, RunsFailed):
            return _one_line(cause), 1
    for cause in chain:
        if isinstance(cause, OSError) and cause.errno in _UNWRITABLE:
            where = cause.filename or "the outputs"
            return f"{where} cannot be written: {os.strerror(cause.errno).lower()}", 2
    for cause in chain:
        said = _composing(cause)
        if said:
            return said, 2
    if isinstance(error, HydraException | OmegaConfBaseException):
        return _one_line(error), 2
    return f"{type(error).__name__}: {_one_line(error)} (the whole story: --debug)", 1


def _causes(error: BaseException) -> Iterator[BaseException]:
    """From the outermost error to the first cause."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _composing(cause: BaseException) -> str:
    """What does not compose, where Hydra or OmegaConf say enough; else nothing."""
    if isinstance(cause, MissingConfigException):
        return _missing(cause)
    if isinstance(cause, OverrideParseException):
        return f"the words {cause.override!r} cannot be read: settings are KEY=VALUE"
    if isinstance(cause, ConfigCompositionException) and "Ambiguous value" in str(cause):
        words = str(cause).split("'")[1]
        return f"{words} names several values: to sweep over them add -m; a list is KEY=[A,B]"
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        return _unknown_key(cause) if _is_unknown(cause) else f"{cause.full_key}: {_first(cause)}"
    return ""


def _missing(error: MissingConfigException) -> str:
    name = str(error.missing_cfg_file or "")
    group, _, choice = name.rpartition("/")
    if error.options and group:
        return f"{group} has no {choice!r}; {near_matches(choice, error.options)}"
    return _one_line(error)


def _is_unknown(error: OmegaConfBaseException) -> bool:
    return isinstance(error, ConfigKeyError | ConfigAttributeError)


def _unknown_key(error: OmegaConfBaseException) -> str:
    parent, _, key = str(error.full_key).rpartition(".")
    node: Any = error.parent_node
    names = map(str, node) if isinstance(node, DictConfig) else ()
    known = [name for name in names if name != "hydra" and not name.startswith("_")]
    where = f"{parent} has" if parent else "a run has"
    return f"{where} no key {key!r}; {near_matches(key, known)}"


def _first(error: BaseException) -> str:
    return str(error).splitlines()[0]


def _one_line(error: BaseException) -> str:
    return re.sub(r"\s+", " ", str(error)).strip()


@contextmanager
def without_empty_sweep(words: Sequence[str]) -> Iterator[None]:
    """Take away what Hydra's sweeper writes before it looks at the jobs, when none was launched."""
    named = [word.removeprefix("outputs=") for word in words if word.startswith("outputs=")]
    sweeps = Path(named[-1] if named else "outputs") / "sweeps"
    before = set(sweeps.iterdir()) if sweeps.is_dir() else set()
    try:
        yield
    except BaseException:
        for folder in set(sweeps.iterdir()) - before if sweeps.is_dir() else ():
            if os.listdir(folder) == ["multirun.yaml"]:
                (folder / "multirun.yaml").unlink()
                _remove_empty(folder)
        raise


def _remove_empty(folder: Path) -> None:
    """Remove `folder`, then `sweeps` and the outputs if they hold nothing else."""
    for path in (folder, folder.parent, folder.parent.parent):
        if any(path.iterdir()):
            return
        path.rmdir()


def tidy_completion(commands: Iterable[str]) -> None:
    """Take our command's name out of the line that Hydra completes: it expects overrides only."""
    line = os.environ.get("COMP_LINE")
    if line is not None:
        words = "|".join(commands)
        os.environ["COMP_LINE"] = re.sub(rf"^(\S+)\s+(?:{words})(?=\s)", r"\1", line)
