"""Run folders written by hand: a head's logits on a small drawn data set, without training."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from analysis.making import run
from lossheads.datasets.dataset import Dataset
from lossheads.predictions_file import SavedPredictions, write_predictions
from lossheads.records import Result, write_result
from lossheads.runs.build import build
from lossheads.runs.config import config_folder

SMALL = {"train": 200, "val": 20, "test": 40}


def part(group: str, name: str, **options: Any) -> dict[str, Any]:
    """The YAML of a shipped part, some of its options changed."""
    text = (config_folder() / group / f"{name}.yaml").read_text(encoding="utf-8")
    return {**yaml.safe_load(text), **options}


def data_of(node: dict[str, Any]) -> Dataset:
    found: Dataset = build("dataset", node, ()).load(None, Path())
    return found


def kept_run(
    outputs: Path, head: str, node: dict[str, Any], seed: int = 0, **changed: Any
) -> tuple[Result, SavedPredictions]:
    """A finished run of a head on a data set, logits drawn; `changed` are arrays of it."""
    data = data_of(node)
    head_node = part("head", head)
    made = build("head", head_node, ())(data.outcome)
    labels = data.test.labels
    drawn = np.random.default_rng(seed).normal(size=(len(labels), made.num_logits))
    arrays = {
        "logits": drawn.astype(np.float32),
        "labels": labels.numpy(),
        "example_ids": np.arange(len(labels)),
        "examples_digest": data.test.digest(data.outcome),
    }
    saved = SavedPredictions(**(arrays | changed))
    result = run(seed, [{"accuracy_score": 0.5}], head=head)
    config = {
        "seed": seed,
        "head": head_node,
        "dataset": node,
        "data_dir": None,
        "choices": {"dataset": "toy", "head": head},
    }
    names = list(data.class_names)
    result = replace(result, key=f"{head}{seed}", config=config, class_names=names)
    folder = outputs / "runs" / result.name
    folder.mkdir(parents=True)
    write_result(folder, result)
    write_predictions(folder, saved)
    return result, saved


def digits() -> dict[str, Any]:
    return part("dataset", "digits")


def groups(**options: Any) -> dict[str, Any]:
    return part("dataset", "synthetic_groups", groups=2, classes=3, **(SMALL | options))


def labels(**options: Any) -> dict[str, Any]:
    return part("dataset", "synthetic_multilabel", labels=3, **(SMALL | options))


def blobs(**options: Any) -> dict[str, Any]:
    sizes = {"classes": 3, "dimensions": 4}
    return part("dataset", "synthetic_blobs", **(SMALL | sizes | options))


def softmax(logits: Any) -> torch.Tensor:
    return torch.as_tensor(logits).double().softmax(-1)
