"""A verdict on the terminal, made from its JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape

from lossheads.analysis.format import number
from lossheads.analysis.html import humanize
from lossheads.analysis.page_tables import rich_table
from lossheads.claims.history import Version
from lossheads.claims.judge import Verdict
from lossheads.claims.render.section import section_of
from lossheads.claims.render.tables import tests_by_arms
from lossheads.claims.verdict_file import to_json

# Columns of the hypotheses that a terminal has no width for; verdict.md has them.
_ON_PAGES_ONLY = ("corrected interval", "what they cover", "sign-flip test")


def print_verdict(verdict: Verdict, console: Console, history: Sequence[Version] = ()) -> None:
    """Numbers, hypotheses and checks; then the verdict and what decided it."""
    data = to_json(verdict)
    section = section_of(data, history)
    made_in = ", ".join(filter(None, (section.document, section.date)))
    console.print(f"\n[bold]{section.slug}[/bold]  {made_in}")
    console.print(section.says, markup=False)
    if section.cells:
        console.print(rich_table(section.cells, "Results: arms × metrics"))
        console.print(section.covers, markup=False)
    if section.findings:
        console.print(rich_table(section.findings, "Hypotheses", without=_ON_PAGES_ONLY))
    for names, test in tests_by_arms(data["models"]):
        console.print(_model_text(names, test), markup=False)
    if section.checks:
        console.print(rich_table(section.checks, "Stated and computed"))
    word = humanize(section.verdict)
    console.print(f"Verdict: [bold]{word}[/bold], because {escape(section.why)}.")
    for line in filter(None, (*section.evidence, *section.doubts, section.further)):
        console.print(f"  {line}", markup=False)
    for line in filter(None, (section.history.says, *section.history.changes)):
        console.print(line, markup=False)
    for line in section.failed:
        console.print(f"Failed: {line}", markup=False)
    console.print("The author's explanation (not tested here):", section.explanation, markup=False)


def _model_text(hypotheses: list[str], test: Mapping[str, Any]) -> str:
    return (
        f"Models of {' and '.join(test['arms'])} on the same test examples "
        f"({', '.join(hypotheses)}; McNemar): p < 0.05 in {test['significant_seeds']} of "
        f"{len(test['by_seed'])} seeds, median p = {number(test['median_p'])}."
    )
