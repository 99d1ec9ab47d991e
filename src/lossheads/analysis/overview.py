"""The pages of a dashboard over a sweep or claim: few runs, named by what their lines are.

outputs/_overview/<name>/
    puzzle/<arm> · <metric>, puzzle/baseline of <metric>
                                               one chart, one line per arm and metric
    bands/<arm>, bands/baseline                means over seeds with their 95 % band
    classes/<arm>                              recall and scores of every class; precision-recall
    confusions/all heads                       one picture
    runs/<arm> s<seed>                         each run's settings that vary, and three metrics

Every page is a log directory of its own: TensorBoard selects no run where there are more than 40,
and gives a run the same colour as the seventh after it.
"""

import hashlib
import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path

from lossheads.analysis import OVERVIEWS, PUZZLE_METRICS
from lossheads.analysis.aggregate import (
    Arms,
    baseline_of,
    check_shown,
    curve,
    metric_info,
)
from lossheads.analysis.arms import arms_of
from lossheads.analysis.event_files import Chart, banded, layout, scalar, write_events
from lossheads.analysis.format import count_of
from lossheads.analysis.overview_runs import (
    Curve,
    Values,
    points_of,
    tensors_of,
    write_classes,
    write_confusions,
    write_sessions,
)
from lossheads.analysis.summary import rank
from lossheads.analysis.tags import as_folder
from lossheads.analysis.test_sets import by_test_set
from lossheads.errors import UserError, refusing_to_write
from lossheads.records import Result

Line = list[tuple[int, float]]

BASELINE, ALL_BASELINES = "baseline", "baseline of all"  # where an arm is called so
ARMS_SHOWN = 6  # with the baseline as many as TensorBoard has colours
# How a metric counts; the word stands at the end of a line's name.
WORDS = {"accuracy_score": "argmax", "elementwise_accuracy_score": "cells"}
COUNTED = {
    "accuracy_score": "of examples right",
    "elementwise_accuracy_score": "of {cells}yes-no answers",
}
CALIBRATION = ("expected_calibration_error", "nll_loss", "brier_sum_loss")


def write_overview(outputs: Path, name: str, arms: Arms, metrics: Sequence[str]) -> list[Path]:
    """Write the pages `outputs/_overview/<name>/…`; replaces earlier ones.

    The lines are means over seeds on the validation split. The puzzle's page has a line for each of
    the metrics, and that of the best constant prediction under the metric where it is highest; its
    name says which. Where there are more than six arms, each head is shown by the arm that is best
    under the first metric.

    Returns:
        The run folders of the puzzle's page, in the order of arms and metrics, the baseline first.

    Raises:
        UserError: For a name that is no folder name, without arms or metrics, for a metric that no
            run was measured under, or when the folder cannot be written.
    """
    if not name or Path(name).name != name or name.startswith("."):
        raise UserError(
            f"write_overview got the name {name!r}: the name must be one plain folder name"
        )
    check_shown(arms, metrics, "write_overview")
    shown = arms_shown(arms, metrics[0])
    folder = outputs / OVERVIEWS / name
    with refusing_to_write(folder, "the overview"):
        # A line left from before would be drawn beside the new ones.
        shutil.rmtree(folder, ignore_errors=True)
        written = _write_puzzle(folder / "puzzle", shown, metrics)
        _write_bands(folder / "bands", shown, metrics)
        tensors = tensors_of(shown, outputs / "runs")
        write_classes(folder / "classes", shown, tensors)
        write_confusions(folder / "confusions", name, shown, tensors)
        write_sessions(folder / "runs", arms)
    return written


def sweep_overviews(results: Sequence[Result], outputs: Path) -> list[str]:
    """One overview per test set of a recorded sweep, `sweep-<dataset>-<digits>`; returns the names.

    The digits tell the sweep by its runs, whatever became of them: the same call replaces its own
    overview, and no other one's. The puzzle's two metrics where the outcome has both, else the
    first two of the table.
    """
    names = []
    recorded = [
        r for r in results if r.status == "finished" and r.config["recording"]["tensorboard"]
    ]
    for data in by_test_set(recorded):
        along = data.runs[0].history[0].val.metrics
        known = [name for name in along if name in data.metrics]
        metrics = [name for name in PUZZLE_METRICS if name in known]
        # The end of a long path says more than its beginning, and folder names have a limit.
        words = json.dumps([data.title, *sorted(result.key for result in results)])
        digits = hashlib.sha256(words.encode()).hexdigest()[:6]
        name = f"sweep-{as_folder(data.title)[-60:]}-{digits}"
        write_overview(outputs, name, arms_of(data.runs), metrics or known[:2])
        names.append(name)
    return names


def arms_shown(arms: Arms, metric: str) -> Arms:
    """The arms that have lines: all where TensorBoard has colours for them.

    Else the best arm of each head, chosen as the answer of a sweep chooses it; of more heads than
    that the first six.
    """
    if len(arms) <= ARMS_SHOWN:
        return arms
    higher = metric_info((run for runs in arms.values() for run in runs), metric).higher_is_better
    of_head: dict[str, list[str]] = {}
    for arm, results in arms.items():
        head = str(results[0].config.get("choices", {}).get("head", arm))
        of_head.setdefault(head, []).append(arm)
    best = [min(own, key=lambda arm: rank(arms[arm], metric, higher)) for own in of_head.values()]
    return {arm: arms[arm] for arm in best[:ARMS_SHOWN]}


