"""`claim new`, and the reference page of the format."""

from pathlib import Path

import pytest

from lossheads.claims.keys import format_page
from lossheads.claims.reading import load_claim
from lossheads.cli.claim import command
from lossheads.errors import UserError

DOCS = Path(__file__).parents[2] / "docs"


def test_the_template_runs_as_it_is(tmp_path, capsys):
    path = tmp_path / "my-claim.yaml"
    assert command(["new", str(path)]) == 0
    assert load_claim(path).seeds == 3
    assert command(["run", str(path), f"output_dir={tmp_path / 'out'}", "device=cpu"]) == 0
    page = tmp_path / "out" / "claims" / "my-claim" / "verdict.md"
    assert "n = 3 seeds" in page.read_text(encoding="utf-8")


def test_no_file_is_overwritten(tmp_path):
    path = tmp_path / "my-claim.yaml"
    path.write_text("mine")
    with pytest.raises(UserError, match="does not overwrite"):
        command(["new", str(path)])
    assert path.read_text() == "mine"
    with pytest.raises(UserError, match="ends in"):
        command(["new", str(tmp_path / "x.txt")])


def test_the_page_of_the_format_is_up_to_date():
    assert (DOCS / "claim-format.md").read_text(encoding="utf-8") == format_page()
