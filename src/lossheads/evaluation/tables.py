"""Evaluations and comparisons as tables: one list serves terminal, page and CSV."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lossheads.analysis.format import number
from lossheads.analysis.html import render
from lossheads.analysis.page_tables import (
    Cell,
    PageTable,
    code_cell,
    number_cell,
    text_cell,
)
from lossheads.evaluation.record import Answer, Evaluation

MAX_CLASSES = 30  # on a terminal; a page and JSON hold all


@dataclass(frozen=True)
class Section:
    """A table under a title, with a sentence."""

    title: str
    text: str
    table: PageTable

    @property
    def anchor(self) -> str:
        """For a link on the page."""
        return "".join(c if c.isalnum() else "-" for c in self.title.lower())


def ends(low: float, high: float) -> str:
    """[0.8790, 0.8812], or nothing."""
    return "" if math.isnan(low) else f"[{number(low)}, {number(high)}]"


def sections_of(found: Evaluation) -> list[Section]:
    """Metrics, frameworks, classes, and every further answer."""
    sections = [_metrics(found)]
    if found.printed:
        sections.append(_printed(found))
    if "recall_score" in found.per_class:
        sections.append(_classes(found))
    return [*sections, *map(answer_section, found.answers)]


def _metrics(found: Evaluation) -> Section:
    printed = {p.name for p in found.printed}
    shown = [metric for name, metric in found.metrics.items() if name not in printed]
    head = ("metric", "value", "95 % interval", "baseline", "skill", "undefined")
    some = any(metric.undefined for metric in shown)
    rows = tuple(
        (
            code_cell(m.name),
            number_cell(number(m.value)),
            number_cell(ends(m.low, m.high)),
            number_cell(number(m.baseline)),
            number_cell(number(m.skill)),
            number_cell(str(m.undefined or "")),
        )[: None if some else 5]
        for m in shown
    )
    text = (
        "Baseline: the best constant prediction on the same labels; skill: 0 at the baseline, 1 at "
        "perfect. Intervals are over examples like these, for this trained model: they say nothing "
        "of another training run."
    )
    if some:
        text += " Undefined: classes with nothing to be measured on, left out of the mean."
    return Section("Metrics", text, PageTable(f"n = {found.n}.", head[: None if some else 5], rows))


def _printed(found: Evaluation) -> Section:
    head = ("printed by", "value", "95 % interval", "baseline", "same number as", "what it counts")
    rows = tuple(
        (
            code_cell(p.name, *([f"loss={p.loss}"] if p.loss else [])),
            number_cell(number(p.value)),
            number_cell(ends(p.low, p.high)),
            number_cell(number(p.baseline)),
            code_cell(p.same_as) if p.same_as else text_cell("–"),
            text_cell(p.reason),
        )
        for p in found.printed
    )
    text = 'What others call "accuracy" on these predictions.'
    return Section("What frameworks would print", text, PageTable(f"n = {found.n}.", head, rows))


def _classes(found: Evaluation) -> Section:
    shown = [n for n in found.per_class if n in ("precision_score", "recall_score", "f1_score")]
    shown += [n for n in ("roc_auc_score", "average_precision_score") if n in found.per_class]
    count = len(found.per_class["recall_score"])
    names = found.class_names
    if len(names) != count:
        repeated = [f"{g}/{n}" for g in range(count // len(names)) for n in names] if names else []
        names = tuple(repeated) or tuple(map(str, range(count)))
    rows = []
    for place in range(count):
        cells: list[Cell] = [text_cell(names[place])]
        for metric in shown:
            low, high = (
                side.get(metric, [math.nan] * count)[place]
                for side in (found.per_class_low, found.per_class_high)
            )
            cells.append(
                number_cell(number(found.per_class[metric][place]), ends(low, high))
            )
        rows.append(tuple(cells))
    table = PageTable("One class against the rest; 95 % intervals.", ("class", *shown), tuple(rows))
    return Section("Class by class", "A dash: the class has nothing to be measured on.", table)


def answer_section(answer: Answer) -> Section:
    """Rows of equal keys as a table."""
    head = tuple(dict.fromkeys(key for row in answer.rows for key in row))
    rows = tuple(tuple(_cell(row.get(key)) for key in head) for row in answer.rows)
    return Section(answer.title, answer.text, PageTable("", tuple(map(_words, head)), rows))


def _words(key: str) -> str:
    return key if key.endswith(("_score", "_loss", "_error")) else key.replace("_", " ")


def _cell(value: Any) -> Cell:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return text_cell("–" if value is None else str(value))
    return number_cell(number(value) if isinstance(value, float) else str(value))


def page(title: str, lead: str, notes: Sequence[str], sections: Sequence[Section]) -> str:
    """One HTML file; all text is escaped."""
    return render("sections.html", title=title, lead=lead, notes=notes, sections=sections)


def csv_of(found: Evaluation) -> str:
    """Metrics, framework values and classes: a row each, full precision."""
    rows: list[Mapping[str, Any]] = []
    printed = {p.name for p in found.printed}
    for name, m in found.metrics.items():
        if name not in printed:
            rows.append(
                {"table": "metric", "name": name, "value": m.value, "low": m.low, "high": m.high}
                | {"baseline": m.baseline, "skill": m.skill, "n": found.n}
            )
    for p in found.printed:
        rows.append(
            {"table": "framework", "name": p.name, "loss": p.loss, "value": p.value, "low": p.low}
            | {"high": p.high, "baseline": p.baseline, "n": found.n}
        )
    for name, values in found.per_class.items():
        low, high = (side.get(name, []) for side in (found.per_class_low, found.per_class_high))
        for place, value in enumerate(values):
            label = found.class_names[place] if place < len(found.class_names) else str(place)
            rows.append(
                {"table": "class", "name": name, "class": label, "value": value}
                | ({"low": low[place], "high": high[place]} if low else {})
            )
    for answer in found.answers:
        rows += [{"table": answer.title.lower(), **row} for row in answer.rows]
    return frame_csv(pd.DataFrame(rows))


def frame_csv(frame: pd.DataFrame) -> str:
    """The table as CSV; a text that a spreadsheet would run as a formula is quoted."""
    safe = frame.map(_harmless)
    safe.columns = [_harmless(name) for name in frame.columns]
    text = io.StringIO()
    safe.to_csv(text, index=False)
    return text.getvalue()


def _harmless(value: Any) -> Any:
    risky = isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{value}" if risky else value
