"""docs/statements.md is what its script makes, and names nothing that is not there."""

import json
import re

import pytest

from lossheads.claims.reading import load_claim
from statements import (
    CLAIMS,
    NOT_RUN,
    NOT_TESTABLE,
    OPPOSITE,
    PAGE,
    REFERENCE,
    documents,
    page,
    split,
    word,
)

STATEMENTS = [statement for document in documents() for statement in document["statements"]]
NAMES = sorted({name for statement in STATEMENTS for name in statement.get("by", ())})


def test_the_page_is_what_the_script_makes():
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python scripts/statements.py"


def test_all_five_documents_have_statements():
    assert [len(document["statements"]) > 10 for document in documents()] == [True] * 5


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda s: s["says"][:40])
def test_each_statement_has_a_test_or_a_reason(statement):
    assert ("by" in statement) != ("why" in statement)
    assert statement.get("by") or statement.get("why")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_named_exists(name):
    slug, row, _ = split(name)
    claim = load_claim(CLAIMS / f"{slug}.yaml")
    rows = [each.name.split("/")[0] for each in (*claim.hypotheses, *claim.checks)]
    assert not row or row in rows


def test_words_are_those_of_the_references():
    # Read here from the files themselves, for statements that name one row or one claim.
    compared = 0
    for statement in STATEMENTS:
        if len(statement.get("by", ())) != 1:
            assert ("why" in statement) == (word(statement) == NOT_TESTABLE)
            continue
        slug, row, turned = split(statement["by"][0])
        path = REFERENCE / slug / "verdict.json"
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        if found is None or found["claim_sha256"] != load_claim(CLAIMS / f"{slug}.yaml").sha256:
            assert word(statement) == NOT_RUN
            compared += 1
            continue
        rows = found["hypotheses"] | found["checks"]
        if row and row not in rows:
            continue  # asked of several cases
        expected = rows[row]["conclusion"] if row else found["verdict"].replace("_", " ")
        assert word(statement) == (OPPOSITE.get(expected, expected) if turned else expected)
        compared += 1
    assert compared > 40


def test_links_of_the_page_exist():
    links = re.findall(r"\]\(([^)#:]+)\)", PAGE.read_text(encoding="utf-8"))
    assert [link for link in links if not (PAGE.parent / link).exists()] == []
    assert len(links) > 50
