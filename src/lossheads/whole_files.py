"""Files that are whole or absent, whenever their writer is killed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # not on Windows, where two writers of one file are not kept apart
    fcntl = None  # type: ignore[assignment]


@contextmanager
def whole_file(path: Path, durable: bool = True) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of `path` when the block is left.

    It is written aside, as `.NAME.part`, and renamed. An error deletes it; what a killed writer
    left is taken over by the next one. Two writers of one file take turns.

    Args:
        durable: Wait until content and name are on the disk, so that a power cut takes neither.

    Raises:
        OSError: If the file cannot be written; what was at `path` is still there.
    """
    aside = path.with_name(f".{path.name}.part")
    with _opened_alone(aside) as file:
        try:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
            if fcntl is None:
                file.close()
            aside.replace(path)
        except BaseException:
            with suppress(OSError):
                aside.unlink()
            raise
    if durable:
        _sync_names(path.parent)


def _opened_alone(aside: Path) -> BinaryIO:
    """`aside`, empty and locked; the lock goes with the file, so a killed writer holds none."""
    while True:
        file = os.fdopen(os.open(aside, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        try:
            if fcntl is not None:
                with suppress(OSError):  # some network file systems have no locks
                    fcntl.flock(file, fcntl.LOCK_EX)
            if _is_at(file, aside):  # else another writer has renamed it meanwhile
                file.truncate(0)
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _sync_names(folder: Path) -> None:
    """A rename is on the disk when its folder is; not every system can be asked."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
