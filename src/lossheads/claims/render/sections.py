"""One claim as the page shows it: the words and parts of a section, from its folder alone."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from lossheads.analysis.format import (
    environment_text,
    interval_text,
    nan_if_null,
    number,
    recorded_interval,
)
from lossheads.analysis.html import Picture, picture
from lossheads.analysis.html_tables import PageTable, code_cell, number_cell, table_from_records
from lossheads.claims.render.parts import (
    Data,
    Forest,
    arms_table,
    checks_table,
    findings_table,
    forests,
    scores_table,
    settings,
    shared_by,
)
from lossheads.claims.render.verdicts import VerdictRecord

PROTOCOLS = {
    "same_rate": "All arms use the learning rate given; that is itself a choice.",
    "tuned_rate": "Each arm chooses from one grid on the validation split; the test split judges.",
}


@dataclass(frozen=True)
class Part:
    """A table under a heading of its own."""

    title: str
    says: str
    grid: PageTable


@dataclass(frozen=True)
class Link:
    """Where a claim was made; `href` is empty where there is no address of the web."""

    words: str
    href: str


@dataclass(frozen=True)
class Section:
    """One claim. An empty string, tuple or None is left out of the page."""

    slug: str
    anchor: str
    verdict: str
    trouble: tuple[str, ...] = ()
    evidence: str = ""
    why: str = ""
    says: str = ""
    statement: str = ""
    link: Link = Link("", "")
    document: str = ""
    date: str = ""
    framework: str = ""
    protocol: str = ""
    protocol_says: str = ""
    shared: tuple[str, ...] = ()
    seeds: str = ""
    covers: str = ""
    arms: PageTable | None = None
    notes: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    rule: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    forests: tuple[Forest, ...] = ()
    findings: PageTable | None = None
    checks: PageTable | None = None
    cells: PageTable | None = None
    pictures: tuple[Picture, ...] = ()
    extras: tuple[Part, ...] = ()
    explanation: str = ""
    would_change: str = ""
    commands: tuple[str, ...] = ()
    environment: str = ""


def sections_of(records: Iterable[VerdictRecord]) -> list[Section]:
    """A section a folder, each with an anchor of its own."""
    found, used = [], set()
    for one in records:
        anchor = "claim-" + (re.sub(r"[^A-Za-z0-9-]+", "-", one.slug).strip("-") or "unnamed")
        while anchor in used:
            anchor += "-again"
        used.add(anchor)
        found.append(_section(one, anchor))
    return found


def _section(records: VerdictRecord, anchor: str) -> Section:
    if not records.data:
        return Section(records.slug, anchor, "unreadable", records.trouble)
    try:
        return _whole(records, anchor)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        # One stranger among the folders must not cost the reader the others.
        said = f"verdict.json is of another version or torn: {type(error).__name__} {error}."
        return Section(records.slug, anchor, "unreadable", (*records.trouble, said))


def _whole(records: VerdictRecord, anchor: str) -> Section:
    data = records.data
    hypotheses, checks = data.get("hypotheses") or {}, data.get("checks") or {}
    arms, source = data.get("arms") or {}, data.get("source") or {}
    shared, cells = shared_by(arms), data.get("table") or []
    return Section(
        slug=records.slug,
        anchor=anchor,
        verdict=data["verdict"],
        trouble=records.trouble,
        evidence=decisive_evidence(data),
        why=data.get("why") or "",
        says=data.get("says") or "",
        statement=data.get("statement") or "",
        link=_link(source),
        document=source.get("document") or "",
        date=source.get("date") or "",
        framework=source.get("framework") or "",
        protocol=data.get("protocol") or "",
        protocol_says=data.get("protocol_says") or PROTOCOLS.get(data.get("protocol") or "", ""),
        shared=tuple(settings(shared)) if shared else (),
        seeds=_seeds(data),
        covers=data_text(data),
        arms=arms_table(arms, shared),
        notes=tuple(data.get("notes") or ()),
        failed=tuple(data.get("failed") or ()),
        rule=_rule(data.get("rule") or {}, {**checks, **hypotheses}),
        forests=tuple(forests(hypotheses)),
        findings=findings_table(hypotheses, data.get("alpha")),
        checks=checks_table(checks),
        cells=scores_table(cells),
        pictures=tuple(
            picture(name, content, _alt(name, cells)) for name, content in records.pictures.items()
        ),
        extras=tuple(extras(data)),
        explanation=data.get("explanation") or "",
        would_change=data.get("would_change") or "",
        commands=tuple(data.get("commands") or (f"lossheads claim run {records.slug}",)),
        environment=environment_text(data.get("environment") or {}),
    )


def decisive_evidence(data: Data) -> str:
    """What decided, in one line: a hypothesis the verdict rests on, and how the checks went."""
    rule, verdict = data.get("rule") or {}, data["verdict"]
    named = rule.get(verdict) or [name for needed in rule.values() for name in needed]
    # A refutation rests on what failed, an open verdict on what stayed open.
    sought = {"undecided": "undecided"}.get(verdict, "holds" if verdict in rule else "fails")
    hypotheses, checks = data.get("hypotheses") or {}, data.get("checks") or {}
    asked = [hypotheses[name] for name in named if name in hypotheses]
    for found in [f for f in asked if f["conclusion"] == sought][:1] or asked[:1]:
        at = recorded_interval(found["interval"])
        return f"{found['relation']}: {interval_text(at)}, n = {at.n} seeds, {found['conclusion']}"
    held = [check["conclusion"] for check in checks.values()].count("holds")
    return f"{held} of {len(checks)} computed numbers are as stated" if checks else ""


def _rule(rule: Data, judged: Mapping[str, Data]) -> Any:
    """Verdict -> what it needs, each with its conclusion."""
    none: Data = {"conclusion": "not recorded"}
    return tuple(
        (verdict, tuple((name, judged.get(name, none)["conclusion"]) for name in needed))
        for verdict, needed in rule.items()
    )


def _seeds(data: Data) -> str:
    seeds, looks = data.get("seeds") or [], data.get("looks") or []
    if not seeds:
        return ""
    said = f"n = {len(seeds)} seeds ({', '.join(map(str, seeds))})"
    if len(looks) > 1:
        said += (
            f", added in looks fixed beforehand at {', '.join(map(str, looks))} seeds, each judged "
            f"at level {number(data.get('alpha'))}"
        )
    return said


def _link(source: Data) -> Link:
    """The address, if it is one of the web: a stranger's file could name any scheme."""
    url = source.get("url") or ""
    try:
        parts = urlsplit(url)
    except ValueError:  # a bracket that is never closed, for one
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return Link(source.get("document") or url, "")
    return Link(f"{parts.netloc}{parts.path}".rstrip("/"), url)