def puzzle_tag(arms: Arms, metrics: Sequence[str]) -> str:
    """The one tag of the puzzle's page, which is the title of its chart: what it shows.

    TensorBoard shows about 120 letters of it.
    """
    highest, of_metric = _highest_baseline(arms, metrics)
    parts = []
    for metric in metrics:
        ends = [points[-1][1].mean for runs in arms.values() if (points := _curve(runs, metric))]
        if not ends:
            continue
        counted = COUNTED.get(metric, metric).format(cells=_cells(arms))
        constant = f"a constant: {highest:.2f}" if metric == of_metric else ""
        within = "; ".join(filter(None, (WORDS.get(metric, ""), constant)))
        parts.append(f"{_range(ends)} {counted}" + f" ({within})" * bool(within))
    return f"same predictions: {', '.join(parts)}".replace("/", "-")


def _highest_baseline(arms: Arms, metrics: Sequence[str]) -> tuple[float, str]:
    """And the metric that has it; "" where none has one."""
    found = [(at, metric) for metric in metrics for at in _baselines(arms, metric)]
    return max(found, key=lambda pair: pair[0], default=(math.nan, ""))


def _cells(arms: Arms) -> str:
    """How many yes-no answers an example has: one for each value per class; "" where unknown."""
    steps = (run.history[-1:] for runs in arms.values() for run in runs)
    values = (at.val.per_class for last in steps for at in last)
    counts = {len(own) for of_run in values for own in of_run.values()}
    return f"their {counts.pop()} " if len(counts) == 1 else ""


def _range(values: Sequence[float]) -> str:
    """0.97, or 0.96–0.97 where two decimals tell the arms apart."""
    ends = dict.fromkeys(f"{value:.2f}" for value in (min(values), max(values)))
    return "–".join(ends)


def _baselines(arms: Arms, metric: str) -> list[float]:
    known = [baseline_of(runs, metric, "val") for runs in arms.values()]
    return [baseline for baseline in known if not math.isnan(baseline)]


def overview_lines(arms: Arms, metrics: Sequence[str]) -> dict[str, Line]:
    """Name of a line -> (step, mean) points; steps are optimizer steps."""
    drawn: dict[str, Line] = {}
    for arm, results in arms.items():
        for metric in metrics:
            line = f"{arm} · {WORDS.get(metric, metric)}"
            drawn[as_folder(line)] = [(v.step, at.mean) for v, at in _curve(results, metric)]
    steps = sorted({step for points in drawn.values() for step, _ in points})
    highest, metric = _highest_baseline(arms, metrics)
    if metric and steps:
        line = as_folder(f"{BASELINE} of {WORDS.get(metric, metric)}")
        drawn = {line: [(step, highest) for step in (steps[0], steps[-1])], **drawn}
    return {line: points for line, points in drawn.items() if points}


def _write_puzzle(folder: Path, arms: Arms, metrics: Sequence[str]) -> list[Path]:
    tag = puzzle_tag(arms, metrics)
    return [
        write_events(folder / line, [(step, scalar(tag, value)) for step, value in points])
        for line, points in overview_lines(arms, metrics).items()
    ]


def _write_bands(folder: Path, arms: Arms, metrics: Sequence[str]) -> None:
    """Means over seeds with their 95 % band, the baseline as a run of its own.

    Custom Scalars calls a run an error that lacks a line which a chart asks for: a metric that an
    arm or the baseline lacks has no chart.
    """
    lines: dict[str, Values] = {}
    sections: dict[str, list[Chart]] = {}
    for title, names in {"Puzzle": metrics, "Calibration": CALIBRATION}.items():
        for name in names:
            drawn = {
                as_folder(arm): points_of(name, _curve(runs, name)) for arm, runs in arms.items()
            }
            drawn[BASELINE if BASELINE not in drawn else ALL_BASELINES] = _baseline(name, arms)
            if not all(drawn.values()):
                continue
            for line, points in drawn.items():
                lines.setdefault(line, []).extend(points)
            sections.setdefault(title, []).append(Chart(_chart_title(name, arms), name))
    if not lines:
        return
    next(iter(lines.values())).append((0, layout(sections)))
    for line, values in lines.items():
        write_events(folder / line, values)


def _baseline(metric: str, arms: Arms) -> Values:
    steps = sorted({v.step for runs in arms.values() for v, _ in _curve(runs, metric)})
    known = _baselines(arms, metric)
    if not known or not steps:
        return []
    return [
        (step, value) for step in (steps[0], steps[-1]) for value in banded(metric, *3 * known[:1])
    ]


def _curve(results: Sequence[Result], metric: str) -> Curve:
    """Without the state before training: it would stretch the axis until the metrics look alike."""
    return [
        (validation, at) for validation, at in curve(results, metric) if at.n and validation.step
    ]


def _chart_title(metric: str, arms: Arms) -> str:
    """The metric's name, how it counts, and over how many seeds the mean goes."""
    word = f" ({WORDS[metric]})" if metric in WORDS else ""
    most = max(len(runs) for runs in arms.values())
    return f"{metric}{word}, {count_of(most, 'seed')}"
