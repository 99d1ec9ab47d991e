"""Check every case of some corpora and print what came of it as JSON.

`python -m linting.run_corpus keras` in the folder of the tests. Keras settles its backend when it
is imported, so each backend needs a process of its own.
"""

import json
import random
import sys
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import nn

import lossheads as lh
from lossheads.api.check import unpacked

from .corpus import CASES, Case


def checked(case: Case) -> dict[str, Any]:
    """Codes of findings and hints, what was not checked, and whether the model was touched."""
    given = unpacked(case.make(), case.name)
    before = state_of(given["model"])
    report = lh.check(**given)
    return {
        "findings": list(report.codes),
        "hints": [hint.code for hint in report.hints],
        "not_checked": list(report.not_checked),
        "touched": not same(before, state_of(given["model"])),
    }


def state_of(model: Any) -> list[Any]:
    """All that must not change: tensors bit by bit, their identity, gradients, modes, streams."""
    state: list[Any] = [torch.get_rng_state(), np.random.get_state()[1], random.getstate()]
    if isinstance(model, nn.Module):
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            grad = None if tensor.grad is None else tensor.grad.clone()
            state += [name, id(tensor), tensor.detach().clone(), tensor.requires_grad, grad]
        state += [(name, module.training) for name, module in model.named_modules()]
        state += [list(vars(module)) for module in model.modules()]
    if hasattr(model, "get_weights"):
        state += [np.array(weight) for weight in model.get_weights()]
    return state


def same(a: list[Any], b: list[Any]) -> bool:
    """Equal, tensors and arrays by their bytes."""
    return len(a) == len(b) and all(map(_equal, a, b))


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and _bytes(a) == _bytes(b)
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.tobytes() == b.tobytes()
    return bool(a == b)


def _bytes(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def cases_of(corpus: str) -> list[Case]:
    """The cases of one module; importing it needs its library."""
    module = import_module(f".corpus_{corpus}", __package__)
    return [case for case in CASES.values() if case.make.__module__ == module.__name__]


if __name__ == "__main__":
    print(json.dumps({c.name: checked(c) for name in sys.argv[1:] for c in cases_of(name)}))
