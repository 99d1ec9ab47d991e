"""verdict.json, verdict.md and the exit status."""

import json
import math
from dataclasses import replace

import pytest
from rich.console import Console

from lossheads.claims.render import markdown as page
from lossheads.claims.render.console import print_verdict
from lossheads.claims.render.markdown import to_markdown, write_verdict
from lossheads.claims.runner import run_claim
from lossheads.claims.verdict_file import SCHEMA_VERSION, exit_status, to_json
from lossheads.errors import UserError

from .making import Engine, claim, compose, result


def scored(config):
    wobble = [0.001, -0.001, 0.002, -0.002][int(config["seed"]) % 4]
    lead = 0.05 + wobble if config["head"] == "softmax_cce" else 0.0
    return result(config, {"accuracy_score": 0.8 + lead})


def page_of(verdict):
    """verdict.md as text."""
    return to_markdown(to_json(verdict))


@pytest.fixture
def verdict(tmp_path):
    return run_claim(claim(tmp_path), compose, Engine(scored))


def test_json_holds_word_rule_numbers_and_environment(verdict, tmp_path):
    write_verdict(verdict, tmp_path / "out")
    data = json.loads((tmp_path / "out" / "verdict.json").read_text())
    assert data["verdict"] == "reproduced"
    assert data["rule"] == {"reproduced": ["better"]}
    assert data["hypotheses"]["better"]["numbers"] == pytest.approx([0.051, 0.049, 0.052, 0.048])
    assert data["environment"] == {"torch": "x"}
    assert data["table"][0]["baseline"] == pytest.approx(0.1)


def test_undefined_and_infinite_numbers_are_null_in_json(tmp_path):
    engine = Engine(lambda config: result(config, {"accuracy_score": math.nan}))
    write_verdict(run_claim(claim(tmp_path), compose, engine), tmp_path)
    text = (tmp_path / "verdict.json").read_text()
    assert json.loads(text)["table"][0]["interval"]["low"] is None
    assert "NaN" not in text
    assert "Infinity" not in text


def test_the_page_says_what_was_said_run_found_and_how_to_repeat(verdict, tmp_path):
    text = write_verdict(verdict, tmp_path, figures=["arms.png"]).read_text()
    assert text.startswith("# a-claim: reproduced\n")
    for part in (
        "A is better than B.",
        "d.txt, <https://example.org/1>, 2019-11; Keras 2.3",
        "| `a` | ★ 0.8500<br>[0.8471, 0.8529]<br>baseline 0.1000 |",
        "| `b` | 0.8000<br>at every seed<br>baseline 0.1000 |",
        "accuracy_score: a - b > 0.01",
        "0.0500<br>[0.0471, 0.0529]",
        "accuracy_score: a - b > 0.01: 0.0500 [0.0471, 0.0529], n = 4 seeds, holds",
        "**holds**",
        "**reproduced**, because accuracy_score: a - b > 0.01 (0.0500 [0.0471, 0.0529]) holds "
        "(means over n = 4 seeds with 95 % intervals).",
        "![arms](arms.png)",
        "More seeds.",
        "lossheads claim run a-claim",
        "lossheads train dataset=digits head=softmax_cce seed=0",
        "n = 4 seeds",
    ):
        assert part in text


def test_an_undecided_page_says_how_many_seeds_are_missing(tmp_path):
    close = claim(tmp_path, ("margin: 0.01", "margin: 0.0495"))
    verdict = run_claim(close, compose, Engine(scored))
    # Mean 0.05, deviation 0.0018257, distance 0.0005: t * 0.0018257 / sqrt n < 0.0005 needs
    # t / sqrt n < 0.27386, first at n = 54: 2.0057 / 7.348 = 0.27294; at 53 it is 0.27563.
    assert verdict.further_seeds == 50
    assert "50 more seeds" not in page_of(verdict)  # of 4, a standard deviation is loose
    assert "the standard deviation of 4 does not tell" in page_of(verdict)
    (found,) = verdict.findings
    many = replace(found, interval=replace(found.interval, n=20))
    text = page_of(replace(verdict, findings=(many,)))
    assert "About 50 more seeds would decide it" in text
    assert "50 more seeds would decide" in text


def somewhere(config):
    """Seed 3 was trained elsewhere, from changed code."""
    there = int(config["seed"]) == 3
    made = {
        "git": {"commit": "0123456789abcdef", "changed": there},
        "packages": {"torch": "2.9.0" if there else "2.14.1"},
        "device": "some card" if there else "x86_64 CPU",
        "cpu_capability": "AVX512",
    }
    return replace(scored(config), environment=made)


def test_every_environment_is_shown_with_its_runs(tmp_path):
    verdict = run_claim(claim(tmp_path), compose, Engine(somewhere))
    text = write_verdict(verdict, tmp_path).read_text()
    assert "| 0123456789 | 2.14.1 | x86_64 CPU | AVX512 | 6 |" in text
    assert "| 0123456789 with changes | 2.9.0 | some card | AVX512 | 2 |" in text
    assert "The runs were made in 2 environments" in text
    listed = json.loads((tmp_path / "verdict.json").read_text())["environments"]
    assert [one["runs"] for one in listed] == [6, 2]


def test_one_environment_needs_no_warning(verdict, tmp_path):
    text = write_verdict(verdict, tmp_path).read_text()
    assert "| unknown | unknown | unknown | unknown | 8 |" in text
    assert "environments" not in text


