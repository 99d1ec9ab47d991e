"""Downloads of published files, each into a temporary folder of the caller.

They run in a process of their own: their time is limited, they print nothing, and the five
seconds that importing torchvision takes are spent only here.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from lossheads.datasets.reading_only import is_reading_only

PACKAGE = "dataset-fashion-mnist"
SECONDS = 600  # 30 MB at 50 kB/s; CIFAR's 170 MB at 300 kB/s

_TORCHVISION = """
import socket, sys
socket.setdefaulttimeout(15)
import torchvision.datasets
getattr(torchvision.datasets, sys.argv[2])(sys.argv[1], download=True)
"""


class FetchFailed(Exception):
    """The files could not be downloaded; the message says why, in one line."""


def from_torchvision(dataset: str, layout: Path) -> Callable[[Path], Path]:
    """Torchvision's download of one of its data sets.

    Args:
        dataset: Class of `torchvision.datasets`.
        layout: The folder that it makes.
    """

    def fetch(folder: Path) -> Path:
        # -u: its error comes last
        _run([sys.executable, "-u", "-c", _TORCHVISION, str(folder), dataset], folder)
        return folder / layout

    return fetch


def from_debian(folder: Path) -> Path:
    """Download and unpack Debian's package in `folder`, without root and without installing it."""
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise FetchFailed(f"{program} is not installed")
    # Machines without package lists (most containers) get lists of their own, in `folder`.
    lists, archives = folder / "lists", folder / "archives"
    own = [f"-oDir::State::Lists={lists}", f"-oDir::Cache={archives}"]
    try:
        _apt([], folder, "download", PACKAGE)
    except FetchFailed:
        (lists / "partial").mkdir(parents=True)
        (archives / "archives" / "partial").mkdir(parents=True)
        _apt(own, folder, "update")
        _apt(own, folder, "download", PACKAGE)
    for archive in folder.glob(f"{PACKAGE}_*.deb"):
        _run(["dpkg-deb", "-x", str(archive), str(folder)], folder)
        return folder / "usr/share/datasets/fashion-mnist"
    raise FetchFailed(f"apt-get left no {PACKAGE}_*.deb")


def _apt(options: list[str], folder: Path, *words: str) -> None:
    patience = ["-oAcquire::Retries=0", "-oAcquire::http::Timeout=15"]
    _run(["apt-get", "-q", *patience, *options, *words], folder)


def _run(command: list[str], folder: Path) -> None:
    if is_reading_only():
        raise FetchFailed("nothing is fetched here")
    # Into a file, not a pipe: a grandchild that holds the pipe would outlive the time limit.
    log = folder / "log"
    with log.open("wb") as out:
        try:
            code = subprocess.run(
                command,
                cwd=folder,
                env={**os.environ, "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=SECONDS,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            raise FetchFailed(f"no answer within {SECONDS} s") from None
    if code != 0:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
        raise FetchFailed(next((line for line in reversed(lines) if line), f"exit status {code}"))
