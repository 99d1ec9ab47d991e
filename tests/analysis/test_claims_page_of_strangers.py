"""Verdicts that strangers wrote, that are torn, or that are of another version."""

import re

import pytest

from lossheads.claims.render.html import write_claims_page
from lossheads.claims.render.markdown import to_markdown
from lossheads.claims.verdict_file import load_verdict
from lossheads.cli.report import command as report_command
from lossheads.errors import UserError

from .pages import ARM, CHECK, REFERENCE, VERDICTS, folder_with, section, shown, words

PNG = b"\x89PNG\r\n\x1a\n"
HOSTILE = """<script>alert(1)</script><img src=x onerror=alert(1)>"'{{ 7 * 7 }}</style>"""


# Words that are ours: a verdict with others in their place is refused.
OURS = (
    *("verdict", "conclusion", "reading", "relation", "about", "covers", "drawn", "standing"),
    "claim_sha256",
)
NAMED = ("hypotheses", "checks", "arms", "models", "metrics")  # their keys are free words


def poisoned(value, key=""):
    if isinstance(value, str):
        return value if key in OURS else value + HOSTILE
    if isinstance(value, dict):
        named = key in (*NAMED, "environment", "overrides")
        return {f"{k}{HOSTILE}" if named else k: poisoned(v, k) for k, v in value.items()}
    return [poisoned(entry) for entry in value] if isinstance(value, list) else value


@pytest.mark.parametrize("data", VERDICTS, ids=lambda data: data["slug"])
def test_what_a_stranger_writes_is_only_shown(data, tmp_path):
    page = shown(folder_with(tmp_path, poisoned(data), pictures={"metrics.png": PNG}))
    assert HOSTILE in page.text
    assert "verdict.json" not in section(page, "some-claim")
    assert page.all("script") == [{}]  # ours
    assert [image["src"][:5] for image in page.all("img")] in (["data:"], [])
    assert not [a for _, a in page.tags for key in a if key.startswith("on")]
    assert "49" not in page.below["all-claims"].split("claim")[1]


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "javascript://a.org/%0aalert(1)", "data:text/html,x", "http://["]
)
def test_only_addresses_of_the_web_become_links(url, tmp_path):
    source = {"document": "a page", "framework": "f", "url": url, "date": ""}
    page = shown(folder_with(tmp_path, {"verdict": "refuted", "source": source}))
    assert all(a["href"].startswith("#") for a in page.all("a"))
    assert "source a page" in section(page, "some-claim")


def test_a_verdict_with_little_in_it_becomes_sentences(tmp_path):
    page = shown(folder_with(tmp_path, {"arms": {"a": ARM}}))
    said = words(page.text)
    for sentence in (
        "No figures were saved with this verdict",
        "Not recorded in this folder.",
        "No arm was measured.",
        "No run records when it was made.",
        "a source that is not recorded",
    ):
        assert sentence in said


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("{", "verdict.json cannot be read"),
        ("[1]", "verdict.json is not a verdict"),
        ("[" * 100_000, "verdict.json cannot be read"),
        ({"table": [{}]}, "table.0.arm: field required"),
        ({"surplus": 1}, "surplus: extra inputs are not permitted"),
        ({"verdict": "won"}, "verdict: input should be 'reproduced'"),
        (
            {"verdict": "reproduced", "checks": {"c": CHECK}},
            "rule and conclusions give refuted",
        ),
        ({"rule": {"refuted": ["nothing"]}}, "rule names nothing"),
        ({"rule": {}}, "rule: dictionary should have at least 1 item"),
        ({"alpha": 2}, "alpha: input should be less than or equal to 1"),
        ({"alpha": "0.05"}, "alpha: input should be a valid number"),
        ({"seeds": [0, -1]}, "seeds.1: input should be greater than or equal to 0"),
        ({"source": {"document": ""}}, "source.framework: field required"),
        ({"arms": {"a": ARM | {"gradient_norms": [1.0]}}}, "gradient_norms has 1 numbers"),
        ({"says": 3}, "says: input should be a valid string"),
        ('{"verdict": "refuted"}', "verdict.json has no schema_version"),
        ('{"verdict": "refuted", "schema_version": 7}', "verdict.json has schema_version 7"),
    ],
)
def test_a_torn_verdict_costs_the_reader_no_other(data, sentence, tmp_path):
    folder_with(tmp_path, data, "torn")
    page = shown(folder_with(tmp_path, {"verdict": "refuted", "says": "I am whole."}, "whole"))
    assert sentence in section(page, "torn")
    assert "I am whole." in section(page, "whole")
    assert "1 ! unreadable" in words(page.text)


