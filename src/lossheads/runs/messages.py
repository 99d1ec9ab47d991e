"""What went wrong, in one sentence, and with which exit status."""

import errno
import os
import re

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from lossheads.errors import RunsFailed, UserError, causes
from lossheads.runs.config import explain, raised_by_hydra

# What a disk or its permissions refuse to a writer; the user can fix it.
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)


def message_and_status(error: BaseException) -> tuple[str, int]:
    """One sentence and the exit status: 2 for errors that the user can fix, 1 for others.

    Notes added to the error say where it happened, and are put before the sentence.
    """
    message, status = _message_of(error)
    return ": ".join([*getattr(error, "__notes__", ()), message]), status


def _message_of(error: BaseException) -> tuple[str, int]:
    chain = list(causes(error))
    for cause in chain:
        if isinstance(cause, UserError):
            return _one_line(cause), 2
    for cause in chain:
        if isinstance(cause, RunsFailed):
            return _one_line(cause), 1
    for cause in chain:
        message = _system_error(cause, cause is error) or explain(cause)
        if message:
            return message, 2
    if isinstance(error, RecursionError):
        return "these settings are nested too deep, or refer to each other", 2
    if raised_by_hydra(error):
        known = isinstance(
            error, ValueError | RuntimeError | HydraException | OmegaConfBaseException
        )
        return _one_line(error) if known else _failed_in_hydra(error), 2
    return f"{type(error).__name__}: {_one_line(error)} (traceback: --debug)", 1


def _system_error(cause: BaseException, outermost: bool) -> str:
    """What the disk, its permissions or the memory refuse; else nothing."""
    unwritable = isinstance(cause, OSError) and cause.errno in _UNWRITABLE
    # Libraries try files and continue without them: such an error deeper down explains nothing.
    if isinstance(cause, OSError) and cause.errno and (unwritable or outermost):
        verb = "written" if unwritable else "used"
        where = cause.filename or "the output"
        return (
            f"{where} cannot be {verb}: {os.strerror(cause.errno).lower()}; fix that, or write "
            f"elsewhere (a run: output_dir=FOLDER)"
        )
    full = isinstance(cause, MemoryError) or type(cause).__name__ == "OutOfMemoryError"
    full |= any(f"can't {what}" in str(cause) for what in ("allocate memory", "start new thread"))
    if full:
        return (
            "not enough memory for this run: choose a smaller model or dataset, or lower "
            "training.batch_size or cohort.max_members"
        )
    return ""


def _failed_in_hydra(error: BaseException) -> str:
    detail = f"{type(error).__name__}: {_one_line(error)}".rstrip(": ")
    return f"Hydra cannot use these settings ({detail}): check what is set below hydra"


def _one_line(error: BaseException) -> str:
    return re.sub(r"\s+", " ", str(error)).strip()
