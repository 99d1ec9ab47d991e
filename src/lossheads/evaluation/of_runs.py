"""What each test example moves the metrics of a finished run, from the predictions it kept."""

import math
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from lossheads.analysis.estimates import Influence
from lossheads.errors import UserError
from lossheads.evaluation.sampling import (
    Forms,
    Sampled,
    Sampler,
    forms_of,
    rows_from,
    sample_others,
)
from lossheads.metrics.base import Metric
from lossheads.predictions import predict
from lossheads.predictions_file import read_predictions
from lossheads.records import Result
from lossheads.runs.build import build_head, build_metrics
from lossheads.runs.folder import run_path


def influences(
    config: Mapping[str, Any], run: Result, names: Collection[str]
) -> dict[str, Influence]:
    """Of these metrics of a run, by name; those are left out of which it is not known.

    Empty where the run kept no predictions, they are not of the examples it was measured on, or
    the head reads logits with base rates of training that are not kept: what is not sure to belong
    to a number is not used for it.
    """
    try:
        # The run's own configuration names its folder: it holds the digests of the user's code and
        # files, which are part of the key and which `config` need not have.
        saved = read_predictions(run_path({**run.config, "output_dir": config["output_dir"]}))
    except UserError:
        return {}
    correct = run.test.correct
    if correct is None or saved.examples_digest != correct.examples_digest:
        return {}
    head: Any = build_head(config)  # hashable, as its cohort takes it to be
    logits, labels = torch.from_numpy(saved.logits), torch.from_numpy(np.array(saved.labels))
    try:
        predictions = predict(head, logits, labels)
    except UserError:
        return {}
    metrics = build_metrics(config).scalar_for(head.outcome)
    asked = tuple(m for m in metrics if m.name in names and m.is_defined_for(predictions))
    forms = _forms(head, asked)
    sampler = Sampler(forms, rows_from(forms, predictions))
    found = sampler.sampled() | sample_others(sampler, predictions)
    return {
        name: _influence(one)
        for name, one in found.items()
        if _agrees(one.value, run.test.metrics[name]) and np.isfinite(one.influence).all()
    }


@lru_cache(maxsize=128)  # heads at different seeds are equal
def _forms(head: Any, metrics: tuple[Metric, ...]) -> Forms:
    return forms_of(head, metrics)


def _agrees(value: float, recorded: float) -> bool:
    """Up to what other vector instructions or another device do to last bits."""
    return math.isclose(value, recorded, rel_tol=1e-4, abs_tol=1e-6)


def _influence(one: Sampled) -> Influence:
    edge = one.edge_units if one.in_unit_interval else math.inf
    return Influence(one.influence.astype(np.float32), edge)
