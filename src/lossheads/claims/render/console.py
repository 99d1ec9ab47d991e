"""A verdict on the terminal."""

from rich.console import Console
from rich.table import Table

from lossheads.analysis.tables import Name
from lossheads.claims.judge import ArmMetric, Verdict
from lossheads.claims.render.wording import (
    count_of,
    counts_text,
    data_text,
    humanize,
    interval_text,
    number,
    percent,
    relation_text,
)


def print_verdict(verdict: Verdict, console: Console) -> None:
    """Numbers, hypotheses, checks and the verdict."""
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
            f"Models of {arms} on the same test examples ({', '.join(test.hypotheses)}; McNemar): "
            f"{counts_text(test)}.",
            markup=False,
        )
    if verdict.checks:
        console.print(_checks(verdict))
    console.print(f"Verdict: [bold]{humanize(verdict.verdict)}[/bold], because {verdict.why}.")
    for line in verdict.failed:
        console.print(f"Failed: {line}", markup=False)
    console.print(claim.explanation.strip(), markup=False)


def _cells(verdict: Verdict) -> Table:
    """Arm × metric under the claim's own names; other thresholds and outliers included."""
    metrics = list(dict.fromkeys(cell.metric for cell in verdict.cells))
    shown = Table(
        title=f"Test split, mean and {percent(1 - verdict.alpha)} interval over "
        f"n = {len(verdict.seeds)} seeds",
        title_justify="left",
    )
    for name in ("arm", *metrics):
        shown.add_column(Name(name), overflow="fold")
    for arm in dict.fromkeys(cell.arm for cell in verdict.cells):
        own = {cell.metric: cell for cell in verdict.cells if cell.arm == arm}
        shown.add_row(Name(arm), *(_cell(own.get(metric)) for metric in metrics))
    return shown


def _cell(cell: ArmMetric | None) -> str:
    if cell is None:
        return "–"
    return f"{interval_text(cell.interval)}\nbaseline {number(cell.baseline)}"


def _findings(verdict: Verdict) -> Table:
    shown = Table(title="Hypotheses, judged by paired differences over seeds", title_justify="left")
    mean = f"mean difference, {percent(1 - verdict.alpha)} interval"
    for name in ("hypothesis", mean, "n", "asked", "conclusion"):
        shown.add_column(name, overflow="fold")
    for finding in verdict.findings:
        asked = finding.hypothesis
        more = f" ({count_of(finding.more_seeds, 'more seed')})" if finding.more_seeds else ""
        shown.add_row(
            Name(asked.name),
            interval_text(finding.interval),
            str(len(finding.numbers)),
            Name(relation_text(asked)),
            finding.conclusion + more,
        )
    return shown


def _checks(verdict: Verdict) -> Table:
    shown = Table(title="Numbers, computed", title_justify="left")
    for name in ("check", "computed", "stated", "conclusion"):
        shown.add_column(name, overflow="fold")
    for row in verdict.checks:
        stated = row.check.printed or number(row.check.value)
        word = (
            row.conclusion
            if row.reading in (None, "right")
            else f"{row.conclusion} ({row.reading})"
        )
        shown.add_row(Name(row.check.name), number(row.computed), stated, word)
    return shown
