"""One verdict as every view shows it: the text and tables of a section, from its JSON alone."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

from lossheads.analysis.diagnosis import MIN_SEEDS, STRICTER, missed
from lossheads.analysis.format import (
    count_of,
    environment_text,
    interval_text,
    number,
    percent,
    recorded_interval,
)
from lossheads.analysis.html import Picture, humanize, picture
from lossheads.analysis.page_tables import PageTable, table_from_records
from lossheads.analysis.statistics import EXACT_FLIPS, MIN_FORECAST, smallest_flip_p
from lossheads.claims.history import NO_HISTORY, History, Version, history_text
from lossheads.claims.render.decided import Decided, decided
from lossheads.claims.render.tables import (
    Data,
    Forest,
    arms_table,
    checks_table,
    findings_table,
    forests,
    models_table,
    scores_table,
    shared_by,
)
from lossheads.claims.render.words import (
    beside,
    checks_text,
    decisive,
    doubts,
    finding,
    found_in_words,
    reason,
    rule_in_words,
)
from lossheads.claims.schema import as_arguments, is_web, needs
from lossheads.claims.verdict_file import VerdictFolder

MODELS_TITLE = "The same models, example by example"
MODELS_TEXT = (
    "Do two trained models differ on this test set? McNemar's exact test looks at the test "
    "examples that only the first model classifies correctly and those that only the second does "
    "(first:second), for the two models of each seed. Whether two ways of training differ is "
    "another question, which the intervals above answer. Seeds that share a test set give p that "
    "are not independent, so p are counted and ranked, never pooled; they are not corrected for "
    "their number and do not change the conclusions."
)
RULE_TEXT = (
    "The first of these whose conditions are all met (NAME: holds, not NAME: fails); refuted "
    "when each has one decided against it; undecided otherwise."
)


STRIPS = 100  # hypotheses that are drawn; the table has all
RULE_READS = (
    "The first of these whose conditions are all met; refuted when each has one decided against "
    "it; undecided otherwise."
)


@dataclass(frozen=True)
class Link:
    """Where a claim was made; `href` is empty where there is no address of the web."""

    text: str
    href: str


@dataclass(frozen=True)
class Section:
    """One claim. An empty string, tuple or None is left out of the page."""

    slug: str
    anchor: str
    verdict: str
    trouble: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    finding: str = ""
    finding_conditions: str = ""
    decided: Decided | None = None
    found: str = ""
    why: str = ""
    beside: str = ""
    further: str = ""
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
    rule_says: str = RULE_TEXT
    rule_reads: str = RULE_READS
    rule_words: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    history: History = NO_HISTORY
    was: str = ""
    forests: tuple[Forest, ...] = ()
    forests_more: str = ""
    hypotheses: tuple[tuple[str, str], ...] = ()
    method: str = ""
    doubts: tuple[str, ...] = ()
    findings: PageTable | None = None
    checks: PageTable | None = None
    cells: PageTable | None = None
    pictures: tuple[Picture, ...] = ()
    models: PageTable | None = None
    models_title: str = MODELS_TITLE
    models_says: str = MODELS_TEXT
    environments: PageTable | None = None
    environments_says: str = ""
    explanation: str = ""
    would_change: str = ""
    commands: tuple[str, ...] = ()
    environment: str = ""


def sections_of(records: Iterable[VerdictFolder]) -> list[Section]:
    """A section a folder, each with an anchor of its own."""
    found, used = [], set()
    for record in records:
        anchor = "claim-" + (re.sub(r"[^A-Za-z0-9-]+", "-", record.slug).strip("-") or "unnamed")
        while anchor in used:
            anchor += "-again"
        used.add(anchor)
        found.append(_section(record, anchor))
    return found


def _section(record: VerdictFolder, anchor: str) -> Section:
    unreadable = Section(record.slug, anchor, "unreadable", record.trouble)
    if not record.data:
        return unreadable
    try:
        cells = record.data["table"]
        return replace(
            section_of({"slug": record.slug} | dict(record.data), record.history),
            slug=record.slug,
            anchor=anchor,
            trouble=record.trouble,
            pictures=tuple(
                picture(content, _alt(name, cells)) for name, content in record.pictures.items()
            ),
        )
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        # One damaged file must not hide the other verdicts.
        message = f"verdict.json is damaged: {type(error).__name__} {error}."
        return replace(unreadable, trouble=(*record.trouble, message))


def section_of(data: Data, history: Sequence[Version] = ()) -> Section:
    """The section of one verdict, without pictures."""
    hypotheses, checks = data["hypotheses"], data["checks"]
    arms, source = data["arms"], data["source"]
    shared = shared_by(arms)
    environments = table_from_records(
        data["environments"], "One row per environment, most runs first."
    )
    several = environments is not None and len(environments.rows) > 1
    said, conditions = finding(data)
    told = history_text(history, data["claim_sha256"])
    return Section(
        slug=data["slug"],
        anchor="",
        verdict=data["verdict"],
        evidence=tuple(deciding(data)),
        finding=said,
        finding_conditions=conditions,
        decided=decided(data),
        found=found_in_words(data),
        why=reason(data),
        beside=beside(data),
        further=_further(data),
        says=data["says"],
        statement=data["statement"],
        link=_link(source),
        document=source["document"],
        date=source["date"],
        framework=source["framework"],
        protocol=data["protocol"] or "",
        protocol_says=data["protocol_says"],
        shared=tuple(as_arguments(shared)),
        seeds=_seeds(data),
        covers=coverage_text(data),
        arms=arms_table(arms, shared),
        notes=tuple(data["notes"]),
        failed=tuple(data["failed"]),
        rule=_rule(data["rule"], {**checks, **hypotheses}),
        rule_words=rule_in_words(data),
        history=told,
        was=_was(told, data["verdict"]),
        forests=tuple(forests(dict(islice(hypotheses.items(), STRIPS)))),
        forests_more=(
            f"{len(hypotheses) - STRIPS:,} more hypotheses are in the table below."
            if len(hypotheses) > STRIPS
            else ""
        ),
        hypotheses=_descriptions(hypotheses),
        method=_method(data) if hypotheses else "",
        doubts=doubts(hypotheses),
        findings=findings_table(hypotheses, data["alpha"]),
        checks=checks_table(checks),
        cells=scores_table(data["table"]),
        models=models_table(data["models"]),
        environments=environments,
        environments_says=(
            f"The runs were made in {len(environments.rows)} environments: a difference between "
            "arms may in part be one between these. force=true trains all of them again."
            if environments is not None and several
            else ""
        ),
        explanation=data["explanation"],
        would_change=data["would_change"],
        commands=tuple(data["commands"]),
        environment=environment_text(data["environment"]),
    )


def _was(history: History, verdict: str) -> str:
    """That another verdict stood until the claim was changed; empty where none did."""
    others = [(word, date) for word, date in history.verdicts if word != humanize(verdict)]
    if not others:
        return ""
    word, date = others[-1]
    return (
        f"Its verdict was “{word}” until {date}, when its file was changed: see “When the claim "
        "was written”."
    )


def deciding(data: Data) -> list[str]:
    """What decided, a line each: the hypotheses the verdict rests on, and how the checks went."""
    hypotheses, lines = data["hypotheses"], []
    for found in (hypotheses[name] for name in decisive(data) if name in hypotheses):
        at = recorded_interval(found["interval"])
        lines.append(
            f"{found['condition']}: {interval_text(at)}, n = {at.n} seeds, {found['conclusion']}"
        )
    return [*lines, *filter(None, [checks_text(data["checks"])])]


def _further(data: Data) -> str:
    """What more seeds would do for an undecided verdict."""
    if data["verdict"] != "undecided" or not data["hypotheses"]:
        return ""
    more = data["further_seeds"]
    waited_for = [found for name, found in data["hypotheses"].items() if name in decisive(data)]
    fewest = min(
        (recorded_interval(found["interval"]).n for found in waited_for), default=MIN_FORECAST
    )
    if fewest < MIN_FORECAST:
        return (
            f"How many more seeds would decide it, the standard deviation of {fewest} does not "
            f"tell: take {MIN_FORECAST} or more."
        )
    if more is None:
        examples = [n for found in waited_for if (n := found.get("more_examples"))]
        if not examples:
            return "More seeds alone would not decide it in reasonable time."
        return (
            "More seeds alone would not decide it, for the test examples vary as they do; about "
            f"{max(examples):,} more test examples would help."
        )
    return (
        f"About {count_of(more, 'more seed')} would decide it, if mean and standard deviation stay "
        "as they are. More looks add chances of error: seeds=auto corrects for them, a number "
        "chosen after reading this page does not."
    )


def _descriptions(hypotheses: Mapping[str, Data]) -> tuple[tuple[str, str], ...]:
    """What each hypothesis means, once for all cases it is asked of."""
    texts = {name.split("/")[0]: found["says"] for name, found in hypotheses.items()}
    return tuple((name, text) for name, text in texts.items() if text)


def _method(data: Data) -> str:
    """How conclusions follow from intervals, and what the seeds can decide."""
    looks, alpha, n = data["looks"], data["alpha"], len(data["seeds"])
    text = (
        "The conclusion follows from the corrected interval: inside the region of the hypothesis "
        "holds, outside fails, across a border undecided."
    )
    if len(looks) > 1:
        text = (
            f"Seeds were added in looks fixed beforehand ({', '.join(map(str, looks))}) until the "
            f"verdict was decided. Each look is judged at {alpha:.3g}, 0.05 shared among them "
            "(Bonferroni): the chance of any wrong conclusion at any look is at most 0.05, and an "
            f"interval at {percent(1 - alpha)} misses at any look with a chance of at most 0.05. "
        ) + text
    if not n:
        return text
    flips = "exact" if n <= EXACT_FLIPS else "9,999 random flips"
    return (
        f"{text} A sign-flip test ({flips}) at the same level checks it; with n = {n} seeds its p "
        f"is at least {number(smallest_flip_p(n))}, so it cannot decide where the level asks for "
        f"less. {_diagnosis(n)}"
    )


def _diagnosis(n: int) -> str:
    """What is done about seeds that lie apart, and what n seeds cannot show."""
    text = (
        f"Numbers that are skewed, as by seeds that lie apart, must stand at a level {STRICTER} "
        "times as strict as well, or their conclusion is undecided. "
    )
    return (
        f"{text if n >= MIN_SEEDS else ''}What strikes one seed in ten goes unseen among {n} seeds "
        f"with a chance of {percent(missed(n))}."
    )


def _rule(rule: Data, judged: Mapping[str, Data]) -> Any:
    """Verdict -> what it needs, each with its conclusion."""
    return tuple(
        (verdict, tuple((item, judged[needs(item)[0]]["conclusion"]) for item in items))
        for verdict, items in rule.items()
    )


def _seeds(data: Data) -> str:
    seeds = data["seeds"]
    if not seeds:
        return ""
    in_a_row = len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[-1] + 1))
    which = f"{seeds[0]} to {seeds[-1]}" if in_a_row else ", ".join(map(str, seeds))
    return f"n = {len(seeds)} seeds ({which})"


def _link(source: Data) -> Link:
    """The address, if it is one of the web: the file could name any scheme."""
    url = source["url"]
    if not is_web(url):
        return Link(source["document"] or url, "")
    parts = urlsplit(url)
    return Link(f"{parts.netloc}{parts.path}".rstrip("/"), url)


def _alt(name: str, cells: Iterable[Data]) -> str:
    arms = ", ".join(dict.fromkeys(cell["arm"] for cell in cells))
    metrics = ", ".join(dict.fromkeys(cell["metric"] for cell in cells))
    kinds = {
        "metrics": "Each arm by metric after training, mean with 95 % interval and baseline",
        "epochs": "Each arm over training epochs on the validation split, mean with 95 % band",
    }
    stem, _, case = name.removesuffix(".png").partition("-")
    one = f", case {case}" if case else ""
    return f"{kinds.get(stem, stem)}{one}. Arms among: {arms}; metrics among: {metrics}."


def coverage_text(data: Data) -> str:
    """What the intervals cover: whether the data are drawn anew at each seed."""
    redrawn = data["redrawn"]
    if not data["arms"]:
        return ""
    training = "training randomness (initialisation, batch order)"
    fixed = _cases([name for name in data["arms"] if name not in redrawn])
    known = [*data["hypotheses"].values(), *data["table"]]
    if any(found.get("covers") == "training_and_examples" for found in known):
        training += " and, crossed with it, the draw of the test examples"
        left = "not another training set; training alone where that is said"
    else:
        left = "not that of another sample of data"
    if not redrawn:
        return f"All seeds share one data set: the intervals cover {training}, {left}."
    both = (
        "Each seed draws its own data, the same for all arms of a case: the intervals cover that "
        "draw and training randomness (initialisation, batch order). Where a seed chooses among "
        "published pictures, or composes them, they cover that choice and not other pictures"
    )
    if not fixed:
        return f"{both}."
    return (
        f"{both}. So it is in {', '.join(_cases(redrawn))}. All seeds of {', '.join(fixed)} share "
        f"one data set: there they cover {training}, {left}."
    )


def _cases(arms: Sequence[str]) -> list[str]:
    """The cases of arms, or the arms themselves where there are none."""
    return list(dict.fromkeys(name.rpartition("/")[0] or name for name in arms))
