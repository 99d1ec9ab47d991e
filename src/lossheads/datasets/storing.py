"""One decoded array per data set, kept in the cache folder, checked whenever it is read.

A user's own images have one per source as well, of the state they were in last.
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

from lossheads.errors import UserError

Bytes = NDArray[np.uint8]

# Longer than the slowest way of getting a data set (see fetching.py), shorter than for ever.
LOCK_SECONDS = 1800.0


def stored(cache: Path, name: str, decode: Callable[[], Bytes]) -> Bytes:
    """The array that `decode` gives, from its copy in `cache` where there is one.

    The file name carries the checksum of the content, so a copy and its checksum are replaced
    together, in one rename. A copy that does not match its name is made again.

    Raises:
        UserError: If the folder cannot be written, or another process holds it for too long;
            and whatever `decode` raises.
    """
    kept = _find(cache, name)
    if kept is not None:
        return kept
    with _alone(cache, name):
        # Whoever was alone before us has probably done the work.
        kept = _find(cache, name)
        if kept is None:
            kept = decode()
            _keep(cache, name, kept)
        return kept


def stored_if_possible(cache: Path, name: str, state: str, decode: Callable[[], Bytes]) -> Bytes:
    """Like `stored`, for what changes, and for a folder that may be full.

    Nothing is written before `decode` has succeeded, and what cannot be kept is decoded again
    another time.

    Args:
        state: Hex digits naming what is decoded, and how. A copy of another state is replaced.
    """
    kept = _find(cache, name, state)
    if kept is None:
        kept = decode()
        with suppress(UserError), _alone(cache, name):
            _keep(cache, name, kept, state)
    return kept


@contextmanager
def _alone(cache: Path, name: str) -> Iterator[None]:
    path = cache / f".{name}.lock"
    lock = FileLock(path, timeout=LOCK_SECONDS)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise UserError(
            f"{name} waited {LOCK_SECONDS:.0f} s for {path}: another process is preparing the same "
            f"data; end that process, then try again"
        ) from None
    except OSError as error:
        raise _unwritable(cache, name, error) from error
    try:
        yield
    finally:
        lock.release()


def _checksum(array: Bytes) -> str:
    # Guards against torn and altered copies, not against malice: 0.05 s for 55 MB, md5 takes 0.1.
    return f"{zlib.crc32(np.ascontiguousarray(array).data):08x}"


def _copies(cache: Path, name: str, state: str) -> list[Path]:
    """Copies of one state, "" for none; a pattern finds those of several."""
    words = f"{re.escape(name)}-{state}-" if state else f"{re.escape(name)}-"
    named = re.compile(rf"{words}[0-9a-f]{{8}}\.npy")
    return sorted(path for path in cache.glob(f"{name}-*.npy") if named.fullmatch(path.name))


def _find(cache: Path, name: str, state: str = "") -> Bytes | None:
    for path in _copies(cache, name, state):
        try:
            array: Bytes = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            continue
        if path.stem.endswith(_checksum(array)):
            return array
    return None


def _keep(cache: Path, name: str, array: Bytes, state: str = "") -> None:
    part = cache / f".{name}.part"  # one fixed name: the lock is ours, and a dead one is replaced
    words = [name, state, _checksum(array)] if state else [name, _checksum(array)]
    try:
        for old in _copies(cache, name, "[0-9a-f]+" if state else ""):  # torn, or of another state
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
        f"{name} cannot keep its decoded copy in {cache} ({error.strerror or error}): free some "
        f"space there, or choose a cache folder that can be written"
    )
