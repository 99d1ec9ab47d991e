"""Facts of whole processes: how long `--help` takes, what the puzzle costs."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from bench import ENVIRONMENT
from lossheads.errors import UserError

PUZZLE = "bce-97-vs-cce-90"

# Runs the command line with a clock around every optimizer step; steps on a CPU are done when
# they return.
_WATCHED = """
import json, sys
from pathlib import Path
from time import perf_counter
from lossheads.engine.cohort import SingleMemberCohort, StackedCohort

seconds = 0.0

def watch(kind):
    step = kind.step
    def timed(self, *words):
        global seconds
        started = perf_counter()
        losses = step(self, *words)
        seconds += perf_counter() - started
        return losses
    kind.step = timed

watch(SingleMemberCohort)
watch(StackedCohort)
report = Path(sys.argv.pop(1))
from lossheads.cli.main import main
try:
    main()
finally:
    report.write_text(json.dumps(seconds))
"""


def help_seconds(times: int) -> dict[str, Any]:
    """Wall seconds of `lossheads --help`, its files already in memory."""
    call = [sys.executable, "-m", "lossheads", "--help"]
    walls = [_watched(call)["seconds"] for _ in range(times + 1)][1:]
    return {"median_seconds": median(walls), "rounds": walls}


def claim(name: str, folder: Path, settings: Sequence[str] = ()) -> dict[str, Any]:
    """Wall seconds and peak memory of `lossheads claim run`, and what steps took of its runs.

    Args:
        folder: An empty folder for outputs; its cache/ may hold the data set already.
        settings: Further words of the command, such as `seeds=2`.

    Returns:
        `seconds`, `peak_bytes` (of the largest process), `exit_status`, `seconds_in_runs` (from
        building nets to the last file), `seconds_in_steps` (forward, backward, optimizer).

    Raises:
        UserError: When the command fails; its own words have been printed by then.
    """
    report = folder / "step_seconds"
    call = [sys.executable, "-c", _WATCHED, str(report), "claim", "run", name]
    facts = _watched([*call, f"output_dir={folder}", *settings])
    if facts["exit_status"] not in (0, 3):  # 3: not the committed verdict, still a run
        raise UserError(f"lossheads claim run {name} ended with status {facts['exit_status']}")
    results = [json.loads(path.read_text()) for path in folder.glob("runs/*/result.json")]
    return facts | {
        "seconds_in_runs": sum(result["seconds"] for result in results),
        "seconds_in_steps": json.loads(report.read_text()),
    }


def _watched(call: Sequence[str]) -> dict[str, Any]:
    started = perf_counter()
    process = subprocess.Popen(call, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = perf_counter() - started
    # Kibibytes on Linux, bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "seconds": seconds,
        "peak_bytes": used.ru_maxrss * unit,
        "exit_status": process.returncode,
    }
