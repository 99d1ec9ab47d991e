"""Whole processes from start to end: seconds of `--help`, seconds and memory of a claim."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks.training_speed import ENVIRONMENT
from lossheads.errors import UserError

CLAIM = "bce-97-vs-cce-90"

# Runs the command line with a clock around every optimizer step; steps on a CPU are done when
# they return.
_TIMED_MAIN = """
import json, sys
from pathlib import Path
from time import perf_counter
from lossheads.engine.cohort import SingleMemberCohort, StackedCohort

seconds = 0.0

def time_steps(kind):
    step = kind.step
    def timed(self, *args):
        global seconds
        started = perf_counter()
        losses = step(self, *args)
        seconds += perf_counter() - started
        return losses
    kind.step = timed

time_steps(SingleMemberCohort)
time_steps(StackedCohort)
report = Path(sys.argv.pop(1))
from lossheads.cli.main import main
try:
    main()
finally:
    report.write_text(json.dumps(seconds))
"""


def help_seconds(times: int) -> dict[str, Any]:
    """Wall seconds of `lossheads --help`, its files already in the page cache."""
    call = [sys.executable, "-m", "lossheads", "--help"]
    walls = [_timed(call)["seconds"] for _ in range(times + 1)][1:]
    return {"median_seconds": median(walls), "rounds": walls}


def claim(name: str, folder: Path, settings: Sequence[str] = ()) -> dict[str, Any]:
    """Wall seconds and peak memory of `lossheads claim run`, and what steps took of its runs.

    Args:
        folder: An empty folder for outputs; its cache/ may hold the data set already.
        settings: Further overrides, such as `seeds=2`.

    Returns:
        `seconds`, `peak_bytes` (of the largest process), `exit_status`, `seconds_in_runs` (from
        building nets to the last file), `seconds_in_steps` (forward, backward, optimizer).

    Raises:
        UserError: When the command fails; its message has been printed by then.
    """
    report = folder / "step_seconds"
    call = [sys.executable, "-c", _TIMED_MAIN, str(report), "claim", "run", name]
    facts = _timed([*call, f"output_dir={folder}", *settings])
    if facts["exit_status"] not in (0, 3):  # 3: not the committed verdict, still a run
        raise UserError(f"lossheads claim run {name} ended with status {facts['exit_status']}")
    results = [json.loads(path.read_text()) for path in folder.glob("runs/*/result.json")]
    return facts | {
        "seconds_in_runs": sum(result["seconds"] for result in results),
        "seconds_in_steps": json.loads(report.read_text()),
    }


def _timed(call: Sequence[str]) -> dict[str, Any]:
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
