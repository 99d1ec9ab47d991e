"""A verdict on paper: verdict.json for machines, verdict.md for people.

The reference is a committed verdict.json; a claim doubles as a regression test against it.
"""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lossheads.claims.claim import Arm, Source
from lossheads.claims.overrides import as_arguments
from lossheads.claims.verdict import ArmReport, Cell, CheckRow, Finding, Verdict
from lossheads.claims.wording import interval_text as interval_text
from lossheads.claims.wording import number as number
from lossheads.claims.wording import relation_text as relation_text
from lossheads.claims.wording import spoken as spoken
from lossheads.claims.wording import table
from lossheads.errors import UserError
from lossheads.results import write_json

SAME, FAILED, CHANGED = 0, 1, 3


def write_page(verdict: Verdict, folder: Path, figures: Sequence[str] = ()) -> Path:
    """Write verdict.json and verdict.md into `folder`, each whole or not at all.

    Args:
        figures: File names beside the page, shown in it.

    Returns:
        The path of verdict.md.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "verdict.json", as_data(verdict))
    page, aside = folder / "verdict.md", folder / f".verdict.md.{os.getpid()}"
    try:
        aside.write_text(as_text(verdict, figures), encoding="utf-8")
        aside.replace(page)
    finally:
        aside.unlink(missing_ok=True)
    return page


def exit_status(verdict: Verdict, reference: Path) -> int:
    """0 when the verdict is the reference's word or there is no reference; 3 when it changed.

    1 when runs failed: a verdict on holes is no change worth reporting.

    Args:
        reference: Folder of committed verdicts; `<reference>/<slug>/verdict.json` is read.

    Raises:
        UserError: If the reference is not a verdict.
    """
    if verdict.failed:
        return FAILED
    path = reference / verdict.claim.slug / "verdict.json"
    if not path.is_file():
        return SAME
    try:
        known = json.loads(path.read_text(encoding="utf-8"))["verdict"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no verdict: {error!r}; restore it or remove it") from error
    return SAME if known == verdict.word else CHANGED


def as_data(verdict: Verdict) -> dict[str, Any]:
    """The verdict as JSON-ready data: the claim, every number, every word."""
    claim = verdict.claim
    return {
        "slug": claim.slug,
        "verdict": verdict.word,
        "why": verdict.why,
        "says": claim.says,
        "statement": claim.statement,
        "source": asdict(claim.source),
        "protocol": claim.protocol if claim.arms else None,
        "seeds": list(verdict.seeds),
        "alpha": verdict.alpha,
        "looks": list(verdict.looks),
        "further_seeds": verdict.further_seeds,
        "rule": {word: list(needed) for word, needed in claim.verdict.items()},
        "predictions": {f.prediction.name: _finding_data(f) for f in verdict.findings},
        "checks": {row.check.name: _check_data(row) for row in verdict.checks},
        "table": [asdict(cell) for cell in verdict.cells],
        "arms": {
            report.name: {"overrides": dict(claim.arms[report.name].overrides)}
            | {k: v for k, v in asdict(report).items() if k != "name"}
            for report in verdict.arms
        },
        "failed": list(verdict.failed),
        "notes": list(verdict.notes),
        "environment": dict(verdict.environment),
        "seconds": round(verdict.seconds, 1),
    }


def _finding_data(finding: Finding) -> dict[str, Any]:
    prediction = finding.prediction
    return {
        "word": finding.word,
        "says": prediction.says,
        "relation": relation_text(prediction),
        "arms": list(prediction.arms),
        "rulers": list(prediction.rulers),
        "value": prediction.value,
        "margin": prediction.margin,
        "numbers": list(finding.numbers),
        "interval": asdict(finding.interval),
        "tested": asdict(finding.tested),
        "p": finding.p,
        "second_opinion": asdict(finding.second),
        "more_seeds": finding.more_seeds,
    }


def _check_data(row: CheckRow) -> dict[str, Any]:
    check = row.check
    return {
        "word": row.word,
        "reading": row.reading,
        "says": check.says,
        "compute": check.compute,
        "of": list(check.of),
        "relation": check.relation,
        "stated": check.printed if check.printed is not None else check.value,
        "tolerance": check.tolerance,
        "computed": row.computed,
    }


def as_text(verdict: Verdict, figures: Sequence[str] = ()) -> str:
    """The page, in Markdown."""
    claim = verdict.claim
    parts = [
        f"# {claim.slug}: {spoken(verdict.word)}",
        f"**What was said.** {claim.says}",
        _source_text(claim.source),
        f"**What is put to the test.** {claim.statement}",
    ]
    if claim.arms:
        parts += _contest_text(verdict, figures)
    if verdict.checks:
        parts += ["## Numbers", _checks_table(verdict.checks)]
    parts += [
        "## Verdict",
        f"**{spoken(verdict.word)}**, because {verdict.why}." + _more(verdict),
        _rule_text(claim.verdict),
        *(f"Failed: {line}." for line in verdict.failed),
        "## What theory says",
        claim.explanation,
        "## What would change our mind",
        claim.would_change,
        "## To repeat",
        _commands(verdict),
        _environment(verdict.environment),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _source_text(source: Source) -> str:
    where = [source.document, f"<{source.url}>" if source.url else "", source.date]
    return f"Source: {', '.join(part for part in where if part)}; {source.framework}."


def _contest_text(verdict: Verdict, figures: Sequence[str]) -> list[str]:
    n = len(verdict.seeds)
    return [
        "## What we ran",
        _arms_text(verdict),
        "## Every arm under every ruler",
        f"Test split, mean over n = {n} seeds with its 95 % t interval; the floor is what an "
        f"answer that never looks at the input scores.",
        _cells_table(verdict.cells),
        *(f"![{Path(name).stem}]({name})" for name in figures),
        "## Predictions",
        _levels_text(verdict),
        _findings_table(verdict.findings),
        *(
            f"* {f.prediction.name}: {f.prediction.says}"
            for f in verdict.findings
            if f.prediction.says
        ),
    ]


def _arms_text(verdict: Verdict) -> str:
    claim = verdict.claim
    how = {
        "same_rate": "Learning rates are scaled so that the first steps are equally long."
        if claim.match_first_step
        else "All arms use the rate given; that is itself a choice, see the gradients.",
        "tuned_rate": f"Each arm and seed chooses {claim.grid[0] if claim.grid else ''} from "
        f"{', '.join(map(str, claim.grid[1])) if claim.grid else ''} by {claim.choose_by} on "
        f"the validation split; the test split judges.",
    }[claim.protocol]
    rows = [_arm_row(claim.arms[report.name], report) for report in verdict.arms]
    head = ("arm", "overrides", "gradient on the logits at the first step", "ratio", "chosen")
    notes = "".join(f"\n* {note}" for note in verdict.notes)
    return f"Protocol {claim.protocol}. {how}\n\n{table(head, rows)}{chr(10) * bool(notes)}{notes}"


def _arm_row(arm: Arm, report: ArmReport) -> tuple[str, ...]:
    chosen = ", ".join(f"{value} × {n}" for value, n in report.chosen.items()) or "–"
    return (
        arm.name,
        f"`{' '.join(as_arguments(arm.overrides))}`",
        number(report.gradient_norm),
        number(report.gradient_ratio),
        chosen,
    )


def _cells_table(cells: Sequence[Cell]) -> str:
    rulers = list(dict.fromkeys(cell.ruler for cell in cells))
    arms = list(dict.fromkeys(cell.arm for cell in cells))
    filled = {(cell.arm, cell.ruler): _cell(cell) for cell in cells}
    rows = [(arm, *(filled.get((arm, ruler), "–") for ruler in rulers)) for arm in arms]
    return table(("arm", *rulers), rows)


def _cell(cell: Cell) -> str:
    floor = "" if math.isnan(cell.floor) else f" · floor {number(cell.floor)}"
    return f"{interval_text(cell.interval)}{floor}"


def _levels_text(verdict: Verdict) -> str:
    looks = (
        f"Seeds were added in looks fixed beforehand ({', '.join(map(str, verdict.looks))}), each "
        f"judged at {verdict.alpha:.3g} (0.05 shared among the looks, Bonferroni). "
        if len(verdict.looks) > 1
        else ""
    )
    return (
        f"{looks}Differences are paired by seed. The word follows from the corrected interval "
        f"(Holm over {len(verdict.findings)} predictions): inside the predicted region holds, "
        f"outside fails, across a border undecided. The second opinion is an exact sign-flip "
        f"test at the same level; n = {len(verdict.seeds)} seeds can reach p = "
        f"{number(2.0 ** (1 - len(verdict.seeds)))} at best."
    )


def _findings_table(findings: Sequence[Finding]) -> str:
    rows = [
        (
            f.prediction.name,
            relation_text(f.prediction),
            interval_text(f.interval),
            f"{interval_text(f.tested)} at {100 * f.tested.level:.3g} %",
            f"**{f.word}**" + (f" ({f.more_seeds} more seeds)" if f.more_seeds else ""),
            f"{f.second.word} (p = {number(f.second.p)})",
        )
        for f in findings
    ]
    head = ("prediction", "in numbers", "mean [95 %]", "corrected interval", "word", "sign flips")
    return table(head, rows)


def _checks_table(rows: Sequence[CheckRow]) -> str:
    cells = []
    for row in rows:
        check = row.check
        stated = check.printed or f"{check.value:.10g}"
        if check.printed is None:
            sign = {"equals": "=", "greater": ">", "less": "<"}[check.relation]
            stated = f"{sign} {stated}" + (f" ± {check.tolerance:.3g}" * (sign == "="))
        word = row.reading or row.word
        cells.append((check.name, check.says, stated, f"{row.computed:.10g}", f"**{word}**"))
    return table(("check", "what", "stated", "computed", "word"), cells)


def _rule_text(rule: Mapping[str, Sequence[str]]) -> str:
    lines = [f"* {spoken(word)}: {', '.join(needed)}" for word, needed in rule.items()]
    return (
        "The rule, written before the runs: the first of these whose predictions all hold; "
        "refuted when each has one that fails; undecided otherwise.\n\n" + "\n".join(lines)
    )


def _more(verdict: Verdict) -> str:
    if verdict.word != "undecided" or not verdict.findings:
        return ""
    more = verdict.further_seeds
    if more is None:
        return " More seeds alone would not decide it in reasonable time."
    return f" About {more} more seeds would decide it, if mean and spread stay as they are."


def _commands(verdict: Verdict) -> str:
    claim = verdict.claim
    lines = [f"lossheads claim run {claim.slug}"]
    if claim.arms:
        lines.append(f"lossheads claim run {claim.slug} --seeds {2 * len(verdict.seeds)}")
        lines.append(f"lossheads claim run {claim.slug} --seeds auto")
    grid = [f"{claim.grid[0]}={claim.grid[1][0]}"] if claim.grid else []
    for arm in list(claim.arms.values())[:2]:
        lines.append(" ".join(["lossheads train", *as_arguments(arm.overrides), *grid, "seed=0"]))
    return "```\n" + "\n".join(lines) + "\n```"


def _environment(environment: Mapping[str, object]) -> str:
    plain = {k: v for k, v in environment.items() if isinstance(v, str | int | float)}
    said = ", ".join(f"{name} {value}" for name, value in plain.items())
    return f"Environment: {said}." if said else ""
