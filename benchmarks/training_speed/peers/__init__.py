"""The ways of training that are compared ("peers"): one module each, a process of its own each.

A module offers `build(setting, **options)`, which returns `run(members, steps)`: train `steps`
steps and return the seconds they took, less what belongs to the beginning of a round.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from benchmarks.training_speed.setting import Setting

Run = Callable[[int, int], float]


@dataclass(frozen=True)
class Peer:
    """One way of training.

    Attributes:
        description: For the legend of tables and figures.
        module: Module in this package.
        needs: Packages it imports beside torch.
        options: Passed on to `build`.
        environment: Variables its process starts with.
        stacks_members: Whether it trains K members as one program; else K members are K runs.
        any_device: Whether it follows `Setting.device` and `.precision`; else float32 on the CPU.
    """

    description: str
    module: str
    needs: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    stacks_members: bool = False
    any_device: bool = False

    def missing(self) -> list[str]:
        """Packages it needs that are not installed."""
        return [name for name in self.needs if find_spec(name) is None]

    def load(self) -> ModuleType:
        """Import what it needs: the slow part of a process's start."""
        return importlib.import_module(f"benchmarks.training_speed.peers.{self.module}")

    def build(self, setting: Setting) -> Run:
        run: Run = self.load().build(setting, **self.options)
        return run


PEERS = {
    "quickstart": Peer("PyTorch quickstart loop, 0 workers", "quickstart", options={"workers": 0}),
    "quickstart-2-workers": Peer(
        "PyTorch quickstart loop, 2 workers", "quickstart", options={"workers": 2}
    ),
    "lightning": Peer("Lightning Trainer, defaults", "lightning_trainer", ("lightning",)),
    "keras-torch": Peer(
        "Keras 3 fit on torch", "keras_fit", ("keras",), environment={"KERAS_BACKEND": "torch"}
    ),
    "keras-jax": Peer(
        "Keras 3 fit on jax", "keras_fit", ("keras", "jax"), environment={"KERAS_BACKEND": "jax"}
    ),
    "plain": Peer("resident tensors, plain loop, fused Adam", "plain_loop", any_device=True),
    "jax": Peer(
        "JAX by hand: jit, scan, vmap over members", "jax_scan", ("jax",), stacks_members=True
    ),
    "lossheads": Peer("this project", "lossheads_cohort", stacks_members=True, any_device=True),
}

# Not ways of training: the arithmetic rate of the machine, for the bound. Libraries differ by a
# factor of two on some processors, so another library could beat a bound by one of them alone.
GEMMS = {
    f"gemm-{name}": Peer(
        f"matrix product by {name}", "gemm", needs, {"library": name}, any_device=name == "torch"
    )
    for name, needs in (("torch", ()), ("numpy", ()), ("jax", ("jax",)))
}


def find_peer(name: str) -> Peer:
    """A way of training, or the matrix product that measures the machine."""
    return GEMMS[name] if name in GEMMS else PEERS[name]
