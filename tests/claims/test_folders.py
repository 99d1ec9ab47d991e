"""A folder with one bad claim file still lists and runs the others."""

import pytest

from lossheads.cli.claim import command

from .making import CLAIM

CHECKS = """\
source: {document: d, framework: none}
says: One number.
statement: The number is right.
explanation: Arithmetic.
would_change: Nothing.
checks: {half: {compute: COMPUTE, of: [0], printed: "0.5"}}
verdict: {reproduced: [half]}
"""


@pytest.fixture
def folder(tmp_path):
    """A good claim, one that is not a claim, and two that are refused when they are run."""
    (tmp_path / "bad.yaml").write_text(CLAIM.replace("seeds: 4", "seds: 4"))
    (tmp_path / "good.yaml").write_text(CHECKS.replace("COMPUTE", "sigmoid"))
    (tmp_path / "ugly.yaml").write_text(CHECKS.replace("COMPUTE", "nothing_known"))
    (tmp_path / "headless.yaml").write_text(CLAIM.replace("sigmoid_bce", "no_such_head"))
    return tmp_path


def test_the_others_are_listed(folder, capsys):
    assert command(["list", "--claims", str(folder)]) == 2
    out, err = capsys.readouterr()
    assert "good" in out
    assert "bad.yaml, line 11, seds" in err
    assert "1 claim skipped" in err


def test_the_others_are_run(folder, capsys):
    words = ["run", "all", "--claims", str(folder), f"output_dir={folder / 'out'}"]
    assert command(words) == 2
    err = capsys.readouterr().err
    assert "bad.yaml, line 11, seds" in err
    assert "ugly.yaml, line 6" in err
    assert "no_such_head" in err
    assert "3 claims skipped" in err
    assert (folder / "out" / "claims" / "good" / "verdict.json").is_file()
    assert not (folder / "out" / "claims" / "ugly").exists()


def test_a_folder_of_bad_files_alone_is_no_success(folder, capsys):
    (folder / "good.yaml").unlink()
    words = ["run", "all", "--claims", str(folder), f"output_dir={folder / 'out'}"]
    assert command(words) == 2
    assert not (folder / "out" / "claims").exists()
