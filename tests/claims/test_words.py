"""A verdict in words: what its hypotheses say and their numbers, never the names in the file."""

import pytest
from rich.console import Console

from lossheads.claims.render.console import print_verdict
from lossheads.claims.render.html import claims_page
from lossheads.claims.render.markdown import to_markdown, write_verdict
from lossheads.claims.render.words import beside, doubts, found_in_words, reason
from lossheads.claims.runner import run_claim
from lossheads.claims.verdict_file import exit_status, load_verdict, read_verdicts, to_json

from .making import Engine, claim, compose, result

AT = {"mean": 0.5, "low": 0.4, "high": 0.6, "level": 0.95, "deviation": 0.1, "n": 20}


def hypothesis(conclusion, says="", relation="greater"):
    return {
        "conclusion": conclusion,
        "says": says,
        "condition": "m: a - b > 0",
        "relation": relation,
        "metrics": ["m", "m"],
        "margin": 0.01,
        "interval": AT,
    }


def check(conclusion, says="", computed=0.5):
    return {"conclusion": conclusion, "says": says, "computed": computed}


def data(rule, hypotheses=None, checks=None):
    return {"rule": rule, "hypotheses": hypotheses or {}, "checks": checks or {}}


def test_one_part_holds_and_another_fails():
    halves = {"x": hypothesis("holds", "A leads"), "y": hypothesis("fails", "B fits in memory")}
    assert reason(data({"reproduced": ["x", "y"], "mixed": ["x", "not y"]}, halves)) == (
        "“A leads” (0.5000 [0.4000, 0.6000]) holds and “B fits in memory” "
        "(0.5000 [0.4000, 0.6000]) fails (means over n = 20 seeds with 95 % intervals)"
    )


def test_cases_share_one_clause_and_an_equivalence_shows_its_margin():
    both = {
        f"x/{case}": hypothesis("holds", "the two differ by less than a point", "equivalent")
        for case in ("small", "large")
    }
    said = reason(data({"reproduced": list(both)}, both))
    assert said.count("“the two differ") == 1
    assert "small: 0.5000 [0.4000, 0.6000], margin ± 0.01; large: 0.5000" in said
    assert ") holds (" in said


def test_what_is_open_is_said_to_be_open():
    both = {"x": hypothesis("undecided", "A leads"), "y": hypothesis("undecided")}
    said = reason(data({"reproduced": ["x", "y"]}, both))
    assert "“A leads” (" in said
    assert "m: a - b > 0 (" in said
    assert "are not decided" in said


def test_few_checks_are_named_and_many_are_counted():
    one = {"c": check("fails", "σ(0) is 0.6")}
    assert reason(data({"reproduced": ["c"]}, checks=one)) == (
        "“σ(0) is 0.6” (computed 0.5000) fails"
    )
    many = {f"c{k}": check("holds") for k in range(5)}
    assert reason(data({"reproduced": list(many)}, checks=many)) == "5 computed numbers hold"


def test_the_evidence_in_words_is_what_the_verdict_rests_on():
    found = {"x": hypothesis("holds", "A leads"), "y/big": hypothesis("fails", "B leads")}
    rule = {"reproduced": ["x", "y/big"]}
    assert found_in_words(data(rule, found)).startswith("B leads (big): 0.5000 [0.4000, 0.6000], n")
    both = found_in_words(data({"mixed": ["x", "not y/big"]}, found))
    assert both.startswith("A leads: 0.5000")
    assert "; B leads (big): 0.5000" in both
    assert found_in_words(data({"reproduced": ["c"]}, checks={"c": check("fails")})) == (
        "0 of 1 computed numbers are as stated"
    )


def test_a_refuted_claim_tells_what_of_it_holds():
    rule = {"reproduced": ["x", "y"], "mixed": ["x", "z"]}
    found = {
        "x": hypothesis("fails", "A leads"),
        "y": hypothesis("holds", "B leads"),
        "z": hypothesis("undecided", "C leads"),
    }
    told = beside(data(rule, found))
    assert told.startswith("Of what else the rule asks, “B leads” (0.5000 [0.4000, 0.6000]) holds")
    assert "“C leads” (0.5000 [0.4000, 0.6000]) is not decided" in told
    assert "can no longer be given" not in told  # a verdict is given
    assert "“B leads” (0.5000" not in reason(data(rule, found))
    short = found_in_words(data(rule, found))
    assert short.index("A leads") < short.index(
        "B leads: 0.5000 [0.4000, 0.6000], n = 20 seeds, holds"
    )


