"""What is said about when a claim was written: only what its history shows, and git agrees."""

import json
from dataclasses import replace

import pytest
from rich.console import Console

import claim_history
from lossheads.claims.history import FILE, NOTHING, WORDS_ALONE, Version, history_text, read_history
from lossheads.claims.render.console import print_verdict
from lossheads.claims.render.html import claims_page
from lossheads.claims.render.markdown import to_markdown
from lossheads.claims.render.section import section_of
from lossheads.claims.runner import run_claim
from lossheads.claims.verdict_file import read_verdicts, to_json
from lossheads.cli.claim import command as claim_command
from lossheads.errors import UserError

from .making import Engine, claim, compose, result

FIRST = Version("a" * 64, "2026-01-02", "abcdef0123", True, NOTHING, ())
MOVED = Version("b" * 64, "2026-02-03", "1234567890", False, "20 seeds", ("margin: 0.01 → 0.02",))
WORDED = Version("c" * 64, "2026-03-04", "0123456789", False, "a committed verdict", ())
BEFORE = "The claim's hash was committed before its first run (2026-01-02, abcdef0123)."


def test_a_hash_from_before_the_first_run_is_called_that():
    assert history_text([FIRST], FIRST.sha256).says == BEFORE


@pytest.mark.parametrize(
    ("versions", "sha256"),
    [
        ([replace(FIRST, seen="three seeds")], FIRST.sha256),
        ([replace(FIRST, seen="not recorded")], FIRST.sha256),
        ([replace(FIRST, before_first_verdict=False)], FIRST.sha256),
        ([FIRST, WORDED], WORDED.sha256),
        ([FIRST, MOVED], MOVED.sha256),
        ([FIRST], "d" * 64),
        ([], FIRST.sha256),
    ],
)
def test_no_other_is(versions, sha256):
    assert "before its first run" not in history_text(versions, sha256).says


def test_what_changed_after_the_first_verdict_is_listed_and_words_are_not():
    found = history_text([FIRST, MOVED, WORDED], WORDED.sha256)
    assert "was changed after its first verdict" in found.says
    assert len(found.changes) == 1
    for part in ("2026-02-03", "1234567890, after its first verdict", MOVED.changed[0], "20 seeds"):
        assert part in found.changes[0]
    worded = history_text([FIRST, WORDED], WORDED.sha256)
    assert "only its words changed" in worded.says
    assert worded.changes == ()


def test_what_somebody_noted_is_told_of_words_too_and_the_verdict_until_then():
    noted = replace(WORDED, seen="two trial seeds", verdict_before="refuted")
    found = history_text([FIRST, noted], noted.sha256)
    assert len(found.changes) == 1
    assert "only words. Seen before: two trial seeds. The verdict until then: refuted." in str(
        found
    )
    assert history_text([FIRST, replace(WORDED, seen=WORDS_ALONE)], WORDED.sha256).changes == ()
    early = replace(noted, before_first_verdict=True, verdict_before="")
    (only,) = history_text([FIRST, early], early.sha256).changes
    assert "after its first verdict" not in only
    assert "until then" not in only


@pytest.mark.parametrize(("was", "is_told"), [("mixed", True), ("refuted", False), ("", False)])
def test_another_verdict_that_stood_before_is_told_on_the_first_screen(was, is_told, tmp_path):
    asked = claim(tmp_path)
    data = to_json(run_claim(asked, compose, Engine(level)))
    assert data["verdict"] == "refuted"
    moved = replace(MOVED, verdict_before=was)
    worded = replace(WORDED, sha256=asked.sha256, verdict_before="refuted")
    said = section_of(data, (FIRST, moved, worded)).was
    assert ("“mixed” until 2026-02-03" in said) == is_told
    assert bool(said) == is_told


def test_the_words_that_stood_before_are_those_of_git():
    # From docs/statements: this claim was called refuted, then mixed.
    versions = read_history(claim_history.REFERENCE / "pos-weight-is-a-shift")
    assert [one.verdict_before for one in versions if one.before_first_verdict] == [""] * 3
    assert versions[-1].verdict_before == "refuted"


def test_a_version_that_is_not_recorded_is_called_that():
    assert "not in its recorded history" in history_text([FIRST], "d" * 64).says


def level(config):
    return result(config, {"accuracy_score": 0.5})


def write(folder, *versions):
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(version.__dict__) for version in versions]
    (folder / FILE).write_text("\n".join(lines), encoding="utf-8")


