"""Metrics of other libraries as functions of outputs and labels, asked on copies."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from lossheads.linting.observation import dtype_is_whole
from lossheads.linting.torch_models import is_a

Ask = Callable[[Tensor, Tensor], float]


def named(metric: Any) -> dict[str, Any]:
    """One metric, a list or a dictionary of them, by name."""
    if metric is None:
        return {}
    if isinstance(metric, Mapping):
        return {str(name): each for name, each in metric.items()}
    many = metric if isinstance(metric, list | tuple) else [metric]
    return {name_of(each): each for each in many}


def name_of(metric: Any) -> str:
    """As its author wrote it."""
    if isinstance(metric, str):
        return metric
    inner: Any = getattr(metric, "func", metric)
    return str(getattr(inner, "__name__", type(inner).__name__)).replace("<lambda>", "a lambda")


def on_module(model: nn.Module) -> dict[str, Any]:
    """Metrics of torchmetrics that a module carries, one of each class and settings."""
    found: dict[str, Any] = {}
    for name, module in model.named_children():
        source = type(module).__module__
        if source.startswith("torchmetrics.") and "aggregation" not in source:
            found.setdefault(name, module)
    return found


def asked(metrics: Mapping[str, Any], reasons: list[str]) -> dict[str, Ask]:
    """Functions to ask; why some cannot be asked goes into `reasons`."""
    functions: dict[str, Ask] = {}
    for name, metric in metrics.items():
        if str(getattr(metric, "__module__", "")).startswith("sklearn."):
            reasons.append(
                f"metric {name}: scikit-learn's take (labels, decisions), so how outputs become "
                f"decisions is not seen; pass the function that does both"
            )
        elif not callable(metric):
            reasons.append(f"metric {name}: {type(metric).__name__} cannot be called")
        elif is_a(metric, "torchmetrics", "Metric"):
            functions[name] = _of_torchmetrics(metric)
        else:
            functions[name] = _of_function(metric)
    return functions


def number(value: Any) -> float:
    """A float of whatever a metric returns."""
    if isinstance(value, Mapping) and len(value) == 1:
        value = next(iter(value.values()))
    return float(value)


def _of_function(metric: Any) -> Ask:
    return lambda outputs, labels: number(metric(outputs, labels))


def _of_torchmetrics(metric: Any) -> Ask:
    own = copy.deepcopy(metric)

    def ask(outputs: Tensor, labels: Tensor) -> float:
        own.reset()
        own.update(outputs, labels if dtype_is_whole(labels) else labels.long())
        return number(own.compute())

    return ask