def test_an_undecided_claim_tells_which_verdicts_are_ruled_out():
    found = {"x": hypothesis("fails", "A leads"), "y": hypothesis("undecided", "B leads")}
    told = beside(data({"metric_artefact": ["x"], "mixed": ["y", "not x"]}, found))
    assert "“A leads” (0.5000 [0.4000, 0.6000]) fails" in told
    assert told.endswith("So “metric artefact” can no longer be given.")
    assert beside(data({"reproduced": ["y"]}, found)) == ""
    two = {"metric_artefact": ["x"], "reproduced": ["x", "y"], "mixed": ["y", "not x"]}
    assert "So “metric artefact” and “reproduced” can no longer be given." in beside(
        data(two, found)
    )


def test_a_verdict_that_holds_is_told_by_what_it_rests_on_alone():
    found = {"x": hypothesis("holds", "A leads"), "y": hypothesis("fails", "B leads")}
    rule = {"reproduced": ["x"], "mixed": ["x", "y"]}
    assert "B leads" in beside(data(rule, found))
    assert "B leads" not in found_in_words(data(rule, found))


def test_what_came_out_alike_on_two_metrics_is_told_of_both():
    found = {name: hypothesis("holds", f"{name} leads") for name in ("x", "y", "z")}
    found["z"]["metrics"] = ["other", "other"]
    said = found_in_words(data({"metric_artefact": list(found)}, found))
    assert "x leads" in said
    assert "y leads" not in said
    assert said.endswith("z leads: 0.5000 [0.4000, 0.6000], n = 20 seeds, holds")


TWO_PARTS = (
    ("  better: {", "  level: {metric: accuracy_score, arms: [a], relation: greater, value: 0.95,"
     " margin: 0, says: A decides more than 95 %}\n  better: {says: A leads by a point, "),
    ("{reproduced: [better]}", "{reproduced: [better, level], mixed: [better, not level]}"),
)  # fmt: skip


def scored(config, apart=()):
    lead = 0.0 if config["head"] != "softmax_cce" else 0.05 + 0.001 * (int(config["seed"]) % 4)
    lead = -0.01 if lead and int(config["seed"]) in apart else lead
    return result(config, {"accuracy_score": 0.8 + lead})


def test_a_mixed_verdict_goes_through_file_pages_and_comparison(tmp_path, capsys):
    verdict = run_claim(claim(tmp_path, *TWO_PARTS), compose, Engine(scored))
    assert (verdict.verdict, verdict.why) == ("mixed", "better holds and level fails")
    folder = tmp_path / "reference" / "a-claim"
    text = write_verdict(verdict, folder).read_text(encoding="utf-8")
    assert load_verdict(folder / "verdict.json")["rule"]["mixed"] == ("better", "not level")
    assert exit_status(verdict, tmp_path / "reference") == 0
    print_verdict(verdict, Console(width=300))
    page = claims_page(read_verdicts(tmp_path / "reference"))
    for shown in (text, capsys.readouterr().out, page):
        assert "“A leads by a point” (" in shown
        assert "“A decides more than 95 %” (" in shown
    assert "not level (fails)" in text
    assert '<li class="mixed"><span class="count">1</span>' in page
    changed = folder / "verdict.json"
    changed.write_text(changed.read_text().replace('"verdict": "mixed"', '"verdict": "refuted"'))
    with pytest.raises(Exception, match="verdict is refuted, but rule and conclusions give mixed"):
        load_verdict(changed)


def test_seeds_that_lie_apart_are_named_on_every_page(tmp_path, capsys):
    twenty = claim(tmp_path, ("seeds: 4", "seeds: 20"), ("margin: 0.01", "margin: 0.03"))
    verdict = run_claim(twenty, compose, Engine(lambda config: scored(config, apart=(7, 9))))
    assert verdict.findings[0].tested.low > 0.03
    assert verdict.verdict == "undecided"
    text = write_verdict(verdict, tmp_path / "out" / "a-claim").read_text(encoding="utf-8")
    print_verdict(verdict, Console(width=300))
    page = claims_page(read_verdicts(tmp_path / "out"))
    for shown in (text, capsys.readouterr().out, page):
        assert "2 of 20 seeds lie apart (seed 7: -0.0100, seed 9: -0.0100;" in shown
    assert doubts(to_json(verdict)["hypotheses"])
    assert "goes unseen among 20 seeds with a chance of 12.2 %" in text


def test_no_page_says_by_itself_that_a_rule_is_older_than_its_runs(tmp_path):
    verdict = run_claim(claim(tmp_path), compose, Engine(scored))
    write_verdict(verdict, tmp_path / "out" / "a-claim")
    for text in (to_markdown(to_json(verdict)), claims_page(read_verdicts(tmp_path / "out"))):
        assert "before the runs" not in text
        assert "before its first run" not in text
