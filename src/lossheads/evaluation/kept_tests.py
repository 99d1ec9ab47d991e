"""Kept predictions of runs as the plain arrays that pictures draw; heads read the logits."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lossheads.analysis.format import count_of
from lossheads.analysis.kept import KeptRun, KeptTest, NoneReadable
from lossheads.errors import UserError
from lossheads.evaluation.run_parts import RunParts, left_out
from lossheads.heads.base import Head
from lossheads.outcomes import AnyOf
from lossheads.predictions_file import NAME, SavedPredictions, read_predictions
from lossheads.records import Result

# Columns of one run that are looked at; of larger test splits every nth example stands for all.
_MOST_CELLS = 2_000_000


def kept_test(
    outputs: Path, runs: Sequence[Result], trust: Sequence[str] = (), data: Sequence[Path] = ()
) -> KeptTest:
    """What those of the runs that kept their predictions say of their test split.

    Args:
        trust: Packages whose heads and data sets these runs may name.
        data: Folders, beside the current one, in which files that these runs name are read.

    Raises:
        UserError: If no run kept predictions that can be read.
    """
    found, rows = dict[str, KeptRun](), None
    parts, refused = RunParts(trust, data), list[UserError]()
    step, shape = 1, tuple[int, ...]()
    for run in runs:
        folder = outputs / "runs" / run.name
        if not (folder / NAME).is_file():
            continue
        try:
            saved = read_predictions(folder)
            head, labels = parts.read(run, saved, outputs)
            own = (len(saved.logits), *head.outcome.columns)
            if rows is not None and own != shape:
                raise UserError(f"{run.name} has another test split than the runs before it")
        except UserError as error:
            refused.append(error)
            continue
        if rows is None:
            shape, step = own, -(-int(np.prod(own)) // _MOST_CELLS)
            rows = saved.example_ids[::step]
            per_group = 1 if isinstance(head.outcome, AnyOf) else own[-1]
        found[run.key] = _kept(head, labels[::step], saved, step)
    if rows is None and refused:
        raise NoneReadable(str(refused[0])) from refused[0]
    if rows is None:
        raise UserError(
            "none of these runs kept its predictions: train with recording.predictions=true, and "
            "with force=true where a run is finished"
        )
    notes = left_out(refused)
    if len(found) < len(runs):
        notes.append(f"{len(found)} of {count_of(len(runs), 'run')} kept predictions to be read.")
    if step > 1:
        notes.append(f"Every {step}th test example stands for all.")
    return KeptTest(found, rows, per_group, lambda *at: parts.picture(*at)[0], tuple(notes))


def _kept(head: Head, labels: Tensor, saved: SavedPredictions, step: int) -> KeptRun:
    logits, outcome = torch.from_numpy(saved.logits[::step]).double(), head.outcome
    n, columns = len(logits), int(np.prod(outcome.columns))
    probabilities = head.log_probs(logits).exp()
    if isinstance(outcome, AnyOf):
        probabilities = probabilities[..., 1]
    one_each = head.num_logits == columns
    return KeptRun(
        scores=head.scores(logits).reshape(n, columns).float().numpy(),
        probabilities=probabilities.reshape(n, columns).float().numpy(),
        sigmoids=logits.sigmoid().float().numpy() if one_each else None,
        decided=outcome.indicators(head.decide(logits)).reshape(n, columns).numpy() > 0.5,
        present=outcome.indicators(labels).reshape(n, columns).numpy() > 0.5,
        digest=saved.examples_digest,
    )
