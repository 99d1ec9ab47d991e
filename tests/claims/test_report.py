"""Running claims leaves the page over all of them."""

from lossheads.cli.claim import command as claim_command


def test_a_run_of_claims_leaves_one_page_over_all_that_ran_so_far(tmp_path, capsys):
    for name in ("double-sigmoid", "prior-bias"):
        assert claim_command(["run", name, f"output_dir={tmp_path}"]) == 0
    page = tmp_path / "claims" / "report.html"
    text = page.read_text(encoding="utf-8")
    assert 'id="claim-double-sigmoid"' in text
    assert 'id="claim-prior-bias"' in text
    assert "The second sigmoid sees numbers between 0 and 1" in text
    assert "report.html" in capsys.readouterr().out.replace("\n", "")


def test_the_page_needs_no_verdict_md_for_why_and_what_would_change_it(tmp_path):
    assert claim_command(["run", "double-sigmoid", f"output_dir={tmp_path}"]) == 0
    folder = tmp_path / "claims"
    (folder / "double-sigmoid" / "verdict.md").unlink()
    assert claim_command(["run", "prior-bias", f"output_dir={tmp_path}"]) == 0
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "The second sigmoid sees numbers between 0 and 1" in text
    assert "Not recorded in this folder" not in text