def test_what_cannot_be_read_is_told_and_none_that_can_is_an_error(tmp_path, capsys):
    folder_with(tmp_path, "{", "torn")
    with pytest.raises(UserError, match=r"torn/verdict\.json cannot be read"):
        report_command(["--claims", str(tmp_path)])
    assert not (tmp_path / "report.html").exists()
    folder_with(tmp_path, {"verdict": "refuted"}, "whole")
    assert report_command(["--claims", str(tmp_path)]) == 0
    told = capsys.readouterr()
    assert "torn: verdict.json cannot be read" in " ".join(told.err.split())
    assert "torn" not in told.out
    assert (tmp_path / "report.html").is_file()


def test_a_picture_that_is_none_is_left_out_with_a_sentence(tmp_path):
    pictures = {"metrics.png": b"<svg onload=alert(1)>", "epochs.png": PNG}
    page = shown(folder_with(tmp_path, {"arms": {"a": ARM}}, "c", pictures))
    assert "metrics.png is not a PNG picture and is left out." in page.text
    assert len(page.all("img")) == 1


def test_pictures_of_cases_stand_case_by_case_and_name_their_case(tmp_path):
    names = ["epochs-easy.png", "epochs-hard.png", "metrics-easy.png", "metrics-hard.png"]
    pictures = dict.fromkeys([*names, "photo.png"], PNG)
    page = shown(folder_with(tmp_path, {"arms": {"a": ARM}}, "c", pictures))
    said = [image["alt"] for image in page.all("img")]
    kinds = ["Each arm by me", "Each arm over t"] * 2
    assert [alt[:14].strip() for alt in said] == [kind[:14].strip() for kind in kinds]
    assert ["case easy" in alt for alt in said] == [True, True, False, False]


AT = {"mean": -0.001, "low": -0.003, "high": 0.001, "level": 0.95, "deviation": 0.1, "n": 5}


def hypothesis():
    """One that holds, as verdict.json has it."""
    return {
        "conclusion": "holds",
        "condition": "accuracy_score: a - b within 0 ± 0.01",
        "relation": "equivalent",
        "arms": ["a", "b"],
        "metrics": ["accuracy_score"] * 2,
        "value": 0.0,
        "margin": 0.01,
        "interval": AT,
        "tested": AT,
        "p": 0.01,
        "says": "",
        "numbers": [],
        "sign_flip_test": {"conclusion": "undecided", "p": 0.0625, "smallest_p": 0.0625},
        "more_seeds": None,
    }


def test_undefined_and_endless_numbers_are_shown_as_such(tmp_path):
    found = hypothesis()
    one_seed = found | {"interval": found["interval"] | {"low": None, "high": None, "n": 1}}
    nothing = {"mean": None, "low": None, "high": None, "level": 0.95, "deviation": None, "n": 0}
    none = found | {"interval": nothing, "tested": nothing, "p": 1.0, "conclusion": "undecided"}
    data = {"verdict": "undecided", "hypotheses": {"one": one_seed, "none": none}}
    said = section(shown(folder_with(tmp_path, data)), "some-claim")
    assert "± 0.01 -0.0010 [-∞, ∞]" in said
    assert "± 0.01 – [-∞, ∞]" in said
    assert "undefined" in said


