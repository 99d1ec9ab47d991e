"""The page over all claims: complete, self-contained, safe against what a claim file says."""

import base64
import hashlib
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from lossheads.analysis.format import interval_text, number, p_text, recorded_interval
from lossheads.claims.reading import list_claims
from lossheads.claims.render.html import claims_page
from lossheads.claims.render.markdown import to_markdown
from lossheads.claims.render.section import deciding
from lossheads.claims.render.words import reason
from lossheads.claims.schema import region_of
from lossheads.claims.verdict_file import read_verdicts
from lossheads.cli.report import command as report_command
from lossheads.runs.config import claim_folder

from .pages import REFERENCE, VERDICTS, Page, folder_with, section, words

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "src/lossheads/analysis/templates"
STYLE = (TEMPLATES / "style.css").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page():
    return Page(claims_page(read_verdicts(REFERENCE)))


def test_every_claim_appears_with_its_word_and_its_words(page):
    overview = words(page.below["all-claims"])
    assert len(VERDICTS) >= 24
    for data in VERDICTS:
        said = section(page, data["slug"])
        word = data["verdict"].replace("_", " ")
        assert data["slug"] in overview
        assert re.match(rf"{data['slug']} \S {word} ", said)
        for text in (data["says"], data["statement"], reason(data), data["source"]["framework"]):
            assert words(text) in said
        assert data["source"]["document"] in said


def test_every_number_of_the_findings_appears(page):
    for data in VERDICTS:
        said = section(page, data["slug"])
        for name, found in data["hypotheses"].items():
            plain, tested = recorded_interval(found["interval"]), recorded_interval(found["tested"])
            mean, ends = interval_text(plain).split(" ", 1)
            corrected = interval_text(tested).split(" ", 1)[1]
            row = f"{name} {found['condition']} {mean} {ends} {corrected} "
            p = f", p {p_text(found['p'])}" if found["p"] else ""
            assert row + f"at {100 * tested.level:.3g} %{p} " in said
            assert f"p {p_text(found['sign_flip_test']['p'])} {plain.n}" in said


def test_every_check_and_every_cell_appears(page):
    for data in VERDICTS:
        said = section(page, data["slug"])
        for name, check in data["checks"].items():
            assert name in said
            assert f"{check['computed']:.10g} " in said
        for cell in data["table"]:
            assert interval_text(recorded_interval(cell["interval"])) in said
            assert cell["baseline"] is None or f"baseline {number(cell['baseline'])}" in said


def test_every_arm_appears_with_its_settings(page):
    for data in VERDICTS:
        said = section(page, data["slug"])
        for name, arm in data["arms"].items():
            assert f"{name} " in said
            assert f"head={arm['overrides']['head']}" in said
        if data["seeds"]:
            assert f"n = {len(data['seeds'])} seeds" in said


def test_every_section_says_why_and_what_would_change_our_mind(page):
    assert "not recorded in this folder" not in page.text.lower()
    assert "Not recorded" not in page.text


@pytest.mark.parametrize("data", VERDICTS, ids=lambda data: data["slug"])
def test_every_verdict_has_its_numbers_and_commands_in_markdown(data):
    text = to_markdown(data, ["metrics.png"])
    for name, found in data["hypotheses"].items():
        assert f"| `{name}` | {found['condition']} | " in text
        assert interval_text(recorded_interval(found["interval"])).replace(" ", "<br>", 1) in text
    for name, check in data["checks"].items():
        assert f"| `{name}` | " in text
        number = re.escape(f"{check['computed']:.10g}")
        assert re.search(rf"\| {number}( [-+] \S+)? \| ", text)
    assert "\n".join(data["commands"]) in text
    assert "\n\n\n" not in text


def test_the_headline_counts_the_words(page):
    counts = {data["verdict"]: 0 for data in VERDICTS}
    for data in VERDICTS:
        counts[data["verdict"]] += 1
    said = words(page.text)
    for word, count in counts.items():
        assert re.search(rf"\b{count} \S {word.replace('_', ' ')}", said)
    assert f"{len(VERDICTS)} claims, each" in said
    assert "A loss head is what stands between" in said
    assert "the numbers come of the metric, not of the loss" in said


