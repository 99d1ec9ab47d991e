"""Checks of a configuration and its parts, before anything is read or written."""

import inspect
import math
from collections.abc import Mapping
from typing import Any

import torch

from lossheads.datasets.dataset import Dataset
from lossheads.engine.augmentation import MAX_CROP, Augmentation
from lossheads.engine.member import BackboneBuilder
from lossheads.errors import UserError, near_matches
from lossheads.heads.base import Head, log_odds
from lossheads.metrics import Metric, MetricSet, PerClassMetric
from lossheads.outcomes import AnyOf, Outcome
from lossheads.predictions import predict
from lossheads.runs.device import free_bytes

_MINIMUM = {
    "seed": 0,
    "data_seed": 0,
    "training.batch_size": 1,
    "training.validations_per_epoch": 1,
    "training.patience": 1,
    "training.random_crop": 0,
    "training.steps": 0,
    "training.epochs": 0,
    "cohort.max_members": 1,
    "executor.runs_per_job": 1,
    "executor.parallelism": 1,
    "executor.cpus": 1,
    "executor.gpus": 0,
    "executor.time": 1,
    "executor.requeues": 0,
    "executor.retries": 0,
    "checkpoint.every_steps": 1,
    "checkpoint.every_minutes": 0,
    "optimizer.lr": 0,
    "optimizer.momentum": 0,
    "optimizer.dampening": 0,
    "optimizer.weight_decay": 0,
}
# Larger values are typing errors, or make training diverge.
_MAXIMUM = {
    "training.epochs": 1_000_000,
    "training.steps": 1_000_000_000,
    "optimizer.momentum": 1,
    "optimizer.dampening": 1,
}
_MAX_VALIDATIONS = 1_000_000  # gigabytes of results


def check_numbers(config: Mapping[str, Any], prefix: str = "") -> None:
    """Refuse numbers that are not finite or out of range.

    Raises:
        UserError: Naming the first key that breaks a rule.
    """
    for name, value in config.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping):
            check_numbers(value, f"{key}.")
        for number in value if isinstance(value, list | tuple) else [value]:
            if isinstance(number, float) and not math.isfinite(number):
                raise UserError(f"{key} must be finite, got {number}")
        if not is_number(value):
            continue  # a value of another type is refused where the part is built
        if key in _MINIMUM and value < _MINIMUM[key]:
            raise UserError(f"{key} must be at least {_MINIMUM[key]}, got {value}")
        if key == "optimizer.eps" and value <= 0:
            raise UserError(
                f"{key} must be above 0, got {value}: an input that is always 0 would give 0 / 0"
            )
        if key in _MAXIMUM and value > _MAXIMUM[key]:
            raise UserError(f"{key} must be at most {_MAXIMUM[key]:,}, got {value}")


def check_output_layer(layer: Mapping[str, Any]) -> None:
    """Refuse a temperature that is none, and a bias where cosines have none.

    Raises:
        UserError: Naming the key.
    """
    cosine = layer.get("cosine_temperature")
    if cosine is None:
        return
    if cosine <= 0:
        raise UserError(
            f"output_layer.cosine_temperature must be above 0, got {cosine}; null is a linear layer"
        )
    if layer["prior_bias"]:
        raise UserError(
            f"output_layer.prior_bias=true needs a bias, and cosines "
            f"(output_layer.cosine_temperature={cosine}) have none: leave one of them out"
        )


def check_augmentation(augmentation: Augmentation | None, dataset: Dataset) -> None:
    """Refuse crops and mirror images of inputs that are no images, and crops that lose all."""
    if augmentation is None:
        return
    shape, name = dataset.input_shape, dataset.provenance.name
    if len(shape) != 3:
        raise UserError(
            f"training.random_crop and training.random_flip need images of shape (channels, "
            f"height, width), got inputs of shape {shape} ({name}): leave them at 0 and false"
        )
    most = min(*shape[1:], MAX_CROP + 1) - 1
    if augmentation.crop > most:
        raise UserError(
            f"training.random_crop must be at most {most} for images of {shape[1]} × {shape[2]} "
            f"({name}), got {augmentation.crop}"
        )


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
    """Refuse more validation steps than a result can hold."""
    if validations > _MAX_VALIDATIONS:
        raise UserError(
            f"training would validate {validations:,} times, at most {_MAX_VALIDATIONS:,} are "
            "kept; lower training.validations_per_epoch, or train for fewer steps"
        )


def monitored_metric(config: Mapping[str, Any], outcome: Outcome, metrics: MetricSet) -> str:
    """Name of the metric shown during training and monitored by early stopping."""
    name = config["training"]["monitor"]
    if name is None:
        return metrics.scalar_for(outcome)[0].name
    known = {metric.name: metric for metric in metrics.scalar_for(outcome)}
    if name not in known or not _can_be_monitored(known[name]):
        # No data are read yet: metrics that need the true posterior might be refused later.
        safe = (
            r.name for r in known.values() if _can_be_monitored(r) and not r.needs_true_posterior
        )
        raise UserError(
            f"training.monitor={name}: {_why_not_monitored(name, outcome, metrics)}; "
            f"{near_matches(name, safe)}"
        )
    return str(name)


def _can_be_monitored(metric: Metric) -> bool:
    return metric.at_every_validation and metric.higher_is_better is not None


def _why_not_monitored(name: str, outcome: Outcome, metrics: MetricSet) -> str:
    if any(metric.name == name for metric in metrics.scalar_for(outcome)):
        return "it is computed at the end only, or has no better direction"
    if any(metric.name == name for metric in metrics.per_class_for(outcome)):
        return "it has one value per class, and a single number is needed"
    if any(metric.name == name for metric in metrics.scalar):
        return f"it is not defined for {outcome}"
    return f"no metric {name!r}"


