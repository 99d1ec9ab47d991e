"""lossheads claim list | run: the claims from the command line."""

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from lossheads.claims.arguments import ALLOWED, claim_parser
from lossheads.claims.claim import Claim
from lossheads.claims.contest import run_claim
from lossheads.claims.page import (
    exit_status,
    interval_text,
    number,
    relation_text,
    spoken,
    write_page,
)
from lossheads.claims.pictures import draw
from lossheads.claims.reading import find_claim, list_claims
from lossheads.claims.verdict import Cell, Verdict
from lossheads.claims.wording import counted, counts_text, data_text, percent
from lossheads.configuration import compose, config_folder
from lossheads.errors import UserError
from lossheads.experiment import execute
from lossheads.experiment.building import build_head, build_parts
from lossheads.experiment.checking import check_numbers
from lossheads.report.announcing import wide_console
from lossheads.report.claims_page import write_claims_page
from lossheads.report.folding import Name
from lossheads.rulers import find_ruler

Seeds = int | Literal["auto"] | None


def claim_command(words: list[str]) -> int:
    """Carry out `lossheads claim …`; returns the exit status."""
    # Settings may stand anywhere among the flags; argparse wants its positionals in one piece.
    settings = [word for word in words if re.match(r"[\w.]+=", word)]
    asked = claim_parser().parse_args([word for word in words if word not in settings])
    folder = Path(asked.claims) if asked.claims else config_folder() / "claim"
    if not folder.is_dir():
        raise UserError(f"claim finds no folder {folder}: name one that holds claim files")
    if asked.verb == "list":
        _list(list_claims(folder))
        return 0
    claims = list_claims(folder) if asked.name == "all" else [find_claim(asked.name, folder)]
    seeds, extra = _settings([*settings, *asked.settings])
    if not claims:
        raise UserError(f"claim finds no claim file (*.yaml) in {folder}: name another folder")
    reference = Path(asked.reference)
    statuses = [_run(claim, seeds, extra, reference, asked.save) for claim in claims]
    report = write_claims_page(Path(compose(extra)["outputs"]) / "claims")
    wide_console().print(f"Report over all claims run so far: {report}")
    return max(statuses, key=lambda status: (status == 1, status))


def _run(claim: Claim, seeds: Seeds, extra: list[str], reference: Path, save_it: bool) -> int:
    console = wide_console()
    verdict = run_claim(
        claim,
        compose=lambda words: compose([*words, *extra]),
        execute=execute,
        seeds=seeds,
        allow_ruler=lambda config, name: find_ruler(name, build_head(config).outcome),
        allow_arm=_try_arm,
    )
    outputs = Path(compose(extra)["outputs"])
    folder = outputs / "claims" / claim.slug
    page = write_page(verdict, folder, draw(verdict, outputs, folder))
    _print(verdict, console)
    console.print(f"Written: {page}")
    if verdict.chosen:
        console.print(f"Dashboard: lossheads board {outputs}")
    if save_it and not verdict.failed:
        _save_reference(folder, reference / claim.slug)
    status = exit_status(verdict, reference)
    if status == 3:
        console.print(f"This is not the verdict in {reference / claim.slug}.")
    elif status == 0 and (reference / claim.slug / "verdict.json").is_file():
        console.print(f"This is the verdict in {reference / claim.slug}.")
    return status


def _try_arm(config: Mapping[str, Any]) -> None:
    """Refuse what the engine would refuse, before it is asked for many runs at once."""
    check_numbers(config)
    build_parts(config)


def _save_reference(folder: Path, reference: Path) -> None:
    """Copy what belongs under version control: numbers, page, pictures; small files only."""
    reference.mkdir(parents=True, exist_ok=True)
    for old in reference.glob("*.png"):  # pictures of arms that are no more
        old.unlink()
    for path in folder.iterdir():
        if path.suffix in (".json", ".md", ".png"):
            shutil.copyfile(path, reference / path.name)


