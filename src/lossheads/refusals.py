"""What went wrong, in one sentence, and with which exit status. Hydra's reports are translated."""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException, ValidationError

from lossheads.errors import UserError, near_matches


def sentence_of(error: BaseException) -> tuple[str, int]:
    """One sentence and the exit status it deserves: 2 for the user's mistakes, 1 for the rest."""
    chain = list(_causes(error))
    for cause in chain:
        if isinstance(cause, UserError):
            return str(cause), 2
    for cause in chain:
        if type(cause).__name__ == "Diverged":
            return str(cause), 1
    for cause in reversed(chain):
        said = _hydra_sentence(cause, error)
        if said:
            return said, 2
    return f"{type(error).__name__}: {_one_line(error)} (the whole story: --debug)", 1


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _hydra_sentence(cause: BaseException, outer: BaseException) -> str:
    if isinstance(cause, MissingConfigException):
        return _missing(cause)
    if isinstance(cause, ConfigKeyError):
        return _unknown_key(cause, outer)
    if isinstance(cause, ValidationError):
        return f"{cause.full_key}: {_one_line(cause)}"
    if isinstance(cause, ConfigCompositionException | HydraException | OmegaConfBaseException):
        return _one_line(cause)
    return ""


def _missing(error: MissingConfigException) -> str:
    name = str(error.missing_cfg_file or "")
    if error.options:
        group, _, choice = name.rpartition("/")
        return f"{group} has no {choice!r}; {near_matches(choice, error.options)}"
    return _one_line(error)


def _unknown_key(error: ConfigKeyError, outer: BaseException) -> str:
    full = str(error.full_key or error.key or "")
    parent, _, key = full.rpartition(".")
    node = error.parent_node
    known = [str(name) for name in node] if node is not None and hasattr(node, "keys") else []
    if not known:
        return _one_line(outer)
    where = f"{parent} has no key" if parent else "there is no key"
    return f"{where} {key!r}; {near_matches(key, known)}"


def _one_line(error: BaseException) -> str:
    return re.sub(r"\s+", " ", str(error)).strip()


@contextmanager
def without_empty_sweep() -> Iterator[None]:
    """Take away what Hydra's sweeper writes before it looks at the jobs, when none was launched."""
    from hydra.core.hydra_config import HydraConfig

    try:
        yield
    except BaseException:
        if HydraConfig.initialized():
            folder = Path(str(HydraConfig.get().sweep.dir))
            if folder.is_dir() and os.listdir(folder) == ["multirun.yaml"]:
                (folder / "multirun.yaml").unlink()
                _remove_empty(folder)
        raise


def _remove_empty(folder: Path) -> None:
    """Remove `folder` and the parents that hold nothing else, up to the outputs."""
    for path in (folder, folder.parent, folder.parent.parent):
        if path == Path() or any(path.iterdir()):
            return
        path.rmdir()


def tidy_completion(commands: Iterable[str]) -> None:
    """Take our command's name out of the line that Hydra completes: it expects overrides only."""
    line = os.environ.get("COMP_LINE")
    if line is not None:
        words = "|".join(commands)
        os.environ["COMP_LINE"] = re.sub(rf"^(\S+)\s+(?:{words})(?=\s)", r"\1", line)
