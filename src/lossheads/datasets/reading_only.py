"""Data sets of runs that may be a stranger's: nothing fetched, nothing written, sizes bounded."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from zipfile import ZipFile

from lossheads.errors import UserError

MOST_BYTES = 1 << 30  # of a file, unpacked
MOST_NUMBERS = 50_000_000  # drawn in seconds, in about a gigabyte

_is_on = ContextVar("data sets are only read", default=False)


@contextmanager
def reading_only() -> Iterator[None]:
    """Within it data sets look at the disk alone and write no cache: what is not there is missing.

    What would take long or fill the memory is refused.
    """
    before = _is_on.set(True)
    try:
        yield
    finally:
        _is_on.reset(before)


def is_reading_only() -> bool:
    """Whether this call is within `reading_only`."""
    return _is_on.get()


def refuse_large(name: str, numbers: int) -> None:
    """Refuse to draw a data set of so many numbers, but only for somebody's runs.

    Training may take as long as its user likes.
    """
    if is_reading_only() and numbers > MOST_NUMBERS:
        raise UserError(
            f"{name} would draw {numbers:.2g} numbers: for a page at most {MOST_NUMBERS:.2g}"
        )


def refuse_large_file(path: Path) -> None:
    """Refuse a file that has, or unpacks to, more than `MOST_BYTES`; but only for somebody's runs.

    Raises:
        UserError: Before anything of it is read.
    """
    if not is_reading_only():
        return
    size = path.stat().st_size
    if path.suffix == ".npz":
        with ZipFile(path) as archive:
            size = max(size, sum(member.file_size for member in archive.infolist()))
    if size > MOST_BYTES:
        raise UserError(f"{path} has {size:.2g} bytes: for a page at most {MOST_BYTES:.2g}")
