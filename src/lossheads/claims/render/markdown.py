"""verdict.md: one verdict for people to read, made from its JSON."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lossheads.analysis.html import render, write_text
from lossheads.claims.history import Version
from lossheads.claims.judge import Verdict
from lossheads.claims.render.section import section_of
from lossheads.claims.verdict_file import to_json
from lossheads.records import write_json


def write_verdict(
    verdict: Verdict, folder: Path, figures: Sequence[str] = (), history: Sequence[Version] = ()
) -> Path:
    """Write verdict.json and verdict.md into `folder`, each whole or not at all.

    Args:
        figures: Names of picture files in `folder`, shown on the page.
        history: The recorded versions of the claim file.

    Returns:
        The path of verdict.md.
    """
    data = to_json(verdict)
    page, text = folder / "verdict.md", to_markdown(data, figures, history)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "verdict.json", data)
    write_text(page, text)
    return page


def to_markdown(
    data: Mapping[str, Any], figures: Sequence[str] = (), history: Sequence[Version] = ()
) -> str:
    """The page, in Markdown."""
    return render("verdict.md", section=section_of(data, history), figures=figures)
