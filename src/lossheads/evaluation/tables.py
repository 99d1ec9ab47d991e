"""Evaluations and comparisons as tables: one list serves terminal, page and CSV."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import starmap
from typing import Any

import pandas as pd

from lossheads.analysis.format import number, p_text
from lossheads.analysis.html import render
from lossheads.analysis.page_tables import (
    Cell,
    PageTable,
    code_cell,
    number_cell,
    text_cell,
)
from lossheads.evaluation.measuring import FRAMEWORKS
from lossheads.evaluation.paired import Comparison, Pair, sentence
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
    hidden = FRAMEWORKS if found.printed else frozenset()
    shown = [metric for name, metric in found.metrics.items() if name not in hidden]
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
    head = ("what is counted", "value", "95 % interval", "baseline", "printed by")
    rows = tuple(
        (
            text_cell(p.reason, f"= {p.same_as}" if p.same_as else ""),
            number_cell(number(p.value)),
            number_cell(ends(p.low, p.high)),
            number_cell(number(p.baseline)),
            text_cell(*p.printed_by),
        )
        for p in found.printed
    )
    text = (
        'What others call "accuracy" on these predictions; docs/dialects has their rules and '
        "recorded outputs."
    )
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
            cells.append(number_cell(number(found.per_class[metric][place]), ends(low, high)))
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


# --- comparisons -------------------------------------------------------------------------------


def sections_of_comparison(found: Comparison) -> list[Section]:
    """For each pair: what is said, every difference, flipped examples, classes."""
    return [section for pair in found.pairs for section in _pair_sections(pair, found)]


def _pair_sections(pair: Pair, found: Comparison) -> list[Section]:
    names = f"{pair.second} against {pair.first}"
    head = ("metric", pair.first, pair.second, "difference", "95 % interval", "better if")
    rows = tuple(
        (
            code_cell(d.name),
            number_cell(number(d.first)),
            number_cell(number(d.second)),
            number_cell(f"{d.difference:+.4f}"),
            number_cell(ends(d.low, d.high)),
            text_cell({True: "higher", False: "lower", None: "–"}[d.higher_is_better]),
        )
        for d in pair.differences
    )
    caption = (
        f"n = {pair.n}. {len(rows)} intervals at 95 % each, for orientation; the conclusion is on "
        f"{pair.verdict.metric} alone."
    )
    sections = [
        Section(names, f"{_on_this_set(pair)} {sentence(pair)}.", PageTable(caption, head, rows))
    ]
    if max(found.runs) == 1:
        sections.append(_flipped(pair))
        if pair.classes:
            rows_ = tuple(tuple(starmap(_class_cell, row.items())) for row in pair.classes)
            only = (f"only {pair.first} right", f"only {pair.second} right")
            table = PageTable(
                "McNemar's exact p, and adjusted for all classes by Holm's procedure.",
                ("class", "examples", *only, "p", "p (Holm)"),
                rows_,
            )
            sections.append(Section(f"Classes, {names}", "Decisions on examples of each.", table))
    return sections


def _class_cell(name: str, value: Any) -> Cell:
    is_p = name in ("p", "p_holm")
    return number_cell(p_text(value).removeprefix("= ")) if is_p else _cell(value)


def _on_this_set(pair: Pair) -> str:
    """Exact: nothing varies here."""
    metric = pair[pair.verdict.metric]
    said = f"On this test set {pair.second} has {number(metric.second)}, {pair.first} "
    said += f"{number(metric.first)} ({metric.name})."
    if not math.isnan(pair.mcnemar_p):
        said += (
            f" {len(pair.only_second)} examples only {pair.second} decides right, "
            f"{len(pair.only_first)} only {pair.first} (McNemar's exact test, that both are right "
            f"as often: p {p_text(pair.mcnemar_p)})."
        )
    return said


def _flipped(pair: Pair) -> Section:
    rows = []
    for name, ids in ((pair.first, pair.only_first), (pair.second, pair.only_second)):
        some = ", ".join(map(str, ids[:20])) + (" …" if len(ids) > 20 else "")
        rows.append((text_cell(f"only {name} right"), number_cell(str(len(ids))), text_cell(some)))
    table = PageTable("All ids: --json.", ("examples", "count", "ids or row numbers"), tuple(rows))
    return Section(f"Flipped, {pair.second} against {pair.first}", "Decisions that differ.", table)


def csv_of_comparison(found: Comparison) -> str:
    """A row per pair and metric, full precision."""
    rows = [
        {"first": pair.first, "second": pair.second, "metric": d.name, "value_first": d.first}
        | {"value_second": d.second, "difference": d.difference, "low": d.low, "high": d.high}
        | {"n": pair.n, "conclusion": pair.verdict.conclusion * (d.name == pair.verdict.metric)}
        for pair in found.pairs
        for d in pair.differences
    ]
    return frame_csv(pd.DataFrame(rows))


def page(title: str, lead: str, notes: Sequence[str], sections: Sequence[Section]) -> str:
    """One HTML file; all text is escaped."""
    return render("sections.html", title=title, lead=lead, notes=notes, sections=sections)


def csv_of(found: Evaluation) -> str:
    """Metrics, framework values and classes: a row each, full precision."""
    rows: list[Mapping[str, Any]] = []
    for name, m in found.metrics.items():
        rows.append(
            {"table": "metric", "name": name, "value": m.value, "low": m.low, "high": m.high}
            | {"baseline": m.baseline, "skill": m.skill, "n": found.n}
        )
    for p in found.printed:
        rows += [
            {"table": "printed", "name": p.name, "value": p.value, "low": p.low, "high": p.high}
            | {"baseline": p.baseline, "n": found.n, "printed_by": by}
            for by in p.printed_by
        ]
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
