"""The runs of a TensorBoard page that shows the puzzle: one tag, one line per arm and metric.

A tag per metric would put every metric on its own page with its own axis and so hide the puzzle.
Here all share `puzzle/score`, and the run names are sentences that sort by a leading number.
"""

import math
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from lossheads.analysis import OVERVIEWS, PUZZLE_METRICS, PUZZLE_TAG
from lossheads.analysis.aggregate import Arms, baseline_of, check_shown, curve
from lossheads.analysis.arms import arms_of
from lossheads.analysis.test_sets import by_test_set
from lossheads.errors import UserError, refusing_to_write
from lossheads.records import Result

Line = list[tuple[int, float]]


def write_overview(outputs: Path, name: str, arms: Arms, metrics: Sequence[str]) -> list[Path]:
    """Write `outputs/_overview/<name>/<sentence>/`, one run a line; replaces an earlier one.

    The lines are means over seeds on the validation split, in the order arms × metrics; the first
    is the score of the best constant prediction under the metric where it is highest.

    Returns:
        The run folders, in the order TensorBoard shows them.

    Raises:
        UserError: For a name that is no folder name, without arms or metrics, for a metric that no
            run was measured under, or when the folder cannot be written.
    """
    if not name or Path(name).name != name or name.startswith("."):
        raise UserError(
            f"write_overview got the name {name!r}: the name must be one plain folder name"
        )
    check_shown(arms, metrics, "write_overview")
    lines = overview_lines(arms, metrics)
    folder = outputs / OVERVIEWS / name
    with refusing_to_write(folder, "the overview"):
        # A line left from before would be drawn beside the new ones.
        shutil.rmtree(folder, ignore_errors=True)
        return [_write(folder / sentence, points) for sentence, points in lines.items()]


def sweep_overviews(results: Sequence[Result], outputs: Path) -> list[str]:
    """One overview per test set of a recorded sweep, `sweep-<dataset>`; returns the names.

    The puzzle's two metrics where the outcome has both, else the first two of the table.
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
        name = f"sweep-{_as_folder(data.title)[-60:]}"
        write_overview(outputs, name, arms_of(data.runs), metrics or known[:2])
        names.append(name)
    return names


def overview_lines(arms: Arms, metrics: Sequence[str]) -> dict[str, Line]:
    """Sentence -> (step, mean) points; steps are optimizer steps."""
    drawn: list[tuple[str, Line]] = []
    for arm, results in arms.items():
        for index, metric in enumerate(metrics):
            # The state before training would stretch the axis until the metrics look alike.
            points = [
                (validation.step, at.mean)
                for validation, at in curve(results, metric)
                if at.n and validation.step
            ]
            drawn.append((f"{'the same ' if index else ''}{arm}, by {metric}", points))
    steps = sorted({step for _, points in drawn for step, _ in points})
    baselines = [
        (baseline_of(arms[arm], metric, "val"), metric) for arm in arms for metric in metrics
    ]
    known = [(baseline, metric) for baseline, metric in baselines if not math.isnan(baseline)]
    if known and steps:
        baseline, metric = max(known)
        sentence = f"best constant prediction, by {metric}"
        drawn.insert(0, (sentence, [(step, baseline) for step in (steps[0], steps[-1])]))
    width = len(str(len(drawn) - 1))
    return {
        f"{number:0{width}d} {_as_folder(sentence)}": points
        for number, (sentence, points) in enumerate(drawn)
        if points
    }


def _as_folder(sentence: str) -> str:
    """The sentence without characters that a file system or a run filter interprets."""
    return "".join("-" if letter in '/\\:*?"<>|' else letter for letter in sentence)


def _write(folder: Path, points: Line) -> Path:
    writer = EventFileWriter(str(folder))
    for step, value in points:
        summary = Summary(value=[Summary.Value(tag=PUZZLE_TAG, simple_value=value)])
        writer.add_event(Event(step=step, wall_time=time.time(), summary=summary))
    writer.close()
    return folder
