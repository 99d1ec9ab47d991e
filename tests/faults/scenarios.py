"""Commands that faults happen to: each in a folder prepared once, its uninterrupted end known."""

import atexit
import shutil
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from calling import Call

from .comparing import contents, statuses

INJECTING = str(Path(__file__).with_name("injecting.py"))

RUN = ["train", "dataset=digits", "model=linear", "training.steps=18"]
RUN += ["recording.weights=true", "recording.predictions=true"]
SWEEP = [*RUN, "-m", "seed=1,2,3"]  # two threads, of one member and of two
BARE = [*SWEEP, "recording.tensorboard=false", "recording.predictions=false"]
RESUMED = [*RUN, "training.patience=2", "checkpoint.every_steps=1"]
RESUMED_SWEEP = [*BARE, "optimizer.lr=0.01,0.02", "checkpoint.every_steps=2"]
PROCESSES = ["train", "dataset=digits", "model.hidden=[4]"]
PROCESSES += ["optimizer.fused=false"]  # cannot be stacked
PROCESSES += ["training.steps=600", "recording.weights=true", "-m", "seed=0,1"]
CLAIM = ["claim", "run", "mine.yaml"]
REFERENCE = [*CLAIM, "--save-reference", "--reference", "outputs/claims/kept"]

CLAIM_FILE = """\
source: {document: d.txt, url: "https://example.org/1", date: 2019-11, framework: Keras 2.3}
says: A is better than B.
statement: On the test split A scores higher than B.
explanation: No reason known.
would_change: More seeds.
shared: {dataset: digits, model: linear, training.steps: 18}
arms:
  a: {head: softmax_cce}
  b: {head: sigmoid_bce}
protocol: same_rate
seeds: 2
hypotheses:
  better: {metric: accuracy_score, arms: [a, b], relation: greater, margin: 0.01}
verdict: {reproduced: [better]}
"""


@dataclass(frozen=True)
class Scenario:
    """A command, what was done in its folder before, and how long it may take in seconds."""

    words: list[str]
    before: tuple[list[str], ...] = ()
    long: bool = False


SCENARIOS = {
    "run": Scenario(RUN),
    "cohort": Scenario(SWEEP),
    "force": Scenario([*RUN, "force=true"], (RUN,)),
    "forced cohort": Scenario([*BARE, "force=true"], (BARE,)),
    "resumed": Scenario(RESUMED),
    "resumed cohort": Scenario(RESUMED_SWEEP),
    "claim": Scenario(CLAIM),
    "reference": Scenario(REFERENCE, (REFERENCE,)),
    "page": Scenario(["report", "--html", "outputs/page.html"], (SWEEP,)),
    "processes": Scenario(PROCESSES, long=True),
}


@dataclass(frozen=True)
class Known:
    """A scenario's prepared folder, what it holds in the end, how many changes that takes."""

    prepared: Path
    end: dict[str, Any]
    changes: int
    seconds: float


def call(words: list[str], cwd: Path, *prepare: Any, seconds: int = 120) -> Call:
    """`lossheads WORDS`, spoilt by a function of `injecting`: its name and its arguments."""
    fault = (INJECTING, *prepare) if prepare else None
    return Call("lossheads", *words, cwd=cwd, prepare=fault, seconds=seconds)  # type: ignore[arg-type]


def spoilt(words: list[str], cwd: Path, *prepare: Any) -> CompletedProcess[str]:
    """The command with a fault that it brings upon itself."""
    with call(words, cwd, *prepare) as at_work:
        return counted(at_work.result())


def counted(ended: CompletedProcess[str]) -> CompletedProcess[str]:
    """Note how a call with a fault ended, and hand it on."""
    statuses.append(ended.returncode)
    return ended


def done(words: list[str], cwd: Path) -> CompletedProcess[str]:
    """The command without a fault."""
    with call(words, cwd) as at_work:
        return at_work.result()


@cache
def known(name: str) -> Known:
    """Prepare a scenario and carry it out once, uninterrupted."""
    scenario, room = SCENARIOS[name], Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, room, ignore_errors=True)
    prepared, finished, count = room / "prepared", room / "finished", room / "count"
    prepared.mkdir()
    (prepared / "mine.yaml").write_text(CLAIM_FILE)
    for words in (["--version"], *scenario.before):  # the first call of all takes its time
        earlier = done(words, prepared)
        assert earlier.returncode == 0, earlier.stderr
    shutil.copytree(prepared, finished)
    counting = {"folder": str(finished), "into": str(count)}
    started = time.monotonic()
    with call(scenario.words, finished, "count_changes", counting) as at_work:
        ended = at_work.result()
    assert ended.returncode == 0, ended.stderr
    seconds = time.monotonic() - started
    return Known(prepared, contents(finished / "outputs"), count.stat().st_size, seconds)
