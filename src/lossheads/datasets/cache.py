"""Cache of decoded arrays: one file per data set, verified whenever it is read.

A user's own images have one file per source, which a changed source replaces.
"""

import os
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from lossheads.datasets.reading_only import is_reading_only, refuse_large_file
from lossheads.errors import UserError

Bytes = NDArray[np.uint8]

# Longer than the slowest way of getting a data set (see garments.py).
LOCK_SECONDS = 1800.0


def cached_array(cache: Path, name: str, decode: Callable[[], Bytes]) -> Bytes:
    """The array that `decode` returns, from its copy in `cache` where there is one.

    The file name carries the checksum of the content, so a copy and its checksum are replaced
    together, in one rename. A copy that does not match its name is made again.

    Raises:
        UserError: If the folder cannot be written, or another process holds it for too long;
            and whatever `decode` raises.
    """
    array = _find(cache, name)
    if array is not None:
        return array
    if is_reading_only():
        return decode()
    with _locked(cache, name):
        # Another process may have written it while this one waited.
        array = _find(cache, name)
        if array is None:
            array = decode()
            _write(cache, name, array)
        return array


def cached_array_if_possible(
    cache: Path, name: str, state: str, decode: Callable[[], Bytes]
) -> Bytes:
    """Like `cached_array`, for sources that change; a folder that cannot be written is no error.

    Nothing is written before `decode` has succeeded; what cannot be written is decoded again the
    next time.

    Args:
        state: Hex digits identifying the source and how it is decoded. A copy of another
            state is replaced.
    """
    array = _find(cache, name, state)
    if array is None:
        array = decode()
        if not is_reading_only():
            with suppress(UserError), _locked(cache, name):
                _write(cache, name, array, state)
    return array


@contextmanager
def _locked(cache: Path, name: str) -> Iterator[None]:
    path = cache / f".{name}.lock"
    lock = FileLock(path, timeout=LOCK_SECONDS)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise UserError(
            f"{name} waited {LOCK_SECONDS:.0f} s for {path}: another process is preparing the same "
            f"data; stop that process and try again"
        ) from None
    except OSError as error:
        raise _unwritable(cache, name, error) from error
    try:
        yield
    finally:
        lock.release()


def _checksum(array: Bytes) -> str:
    # Detects damaged copies, no attacks: 0.05 s for 55 MB, md5 takes 0.1.
    return f"{zlib.crc32(np.ascontiguousarray(array).data):08x}"


def _copies(cache: Path, name: str, state: str) -> list[Path]:
    """Copies of one state, "" for none; a pattern finds those of several."""
    words = f"{re.escape(name)}-{state}-" if state else f"{re.escape(name)}-"
    named = re.compile(rf"{words}[0-9a-f]{{8}}\.npy")
    return sorted(path for path in cache.glob(f"{name}-*.npy") if named.fullmatch(path.name))


def _find(cache: Path, name: str, state: str = "") -> Bytes | None:
    for path in _copies(cache, name, state):
        if not path.is_file():  # a pipe may have no end
            continue
        try:
            refuse_large_file(path)
            array: Bytes = np.load(path, allow_pickle=False)
        except (UserError, OSError, ValueError, EOFError, MemoryError):
            continue
        if path.stem.endswith(_checksum(array)):
            return array
    return None


def _write(cache: Path, name: str, array: Bytes, state: str = "") -> None:
    part = (
        cache / f".{name}.part"
    )  # a fixed name under the lock: what a killed process left is replaced
    words = [name, state, _checksum(array)] if state else [name, _checksum(array)]
    try:
        for old in _copies(
            cache, name, "[0-9a-f]+" if state else ""
        ):  # damaged, or of another state
            old.unlink()
        with part.open("wb") as file:
            np.save(file, array)
            file.flush()
            os.fsync(file.fileno())
        part.replace(cache / f"{'-'.join(words)}.npy")
    except OSError as error:
        raise _unwritable(cache, name, error) from error
    finally:
        part.unlink(missing_ok=True)


def _unwritable(cache: Path, name: str, error: OSError) -> UserError:
    return UserError(
        f"{name} cannot write its decoded copy to {cache} ({error.strerror or error}): free disk "
        f"space, or choose a folder that can be written with output_dir=FOLDER"
    )
