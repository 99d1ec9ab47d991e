"""Torch's optimizers without its compiler, which they import at their first use.

`torch._dynamo` takes about as long to import as torch itself, and only marks in an optimizer where
a compiled graph must break. Nothing is compiled here: what lies below those marks is called.
"""

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.optim import Optimizer

_lock = threading.Lock()  # cohorts are built in threads


def build_optimizer(
    optimizer: Callable[..., Optimizer], parameters: Any, **kwargs: Any
) -> Optimizer:
    """`optimizer(parameters, **kwargs)`."""
    with unmarked(Optimizer.add_param_group):
        return optimizer(parameters, **kwargs)


@contextmanager
def unmarked(method: Callable[..., Any]) -> Iterator[None]:
    """Torch looks here for the marked form of a method, and makes it once it is called."""
    inner = getattr(method, "__wrapped__", None)
    with _lock:
        if inner is None or hasattr(inner, "__dynamo_disable"):
            yield
            return
        inner.__dynamo_disable = inner
        try:
            yield
        finally:
            del inner.__dynamo_disable


def optimizer_step(optimizer: Optimizer) -> None:
    """`optimizer.step()`; of torch's own classes without hooks, which nothing here registers."""
    step = type(optimizer).step
    if not type(optimizer).__module__.startswith("torch.") or optimizer.defaults["differentiable"]:
        optimizer.step()
        return
    with torch.no_grad():
        inspect.unwrap(step)(optimizer)
