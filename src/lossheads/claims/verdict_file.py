"""verdict.json: a verdict as data, written, read back and compared with a committed one.

Every view of a verdict (`render`) is made from these data alone. A file of another
`schema_version` is refused by name, never guessed at.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from shlex import join, quote
from typing import Any

from pydantic import ValidationError

from lossheads.analysis.estimates import Sample
from lossheads.analysis.format import count_of
from lossheads.claims.history import Version, read_history
from lossheads.claims.judge import ArmMetric, CheckRow, Finding, ModelTest, Verdict
from lossheads.claims.schema import DATA_SEED, Claim, as_arguments
from lossheads.claims.verdict_record import (
    SCHEMA_VERSION,
    ArmRecord,
    CellRecord,
    CheckRecord,
    ExamplesRecord,
    HypothesisRecord,
    ModelTestRecord,
    SampleRecord,
    VerdictRecord,
)
from lossheads.errors import UserError, reason

SAME, FAILED, CHANGED = 0, 1, 3

# What a picture shows; a claim of many arms has one of each for every case, the case in its name.
STEMS = ("metrics", "epochs")
_PNG = b"\x89PNG\r\n\x1a\n"


def to_json(verdict: Verdict) -> dict[str, Any]:
    """The verdict as data, by the names and ranges of `VerdictRecord`."""
    return _record(verdict).model_dump()


def _record(verdict: Verdict) -> VerdictRecord:
    claim = verdict.claim
    return VerdictRecord(
        schema_version=1,
        slug=claim.slug,
        claim_sha256=claim.sha256,
        verdict=verdict.verdict,
        why=verdict.why,
        says=claim.says,
        statement=claim.statement,
        explanation=claim.explanation,
        would_change=claim.would_change,
        source=claim.source,
        protocol=claim.protocol if claim.arms else None,
        protocol_says=_protocol_text(claim) if claim.arms else "",
        redrawn=tuple(arm.name for arm in claim.arms.values() if arm.redrawn),
        seeds=verdict.seeds,
        alpha=verdict.alpha,
        looks=verdict.looks,
        further_seeds=verdict.further_seeds,
        rule=dict(claim.verdict),
        hypotheses={f.hypothesis.name: _finding_record(f) for f in verdict.findings},
        models={name: _model_record(test) for test in verdict.models for name in test.hypotheses},
        checks={row.check.name: _check_record(row) for row in verdict.checks},
        table=tuple(_cell_record(cell) for cell in verdict.cells),
        metrics=dict(verdict.metrics),
        arms={
            arm.name: ArmRecord(
                overrides=dict(claim.arms[arm.name].overrides),
                **{k: v for k, v in vars(arm).items() if k != "name"},
            )
            for arm in verdict.arms
        },
        failed=verdict.failed,
        notes=verdict.notes,
        commands=_commands(claim),
        environment=dict(verdict.environment),
        environments=verdict.environments,
        seconds=round(verdict.seconds, 1),
    )


def _finding_record(finding: Finding) -> HypothesisRecord:
    hypothesis = finding.hypothesis
    return HypothesisRecord(
        conclusion=finding.conclusion,
        says=hypothesis.says,
        condition=hypothesis.condition,
        relation=hypothesis.relation,
        arms=hypothesis.arms,
        metrics=hypothesis.metrics,
        value=hypothesis.value,
        margin=hypothesis.margin,
        numbers=finding.numbers,
        interval=finding.interval,
        tested=finding.tested,
        p=finding.p,
        sign_flip_test=finding.sign_flips,
        more_seeds=finding.more_seeds,
        doubt=finding.doubt,
        about=hypothesis.about,
        covers=finding.covers,
        over_seeds=finding.over_seeds,
        sample=_sample_record(finding.sample),
        more_examples=finding.more_examples,
    )


def _cell_record(cell: ArmMetric) -> CellRecord:
    given = vars(cell) | {"covers": cell.sample.covers, "sample": _sample_record(cell.sample)}
    return CellRecord(**given)


def _sample_record(sample: Sample) -> SampleRecord:
    return SampleRecord(
        drawn=sample.drawn,
        examples=tuple(ExamplesRecord(**vars(part)) for part in sample.examples),
        low=sample.low,
        high=sample.high,
    )


def _model_record(test: ModelTest) -> ModelTestRecord:
    return ModelTestRecord(
        arms=test.arms,
        by_seed=test.by_seed,
        median_p=test.median_p,
        significant_seeds=test.significant_seeds,
    )


def _check_record(row: CheckRow) -> CheckRecord:
    check = row.check
    return CheckRecord(
        conclusion=row.conclusion,
        reading=row.reading,
        says=check.says,
        compute=check.compute,
        of=check.of,
        relation=check.relation,
        stated=check.printed if check.printed is not None else check.value,
        tolerance=check.tolerance,
        computed=row.computed,
    )


def _protocol_text(claim: Claim) -> str:
    if claim.grid:
        key, values = claim.grid
        return (
            f"Each arm chooses {key} from {', '.join(map(str, values))} at each seed, by "
            f"{claim.choose_by} on the validation split; the test split judges."
        )
    if claim.match_first_step:
        return "Learning rates are scaled so that the first steps are equally long."
    return (
        "All arms use the learning rate given; that is itself a choice: see each arm's first "
        "gradient."
    )


def _commands(claim: Claim) -> tuple[str, ...]:
    """What repeats the claim, and one run of each of its first two arms."""
    flags = list(claim.cli_flags)
    again = join(["lossheads", "claim", "run", claim.cli_name or claim.slug, *flags])
    lines = [again, f"{again} seeds=auto"] if claim.arms else [again]
    grid = [f"{claim.grid[0]}={claim.grid[1][0]}"] if claim.grid else []
    for arm in list(claim.arms.values())[:2]:
        data_seed = [f"{DATA_SEED}=0"] if arm.redrawn else []
        arguments = [*as_arguments(arm.overrides), *grid, *data_seed, "seed=0"]
        lines.append(" ".join(["lossheads train", *map(quote, flags), *arguments]))
    return tuple(lines)


def exit_status(verdict: Verdict, reference: Path) -> int:
    """0 when the reference has the same verdict or there is no reference; 3 when it changed.

    1 when runs failed: a change of an incomplete verdict is not worth reporting.

    Args:
        reference: Folder of committed verdicts; `<reference>/<slug>/verdict.json` is read.

    Raises:
        UserError: If the reference is not a verdict of this schema version.
    """
    if verdict.failed:
        return FAILED
    path = reference / verdict.claim.slug / "verdict.json"
    if not path.is_file():
        return SAME
    return SAME if load_verdict(path)["verdict"] == verdict.verdict else CHANGED


def load_verdict(path: Path) -> dict[str, Any]:
    """A verdict.json as `to_json` made it, every field checked.

    Raises:
        UserError: If it cannot be read, has another schema version, or a field that is missing,
            unknown or out of range: one sentence names the file and the first such field.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise UserError(
            f"{path} cannot be read as a verdict: {reason(error)}; run its claim again"
        ) from error
    if not isinstance(data, dict):
        raise UserError(f"{path} is not a verdict; run its claim again")
    if (version := data.get("schema_version")) != SCHEMA_VERSION:
        got = "no schema_version" if version is None else f"schema_version {version!r}"
        raise UserError(
            f"{path} has {got}, this version of lossheads reads {SCHEMA_VERSION}; run its claim "
            f"again with lossheads claim run"
        )
    try:
        return VerdictRecord.model_validate(data).model_dump()
    except ValidationError as error:
        raise UserError(f"{path} {_first_problem(error)}; run its claim again") from error


