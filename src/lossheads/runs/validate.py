"""What a configuration may not ask, found before anything is read or written."""

import math
from collections.abc import Mapping
from typing import Any

import torch

from lossheads.datasets.dataset import Dataset
from lossheads.engine.member import BackboneBuilder
from lossheads.errors import UserError, near_matches
from lossheads.heads.base import Head
from lossheads.metrics import Metric, find_metric, metrics_for, per_class_metrics_for
from lossheads.metrics.evaluate import ALL_METRICS
from lossheads.outcomes import AnyOf, Outcome
from lossheads.records import direction

_LEAST = {
    "seed": 0,
    "data_seed": 0,
    "training.batch_size": 1,
    "training.validations_per_epoch": 1,
    "training.patience": 1,
    "training.steps": 0,
    "training.epochs": 0,
    "cohort.max_members": 1,
    "optimizer.lr": 0,
    "optimizer.momentum": 0,
    "optimizer.dampening": 0,
    "optimizer.weight_decay": 0,
}
# The first two are slips, more than anybody waits for; the others diverge, or climb.
_MOST = {
    "training.epochs": 1_000_000,
    "training.steps": 1_000_000_000,
    "optimizer.momentum": 1,
    "optimizer.dampening": 1,
}
_MAX_VALIDATIONS = 1_000_000  # gigabytes of them, which nobody reads


def check_numbers(config: Mapping[str, Any], above: str = "") -> None:
    """Every number is finite, and those of a run lie in their range.

    Raises:
        UserError: Naming the first key that breaks a rule.
    """
    for name, value in config.items():
        key = f"{above}{name}"
        if isinstance(value, Mapping):
            check_numbers(value, f"{key}.")
        for number in value if isinstance(value, list | tuple) else [value]:
            if isinstance(number, float) and not math.isfinite(number):
                raise UserError(f"{key} must be finite, got {number}")
        if not is_number(value):
            continue  # a value of another type is refused where the part is built
        if key in _LEAST and value < _LEAST[key]:
            raise UserError(f"{key} must be at least {_LEAST[key]}, got {value}")
        if key == "optimizer.eps" and value <= 0:
            raise UserError(
                f"{key} must be above 0, got {value}: an input that is always 0 would give 0 / 0"
            )
        if key in _MOST and value > _MOST[key]:
            raise UserError(f"{key} must be at most {_MOST[key]:,}, got {value}")


def check_optimizer(options: Mapping[str, Any]) -> None:
    """Refuse settings of torch's optimizers whose ranges are no plain minimum or maximum.

    Args:
        options: Keyword arguments of the optimizer, each of the right type.
    """
    betas = options.get("betas", ())
    if not all(0 <= beta < 1 for beta in betas):
        raise UserError(f"optimizer.betas must be at least 0 and below 1, got {list(betas)}")
    momentum, dampening = options.get("momentum", 0), options.get("dampening", 0)
    if options.get("nesterov", False) and (momentum == 0 or dampening != 0):
        raise UserError(
            f"optimizer.nesterov=true needs optimizer.momentum above 0 and optimizer.dampening=0, "
            f"got momentum={momentum} and dampening={dampening}"
        )


def is_number(value: object) -> bool:
    """Whether `value` is an int or a float; a bool is neither here."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_validations(validations: int) -> None:
    """Refuse more measuring steps than a result can hold."""
    if validations > _MAX_VALIDATIONS:
        raise UserError(
            f"training asks for {validations:,} measuring steps: a run keeps at most {_MAX_VALIDATIONS:,}; "
            f"lower training.validations_per_epoch, or train for fewer steps"
        )


def monitored_metric(config: Mapping[str, Any], outcome: Outcome) -> str:
    """Name of the metric shown while training and monitored_metric by early stopping."""
    name = config["training"]["monitor"]
    if name is None:
        return metrics_for(outcome)[0].name
    known = {metric.name: metric for metric in metrics_for(outcome)}
    if name not in known or not _can_be_monitored(known[name]):
        # Nothing is read yet: metrics that need the true posterior might be refused next.
        safe = (
            r.name for r in known.values() if _can_be_monitored(r) and not r.needs_true_posterior
        )
        raise UserError(
            f"training.monitor={name}: {_why_not_monitored(name, outcome)}; {near_matches(name, safe)}"
        )
    return str(name)


def _can_be_monitored(metric: Metric) -> bool:
    return metric.at_every_validation and direction(metric.name) != 0


def _why_not_monitored(name: str, outcome: Outcome) -> str:
    if any(metric.name == name for metric in metrics_for(outcome)):
        return "it is measured at the end only, or has no better side"
    if any(metric.name == name for metric in per_class_metrics_for(outcome)):
        return "it gives one value per class, and one number is monitored_metric"
    if any(metric.name == name for metric in ALL_METRICS):
        return f"it has no meaning for {outcome}"
    return f"no metric {name!r}"


def check_truth(config: Mapping[str, Any], dataset: Dataset) -> None:
    """Refuse to monitor a distance to the true posterior where the data do not know it."""
    name = monitored_metric(config, dataset.outcome)
    if (
        dataset.val.true_posterior is None
        and find_metric(name, dataset.outcome).needs_true_posterior
    ):
        raise UserError(
            f"training.monitor={name}: it measures the distance to the true posterior, which "
            f"{dataset.provenance.name} does not know; use nll_loss, or data that are drawn "
            f"(dataset=synthetic_blobs)"
        )


def try_head(head: Head, name: str) -> None:
    """Let a head compute its loss on two rows of zeros, so that broken options show at once.

    Raises:
        UserError: With what the head said.
    """
    if not hasattr(head, "outcome"):
        raise UserError(f"head {name} makes {head!r}: it needs a head, see lossheads.heads.base")
    outcome = head.outcome
    rates = torch.full(outcome.columns, 1 / outcome.n, dtype=torch.float64)
    try:
        ready = head.with_base_rates(rates)
        labels = _two_labels(outcome)
        logits = torch.zeros(2, ready.num_logits)
        losses = ready.loss(logits, ready.encode(labels))
        log_probs, decisions = ready.log_probs(logits), ready.decide(logits)
    except UserError:
        raise
    except Exception as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"head {name} cannot compute a loss and decisions for {outcome}: {said}"
        ) from error
    if losses.shape != (2,):
        raise UserError(
            f"head {name} gives a loss of shape {tuple(losses.shape)} for 2 rows: it needs one "
            f"value per row, shape (2,)"
        )
    events = (2, *outcome.columns, 2) if isinstance(outcome, AnyOf) else (2, *outcome.columns)
    for what, given in (
        ("log_probs", (log_probs, events)),
        ("decisions", (decisions, events[:-1])),
    ):
        if given[0].shape != given[1]:
            raise UserError(
                f"head {name} gives {what} of shape {tuple(given[0].shape)} for 2 rows: {outcome} "
                f"needs {given[1]}"
            )


def try_backbone(backbone: BackboneBuilder, shape: tuple[int, ...]) -> None:
    """Refuse a backbone that does not turn two rows of zeros into two rows of features."""
    with torch.no_grad():
        features = backbone(shape)(torch.zeros(2, *shape))
    if features.ndim != 2 or len(features) != 2:
        raise ValueError(f"its features have the shape {tuple(features.shape)}, not (2, features)")


def _two_labels(outcome: Outcome) -> torch.Tensor:
    if outcome.soft:
        return torch.full((2, *outcome.columns), 1 / outcome.n)
    if isinstance(outcome, AnyOf):
        return torch.zeros(2, outcome.n, dtype=torch.bool)
    return torch.zeros(2, *outcome.columns[:-1], dtype=torch.int64)
