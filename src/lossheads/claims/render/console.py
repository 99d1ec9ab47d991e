"""A verdict on the terminal, made from its JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from lossheads.analysis.format import number
from lossheads.analysis.html import humanize
from lossheads.analysis.page_tables import rich_table
from lossheads.claims.history import Version
from lossheads.claims.judge import Verdict
from lossheads.claims.render.section import section_of
from lossheads.claims.render.tables import tests_by_arms
from lossheads.claims.verdict_file import to_json
from lossheads.errors import printable

COLOURS = {
    "reproduced": "green",
    "metric_artefact": "yellow",
    "mixed": "yellow",
    "refuted": "red",
    "undecided": "cyan",
}

# Columns of the hypotheses that a terminal has no width for; verdict.md has them.
_ON_PAGES_ONLY = ("corrected interval", "what they cover", "sign-flip test")


def print_verdict(verdict: Verdict, console: Console, history: Sequence[Version] = ()) -> None:
    """The verdict and what decided it; then numbers, hypotheses and checks."""
    data = to_json(verdict)
    section = section_of(data, history)
    made_in = ", ".join(filter(None, (section.document, section.date)))
    style = f"bold {COLOURS.get(section.verdict, '')}".strip()
    console.print()
    console.print(Text.assemble((printable(section.slug), "bold"), f"  {printable(made_in)}"))
    console.print(section.says)
    console.print(
        Text.assemble(
            "Verdict: ",
            (printable(humanize(section.verdict)), style),
            f", because {printable(section.why)}.",
        )
    )
    for line in filter(None, (section.beside, *section.evidence, *section.doubts, section.further)):
        console.print(f"  {line}")
    for line in section.failed:
        console.print(f"Failed: {line}")
    if section.cells:
        console.print(rich_table(section.cells, "Results: arms × metrics"))
        console.print(section.covers)
    if section.findings:
        console.print(rich_table(section.findings, "Hypotheses", without=_ON_PAGES_ONLY))
    for names, test in tests_by_arms(data["models"]):
        console.print(_model_text(names, test))
    if section.checks:
        console.print(rich_table(section.checks, "Stated and computed"))
    for line in filter(None, (section.history.says, *section.history.changes)):
        console.print(line)
    console.print("Our reading:", section.explanation)


def _model_text(hypotheses: list[str], test: Mapping[str, Any]) -> str:
    return (
        f"Models of {' and '.join(test['arms'])} on the same test examples "
        f"({', '.join(hypotheses)}; McNemar): p < 0.05 in {test['significant_seeds']} of "
        f"{len(test['by_seed'])} seeds, median p = {number(test['median_p'])}."
    )