def _first_problem(error: ValidationError) -> str:
    """`is no whole verdict, hypotheses.better.p: …`, and how many problems there are beside it."""
    first, *others = error.errors(include_url=False, include_input=False, include_context=False)
    where = ".".join(map(str, first["loc"]))
    rule = first["msg"].removeprefix("Value error, ")
    text = f"is no whole verdict{f', {where}' if where else ''}: {rule[:1].lower()}{rule[1:]}"
    more = f" (and {len(others)} more)" if others else ""
    return " ".join(f"{text[:300]}{more}".split())


@dataclass(frozen=True)
class VerdictFolder:
    """One folder's verdict as read back.

    Attributes:
        slug: The folder's name.
        data: verdict.json, empty when it was refused.
        pictures: File name -> PNG bytes.
        history: The recorded versions of its claim file.
        trouble: Sentences about what is there and cannot be read.
    """

    slug: str
    data: Mapping[str, Any]
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    trouble: tuple[str, ...] = ()
    history: tuple[Version, ...] = ()


def read_verdicts(folder: Path) -> list[VerdictFolder]:
    """Every verdict below `folder`, by name.

    Raises:
        UserError: If there is none, or none that can be read.
    """
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    records = [read_verdict(path) for path in inside if (path / "verdict.json").is_file()]
    if not records:
        raise UserError(
            f"report finds no verdict in {folder}: make one with lossheads claim run NAME, or name "
            f"a folder whose folders hold verdict.json"
        )
    if not any(record.data for record in records):
        raise UserError(
            f"report can read none of {count_of(len(records), 'verdict')} in {folder}, first "
            f"{records[0].slug}/{records[0].trouble[0].removesuffix('.')}: make them again with "
            f"lossheads claim run NAME"
        )
    return records


def read_verdict(folder: Path) -> VerdictFolder:
    """One folder; what is refused becomes a sentence instead of ending the whole report."""
    try:
        data = load_verdict(folder / "verdict.json")
    except UserError as error:
        return VerdictFolder(
            folder.name, {}, trouble=(f"{str(error).removeprefix(f'{folder}/')}.",)
        )
    pictures, trouble = {}, []
    for path in _pictures(folder):
        content = path.read_bytes()
        if content.startswith(_PNG):
            pictures[path.name] = content
        else:
            trouble.append(f"{path.name} is not a PNG picture and is left out.")
    history: tuple[Version, ...] = ()
    try:
        history = read_history(folder)
    except UserError as error:
        trouble.append(f"{str(error).removeprefix(f'{folder}/')}.")
    return VerdictFolder(folder.name, data, pictures, tuple(trouble), history)


def _pictures(folder: Path) -> list[Path]:
    """Case by case, each with its stems in order."""
    found = [
        (path.stem.removeprefix(stem), order, path)
        for order, stem in enumerate(STEMS)
        for path in folder.glob(f"{stem}*.png")
    ]
    return [path for *_, path in sorted(found)]
