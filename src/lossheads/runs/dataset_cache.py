"""The datasets in use: loaded once, shared by the cohorts that train on them."""

import json
import threading
from collections import OrderedDict
from pathlib import Path

import torch

from lossheads.datasets.dataset import Dataset
from lossheads.errors import UserError, refusing_to_write
from lossheads.runs.plan import Run


class DatasetCache:
    """Keeps the last few datasets: cohorts of one dataset come one after the other."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._loaded: OrderedDict[str, Dataset] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, run: Run, device: torch.device) -> Dataset:
        """The run's dataset on `device`.

        Raises:
            UserError: If it cannot be read.
        """
        key = json.dumps([run.config["dataset"], run.config["data_dir"], str(device)], default=str)
        with self._lock:
            if key not in self._loaded:
                while len(self._loaded) >= self._capacity:
                    self._loaded.popitem(last=False)
                self._loaded[key] = _load(run).to(device)
            self._loaded.move_to_end(key)
            return self._loaded[key]


def _load(run: Run) -> Dataset:
    data_dir, cache = run.config["data_dir"], Path(run.config["output_dir"]) / "cache"
    with refusing_to_write(cache):
        dataset = run.parts.source.load(Path(data_dir) if data_dir else None, cache)
    if dataset.outcome != run.parts.source.outcome:  # the head was built for the source's
        raise UserError(
            f"{dataset.provenance.name} was loaded with labels of {dataset.outcome}, but its "
            f"source says {run.parts.source.outcome}: both must be equal"
        )
    return dataset