def test_looks_are_said_with_what_they_promise(tmp_path):
    close = claim(tmp_path, ("margin: 0.01", "margin: 0.05"))
    undecided = run_claim(close, compose, Engine(scored), seeds="auto", max_seeds=6)
    text = page_of(undecided)
    assert "in looks fixed beforehand (5, 6)" in text
    assert "its 97.5 % interval" in text
    assert "| mean, 97.5 % interval |" in text
    assert undecided.cells[0].interval.level == undecided.findings[0].interval.level == 0.975


def test_the_page_says_what_many_flips_can_reach(tmp_path):
    text = page_of(run_claim(claim(tmp_path), compose, Engine(scored), seeds=16))
    assert "(9,999 random flips)" in text
    assert "with n = 16 seeds its p is at least 0.0002" in text


def test_few_pairs_are_said_to_be_unable_to_decide(verdict, tmp_path):
    # 4 pairs: p is at least 2 / 2**4 = 0.125, at a level of 0.05; 10 pairs reach 2 / 2**10.
    assert "| **holds** | 4 pairs cannot decide<br>p = 0.1250 |" in page_of(verdict)
    ten = page_of(run_claim(verdict.claim, compose, Engine(scored), seeds=10))
    assert "| **holds** | holds<br>p = 0.0020 |" in ten
    assert "pairs cannot decide" not in ten


def test_one_prediction_and_one_seed_are_counted_as_one(verdict):
    assert "by Holm over 1 hypothesis at" in page_of(verdict)
    (found,) = verdict.findings
    enough = replace(found.interval, n=20)
    near = replace(found, conclusion="undecided", more_seeds=1, interval=enough)
    other = replace(found.hypothesis, name="other")
    text = page_of(
        replace(verdict, verdict="undecided", findings=(near, replace(near, hypothesis=other)))
    )
    assert "by Holm over 2 hypotheses at" in text
    assert "**undecided**<br>1 more seed would decide" in text
    assert "About 1 more seed would decide it" in text


def test_a_page_is_whole_or_absent(verdict, tmp_path, monkeypatch):
    def broken(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(page, "to_markdown", broken)
    with pytest.raises(KeyboardInterrupt):
        write_verdict(verdict, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def reference(tmp_path, word, version=SCHEMA_VERSION):
    folder = tmp_path / "reference" / "a-claim"
    write_verdict(run_claim(claim(tmp_path), compose, Engine(scored)), folder)
    data = json.loads((folder / "verdict.json").read_text()) | {"verdict": word}
    data["schema_version"] = version
    conclusions = {"reproduced": "holds", "refuted": "fails", "undecided": "undecided"}
    data["hypotheses"]["better"]["conclusion"] = conclusions[word]
    (folder / "verdict.json").write_text(json.dumps(data))
    return folder.parent


def test_status_0_without_reference_and_with_an_equal_one(verdict, tmp_path):
    assert exit_status(verdict, tmp_path) == 0
    assert exit_status(verdict, reference(tmp_path, "reproduced")) == 0


def test_status_3_when_the_verdict_changed(verdict, tmp_path):
    assert exit_status(verdict, reference(tmp_path, "refuted")) == 3


def test_status_1_when_runs_failed_whatever_the_reference(tmp_path):
    engine = Engine(lambda config: result(config, {"accuracy_score": 0.5}, status="diverged"))
    verdict = run_claim(claim(tmp_path), compose, engine)
    assert exit_status(verdict, reference(tmp_path, "undecided")) == 1


@pytest.mark.parametrize(("version", "got"), [(None, "no schema_version"), (99, "version 99")])
def test_a_reference_of_another_schema_version_is_refused(verdict, tmp_path, version, got):
    # An equal verdict: read as it stands, it would pass for the same.
    with pytest.raises(UserError, match=got) as refused:
        exit_status(verdict, reference(tmp_path, "reproduced", version))
    assert "a-claim/verdict.json" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_a_broken_reference_is_named(verdict, tmp_path, text):
    folder = reference(tmp_path, "reproduced")
    (folder / "a-claim" / "verdict.json").write_text(text)
    with pytest.raises(UserError, match=r"a-claim/verdict\.json"):
        exit_status(verdict, folder)


def test_what_was_found_stands_before_what_the_file_thinks_of_it(verdict, capsys):
    for text in (page_of(verdict), printed(verdict, capsys)):
        assert text.index("0.0500 [0.0471, 0.0529], n = 4 seeds, holds") > -1
        assert text.index("n = 4 seeds, holds") < text.index("No reason known.")
        assert text.index("Our reading") < text.index("No reason known.")


def printed(verdict, capsys):
    print_verdict(verdict, Console(width=200))
    return capsys.readouterr().out


def test_names_break_at_their_separators_on_a_narrow_terminal(tmp_path, capsys):
    long = "a_very_long_name_for_an_arm_of_this_claim_with_a_tail"
    named = claim(tmp_path, ("  a: {", f"  {long}: {{"), ("arms: [a, b]", f"arms: [{long}, b]"))
    print_verdict(run_claim(named, compose, Engine(scored)), Console(width=70))
    shown = capsys.readouterr().out
    pieces = [f"{piece}_" for piece in long.split("_")[:-1]]
    tables = [line for line in shown.splitlines() if line.startswith(("│", "┃"))]
    assert all(any(piece in line for line in tables) for piece in pieces)


def test_a_claim_of_ones_own_is_repeated_by_its_path(verdict):
    own = replace(verdict, claim=replace(verdict.claim, cli_name="my claims/mini.yaml"))
    assert "lossheads claim run 'my claims/mini.yaml' seeds=auto" in page_of(own)
    assert f"lossheads claim run {verdict.claim.slug}\n" in page_of(verdict)
