"""Heads and data of finished runs that kept their predictions: nothing of a run is believed.

A folder of runs may be a stranger's. Its heads and data sets are those of packages that the user
trusts; data are looked for where the user lets runs look, nothing is fetched or written, and what
was found is used only where its test split has the digest of the predictions.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lossheads.analysis.bars import as_pixels
from lossheads.analysis.format import count_of
from lossheads.datasets.dataset import Dataset, DatasetSource
from lossheads.datasets.reading_only import reading_only
from lossheads.errors import UserError
from lossheads.heads.base import Head
from lossheads.heads.criterion import with_softness
from lossheads.outcomes import AnyOf, base_rates, check_labels
from lossheads.predictions_file import NAME, SavedPredictions
from lossheads.records import Result
from lossheads.runs.build import build, build_for, build_source, is_admitted

MOST_CLASSES = 2_000  # of a group
Image = NDArray[np.uint8] | None


class RunParts:
    """Heads and data sets as runs name them, made and read when they are first asked for.

    Args:
        trust: Packages whose heads and data sets these runs may name.
        data: Folders, beside the current one, in which files that runs name are read.
    """

    def __init__(self, trust: Sequence[str] = (), data: Sequence[Path] = ()) -> None:
        self._trust = list(trust)
        self._folders = [folder.resolve() for folder in (Path.cwd(), *data)]
        self._heads: dict[str, Head] = {}
        self._sources: dict[str, tuple[Result, Path]] = {}
        self._loaded: dict[str, tuple[Dataset | None, str]] = {}

    def read(self, run: Result, saved: SavedPredictions, outputs: Path) -> tuple[Head, Tensor]:
        """The run's head, ready to read its kept logits, and the labels: both for hard labels.

        It has the base rates of training where it reads with them.

        Args:
            outputs: The folder that holds `runs/` and `cache/`.

        Raises:
            UserError: If the run names none that this user has, or the file does not fit it.
        """
        digest = saved.examples_digest
        self._sources.setdefault(digest, (run, outputs))
        known = json.dumps([run.config.get("head"), run.config.get("dataset"), digest])
        if known not in self._heads:
            self._heads[known] = self._ready(self._built(run), digest)
        head = self._heads[known]
        labels = head.outcome.hard(_fitting_labels(head, run, saved))
        return with_softness(head, False) if head.outcome.soft else head, labels

    def picture(self, digest: str, row: int) -> tuple[Image, str]:
        """A row of the test split as a picture, or why there is none."""
        data, reason = self._data(digest)
        if data is None:
            return None, reason
        if not 0 <= row < len(data.test):
            return None, "the data have no such row"
        try:
            return as_pixels(data.test.inputs[row].numpy()), ""
        except ValueError:
            return None, f"inputs of shape {tuple(data.test.inputs.shape[1:])} are no picture"

    def _built(self, run: Result) -> Head:
        config = self._config(run)
        self._refuse_untrusted(run.name, config)
        source = self._source(config)
        try:
            with reading_only():
                outcome = source.outcome  # of a user's files: what their labels show
        except Exception:  # whose words may be those of a file that is nobody's business
            raise UserError(
                f"the head of {run.name} cannot be told: its data are not at hand"
            ) from None
        # Losses of groups may look at every pair of classes.
        if len(outcome.columns) > 1 and outcome.columns[-1] > MOST_CLASSES:
            raise UserError(
                f"the head of {run.name} is for groups of {outcome.columns[-1]:,} classes: for a "
                f"page at most {MOST_CLASSES:,}"
            )
        return build_for(build("head", config["head"], self._trust), outcome)

    def _refuse_untrusted(self, name: str, config: Mapping[str, Any]) -> None:
        """Say whose the head is, where all that is amiss is that its package is not trusted."""
        for role in ("head", "dataset"):
            node = config[role]
            path = node.get("_target_") if isinstance(node, Mapping) else None
            if not isinstance(path, str) or is_admitted(role, path, self._trust):
                continue
            package = path.split(".")[0]
            if package.isidentifier() and package != "lossheads":
                raise UserError(
                    f"{name} has a {role} of the package {package}, which is not trusted: add "
                    f"--trust {package} if you trust it"
                )

    def _config(self, run: Result) -> Mapping[str, Any]:
        parts = {key: run.config.get(key) for key in ("head", "dataset", "data_dir")}
        return {**parts, "trust": self._trust}

    def _source(self, config: Mapping[str, Any]) -> DatasetSource:
        with reading_only():
            source = build_source(config)
        for named in (getattr(source, "path", None), config["data_dir"]):
            if isinstance(named, str):
                self._refuse_outside(named)
        return source

    def _refuse_outside(self, named: str) -> None:
        try:
            path = Path(named).expanduser().resolve()
        except (OSError, RuntimeError, ValueError):  # a circle of links, no such user, a NUL
            path = None
        if path is None or not any(path.is_relative_to(folder) for folder in self._folders):
            raise UserError(
                f"these runs name data at {named}, outside the current folder: add --data FOLDER "
                f"to have them read from there"
            )

    def _data(self, digest: str) -> tuple[Dataset | None, str]:
        """The data whose test split has this digest; or None, and why."""
        if digest not in self._loaded:
            self._loaded[digest] = self._load(digest)
        return self._loaded[digest]

    def _load(self, digest: str) -> tuple[Dataset | None, str]:
        run, outputs = self._sources[digest]
        config = self._config(run)
        data_dir = config["data_dir"]
        try:
            source = self._source(config)
        except UserError as error:
            return None, str(error)
        try:
            with reading_only():
                folder = Path(data_dir) if data_dir else None
                data = source.load(folder, outputs / "cache")
                found = data.test.digest(source.outcome)
        except Exception:  # whatever a reader makes of files, which are not told what they say
            return None, "the data of these runs are not at hand, and nothing is fetched for them"
        if found != digest:
            return None, "the data have changed since these runs were trained"
        return data, ""

    def _ready(self, head: Head, digest: str) -> Head:
        """The head with the base rates of training, where its reading uses them."""
        zeros = torch.zeros(1, head.num_logits)
        try:
            head.decide(zeros)
            head.log_probs(zeros)
        except UserError:
            data, reason = self._data(digest)
            if data is None:
                raise UserError(
                    f"{type(head).__name__} reads logits with the base rates of training: {reason}"
                ) from None
            return head.with_base_rates(base_rates(data.outcome, data.train.labels))
        return head


def left_out(refused: Sequence[UserError]) -> list[str]:
    """A note on runs that could not be read: why the first one, and how many more."""
    if not refused:
        return []
    others = count_of(len(refused) - 1, "more run")
    return [f"Left out: {refused[0]}{f' ({others}, too)' if len(refused) > 1 else ''}."]


def _fitting_labels(head: Head, run: Result, saved: SavedPredictions) -> Tensor:
    """The labels, once it is known that all the file holds can be this head's on these classes."""
    file = f"{NAME} of {run.name}"
    if saved.logits.shape[1] != head.num_logits:
        raise UserError(
            f"{file} holds {saved.logits.shape[1]} logits a row, but its head has "
            f"{head.num_logits}: train the run again with force=true"
        )
    if len(run.class_names) != head.outcome.n:
        raise UserError(
            f"{run.name} names {len(run.class_names)} classes, but its head has {head.outcome.n}: "
            f"train the run again with force=true"
        )
    if not np.isfinite(saved.logits).all():
        raise UserError(f"{file} holds logits that are not finite: leave the run out")
    labels = torch.from_numpy(np.array(saved.labels))
    if isinstance(head.outcome, AnyOf) and not head.outcome.soft:
        labels = labels.bool()
    check_labels(head.outcome, labels, file)
    return labels
