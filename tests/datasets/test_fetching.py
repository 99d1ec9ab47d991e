"""Fetching: bounded in time, silent, and without root. The programs are stand-ins."""

import time
from pathlib import Path

import pytest

from lossheads.datasets import fetching
from lossheads.datasets.fetching import FetchFailed, from_debian
from lossheads.datasets.fetching import from_torchvision as torchvision_of

from_torchvision = torchvision_of("FashionMNIST", Path("FashionMNIST/raw"))
UNPACK = """#!/bin/sh
mkdir -p "$3/usr/share/datasets/fashion-mnist"
"""


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A folder of programs that is searched before all others."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    program(folder, "dpkg-deb", UNPACK)
    return folder


def scratch(tmp_path):
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def test_torchvision_runs_elsewhere_and_leads_to_its_layout(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(
        fetching,
        "_TORCHVISION",
        "import sys; print('progress'); print('warning', file=sys.stderr); open('came', 'w')",
    )
    folder = scratch(tmp_path)
    assert from_torchvision(folder) == folder / "FashionMNIST" / "raw"
    assert (folder / "came").exists()
    assert capfd.readouterr() == ("", "")


def test_failed_download_tells_its_last_line_only(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(fetching, "_TORCHVISION", "print(1); raise OSError('no route to host')")
    with pytest.raises(FetchFailed, match=r"^OSError: no route to host$"):
        from_torchvision(scratch(tmp_path))
    assert capfd.readouterr() == ("", "")


def test_download_that_hangs_is_ended(tmp_path, monkeypatch):
    # The grandchild keeps the output open: waiting for that to close would take its 20 s.
    monkeypatch.setattr(fetching, "SECONDS", 0.5)
    monkeypatch.setattr(fetching, "_TORCHVISION", "import os; os.system('sleep 20')")
    start = time.monotonic()
    with pytest.raises(FetchFailed, match="no answer within"):
        from_torchvision(scratch(tmp_path))
    assert time.monotonic() - start < 10


def test_debian_package_is_downloaded_and_unpacked(programs, tmp_path):
    program(programs, "apt-get", "#!/bin/sh\ntouch dataset-fashion-mnist_1_all.deb\n")
    folder = scratch(tmp_path)
    found = from_debian(folder)
    assert found == folder / "usr/share/datasets/fashion-mnist"
    assert found.is_dir()


def test_machine_without_package_lists_gets_its_own(programs, tmp_path):
    # Refuses until lists were fetched into the folder given with Dir::State::Lists.
    program(
        programs,
        "apt-get",
        """#!/bin/sh
for word in "$@"; do last=$before; before=$word; done
case "$*" in
  *Dir::State::Lists=*update) touch lists/package ;;
  *Dir::State::Lists=*download*) test -e lists/package && touch dataset-fashion-mnist_1.deb ;;
  *) echo "E: Unable to locate package"; exit 100 ;;
esac
""",
    )
    assert from_debian(scratch(tmp_path)).is_dir()


def test_package_that_is_unknown_is_a_failure_with_apts_words(programs, tmp_path):
    program(programs, "apt-get", "#!/bin/sh\necho 'E: Unable to locate package'; exit 100\n")
    with pytest.raises(FetchFailed, match="Unable to locate package"):
        from_debian(scratch(tmp_path))


def test_machine_without_apt_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FetchFailed, match="apt-get is not installed"):
        from_debian(scratch(tmp_path))