def _print(verdict: Verdict, console: Console) -> None:
    claim = verdict.claim
    made_in = ", ".join(filter(None, (claim.source.document, claim.source.date)))
    console.print(f"\n[bold]{claim.slug}[/bold]  {made_in}")
    console.print(claim.says, markup=False)
    if verdict.cells:
        console.print(_cells(verdict))
        console.print(data_text(verdict), markup=False)
    if verdict.findings:
        console.print(_findings(verdict))
    for test in verdict.models:
        arms = " and ".join(test.arms)
        console.print(
            f"Models of {arms} on the same test examples ({', '.join(test.predictions)}; McNemar): "
            f"{counts_text(test)}.",
            markup=False,
        )
    if verdict.checks:
        console.print(_checks(verdict))
    console.print(f"Verdict: [bold]{spoken(verdict.word)}[/bold], because {verdict.why}.")
    for line in verdict.failed:
        console.print(f"Failed: {line}", markup=False)
    console.print(claim.explanation.strip(), markup=False)


def _cells(verdict: Verdict) -> Table:
    """Arm × ruler under the claim's own names; other thresholds and outliers included."""
    rulers = list(dict.fromkeys(cell.ruler for cell in verdict.cells))
    shown = Table(
        title=f"Test split, mean and {percent(1 - verdict.alpha)} interval over "
        f"n = {len(verdict.seeds)} seeds",
        title_justify="left",
    )
    for name in ("arm", *rulers):
        shown.add_column(Name(name), overflow="fold")
    for arm in dict.fromkeys(cell.arm for cell in verdict.cells):
        own = {cell.ruler: cell for cell in verdict.cells if cell.arm == arm}
        shown.add_row(Name(arm), *(_cell(own.get(ruler)) for ruler in rulers))
    return shown


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return "–"
    return f"{interval_text(cell.interval)}\nfloor {number(cell.floor)}"


def _findings(verdict: Verdict) -> Table:
    shown = Table(
        title="Predictions, judged by paired differences over seeds", title_justify="left"
    )
    mean = f"mean difference, {percent(1 - verdict.alpha)} interval"
    for name in ("prediction", mean, "n", "asked", "word"):
        shown.add_column(name, overflow="fold")
    for finding in verdict.findings:
        asked = finding.prediction
        more = f" ({counted(finding.more_seeds, 'more seed')})" if finding.more_seeds else ""
        shown.add_row(
            Name(asked.name),
            interval_text(finding.interval),
            str(len(finding.numbers)),
            Name(relation_text(asked)),
            finding.word + more,
        )
    return shown


def _checks(verdict: Verdict) -> Table:
    shown = Table(title="Numbers, computed", title_justify="left")
    for name in ("check", "computed", "stated", "word"):
        shown.add_column(name, overflow="fold")
    for row in verdict.checks:
        stated = row.check.printed or number(row.check.value)
        word = row.word if row.reading in (None, "right") else f"{row.word} ({row.reading})"
        shown.add_row(Name(row.check.name), number(row.computed), stated, word)
    return shown


def _list(claims: Sequence[Claim]) -> None:
    shown = Table(title=f"{len(claims)} claims; run one with: lossheads claim run NAME")
    for name in ("claim", "made in", "date", "what was said"):
        shown.add_column(name, overflow="fold")
    for claim in claims:
        document = Name(claim.source.document)
        shown.add_row(Name(claim.slug), document, claim.source.date, claim.says)
    wide_console().print(shown)


def _settings(words: Sequence[str]) -> tuple[Seeds, list[str]]:
    """Seeds and the overrides left over."""
    seeds: Seeds = None
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key not in ALLOWED:
            raise UserError(
                f"claim run got {word!r}: a claim fixes what it asks; what can be set is "
                f"{', '.join(ALLOWED)}"
            )
        if key == "seeds":
            seeds = _seeds(value)
    return seeds, [word for word in words if not word.startswith("seeds=")]


def _seeds(word: str) -> int | Literal["auto"]:
    if word == "auto":
        return "auto"
    if not word.isdecimal():
        raise UserError(f"claim run got seeds={word}: it is a number or auto")
    return int(word)