def test_the_evidence_is_what_the_verdict_rests_on():
    at = {"mean": 0.5, "low": 0.4, "high": 0.6, "level": 0.95, "deviation": 0.1, "n": 5}
    words_of = {"one": "holds", "two": "fails", "three": "undecided"}
    hypotheses = {
        name: {"conclusion": word, "condition": f"{name} > 0", "interval": at}
        for name, word in words_of.items()
    }
    data = {
        "checks": {},
        "hypotheses": hypotheses,
    }
    needed = {"reproduced": ["one"], "refuted": ["one", "two"], "undecided": ["one", "three"]}
    needed["mixed"] = ["not two", "one"]
    said_of = {"reproduced": "one", "refuted": "two", "undecided": "three", "mixed": "two"}
    for verdict, name in said_of.items():
        word = "mixed" if verdict == "mixed" else "reproduced"
        said = f"{name} > 0: 0.5000 [0.4000, 0.6000], n = 5 seeds, {words_of[name]}"
        assert next(iter(deciding(data | {"rule": {word: needed[verdict]}}))) == said
    checks = {"a": {"conclusion": "holds"}, "b": {"conclusion": "fails"}}
    only_checks = {
        "verdict": "refuted",
        "hypotheses": {},
        "checks": checks,
        "rule": {"reproduced": ["a", "b"]},
    }
    assert next(iter(deciding(only_checks))) == "1 of 2 computed numbers are as stated"


def test_nothing_is_loaded_from_elsewhere(page):
    assert not page.all("link", "iframe", "object", "embed", "audio", "video", "base")
    assert page.all("img")
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.all("img"))
    assert not [a for _, a in page.tags for key in a if key == "srcset" or key.startswith("on")]
    assert not re.search(r"url\(|@import|@font-face", STYLE)
    policies = [meta.get("content", "") for meta in page.all("meta")]
    assert any(policy.startswith("default-src 'none'; img-src data:;") for policy in policies)


def test_the_one_script_is_ours_and_the_policy_allows_no_other(page):
    assert page.all("script") == [{}]
    text = (TEMPLATES / "page.js").read_bytes()
    assert text.decode() in page.text
    (policy,) = [
        meta["content"]
        for meta in page.all("meta")
        if meta.get("http-equiv", "").endswith("Policy")
    ]
    digest = base64.b64encode(hashlib.sha256(text).digest()).decode()
    assert policy.split("script-src ")[1] == f"'sha256-{digest}'"
    assert not re.search(r"innerHTML|eval|fetch|import|XMLHttp|document\.write", text.decode())


def test_every_anchor_resolves_and_every_id_is_its_own(page):
    assert len(page.ids) == len(set(page.ids))
    inside = [a["href"][1:] for a in page.all("a") if a["href"].startswith("#")]
    assert len(inside) > 2 * len(VERDICTS)
    assert set(inside) <= set(page.ids)
    for attributes in (a for _, a in page.tags if "aria-labelledby" in a):
        assert attributes["aria-labelledby"] in page.ids


def test_headings_stand_in_order_and_pictures_have_words(page):
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all(len(image["alt"]) > 20 for image in page.all("img"))
    drawn = [svg for svg in page.all("svg") if svg.get("aria-hidden") != "true"]
    assert len(drawn) > len(VERDICTS)
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in drawn)


def test_the_region_drawn_is_the_region_judged():
    shipped = {claim.slug: claim for claim in list_claims(claim_folder())}
    checked = 0
    for data in VERDICTS:
        claim = shipped.get(data["slug"])
        asked = {p.name: p for p in claim.hypotheses} if claim else {}
        for name, found in data["hypotheses"].items():
            # A reference may be older than the claim file; then it was asked something else.
            if name in asked and asked[name].condition == found["condition"]:
                region = asked[name].region
                assert region_of(found["relation"], found["value"], found["margin"]) == region
                checked += 1
    assert checked > 50


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_letters_stand_out_by_at_least_four_and_a_half(scheme):
    light, dark = re.findall(r":root \{(.*?)\}", STYLE, flags=re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", light if scheme == "light" else dark))
    words_of = ("reproduced", "metric_artefact", "mixed", "refuted", "undecided")
    pairs = [(ink, ground) for ink in ("ink", "grey", "link") for ground in ("paper", "raised")]
    pairs += [(word, ground) for word in words_of for ground in ("paper", f"{word}-tint")]
    pairs += [("ink", "refuted-tint"), ("ink", "region")]
    for ink, ground in pairs:
        bright, dim = sorted((luminance(colours[c]) for c in (ink, ground)), reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= 4.5, f"{ink} on {ground}"


def test_the_command_writes_the_page_and_needs_no_torch(tmp_path):
    target = tmp_path / "out.html"
    assert report_command(["--claims", str(REFERENCE), "--html", str(target)]) == 0
    assert target.read_text(encoding="utf-8").startswith("<!doctype html>")
    code = "import sys, lossheads.claims.render.html; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_command_looks_below_the_outputs(tmp_path):
    folder_with(tmp_path / "claims", {"verdict": "refuted"})
    assert report_command([str(tmp_path), "--claims"]) == 0
    assert (tmp_path / "claims" / "report.html").is_file()
