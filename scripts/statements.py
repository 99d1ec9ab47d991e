"""Write docs/statements.md: every statement of the five documents, what tests it, and its word.

python scripts/statements.py            rewrite the page
python scripts/statements.py --check    exit 1 when it would change

The statements are those of docs/statements.yaml; the words come from outputs/reference.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from lossheads.analysis.html import humanize
from lossheads.claims.reading import load_claim
from lossheads.claims.verdict_file import load_verdict

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "statements.md"
STATEMENTS = ROOT / "docs" / "statements.yaml"
REFERENCE = ROOT / "outputs" / "reference"
CLAIMS = ROOT / "claims"
NOT_RUN, NOT_TESTABLE = "not run yet", "not testable"
OPPOSITE = {"holds": "fails", "fails": "holds"}
ORDER = (
    "holds", "reproduced", "fails", "refuted", "metric artefact", "mixed", "undecided",
    NOT_TESTABLE, NOT_RUN,
)  # fmt: skip
HEAD = """\
# Every statement of the five documents

<!-- Made by scripts/statements.py from docs/statements.yaml and outputs/reference. -->

Each statement in our words, not the documents', what tests it, and the word that came of it. A
check or hypothesis *holds* or *fails*; a whole claim has its verdict (see the
[glossary](glossary.md)). A statement with several checks holds when all hold, fails when all fail,
is *not run yet* or *undecided* when one is, and *mixed* otherwise; "the opposite of" turns a word
around. *Not testable* are opinions, wishes and explanations of words, each with the reason. *Not
run yet*: the claim is newer than its reference."""


def documents() -> list[dict[str, Any]]:
    """docs/statements.yaml."""
    found: list[dict[str, Any]] = yaml.safe_load(STATEMENTS.read_text(encoding="utf-8"))
    return found


def split(name: str) -> tuple[str, str, bool]:
    """`not CLAIM/NAME` -> claim, hypothesis or check (or nothing), whether it is turned around."""
    plain = name.removeprefix("not ")
    slug, _, row = plain.partition("/")
    return slug, row, plain != name


def word(statement: dict[str, Any]) -> str:
    """What came of a statement."""
    return (
        _together([_word(name) for name in statement["by"]]) if "by" in statement else NOT_TESTABLE
    )


def _word(name: str) -> str:
    slug, row, turned = split(name)
    path = REFERENCE / slug / "verdict.json"
    if not path.is_file():
        return NOT_RUN
    verdict = load_verdict(path)
    if verdict["claim_sha256"] != load_claim(CLAIMS / f"{slug}.yaml").sha256:
        return NOT_RUN
    if not row:
        return humanize(verdict["verdict"])
    rows = verdict["hypotheses"] | verdict["checks"]
    # A hypothesis asked of several cases has one row for each: NAME/CASE.
    found = [rows[name]["conclusion"] for name in rows if name.split("/")[0] == row]
    one = _together(found) if found else NOT_RUN
    return OPPOSITE.get(one, one) if turned else one


def _together(words: Sequence[str]) -> str:
    distinct = set(words)
    if len(distinct) == 1:
        return words[0]
    for unknown in (NOT_RUN, "undecided"):
        if unknown in distinct:
            return unknown
    return "mixed"


def page() -> str:
    """The whole page."""
    parts, words = [], Counter[str]()
    for document in documents():
        lines = [
            f"## {document['title']}",
            f"`{document['document']}`",
            "| statement | check or claim | word |\n|---|---|---|",
        ]
        for statement in document["statements"]:
            came = word(statement)
            words[came] += 1
            by = "<br>".join(_links(statement["by"])) if "by" in statement else statement["why"]
            lines[-1] += f"\n| {statement['says']} | {by} | {came} |"
        parts += lines
    unknown = words.keys() - set(ORDER)
    assert not unknown, unknown
    counts = "\n".join(f"| {name} | {words[name]} |" for name in ORDER if words[name])
    table = f"| word | statements |\n|---|---:|\n{counts}\n| all | {words.total()} |"
    return "\n\n".join([HEAD, table, *parts]) + "\n"


def _links(names: Sequence[str]) -> list[str]:
    """One for each claim, with the rows that count."""
    rows: dict[str, list[str]] = {}
    for slug, row, turned in map(split, names):
        shown = f"`{row}`" if row else "verdict"
        rows.setdefault(slug, []).append(f"the opposite of {shown}" if turned else shown)
    return [f"[{slug}]({_target(slug)}): {', '.join(shown)}" for slug, shown in rows.items()]


def _target(slug: str) -> str:
    known = (REFERENCE / slug / "verdict.md").is_file()
    return f"../outputs/reference/{slug}/verdict.md" if known else f"../claims/{slug}.yaml"


def main() -> None:
    """Rewrite or check."""
    after = page()
    if "--check" in sys.argv[1:]:
        sys.exit(not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != after)
    PAGE.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