def check_true_posterior(config: Mapping[str, Any], dataset: Dataset, metrics: MetricSet) -> None:
    """Refuse to monitor a distance to the true posterior where it is not known."""
    name = monitored_metric(config, dataset.outcome, metrics)
    if (
        dataset.val.true_posterior is None
        and metrics.find(name, dataset.outcome).needs_true_posterior
    ):
        raise UserError(
            f"training.monitor={name} needs the true posterior, which is not known for "
            f"{dataset.provenance.name}; use nll_loss, or drawn data (dataset=synthetic_blobs)"
        )


def check_head(head: Head, name: str) -> None:
    """Compute the head's loss and decisions on two rows of zeros, to find errors early.

    Raises:
        UserError: With the head's error.
    """
    if not hasattr(head, "outcome"):
        raise UserError(f"head {name} must return a head (see lossheads.heads.base), got {head!r}")
    outcome = head.outcome
    base_rates = torch.full(outcome.columns, 1 / outcome.n, dtype=torch.float64)
    try:
        ready = head.with_base_rates(base_rates)
        labels = _two_labels(outcome)
        logits = torch.zeros(2, ready.num_logits)
        losses = ready.loss(logits, ready.encode(labels))
        log_probs, decisions = ready.log_probs(logits), ready.decide(logits)
        scores, outputs = ready.scores(logits), ready.framework_outputs(logits)
        target, odds = ready.framework_target(labels), log_odds(ready, logits)
    except UserError:
        raise
    except Exception as error:
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"head {name} cannot compute a loss and decisions for {outcome}: {message}"
        ) from error
    if losses.shape != (2,):
        raise UserError(
            f"head {name} must return one loss per row, shape (2,) for 2 rows, got shape "
            f"{tuple(losses.shape)}"
        )
    events = (2, *outcome.columns, 2) if isinstance(outcome, AnyOf) else (2, *outcome.columns)
    for what, given in (
        ("log_probs", (log_probs, events)),
        ("decisions", (decisions, events[:-1])),
        ("scores", (scores, (2, *outcome.columns))),
        ("log_odds", (odds, (2, *outcome.columns))),
        ("framework_outputs", (outputs, logits.shape)),
        ("framework_target", (target, logits.shape)),
    ):
        shape = getattr(given[0], "shape", None)
        if shape != given[1]:
            raise UserError(
                f"head {name} must return {what} of shape {tuple(given[1])} for 2 rows of "
                f"{outcome}, got {given[0] if shape is None else tuple(shape)}"
            )


def check_source(source: Any) -> None:
    """Refuse an object that is no `DatasetSource`.

    Raises:
        UserError: Naming what it lacks.
    """
    # Statically: a source may read the user's files to know its outcome.
    outcome = inspect.getattr_static(source, "outcome", None)
    if outcome is None or not callable(getattr(source, "load", None)):
        raise UserError(
            f"dataset {type(source).__name__} must have a property outcome and a method "
            f"load(data_dir, cache), see lossheads.datasets.DatasetSource"
        )


def check_own_metrics(metrics: MetricSet, shipped: MetricSet, head: Head) -> None:
    """Compute metrics that are not shipped, and their baselines, on two rows of zeros.

    Raises:
        UserError: Naming the metric that fails, before anything is trained.
    """
    outcome = head.outcome
    ready = head.with_base_rates(torch.full(outcome.columns, 1 / outcome.n, dtype=torch.float64))
    predictions = predict(ready, torch.zeros(2, ready.num_logits), _two_labels(outcome))
    present: list[Metric | PerClassMetric] = [
        *metrics.scalar_for(outcome),
        *metrics.per_class_for(outcome),
    ]
    for own in present:
        if own in (*shipped.scalar, *shipped.per_class) or not own.is_defined_for(predictions):
            continue
        try:
            own(predictions)
            own.baseline(predictions)
        except Exception as error:  # a user's own metric may fail in any way
            message = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UserError(
                f"metric {own.name} cannot be computed for {outcome}: {message}"
            ) from error


def check_backbone(backbone: BackboneBuilder, shape: tuple[int, ...]) -> None:
    """Refuse a backbone that does not turn two rows of zeros into two rows of features."""
    with torch.no_grad():
        features = backbone(shape)(torch.zeros(2, *shape))
    if features.ndim != 2 or len(features) != 2:
        raise ValueError(
            f"its features must have the shape (2, features), got {tuple(features.shape)}"
        )


def check_memory(backbone: BackboneBuilder, shape: tuple[int, ...], device: torch.device) -> None:
    """Refuse weights that cannot be trained in the device's memory, before any is allocated.

    Raises:
        UserError: If weights and gradients alone need more than is free.
    """
    try:
        with torch.device("meta"):  # shapes without numbers
            needed = 2 * sum(weight.nbytes for weight in backbone(shape).parameters())
    except UserError:
        raise
    except Exception:  # perhaps a model of one's own that needs numbers; it is built for good next
        return
    free = free_bytes(device)
    if needed > free:
        raise UserError(
            f"the model needs {needed / 1e9:,.1f} GB for its weights and their gradients, and "
            f"{free / 1e9:,.1f} GB are free: choose smaller layers"
        )


def _two_labels(outcome: Outcome) -> torch.Tensor:
    if outcome.soft:
        return torch.full((2, *outcome.columns), 1 / outcome.n)
    if isinstance(outcome, AnyOf):
        return torch.zeros(2, outcome.n, dtype=torch.bool)
    return torch.zeros(2, *outcome.columns[:-1], dtype=torch.int64)
