"""`checkpoint.pt` in a run's folder: where its training stands, to go on from after a stop.

One file a run, not a cohort: whatever runs are trained together the next time, a member's bits are
its own. Read with torch's `weights_only`, so that a file made by somebody else runs nothing.
Torch compares no checksums when it reads: a damaged bit would train on to other numbers.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from pickle import PickleError, UnpicklingError
from typing import Annotated, Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import torch
from pydantic import Field, NonNegativeFloat, TypeAdapter

from lossheads import __version__
from lossheads.analysis.arms import flat
from lossheads.engine.early_stopping import EarlyStopping
from lossheads.engine.training import ForeignState, MemberHistory, MemberState, Plan
from lossheads.errors import UserError, reason
from lossheads.outcomes import Outcome
from lossheads.records import ValidationStep, run_key
from lossheads.runs.folder import CHECKPOINT
from lossheads.whole_files import whole_file

_SCHEMA_VERSION = 1
_STEPS = TypeAdapter(list[ValidationStep])
_SECONDS = TypeAdapter(NonNegativeFloat)
_THREADS = TypeAdapter(Annotated[int, Field(ge=1, le=1024)])


@dataclass(frozen=True)
class Checkpoint:
    """A member's state, and how its training went so far.

    Attributes:
        seconds: What it has taken.
        threads: Torch's, on a CPU: the last bits of what is not stacked depend on their number.
    """

    state: MemberState
    seconds: float
    threads: int


def write_checkpoint(
    folder: Path, config: Mapping[str, Any], state: MemberState, seconds: float
) -> None:
    """Write it aside, on the disk, then in the place of the one before.

    Raises:
        OSError: If it cannot be written; the one before is still there.
        ForeignState: If somebody's own optimizer keeps what could not be read back.
    """
    stopping = state.history.early_stopping
    content = {
        "schema_version": _SCHEMA_VERSION,
        "versions": _versions(),
        "config": json.dumps(config, default=str),
        "step": state.step,
        "cohort": dict(state.cohort),
        "losses": dict(state.losses),
        "validations": [asdict(step) for step in state.history.validations],
        "early_stopping": None if stopping is None else dict(vars(stopping)),
        "seconds": seconds,
        "threads": torch.get_num_threads(),
    }
    buffer = BytesIO()  # torch reports a full disk as an error of its own
    try:
        torch.save(content, buffer)
        torch.load(BytesIO(buffer.getbuffer()), weights_only=True)
    except (PickleError, AttributeError, TypeError) as error:
        raise ForeignState(
            "its optimizer's state holds more than tensors, numbers and text"
        ) from error
    with whole_file(folder / CHECKPOINT) as file:
        file.write(buffer.getbuffer())


def read_checkpoint(
    folder: Path, config: Mapping[str, Any], plan: Plan, outcome: Outcome
) -> Checkpoint | None:
    """The checkpoint of this run, if there is one.

    Raises:
        UserError: If it is damaged, of another configuration or made by other versions.
    """
    content = _content(folder)
    if content is None:
        return None
    path = folder / CHECKPOINT
    try:
        _refuse_other(path, content, config)
        return _checkpoint(content, plan, outcome)
    except UserError:
        raise
    except Exception as error:  # whatever a file may hold that was not written here
        raise _damaged(path, "what it holds is no state of this training") from error


def _checkpoint(content: Mapping[str, Any], plan: Plan, outcome: Outcome) -> Checkpoint:
    stopping = plan.early_stopping(outcome)
    if stopping is not None:
        stopping = EarlyStopping(**content["early_stopping"])
    history = MemberHistory(_STEPS.validate_python(content["validations"]), early_stopping=stopping)
    state = MemberState(content["step"], content["cohort"], content["losses"], history)
    state.check(plan)
    seconds = _SECONDS.validate_python(content["seconds"])
    return Checkpoint(state, seconds, _THREADS.validate_python(content["threads"]))


def checkpoint_step(folder: Path) -> int:
    """The step of its checkpoint; 0 without one, or with one that cannot be read."""
    try:
        content = _content(folder)
    except UserError:
        return 0
    return 0 if content is None else int(content["step"])


class Due:
    """Tells at which steps checkpoints are due.

    Args:
        settings: `checkpoint` of a configuration.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._every_steps, self._minutes = settings["every_steps"], settings["every_minutes"]
        self._last = time.monotonic()

    def __call__(self, step: int) -> bool:
        """Whether one is due now; then the minutes begin anew."""
        now = time.monotonic()
        due = self._minutes is not None and now - self._last >= 60 * self._minutes
        due = due or (self._every_steps is not None and step % self._every_steps == 0)
        if due:
            self._last = now
        return due


def _content(folder: Path) -> dict[str, Any] | None:
    path = folder / CHECKPOINT
    if not path.is_file():
        return None
    try:
        _refuse_changed(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
        missing = _KEYS - content.keys()
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path} cannot be read: {reason(error)}; change its rights") from error
    except UnpicklingError as error:
        raise _damaged(path, "it holds more than numbers and text") from error
    except Exception as error:  # torch and zip files have errors of many kinds
        fault = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise _damaged(path, fault) from error
    if missing:
        raise _damaged(path, f"it has no {min(missing)}")
    if type(content["step"]) is not int:
        raise _damaged(path, "its step is no number")
    return dict(content)


def _refuse_changed(path: Path) -> None:
    """Compare the checksums that torch writes; parts that grow when they are read are not ours."""
    try:
        with ZipFile(path) as parts:
            whole = all(part.compress_type == ZIP_STORED for part in parts.infolist())
            whole = whole and parts.testzip() is None
    except (BadZipFile, EOFError, NotImplementedError, ValueError):
        whole = False
    if not whole:
        raise _damaged(path, "it is not as it was written")


_KEYS = frozenset(
    [
        *("schema_version", "versions", "config", "step", "cohort", "losses", "validations"),
        *("seconds", "threads"),
    ]
)


def _damaged(path: Path, fault: str) -> UserError:
    return UserError(f"{path} is damaged: {fault}; delete it to train the run from its start")


def _versions() -> dict[str, str]:
    return {"lossheads": __version__, "torch": str(torch.__version__)}


def _refuse_other(path: Path, content: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    versions = {"schema": str(content["schema_version"]), **content["versions"]}
    here = {"schema": str(_SCHEMA_VERSION), **_versions()}
    other = [f"{name} {versions.get(name)} (here {here[name]})" for name in here]
    other = [
        text for name, text in zip(here, other, strict=True) if versions.get(name) != here[name]
    ]
    if other:
        raise UserError(
            f"{path} was made with {', '.join(other)}, whose last bits may differ: go on with it, "
            f"or delete it to train the run from its start"
        )
    made_for = json.loads(content["config"])
    if run_key(made_for) != run_key(config):
        ours, theirs = flat(json.loads(json.dumps(config, default=str))), flat(made_for)
        keys = sorted(key for key in ours | theirs if ours.get(key) != theirs.get(key))
        raise UserError(
            f"{path} is of another run: {', '.join(keys)} differ; delete it to train this one from "
            f"its start"
        )
