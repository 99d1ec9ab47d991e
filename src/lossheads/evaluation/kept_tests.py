"""Kept predictions of runs as the plain arrays that pictures draw; heads read the logits."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lossheads.analysis.bars import as_pixels
from lossheads.analysis.format import count_of
from lossheads.analysis.kept import KeptRun, KeptTest
from lossheads.datasets.dataset import Dataset
from lossheads.datasets.fetching import no_fetching
from lossheads.errors import UserError
from lossheads.heads.base import Head
from lossheads.heads.criterion import with_softness
from lossheads.outcomes import AnyOf, base_rates
from lossheads.predictions_file import SavedPredictions, read_predictions
from lossheads.records import Result
from lossheads.runs.build import build, build_head

Image = NDArray[np.uint8] | None
# Columns of one run that are looked at; of larger test splits every nth example stands for all.
_MOST_CELLS = 2_000_000


def kept_test(outputs: Path, runs: Sequence[Result], trust: Sequence[str] = ()) -> KeptTest:
    """What those of the runs that kept their predictions say of their test split.

    Args:
        trust: Packages whose heads and data sets these runs may name.

    Raises:
        UserError: If none of the runs kept its predictions, or theirs are damaged.
    """
    found, rows = dict[str, KeptRun](), None
    data, heads = _Data(outputs, trust), dict[str, Head]()
    for run in runs:
        path = outputs / "runs" / run.name
        if not (path / "predictions.npz").is_file():
            continue
        saved = read_predictions(path)
        config = {**run.config, "trust": list(trust)}
        data.sources.setdefault(saved.examples_digest, run)
        parts = [config["head"], config["dataset"], saved.examples_digest]
        known = json.dumps(parts, default=str, sort_keys=True)
        if known not in heads:
            heads[known] = data.ready(build_head(config), saved.examples_digest)
        head = heads[known]
        if saved.logits.shape[1] != head.num_logits:
            raise UserError(
                f"predictions.npz of {run.name} holds {saved.logits.shape[1]} logits a row, but "
                f"its head has {head.num_logits}: train the run again with force=true"
            )
        step = -(-len(saved.logits) * int(np.prod(head.outcome.columns)) // _MOST_CELLS)
        found[run.key] = _kept(head, saved, step)
        rows = saved.example_ids[::step] if rows is None else rows
    if rows is None:
        raise UserError(
            "none of these runs kept its predictions: train with recording.predictions=true, and "
            "with force=true where a run is finished"
        )
    outcome = next(iter(heads.values())).outcome
    per_group = 1 if isinstance(outcome, AnyOf) else outcome.columns[-1]
    notes = []
    if len(found) < len(runs):
        notes.append(f"{len(found)} of {count_of(len(runs), 'run')} kept their predictions.")
    if step > 1:
        notes.append(f"Every {step}th test example stands for all.")
    return KeptTest(found, rows, per_group, data.image, tuple(notes))


def _kept(head: Head, saved: SavedPredictions, step: int) -> KeptRun:
    logits = torch.from_numpy(saved.logits[::step]).double()
    labels = torch.from_numpy(np.array(saved.labels[::step]))
    hard = with_softness(head, False) if head.outcome.soft else head
    outcome = hard.outcome
    n, columns = len(logits), int(np.prod(outcome.columns))
    probabilities = hard.log_probs(logits).exp()
    if isinstance(outcome, AnyOf):
        probabilities = probabilities[..., 1]
    one_each = hard.num_logits == columns
    return KeptRun(
        scores=hard.scores(logits).reshape(n, columns).float().numpy(),
        probabilities=probabilities.reshape(n, columns).float().numpy(),
        sigmoids=logits.sigmoid().float().numpy() if one_each else None,
        decided=outcome.indicators(hard.decide(logits)).reshape(n, columns).numpy() > 0.5,
        present=outcome.indicators(head.outcome.hard(labels)).reshape(n, columns).numpy() > 0.5,
        digest=saved.examples_digest,
    )


class _Data:
    """Data sets of runs, as they are on this disk, read when they are first asked for."""

    def __init__(self, outputs: Path, trust: Sequence[str]) -> None:
        self._outputs, self._trust = outputs, trust
        self._loaded: dict[str, Dataset | None] = {}
        self.sources: dict[str, Result] = {}

    def get(self, digest: str) -> Dataset | None:
        """The data whose test split has this digest; None where it is not at hand."""
        if digest not in self._loaded:
            self._loaded[digest] = self._load(digest)
        return self._loaded[digest]

    def _load(self, digest: str) -> Dataset | None:
        run = self.sources[digest]
        data_dir = run.config["data_dir"]
        try:
            source = build("dataset", run.config["dataset"], self._trust)
            with no_fetching():  # a report looks at the disk alone
                data: Dataset = source.load(
                    Path(data_dir) if data_dir else None, self._outputs / "cache"
                )
        except (UserError, OSError):
            return None
        return data if data.test.digest(source.outcome) == digest else None

    def image(self, digest: str, row: int) -> Image:
        """A row of the test split as a picture, if it is one."""
        data = self.get(digest)
        if data is None or row >= len(data.test):
            return None
        try:
            return as_pixels(data.test.inputs[row].numpy())
        except ValueError:
            return None

    def ready(self, head: Head, digest: str) -> Head:
        """The head with the base rates of training, where its reading uses them."""
        try:
            head.decide(torch.zeros(1, head.num_logits))
            head.log_probs(torch.zeros(1, head.num_logits))
        except UserError:
            data = self.get(digest)
            if data is None:
                raise
            return head.with_base_rates(base_rates(data.outcome, data.train.labels))
        return head