@pytest.mark.parametrize(
    ("level", "smallest", "words"),
    [
        (0.95, 0.0625, "5 pairs cannot decide p = 0.0625"),
        (0.9, 0.0625, "undecided p = 0.0625"),
    ],
)
def test_flips_that_cannot_reach_the_level_are_said_not_to_decide(tmp_path, level, smallest, words):
    found = hypothesis() | {"tested": AT | {"level": level}}
    found["sign_flip_test"] = {"conclusion": "undecided", "p": 0.0625, "smallest_p": smallest}
    data = {"verdict": "reproduced", "hypotheses": {"one": found}}
    assert words in section(shown(folder_with(tmp_path, data)), "some-claim")


def test_models_environments_and_what_intervals_cover_are_shown_where_recorded(tmp_path):
    pair = {"first": 41, "second": 17, "p": 0.0022}
    model = {
        "arms": ["a", "b"],
        "by_seed": [pair, pair],
        "median_p": 0.0022,
        "significant_seeds": 2,
    }
    place = {"commit": "abc with changes", "torch": "2.14.1", "device": "CPU"}
    place |= {"cpu_capability": "AVX2", "runs": 10}
    data = {
        "verdict": "reproduced",
        "arms": {"a": ARM, "b": ARM},
        "redrawn": ["a"],
        "seeds": [0, 1],
        "models": {
            "better": model,
            "other": model | {"arms": ["a", "c"]},
            "best": model | {"arms": ["b", "a"]},
        },
        "environments": [place, place | {"commit": "def"}],
    }
    page = shown(folder_with(tmp_path, data))
    said = section(page, "some-claim")
    assert "better best a b 41:17, 41:17 0.0022, 0.0022 0.0022 2 of 2" in said
    assert "other a c 41:17, 41:17" in said
    assert said.count("41:17, 41:17") == 2
    assert "abc with changes 2.14.1 CPU AVX2 10" in said
    assert "All seeds of b share one data set" in said
    assert "abc with changes, def" in page.below["origin"]


def test_two_folders_whose_names_differ_only_in_signs_have_two_anchors(tmp_path):
    folder_with(tmp_path, {"verdict": "refuted"}, "a b")
    page = shown(folder_with(tmp_path, {"verdict": "refuted"}, "a+b"))
    assert {"claim-a-b", "claim-a-b-again"} <= set(page.ids)


def test_a_folder_without_verdicts_is_refused(tmp_path):
    with pytest.raises(UserError, match="finds no verdict in"):
        write_claims_page(tmp_path)


def test_a_page_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="the report cannot be written at"):
        write_claims_page(REFERENCE, tmp_path / "file" / "report.html")


EVIL = "<script>x</script> | a ` b ![p](http://e.org/x.png) [l][r] *s*\n# head\n- item"


def in_markdown(value, key=""):
    if isinstance(value, str):
        return value if key in OURS else value + EVIL
    if isinstance(value, dict):
        named = key in NAMED
        return {f"{k}{EVIL}" if named else k: in_markdown(v, k) for k, v in value.items()}
    return [in_markdown(entry) for entry in value] if isinstance(value, list) else value


@pytest.mark.parametrize("data", VERDICTS, ids=lambda data: data["slug"])
def test_what_a_stranger_writes_is_only_text_in_markdown(data, tmp_path):
    folder_with(tmp_path, in_markdown(data))
    written = to_markdown(load_verdict(tmp_path / "some-claim" / "verdict.json"))
    whole, plain = unfenced(written), unfenced(to_markdown(data))
    text = re.sub(r"(`+).*?(?<!`)\1(?!`)", "CODE", whole)
    assert "script" in text
    assert not re.search(r"(?<!\\)<script|(?<!\\)\]\(http|(?<!\\)\]\[|(?<!\\)\*s\b", text)
    for mark in ("#", "- item", "|"):
        assert whole.count(f"\n{mark}") == plain.count(f"\n{mark}")
    assert bars(whole) == bars(plain)


def unfenced(page):
    """The page without its block of commands."""
    return re.sub(r"\n(`{3,})\n.*?\n\1", "", page, flags=re.DOTALL)


def bars(page):
    """The number of column borders in each row of each table."""
    rows = [line for line in page.split("\n") if line.startswith("|")]
    return [len(re.findall(r"(?<!\\)\|", row)) for row in rows]
