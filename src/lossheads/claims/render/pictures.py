"""The figures of a claim: the runs that were judged, under the claim's own names."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from lossheads.analysis import PUZZLE_METRICS
from lossheads.analysis.aggregate import axis_label, is_score_up_to_one
from lossheads.analysis.figures import epochs_figure, puzzle_figure, save
from lossheads.analysis.overview import write_overview
from lossheads.analysis.palette import COLOURS
from lossheads.claims.judge import Verdict
from lossheads.claims.schema import Claim
from lossheads.claims.verdict_file import STEMS
from lossheads.records import Result

Arms = Mapping[str, Sequence[Result]]


def draw(verdict: Verdict, outputs: Path, folder: Path) -> list[str]:
    """Write the figures beside the page and the overview on the dashboard.

    One picture of all arms where there are colours for them, else one for each case. Runs that a
    tuned arm tried and did not choose are in none.

    Returns:
        Names of the files to show, in order.
    """
    for stem in STEMS:  # of an earlier run with other arms
        for old in folder.glob(f"{stem}*.*"):
            old.unlink()
    found = []
    for case, arms in _arms_by_picture(verdict).items():
        found += _draw_arms(verdict.claim, case, arms, outputs, folder)
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


def _draw_arms(claim: Claim, case: str, arms: Arms, outputs: Path, folder: Path) -> list[str]:
    shown = [metric for metric in claim.metrics if _drawable(metric, arms)]
    if not shown:
        return []
    puzzle = [metric for metric in PUZZLE_METRICS if metric in shown] or shown[:2]
    name, tail = (f"{claim.slug}: {case}", f"-{case}") if case else (claim.slug, "")
    # Only a figure of the puzzle's two metrics has its title; others are titled by their claim.
    if case or tuple(puzzle) != PUZZLE_METRICS or axis_label(shown) != "accuracy":
        ends = puzzle_figure(arms, shown, title=name)
        curves = epochs_figure(arms, puzzle, title=name)
    else:
        ends, curves = puzzle_figure(arms, shown), epochs_figure(arms, puzzle)
    for stem, figure in zip(STEMS, (ends, curves), strict=True):
        save(figure, folder / f"{stem}{tail}")
    write_overview(outputs, f"{claim.slug}{tail}", arms, puzzle)
    return [f"{stem}{tail}.png" for stem in STEMS]


def _drawable(metric: str, arms: Arms) -> bool:
    """Whether all runs have a metric, at the end and along the way, whose best value is 1."""
    results = [run for runs in arms.values() for run in runs]
    return is_score_up_to_one(results, metric) and all(
        metric in measured.metrics for run in results for measured in (run.test, run.history[0].val)
    )
