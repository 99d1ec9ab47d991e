"""A verdict on paper: verdict.json for machines, verdict.md for people.

The reference is a committed verdict.json; a claim doubles as a regression test against it.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lossheads.claims.judge import CheckRow, Finding, ModelTest, Verdict
from lossheads.claims.render.wording import humanize as humanize
from lossheads.claims.render.wording import interval_text as interval_text
from lossheads.claims.render.wording import number as number
from lossheads.claims.render.wording import relation_text as relation_text
from lossheads.claims.render.wording import to_markdown
from lossheads.errors import UserError
from lossheads.records import write_json

SAME, FAILED, CHANGED = 0, 1, 3


def write_verdict(verdict: Verdict, folder: Path, figures: Sequence[str] = ()) -> Path:
    """Write verdict.json and verdict.md into `folder`, each whole or not at all.

    Args:
        figures: File names beside the page, shown in it.

    Returns:
        The path of verdict.md.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "verdict.json", to_json(verdict))
    page, aside = folder / "verdict.md", folder / f".verdict.md.{os.getpid()}"
    try:
        aside.write_text(to_markdown(verdict, figures), encoding="utf-8")
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
    return SAME if known == verdict.verdict else CHANGED


def to_json(verdict: Verdict) -> dict[str, Any]:
    """The verdict as JSON-ready data: the claim, every number, every word."""
    claim = verdict.claim
    return {
        "slug": claim.slug,
        "verdict": verdict.verdict,
        "why": verdict.why,
        "says": claim.says,
        "statement": claim.statement,
        "explanation": claim.explanation,
        "would_change": claim.would_change,
        "source": asdict(claim.source),
        "protocol": claim.protocol if claim.arms else None,
        "redrawn": [arm.name for arm in claim.arms.values() if arm.redrawn],
        "seeds": list(verdict.seeds),
        "alpha": verdict.alpha,
        "looks": list(verdict.looks),
        "further_seeds": verdict.further_seeds,
        "rule": {word: list(needed) for word, needed in claim.verdict.items()},
        "hypotheses": {f.hypothesis.name: _finding_data(f) for f in verdict.findings},
        "models": {name: _model_data(test) for test in verdict.models for name in test.hypotheses},
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
        "environments": [asdict(environment) for environment in verdict.environments],
        "seconds": round(verdict.seconds, 1),
    }


def _finding_data(finding: Finding) -> dict[str, Any]:
    hypothesis = finding.hypothesis
    return {
        "conclusion": finding.conclusion,
        "says": hypothesis.says,
        "relation": relation_text(hypothesis),
        "arms": list(hypothesis.arms),
        "metrics": list(hypothesis.metrics),
        "value": hypothesis.value,
        "margin": hypothesis.margin,
        "numbers": list(finding.numbers),
        "interval": asdict(finding.interval),
        "tested": asdict(finding.tested),
        "p": finding.p,
        "sign_flip_test": asdict(finding.sign_flips),
        "more_seeds": finding.more_seeds,
    }


def _model_data(test: ModelTest) -> dict[str, Any]:
    return {
        "arms": list(test.arms),
        "by_seed": [asdict(pair) for pair in test.by_seed],
        "median_p": test.median_p,
        "significant_seeds": test.significant_seeds,
    }


def _check_data(row: CheckRow) -> dict[str, Any]:
    check = row.check
    return {
        "conclusion": row.conclusion,
        "reading": row.reading,
        "says": check.says,
        "compute": check.compute,
        "of": list(check.of),
        "relation": check.relation,
        "stated": check.printed if check.printed is not None else check.value,
        "tolerance": check.tolerance,
        "computed": row.computed,
    }
