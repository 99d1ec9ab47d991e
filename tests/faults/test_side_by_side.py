"""Two equal calls at once, and a third that reads meanwhile: no mixture, no half of anything."""

from pathlib import Path

import pytest

from calling import Call

from .comparing import left_over, said_finished_too_early
from .scenarios import CLAIM_FILE, SCENARIOS, call, done
from .test_kills import check_recovered, fresh

BUSY = ("trained by another process", "finished by another process meanwhile")


def read_meanwhile(folder: Path, *at_work: Call) -> int:
    """Reports until all calls have ended; how many."""
    number = 0
    while not all(call.ended() for call in at_work):
        read = done(["report", "--html", "outputs/page.html"], folder)
        number += 1
        assert read.returncode == 0 or "no finished run" in read.stderr, read.stderr
        assert "skipped" not in read.stderr, read.stderr
        assert said_finished_too_early(folder / "outputs") == []
    return number


@pytest.mark.parametrize("name", ["cohort", "forced cohort"])
def test_two_equal_sweeps_and_a_report(name: str, tries: int, tmp_path: Path) -> None:
    for _ in range(tries):
        folder, words = fresh(name, tmp_path), SCENARIOS[name].words
        with call(words, folder) as one, call(words, folder) as other:
            assert read_meanwhile(folder, one, other)
            for ended in (one.result(), other.result()):
                assert ended.returncode in (0, 2), ended.stderr
                if ended.returncode:
                    assert any(word in ended.stderr for word in BUSY), ended.stderr
        (folder / "outputs" / "page.html").unlink()
        check_recovered(name, folder, {}, "")


def test_two_claims_that_share_their_arms_and_a_report(tries: int, tmp_path: Path) -> None:
    for _ in range(tries):
        folder, words = fresh("claim", tmp_path), SCENARIOS["claim"].words
        (folder / "other.yaml").write_text(CLAIM_FILE)
        others = [*words[:-1], "other.yaml"]
        with call(words, folder) as one, call(others, folder) as other:
            assert read_meanwhile(folder, one, other)
            for ended in (one.result(), other.result()):
                assert ended.returncode in (0, 2), ended.stderr
                if ended.returncode:
                    assert any(word in ended.stderr for word in BUSY), ended.stderr
        assert [done(each, folder).returncode for each in (words, others)] == [0, 0]
        assert left_over(folder) == []
        check = [path.parent.name for path in folder.glob("outputs/claims/*/verdict.json")]
        assert sorted(check) == ["mine", "other"]
