"""The cases of ask_libraries.py as our predictions, and our number for each of its keys."""

from dataclasses import replace

import torch

from lossheads.dialects import DIALECTS, Setting
from lossheads.metrics.frameworks import (
    QUANTITY_METRICS,
    mean_of_batches,
    printed_macro_recall,
    setting_of,
)
from lossheads.outcomes import AnyOf, OneOf
from lossheads.predictions import Predictions

from .ask_libraries import many, problem

BY_KEY = {dialect.key: dialect for dialect in DIALECTS}


def predictions(case: str, seed: int) -> Predictions:
    """Only what a library sees is filled in; scores and decisions of a head are zeros."""
    outputs, logits, labels, target = map(torch.as_tensor, problem(case, seed))
    n, units = outputs.shape
    outcome = AnyOf(units) if case.startswith("labels") else OneOf(max(units, 2))
    several = isinstance(outcome, AnyOf)
    return Predictions(
        outcome=outcome,
        labels=labels.bool() if several else labels,
        scores=torch.zeros(n, *outcome.columns),
        log_probs=torch.zeros(n, *outcome.events, dtype=torch.float64),
        decisions=torch.zeros_like(labels).bool() if several else torch.zeros_like(labels),
        framework_outputs=outputs,
        framework_target=target,
        framework_loss="categorical_crossentropy" if many(case) else "binary_crossentropy",
        logits=logits,
    )


def ours(key: str, p: Predictions) -> float:
    """Our number for a key of ask_libraries.py."""
    name, _, how = key.partition(", ")
    if how == "macro in batches":
        return mean_of_batches(printed_macro_recall, p, 8)
    setting = setting_of(p, "logits" if how == "logits" else "probabilities")
    if how in ("bce", "logits"):
        setting = Setting(setting.kind, setting.one_unit, "binary_crossentropy", setting.ends_in)
    quantity = BY_KEY[name].reads(setting)
    assert quantity is not None, key
    if quantity == "argmax" and how == "logits":  # rounded on a grid of their own: other ties
        p = replace(p, framework_outputs=p.logits)
    return QUANTITY_METRICS[quantity](p)
