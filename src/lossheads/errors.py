"""Errors of the user, in one sentence: who refuses, what it got, the rule, the remedy."""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path


class UserError(Exception):
    """An error that the user can fix. The command line prints it as one sentence, exit status 2."""


class HeadMismatch(UserError):
    """A head does not support the outcome."""


class RunsFailed(Exception):
    """Runs were trained and diverged. Exit status 1."""


def causes(error: BaseException) -> Iterator[BaseException]:
    """From the outermost error to the first cause, each once: a chain may bite its own tail."""
    met: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and not any(link is other for other in met):
        yield link
        met.append(link)
        link = link.__cause__ or link.__context__


def reason(error: Exception) -> str:
    """The message of an error, without the number and path that the system adds."""
    known = isinstance(error, OSError) and error.errno is not None
    return os.strerror(error.errno).lower() if known else str(error)  # type: ignore[attr-defined]


@contextmanager
def refusing_to_write(
    path: Path, what: str = "outputs", flag: str = "output_dir=FOLDER"
) -> Iterator[None]:
    """Disk full, read-only, no permission: one sentence; `flag` names another place."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise UserError(
            f"{what} cannot be written at {path}: {reason(error)}; {'free disk space or ' * full}"
            f"name another folder with {flag}"
        ) from error


def refuse_missing_folder(path: Path, what: str) -> None:
    """A file is written into a folder that is there: a mistyped path makes no folders."""
    if not path.parent.is_dir():
        raise UserError(
            f"{what} cannot be written at {path}: there is no folder {path.parent}; make it first, "
            f"or name another file"
        )


def printable(text: str) -> str:
    """The text without what would move a terminal's cursor or give it orders; a space for each.

    Names of files, arguments and what others wrote end up in messages.
    """
    kept = "\n\N{NO-BREAK SPACE}"
    return "".join(sign if sign.isprintable() or sign in kept else " " for sign in text)


def near_matches(word: str, known: Iterable[str]) -> str:
    """A part of a sentence: the closest known words, or all of them when none is close."""
    names = sorted(known)
    if not names:
        return "there are no choices"
    close = get_close_matches(word, names, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}?"
    # A name may hold a comma: "softmax_cce, lr=0.01".
    return f"choose from {('; ' if any(',' in name for name in names) else ', ').join(names)}"
