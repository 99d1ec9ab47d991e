"""The figures of a claim: the runs that were judged, under the claim's own names."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from lossheads.analysis import PUZZLE_METRICS
from lossheads.analysis.aggregate import is_score_up_to_one
from lossheads.analysis.figures import epochs_figure, puzzle_figure, save
from lossheads.analysis.html import humanize
from lossheads.analysis.overview import write_overview
from lossheads.analysis.palette import COLOURS
from lossheads.claims.judge import Verdict
from lossheads.claims.render.words import finding
from lossheads.claims.verdict_file import STEMS, to_json
from lossheads.records import Result

Arms = Mapping[str, Sequence[Result]]


def draw(verdict: Verdict, outputs: Path, folder: Path) -> list[str]:
    """Write the figures beside the page and the overview on the dashboard.

    One picture of all arms where there are colours for them, else one for each case. Runs that a
    tuned arm tried and did not choose are in none.

    Returns:
        Names of the files to show, in order.
    """
    found = []
    for case, arms in _arms_by_picture(verdict).items():
        found += _draw_arms(verdict, case, arms, outputs, folder)
    # Of an earlier run with other arms, and last: an interruption must not leave it without any.
    for old in (path for stem in STEMS for path in folder.glob(f"{stem}*.*")):
        if f"{old.stem}.png" not in found:
            old.unlink()
    return found


def _arms_by_picture(verdict: Verdict) -> dict[str, Arms]:
    """Case (empty for all arms together) -> arm -> finished runs; no more arms than colours."""
    finished = {
        arm: [run for run in runs if run.status == "finished"]
        for arm, runs in verdict.chosen.items()
    }
    arms = {arm: runs for arm, runs in finished.items() if runs}
    if len(arms) <= len(COLOURS):
        return {"": arms} if arms else {}
    cases: dict[str, dict[str, Sequence[Result]]] = {}
    for arm, runs in arms.items():
        cases.setdefault(verdict.claim.arms[arm].case, {})[arm] = runs
    return {case: own for case, own in cases.items() if len(own) <= len(COLOURS)}


def _draw_arms(verdict: Verdict, case: str, arms: Arms, outputs: Path, folder: Path) -> list[str]:
    claim, runs = verdict.claim, [run for own in arms.values() for run in own]
    shown = [
        metric
        for metric in claim.metrics
        if is_score_up_to_one(runs, metric) and all(metric in run.test.metrics for run in runs)
    ]
    known = [name for name in shown if all(name in run.history[0].val.metrics for run in runs)]
    if not known:
        return []
    curves = [metric for metric in PUZZLE_METRICS if metric in known] or known[:2]
    name, tail = (f"{claim.slug}, {case}", f"-{case}") if case else (claim.slug, "")
    said = humanize(verdict.verdict) if case else finding(to_json(verdict))[0]
    figures = (
        puzzle_figure(arms, shown, title=f"{name}: {said}"),
        epochs_figure(arms, curves, title=f"{name}: {' and '.join(curves)} while training"),
    )
    for stem, figure in zip(STEMS, figures, strict=True):
        save(figure, folder / f"{stem}{tail}")
    write_overview(outputs, f"{claim.slug}{tail}", arms, curves)
    return [f"{stem}{tail}.png" for stem in STEMS]
