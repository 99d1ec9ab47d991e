"""The runs of a TensorBoard page that shows the puzzle: one tag, one line per arm and ruler.

A tag per ruler would put every ruler on its own page with its own axis and so hide the puzzle.
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

from lossheads.analysis import OVERVIEWS, PUZZLE_RULERS, PUZZLE_TAG
from lossheads.analysis.aggregate import Arms, check, curve, floor_of
from lossheads.analysis.arms import arms_of
from lossheads.analysis.test_sets import by_data
from lossheads.errors import UserError, refusing_to_write
from lossheads.records import Result

Line = list[tuple[int, float]]


def write_overview(outputs: Path, name: str, arms: Arms, rulers: Sequence[str]) -> list[Path]:
    """Write `outputs/_overview/<name>/<sentence>/`, one run a line; replaces an earlier one.

    The lines are means over seeds on the validation split, in the order arms × rulers; the first
    is what the best answer that never looks scores under the most generous of the rulers.

    Returns:
        The run folders, in the order TensorBoard shows them.

    Raises:
        UserError: For a name that is no folder name, without arms or rulers, for a ruler that no
            run was measured under, or when the folder cannot be written.
    """
    if not name or Path(name).name != name or name.startswith("."):
        raise UserError(f"write_overview got the name {name!r}: it needs one plain folder name")
    check(arms, rulers, "write_overview")
    lines = overview_lines(arms, rulers)
    folder = outputs / OVERVIEWS / name
    with refusing_to_write(folder, "the overview"):
        # A line left from before would be drawn beside the new ones.
        shutil.rmtree(folder, ignore_errors=True)
        return [_write(folder / sentence, points) for sentence, points in lines.items()]


def sweep_overviews(results: Sequence[Result], outputs: Path) -> list[str]:
    """One overview per test set of a recorded sweep, `sweep-<dataset>`; returns the names.

    The puzzle's two rulers where the outcome has both, else the first two of the table.
    """
    names = []
    recorded = [
        r for r in results if r.status == "finished" and r.config["recording"]["tensorboard"]
    ]
    for data in by_data(recorded):
        along = data.runs[0].laps[0].val.rulers
        known = [name for name in along if name in data.rulers]
        rulers = [name for name in PUZZLE_RULERS if name in known]
        # The end of a long path tells more than its beginning, and folder names have an end.
        name = f"sweep-{_as_folder(data.title)[-60:]}"
        write_overview(outputs, name, arms_of(data.runs), rulers or known[:2])
        names.append(name)
    return names


def overview_lines(arms: Arms, rulers: Sequence[str]) -> dict[str, Line]:
    """Sentence -> (step, mean) points; steps are optimizer steps."""
    drawn: list[tuple[str, Line]] = []
    for arm, results in arms.items():
        for place, ruler in enumerate(rulers):
            # The state before training would stretch the axis until the rulers look alike.
            points = [(lap.step, at.mean) for lap, at in curve(results, ruler) if at.n and lap.step]
            drawn.append((f"{'the same ' if place else ''}{arm}, by {ruler}", points))
    steps = sorted({step for _, points in drawn for step, _ in points})
    floors = [(floor_of(arms[arm], ruler, "val"), ruler) for arm in arms for ruler in rulers]
    known = [(floor, ruler) for floor, ruler in floors if not math.isnan(floor)]
    if known and steps:
        floor, ruler = max(known)
        words = f"the best answer that never looks, by {ruler}"
        drawn.insert(0, (words, [(step, floor) for step in (steps[0], steps[-1])]))
    width = len(str(len(drawn) - 1))
    return {
        f"{number:0{width}d} {_as_folder(words)}": points
        for number, (words, points) in enumerate(drawn)
        if points
    }


def _as_folder(words: str) -> str:
    """The sentence without what a file system or a run filter would take for its own."""
    return "".join("-" if letter in '/\\:*?"<>|' else letter for letter in words)


def _write(folder: Path, points: Line) -> Path:
    writer = EventFileWriter(str(folder))
    for step, value in points:
        summary = Summary(value=[Summary.Value(tag=PUZZLE_TAG, simple_value=value)])
        writer.add_event(Event(step=step, wall_time=time.time(), summary=summary))
    writer.close()
    return folder