def test_every_page_shows_it(tmp_path, capsys):
    asked = claim(tmp_path)
    first = replace(FIRST, sha256=asked.sha256)
    verdict = run_claim(asked, compose, Engine(level))
    write(tmp_path / "out" / "a-claim", first)
    (tmp_path / "out" / "a-claim" / "verdict.json").write_text(json.dumps(to_json(verdict)))
    print_verdict(verdict, Console(width=300), (first,))
    page = claims_page(read_verdicts(tmp_path / "out")).replace("&#39;", "'")
    for text in (to_markdown(to_json(verdict), (), (first,)), page, capsys.readouterr().out):
        assert BEFORE in text


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        json.dumps(FIRST.__dict__ | {"more": 1}),
        json.dumps(FIRST.__dict__ | {"before_first_verdict": "yes"}),
        json.dumps({"sha256": "a"}),
    ],
)
def test_a_broken_history_is_refused_by_file_and_line(tmp_path, line, capsys):
    write(tmp_path / "double-sigmoid", FIRST)
    path = tmp_path / "double-sigmoid" / FILE
    path.write_text(f"{path.read_text()}\n{line}\n")
    with pytest.raises(UserError, match=r"history\.jsonl, line 2"):
        read_history(path.parent)
    words = ["run", "double-sigmoid", f"output_dir={tmp_path}", "--reference", str(tmp_path)]
    with pytest.raises(UserError, match=r"history\.jsonl, line 2"):
        claim_command(words)
    assert not (tmp_path / "claims").exists()


def test_a_broken_history_leaves_the_rest_of_a_report(tmp_path):
    verdict = run_claim(claim(tmp_path), compose, Engine(level))
    write(tmp_path / "out" / "a-claim")
    (tmp_path / "out" / "a-claim" / FILE).write_text("{")
    (tmp_path / "out" / "a-claim" / "verdict.json").write_text(json.dumps(to_json(verdict)))
    (read,) = read_verdicts(tmp_path / "out")
    assert read.data
    assert any("history.jsonl, line 1" in line for line in read.trouble)


ONE = {
    "seeds": 5,
    "statement": "x",
    "shared": {"optimizer.lr": 0.1, "dataset": "digits"},
    "arms": {"a": {"head": "x"}},
    "predictions": {"old": {"ruler": "m", "arms": ["a"], "relation": "greater", "margin": 0.1}},
    "verdict": {"reproduced": ["old"]},
}
TWO = {
    "seeds": 20,
    "statement": "y",
    "shared": {"optimizer.lr": 0.3, "dataset": "blobs"},
    "arms": {"a": {"head": "y"}},
    "hypotheses": {"new": {"metric": "m", "arms": ["a"], "relation": "greater", "margin": 0.2}},
    "verdict": {"mixed": ["not new"]},
}


def changed(one, two):
    return set(claim_history.changes(claim_history.tested(one), claim_history.tested(two)))


def test_changes_are_named_by_what_they_change():
    assert changed(ONE, TWO) == {
        "seeds: 5 → 20",
        "rate optimizer.lr: 0.1 → 0.3",
        "scope dataset: digits → blobs",
        "arm a: head x → head y",
        "margin of hypothesis new: 0.1 → 0.2",
        "rule: reproduced [new] → mixed [not new]",
    }


def test_other_names_and_other_texts_change_nothing_that_is_tested():
    renamed = ONE | {"statement": "z", "hypotheses": TWO["hypotheses"]}
    del renamed["predictions"]
    renamed["hypotheses"] = {"new": TWO["hypotheses"]["new"] | {"margin": 0.1, "says": "s"}}
    assert changed(ONE, renamed | {"verdict": {"reproduced": ["new"]}}) == set()


def test_another_question_about_the_same_arms_is_another_hypothesis():
    alike = {"metric": "m", "arms": ["a", "b"], "relation": "equivalent", "margin": 0.1}
    one = ONE | {"hypotheses": {"alike": alike}, "verdict": {"reproduced": ["alike"]}}
    del one["predictions"]
    other = one | {"hypotheses": {"ahead": alike | {"relation": "greater"}}}
    assert {line.split(":")[0] for line in changed(one, other)} == {
        "hypothesis alike removed (it was metric m, arms [a, b], relation equivalent, margin 0.1)",
        "hypothesis ahead added",
    }
    turned = other | {"hypotheses": {"behind": alike | {"relation": "less"}}}
    assert changed(other, turned) == {"relation of hypothesis behind: greater → less"}


def test_notes_stay_with_their_version():
    noted = (replace(FIRST, seen="one"), replace(MOVED, seen="two"), replace(FIRST, seen="three"))
    plain = [replace(version, seen="not recorded") for version in (*noted, WORDED)]
    kept = claim_history.with_notes(plain, noted)
    assert [version.seen for version in kept] == ["one", "two", "three", "not recorded"]


@pytest.mark.skipif(
    not claim_history.whole_repository(), reason="git cannot show every version of the claims here"
)
def test_the_recorded_histories_are_what_git_shows():
    assert list(claim_history.disagreements()) == []
