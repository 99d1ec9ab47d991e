"""One page over the finished runs of a folder, no claim needed: made from run folders alone."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from lossheads.analysis import PUZZLE_METRICS
from lossheads.analysis.aggregate import Arms, final, is_score_up_to_one, over_seeds, seed_interval
from lossheads.analysis.arms import arms_of
from lossheads.analysis.figures import epochs_figure, puzzle_figure
from lossheads.analysis.format import environment_text, number
from lossheads.analysis.html import Picture, picture, render, write_html
from lossheads.analysis.page_tables import Cell, PageTable, code_cell, number_cell, text_cell
from lossheads.analysis.palette import COLOURS
from lossheads.analysis.tables import caption, table
from lossheads.analysis.test_sets import SharedTestSet, by_test_set
from lossheads.errors import UserError
from lossheads.records import Result, read_results

# Mean scores of a class over examples with and without it, where heads differ most.
_CLASSES = ("score_when_present", "score_when_absent")
_SHOWN = (*PUZZLE_METRICS, "keras_2_3_accuracy", "keras_3_accuracy")


@dataclass(frozen=True)
class Part:
    """The runs on one test set."""

    title: str
    anchor: str
    examples: str
    arms: int
    scores: PageTable
    pictures: tuple[Picture, ...]
    classes: PageTable | None
    runs: PageTable
    environments: tuple[str, ...]


def write_runs_page(outputs: Path, page: Path) -> Path:
    """Write the page over `outputs`/runs.

    Raises:
        UserError: If no run is finished, or the page cannot be written.
    """
    results = [result for _, result in read_results(outputs / "runs")]
    if not any(result.status == "finished" for result in results):
        raise UserError(
            f"report finds no finished run in {outputs}/runs: train one with lossheads train, or "
            f"name another folder"
        )
    return write_html(page, runs_page(results))


def runs_page(results: Sequence[Result]) -> str:
    """The page as text; data without a finished run are left out."""
    finished = [data for data in by_test_set(results) if data.finished]
    parts = [_part(data, f"data-{index}") for index, data in enumerate(finished, 1)]
    return render("runs.html", parts_of=parts, runs=len(results))


def _part(data: SharedTestSet, anchor: str) -> Part:
    arms = arms_of(data.runs)
    return Part(
        title=data.title,
        anchor=anchor,
        examples=data.examples,
        arms=len(arms),
        scores=_scores(table(arms, data.metrics)),
        pictures=tuple(_pictures(arms, data.finished)),
        classes=_classes(arms),
        runs=_runs(data.runs),
        environments=tuple(dict.fromkeys(_environment(run) for run in data.finished)),
    )


def _scores(data: pd.DataFrame) -> PageTable:
    """Metrics go down, arms across: there are more metrics than arms."""
    arms = list(data["arm"].unique())
    rows = []
    for metric, group in data.groupby("metric", sort=False):
        at = group.set_index("arm")
        rows.append((code_cell(str(metric)), *(_score(at.loc[arm]) for arm in arms)))
    text = caption(data)
    return PageTable(f"{text[0].upper()}{text[1:]}.", ("metric", *arms), tuple(rows))


def _score(row: "pd.Series[float]") -> Cell:
    if row["n"] == 0:
        return number_cell("–", "undefined")
    ends = "one seed, no interval"
    if not math.isnan(row["high"]):
        ends = f"± {number(row['high'] - row['mean'])}"
    baseline = (
        "no baseline" if math.isnan(row["baseline"]) else f"baseline {number(row['baseline'])}"
    )
    return number_cell(number(row["mean"]), f"{ends}, n = {row['n']:.0f}", baseline)


def _pictures(arms: Arms, finished: Sequence[Result]) -> list[Picture]:
    known = [
        metric
        for metric in finished[0].test.metrics
        if is_score_up_to_one(finished, metric)
        and all(metric in run.history[0].val.metrics for run in finished)
    ]
    shown = [metric for metric in _SHOWN if metric in known] or known[:2]
    if not shown or len(arms) > len(COLOURS):
        return []
    names = f"Arms: {', '.join(arms)}; metrics: {', '.join(shown)}."
    counts = [final(runs, metric, "test").n for runs in arms.values() for metric in shown]
    ends_over, curves_over = (over_seeds(counts, kind) for kind in ("interval", "band"))
    ends = puzzle_figure(arms, shown, title="Every arm at the end of training")
    curves = epochs_figure(arms, shown[:2], title="Every arm while it trains")
    return [
        picture("metrics", _png(ends), f"Test split, {ends_over}, with baselines. {names}"),
        picture("epochs", _png(curves), f"Validation split by epoch, {curves_over}. {names}"),
    ]


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=160, metadata={"Software": None}, facecolor="white")
    return content.getvalue()


def _classes(arms: Arms) -> PageTable | None:
    """Class × arm: the mean score of the class over examples that have it, and that lack it."""
    ended = {arm: [run for run in runs if run.status == "finished"] for arm, runs in arms.items()}
    ended = {
        arm: runs
        for arm, runs in ended.items()
        if runs and all(name in run.test.per_class for run in runs for name in _CLASSES)
    }
    sizes = {
        len(run.test.per_class[name]) for r in ended.values() for run in r for name in _CLASSES
    }
    if len(sizes) != 1:  # arms whose outcomes differ have no classes in common
        return None
    names = next(iter(ended.values()))[0].class_names
    rows = []
    for index in range(*sizes):
        label = names[index] if index < len(names) else str(index)
        scores = [
            number_cell(
                number(seed_interval([run.test.per_class[name][index] for run in runs]).mean)
            )
            for runs in ended.values()
            for name in _CLASSES
        ]
        rows.append((text_cell(label), *scores))
    counts = sorted({len(runs) for runs in ended.values()})
    over = f"averaged over n = {' or '.join(map(str, counts))} seeds"
    text = (
        "Mean score of each class from 0 to 1 over test examples that have it (present) and that "
        f"lack it (absent), {'one seed' if counts == [1] else over}."
    )
    head = [f"{arm}, {kind}" for arm in ended for kind in ("present", "absent")]
    return PageTable(text, ("class", *head), tuple(rows))


def _runs(runs: Sequence[Result]) -> PageTable:
    rows = tuple(
        (
            code_cell(run.name),
            text_cell(run.status),
            number_cell(str(run.config["seed"])),
            number_cell(f"{run.history[-1].epoch:g}" if run.history else "–"),
            text_cell("; ".join(run.notes)),
        )
        for run in runs
    )
    return PageTable(
        "Every run is a folder of this name.", ("run", "status", "seed", "epochs", "notes"), rows
    )


def _environment(run: Result) -> str:
    # The start time differs between runs of one environment.
    return environment_text({k: v for k, v in run.environment.items() if k != "started"})
