"""Somebody's model, used and left bit for bit as it was.

While it is looked at, its parameters and buffers are copies, so that nothing that the forward pass
or a gradient does reaches the originals: not BatchNorm's statistics, not `.grad`, not hooks.
"""

import random
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from lossheads.errors import UserError


@dataclass
class Isolated:
    """What happened inside.

    Attributes:
        trainable: Copies of the parameters that ask for a gradient.
        drew_random: Some stream of random numbers moved.
        changed: Names of tensors that were changed in place.
    """

    trainable: list[Tensor] = field(default_factory=list)
    drew_random: bool = False
    changed: list[str] = field(default_factory=list)


@contextmanager
def isolated(*roots: object) -> Iterator[Isolated]:
    """Within, modules among `roots` compute with copies of their tensors; after, all is as before.

    Parameters that ask for no gradient do so within, for the graph is what is looked at.

    Raises:
        UserError: If a parameter has no shape yet.
    """
    modules = _modules(roots)
    seen = Isolated()
    kept = _Kept(modules)
    streams = _streams(modules)
    try:
        kept.put_copies(seen)
        yield seen
    finally:
        seen.drew_random = not _same(streams, _streams(modules))
        seen.changed = kept.put_back()
        _set_streams(streams)


@contextmanager
def streams_kept() -> Iterator[None]:
    """The streams of torch, numpy and Python go on where they were."""
    streams = _streams([])
    try:
        yield
    finally:
        _set_streams(streams)


class _Kept:
    """Everything that modules hold, and the copies that stand in for it."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self.attributes = [(module, dict(vars(module))) for module in modules]
        # Containers inside, such as the tables of buffers or a list of past activations.
        self.contents: list[tuple[Any, Any]] = []
        self.tensors: dict[int, tuple[str, Tensor, Tensor]] = {}
        seen: set[int] = set()
        for _, attributes in self.attributes:
            for name, value in attributes.items():
                self._keep(name, value, seen)

    def _keep(self, name: str, value: Any, seen: set[int]) -> None:
        if id(value) in seen:
            return
        seen.add(id(value))
        if isinstance(value, UninitializedParameter | UninitializedBuffer):
            raise UserError(
                f"check got a lazy module whose {name} has no shape yet: pass one batch through "
                f"the "
                f"model first"
            )
        if isinstance(value, Tensor):
            self.tensors[id(value)] = (name, value, value.detach().clone())
        elif isinstance(value, dict | list | set | deque):
            self.contents.append((value, value.copy()))
            items = value.items() if isinstance(value, dict) else ((name, each) for each in value)
            for key, each in items:
                if isinstance(each, Tensor | dict | list):
                    self._keep(str(key), each, seen)

    def put_copies(self, seen: Isolated) -> None:
        """Parameters and buffers of plain modules become copies; scripted ones keep theirs."""
        copies: dict[int, Tensor] = {}
        for module, attributes in self.attributes:
            for table in ("_parameters", "_buffers"):
                tensors = attributes.get(table)
                if type(tensors) is not dict:
                    continue
                for name, tensor in list(tensors.items()):
                    if tensor is not None:
                        if id(tensor) not in copies:
                            copies[id(tensor)] = _copy(tensor, seen)
                        tensors[name] = copies[id(tensor)]
            for hooks in ("_backward_hooks", "_backward_pre_hooks"):  # nobody trains here
                attributes.get(hooks, {}).clear()
            if isinstance(module, torch.jit.ScriptModule):
                seen.trainable += [p for p in module.parameters() if p.requires_grad]
        self.copies = copies

    def put_back(self) -> list[str]:
        """Restore all; returns names of tensors that were changed in place."""
        changed = []
        for value, content in self.contents:
            if isinstance(value, list):
                value[:] = content
            elif isinstance(value, deque):
                value.clear()
                value.extend(content)
            elif value != content if isinstance(value, set) else not _same_dict(value, content):
                value.clear()
                value.update(content)
        for module, attributes in self.attributes:
            now = vars(module)
            if not _same_dict(now, attributes):
                now.clear()
                now.update(attributes)
        for number, (name, tensor, before) in self.tensors.items():
            used = self.copies.get(number, tensor)
            if not _equal(used, before):
                changed.append(name)
            if not _equal(tensor, before):
                with torch.no_grad():
                    tensor.detach().copy_(before)
        return changed


def _modules(roots: Sequence[object]) -> list[nn.Module]:
    found: dict[int, nn.Module] = {}
    for root in roots:
        # A partial or a method carries its module along.
        for each in (root, getattr(root, "func", None), getattr(root, "__self__", None)):
            if isinstance(each, nn.Module):
                found |= {id(module): module for module in each.modules()}
    return list(found.values())


def _copy(tensor: Tensor, seen: Isolated) -> Tensor:
    copy = tensor.detach().clone()
    if isinstance(tensor, nn.Parameter) and copy.is_floating_point():
        copy.requires_grad_(True)
        if tensor.requires_grad:
            seen.trainable.append(copy)
    return copy


def _same_dict(a: dict[Any, Any], b: dict[Any, Any]) -> bool:
    return list(a) == list(b) and all(a[key] is b[key] for key in a)


def _equal(a: Tensor, b: Tensor) -> bool:
    """Equal, NaN in the same places included."""
    if a.shape != b.shape:
        return False
    return torch.equal(a, b) or bool(((a == b) | ((a != a) & (b != b))).all())


def _streams(modules: Sequence[nn.Module]) -> list[tuple[Any, Any]]:
    own = [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, torch.Generator)
    ]
    streams = [
        ("torch", torch.get_rng_state()),
        ("numpy", np.random.get_state()),
        ("python", random.getstate()),
        *((generator, generator.get_state()) for generator in own),
    ]
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        streams.append(("cuda", torch.cuda.get_rng_state_all()))
    return streams


def _set_streams(streams: Sequence[tuple[Any, Any]]) -> None:
    setters: dict[str, Any] = {
        "torch": torch.set_rng_state,
        "numpy": np.random.set_state,
        "python": random.setstate,
        "cuda": torch.cuda.set_rng_state_all,
    }
    for stream, state in streams:
        (setters[stream] if isinstance(stream, str) else stream.set_state)(state)


def _same(a: Any, b: Any) -> bool:
    """Equal states; they are nested, and hold arrays and tensors."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return bool(np.array_equal(a, b))
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b)
