"""The output on docs/own-predictions.md is what its commands print for its files."""

import re
import runpy
from pathlib import Path

import pytest

from calling import lossheads

PAGE = (Path(__file__).parents[2] / "docs" / "own-predictions.md").read_text(encoding="utf-8")


def test_the_pages_commands_print_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.M | re.S)
    (tmp_path / "make.py").write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    runpy.run_path("make.py")
    shown = re.findall(r"^```\n\$ lossheads ([^\n]*)\n(.*?)^```", PAGE, flags=re.M | re.S)
    assert len(shown) == 4
    for command, output in shown:
        done = lossheads(*command.split(), cwd=tmp_path)
        printed = "\n".join(line.rstrip() for line in (done.stdout + done.stderr).splitlines())
        pieces = [piece.strip("\n") for piece in re.split(r"^…\n", output, flags=re.M)]
        for piece in filter(None, pieces):
            assert piece in printed, f"{command}\n{piece}"