def _alt(name: str, cells: Iterable[Data]) -> str:
    arms = ", ".join(dict.fromkeys(cell["arm"] for cell in cells))
    metrics = ", ".join(dict.fromkeys(cell["metric"] for cell in cells))
    kinds = {
        "metrics": "Each arm under each metric at the end, mean with 95 % interval and baseline",
        "epochs": "Each arm over training epochs on the validation split, mean with 95 % band",
    }
    stem, _, case = name.removesuffix(".png").partition("-")
    one = f", case {case}" if case else ""
    return f"{kinds.get(stem, stem)}{one}. Arms among: {arms}; metrics among: {metrics}."


def extras(data: Data) -> Iterable[Part]:
    """The parts that this verdict has."""
    models = data.get("models")
    if isinstance(models, Mapping) and models:
        yield _models(models)
    places = table_from_records(
        data.get("environments"), "One row an environment, most runs first."
    )
    if places:
        several = "A difference between arms may in part be one between these environments."
        yield Part("Where it ran", several if len(places.rows) > 1 else "", places)


def _models(models: Mapping[str, Data]) -> Part:
    """McNemar's test of two trained models at each seed, as counts."""
    rows = []
    for names, test in _by_arms(models):
        pairs = test.get("by_seed") or []
        rows.append(
            (
                code_cell(*names),
                code_cell(*test.get("arms", ())),
                number_cell(", ".join(f"{pair['first']}:{pair['second']}" for pair in pairs)),
                number_cell(", ".join(f"{nan_if_null(pair['p']):.2g}" for pair in pairs)),
                number_cell(number(test.get("median_p"))),
                number_cell(f"{test.get('significant_seeds', '–')} of {len(pairs)}"),
            )
        )
    head = (
        "hypotheses",
        "models",
        "only one right, by seed",
        "p, by seed",
        "median p",
        "seeds with p < 0.05",
    )
    said = (
        "Do two trained models differ on this test set? McNemar's exact test looks at the test "
        "examples that the first alone decides right and those that the second alone does "
        "(first:second), for the two models of each seed. Whether two ways of training differ is "
        "another question; the intervals above answer that one. These p are neither pooled nor "
        "corrected for their number, and no conclusion follows from them."
    )
    caption = "Counts of test examples that one of the two models alone decides right."
    return Part("The same models, example by example", said, PageTable(caption, head, tuple(rows)))


def _by_arms(models: Mapping[str, Data]) -> list[tuple[list[str], Data]]:
    """Names of the hypotheses that compare the same two arms, and their one test."""
    groups: dict[frozenset[str], list[str]] = {}
    for name, test in models.items():
        groups.setdefault(frozenset(test.get("arms") or [name]), []).append(name)
    return [(names, models[names[0]]) for names in groups.values()]


def data_text(data: Data) -> str:
    """What the intervals cover, where the verdict records which arms draw their data anew."""
    redrawn = data.get("redrawn")
    if redrawn is None or not data.get("arms"):
        return ""
    fixed = [name for name in data["arms"] if name not in redrawn]
    if not redrawn:
        return (
            "All seeds share one data set: the intervals cover the luck of training (start and "
            "order), not that of another sample of data."
        )
    both = "Each seed draws its own data: the intervals cover the luck of the draw and of training"
    if not fixed:
        return f"{both}."
    return (
        f"{both} for {', '.join(redrawn)}. All seeds of {', '.join(fixed)} share one data set: "
        f"there they cover the luck of training alone."
    )
