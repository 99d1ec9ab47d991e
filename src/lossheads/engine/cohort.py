"""K members trained as one program.

A cohort takes a batch and does one optimizer step for every member; it knows nothing of epochs,
metrics or files. `StackedCohort` is for backbones that can be stacked, `SingleMemberCohort` for any
other one, a single member at a time; both have the same interface.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from math import prod
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from lossheads.engine.augmentation import augmented
from lossheads.engine.cuda_graph import CUDAGraphStep
from lossheads.engine.head_loss import HeadLoss
from lossheads.engine.member import (
    BackboneBuilder,
    Member,
    Net,
    draws_seed,
    initial_net,
    isolated_rng,
)
from lossheads.engine.optimizers import build_optimizer, optimizer_step, unmarked
from lossheads.engine.stacking import StackedNet, has_images, stackable

# Rows are padded to a multiple of this, in training and in evaluation, so that vector loops have no
# remainder, whose rounding would depend on the slot.
ROW_MULTIPLE = 16

# Rows per pass when a whole split is evaluated: fixed, so that logits do not depend on memory.
_ROWS = 1024

OptimizerBuilder = partial[torch.optim.Optimizer]
OptimizerKwargs = Mapping[str, Any]


@dataclass(frozen=True)
class Batch:
    """The rows of one step. S is 1 when all members see the same rows, K when each has its own.

    Attributes:
        index: (S, B) rows of the training split.
        weights: (B,), 1 / (number of true rows), 0 for padding rows.
        drawn: (S, B, 3), how each row's image is shifted and mirrored; None where it is not.
    """

    index: Tensor
    weights: Tensor
    drawn: Tensor | None = None

    def own(self, slots: Tensor) -> list[Tensor]:
        """The tensors of the batch, those of each member in the order of `slots`."""
        parts = [self.index, *([] if self.drawn is None else [self.drawn])]
        if len(self.index) > 1:
            parts = [part.index_select(0, slots) for part in parts]
        return [parts[0], self.weights, *parts[1:]]


class Cohort(Protocol):
    """The interface that the training loop uses."""

    members: Sequence[Member]

    def step(self, inputs: Tensor, batch: Batch) -> Tensor:
        """One optimizer step for every member; returns (K,), each member's mean loss in nats.

        Args:
            inputs: The training inputs (N, ...), on the device.
        """

    def scale_learning_rates(self, factor: float) -> None:
        """Multiply every member's learning rate, as configured, by `factor`."""

    def logits(self, inputs: Tensor) -> Tensor:
        """(N, ...) -> (K, N, U), without gradients."""

    def weights(self, k: int) -> dict[str, Tensor]:
        """Member k's weights on the CPU, under the names of a plain `Net`."""

    def restore(self, k: int, weights: dict[str, Tensor]) -> None:
        """Load what `weights` returned into member k."""

    def state(self, k: int) -> dict[str, Any]:
        """All that member k's next step depends on, on the CPU: weights, the optimizer's moments.

        Plain values and tensors, the same in whatever company it trains.
        """

    def load_state(self, k: int, state: Mapping[str, Any]) -> None:
        """Load what `state` returned into member k; all members must be at the same step."""


def build_cohort(
    backbone: BackboneBuilder,
    input_shape: tuple[int, ...],
    members: Sequence[Member],
    labels: Tensor,
    optimizer: OptimizerBuilder,
    device: torch.device,
    compute_dtype: torch.dtype = torch.float32,
    graph: bool = False,
    threads: int = 1,
) -> Cohort:
    """The cohort of `members`, which must have equal numbers of logits.

    Args:
        labels: The training labels, on the device; every head encodes them once.
        compute_dtype: Type of the layers' matrix products: float32, or bfloat16 while weights,
            gradients, losses and the optimizer stay in float32.
        graph: Capture the step of a stacked cohort as a CUDA graph; needs a GPU.
        threads: Threads that share the step of a stacked cohort, on a CPU; no bit depends on it.

    Raises:
        ValueError: If there are several members and they cannot be stacked: for their backbone,
            or for an output layer of cosines.
    """
    nets = [initial_net(backbone, input_shape, member) for member in members]
    linear = all(member.cosine_temperature is None for member in members)
    if linear and can_stack(backbone, input_shape, optimizer, members[0].optimizer_kwargs):
        return StackedCohort(
            nets, members, labels, optimizer, device, compute_dtype, graph, threads
        )
    if len(members) > 1:
        raise ValueError(f"what cannot be stacked trains one member at a time, got {len(members)}")
    return SingleMemberCohort(nets[0], members, labels, optimizer, device, compute_dtype)


def can_stack(
    backbone: BackboneBuilder,
    input_shape: tuple[int, ...],
    optimizer: OptimizerBuilder,
    optimizer_kwargs: OptimizerKwargs,
) -> bool:
    """Whether members with this backbone and optimizer can be stacked.

    The optimizer must be elementwise and one kernel: SGD, Adam and AdamW with `fused=True`,
    whatever their other options. The backbone must be a chain of layers that `stacking` supports.
    """
    elementwise = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)
    if optimizer.func not in elementwise or not optimizer_kwargs.get("fused", False):
        return False
    with isolated_rng():
        return stackable(backbone(input_shape))


def shares_threads(backbone: BackboneBuilder, input_shape: tuple[int, ...]) -> bool:
    """Whether the step of a stacked cohort is worth several threads: it has layers on images."""
    with isolated_rng():
        return has_images(backbone(input_shape))


def bytes_per_member(
    net: Net,
    input_shape: tuple[int, ...],
    batch_size: int,
    num_evaluated: int,
    amsgrad: bool = False,
) -> int:
    """Memory that one more stacked member takes, about: 5 MB for 784-128-10 at batch 128.

    Weights, gradients and two moments, three with `amsgrad`; in a step its rows and, per layer,
    result and gradient, of images the result; in evaluation a few thousand rows' results, images
    apart, and the logits of `num_evaluated` examples twice.
    """
    widths = [p.shape[0] for p in net.parameters() if p.dim() == 2]
    numbers = (5 if amsgrad else 4) * sum(p.numel() for p in net.parameters())
    numbers += batch_size * (prod(input_shape) + _numbers_in_images(net, input_shape))
    numbers += (4 * batch_size + 2 * _ROWS) * sum(widths) + 2 * num_evaluated * widths[-1]
    return 4 * numbers


def members_for_caches(net: Net) -> int:
    """Most members of a cohort on a CPU that is not slowed down by the size of its weights.

    Measured with 784-512-512-10 (670 thousand weights), batch 128, seconds a member-epoch in
    cohorts of 5, 7, 10: 0.94, 0.97, 1.02 to 1.10.
    """
    return max(5, 2**22 // sum(p.numel() for p in net.parameters()))


@torch.no_grad()
def _numbers_in_images(net: Net, input_shape: tuple[int, ...]) -> int:
    """Numbers in all images (C, H, W) that layers make of one row."""
    found: list[int] = []

    def count(layer: nn.Module, inputs: object, output: Tensor) -> None:
        found.append(output.numel() if output.dim() == 4 else 0)

    leaves = [layer for layer in net.modules() if not [*layer.children()]]
    hooks = [layer.register_forward_hook(count) for layer in leaves]
    net(torch.zeros(1, *input_shape))
    for hook in hooks:
        hook.remove()
    return sum(found)


class StackedCohort:
    """Members with their weights stacked in one flat buffer.

    On a CPU a member gets the same bits in every cohort as long as torch uses one thread, in
    training and in evaluation: several threads split a product by their number and by G.
    """

    def __init__(
        self,
        nets: Sequence[Net],
        members: Sequence[Member],
        labels: Tensor,
        optimizer: OptimizerBuilder,
        device: torch.device,
        compute_dtype: torch.dtype = torch.float32,
        graph: bool = False,
        threads: int = 1,
    ) -> None:
        self.members = members
        # Members with the same head get adjacent slots, so that its loss is one call.
        heads = list(dict.fromkeys(member.head for member in members))
        slots = sorted(range(len(members)), key=lambda k: heads.index(members[k].head))
        self._slots = slots
        self._slot_of = {k: slot for slot, k in enumerate(slots)}
        self._member_order = torch.tensor(
            [self._slot_of[k] for k in range(len(members))], device=device
        )
        self._net = StackedNet([nets[k] for k in slots], device, compute_dtype, threads)
        self._template = nets[0]
        self._losses = [
            HeadLoss(head, [slot for slot, _ in same_head], labels)
            for head, same_head in groupby(enumerate(slots), key=lambda pair: members[pair[1]].head)
        ]
        self._optimizer = self._build_optimizer(optimizer)
        self._learning_rates = [
            float(param_group["lr"]) for param_group in self._optimizer.param_groups
        ]
        if graph:
            _prepare_for_capture(self._optimizer, device)
        self._run_step = CUDAGraphStep(self._train_step) if graph else self._train_step
        self._inputs = labels.new_empty(0)  # the training inputs of the last step
        self._slot_index = torch.tensor(slots, device=device)
        self._rows = torch.empty(0, device=device)  # takes its shape at the first step

    @torch.no_grad()
    def step(self, inputs: Tensor, batch: Batch) -> Tensor:
        self._inputs = inputs
        return self._run_step(*batch.own(self._slot_index))

    def _train_step(self, index: Tensor, weights: Tensor, drawn: Tensor | None = None) -> Tensor:
        """One step on tensors of fixed shape and address, without waiting for the device."""
        inputs = self._inputs
        torch.index_select(inputs, 0, index.reshape(-1), out=self._rows)
        rows = self._rows if drawn is None else augmented(self._rows, drawn.flatten(0, 1))
        logits = self._net.forward(rows.view(*index.shape, *inputs.shape[1:]))
        parts = [part.loss_and_gradient(logits, index, weights) for part in self._losses]
        self._net.backward(torch.cat([gradient for _, gradient in parts]))
        optimizer_step(self._optimizer)
        return torch.cat([losses for losses, _ in parts]).index_select(0, self._member_order)

    def scale_learning_rates(self, factor: float) -> None:
        _scale_learning_rates(self._optimizer, self._learning_rates, factor)

    @torch.no_grad()
    def logits(self, inputs: Tensor) -> Tensor:
        parts = [
            self._net.logits(_pad_rows(rows).unsqueeze(0))[:, : len(rows)]
            for rows in inputs.split(_ROWS)
        ]
        return torch.cat(parts, dim=1).index_select(0, self._member_order)

    def weights(self, k: int) -> dict[str, Tensor]:
        net = self._net.unstack(self._slot_of[k], self._template)
        return {name: value.detach().clone() for name, value in net.state_dict().items()}

    def restore(self, k: int, weights: dict[str, Tensor]) -> None:
        self._template.load_state_dict(weights)
        self._net.fill(self._slot_of[k], self._template)

    def state(self, k: int) -> dict[str, Any]:
        slot, moments = self._slot_of[k], self._optimizer.state
        if len(self._optimizer.param_groups) == 1:
            (flat,) = self._optimizer.param_groups[0]["params"]
            found = {
                name: self._net.read(value, slot) if value.dim() else value
                for name, value in moments[flat].items()
                if value is not None
            }
        else:
            first, *_ = parts = self._optimizer.param_groups[slot]["params"]
            found = {
                name: torch.cat([moments[part][name] for part in parts]) if value.dim() else value
                for name, value in moments[first].items()
                if value is not None
            }
        return {
            "weights": self.weights(k),
            "optimizer": {name: value.detach().cpu().clone() for name, value in found.items()},
        }

    @torch.no_grad()
    def load_state(self, k: int, state: Mapping[str, Any]) -> None:
        self._template.load_state_dict(state["weights"])
        for slot in (slot for slot, member in enumerate(self._slots) if member == k):
            self._net.fill(slot, self._template)
            for name, value in state["optimizer"].items():
                self._load_moment(slot, name, value.to(self._slot_index.device))

    def _load_moment(self, slot: int, name: str, value: Tensor) -> None:
        """One of the optimizer's own tensors, of all weights or of the number of steps."""
        moments = self._optimizer.state
        if len(self._optimizer.param_groups) == 1:
            (flat,) = self._optimizer.param_groups[0]["params"]
            if not value.dim():
                moments[flat][name] = value.clone()
                return
            moments[flat].setdefault(name, torch.zeros_like(flat.detach()))
            self._net.write(moments[flat][name], slot, value)
            return
        parts = self._optimizer.param_groups[slot]["params"]
        sizes = [part.numel() for part in parts]
        pieces = value.split(sizes) if value.dim() else [value] * len(parts)
        for part, piece in zip(parts, pieces, strict=True):
            moments[part][name] = piece.clone()

    def _build_optimizer(self, optimizer: OptimizerBuilder) -> torch.optim.Optimizer:
        kwargs = [dict(self.members[k].optimizer_kwargs) for k in self._slots]
        if all(own == kwargs[0] for own in kwargs):
            flat = nn.Parameter(self._net.parameters)
            flat.grad = self._net.gradients
            return build_optimizer(optimizer, [flat], **kwargs[0])
        param_groups = [
            {"params": [_leaf_parameter(*pair) for pair in self._net.slices(slot)], **own}
            for slot, own in enumerate(kwargs)
        ]
        return build_optimizer(optimizer, param_groups, **kwargs[0])


class SingleMemberCohort:
    """One member with any backbone, trained by autograd."""

    def __init__(
        self,
        net: Net,
        members: Sequence[Member],
        labels: Tensor,
        optimizer: OptimizerBuilder,
        device: torch.device,
        compute_dtype: torch.dtype = torch.float32,
    ) -> None:
        self.members = members
        self._net = net.to(device)
        self._autocast = torch.autocast(
            device.type, torch.bfloat16, compute_dtype is not torch.float32
        )
        self._loss = HeadLoss(members[0].head, [0], labels)
        self._optimizer = build_optimizer(
            optimizer, self._net.parameters(), **members[0].optimizer_kwargs
        )
        self._learning_rates = [param_group["lr"] for param_group in self._optimizer.param_groups]
        self._draws = Draws(draws_seed(members[0].seed), device)

    def step(self, inputs: Tensor, batch: Batch) -> Tensor:
        self._net.train()
        rows = inputs.index_select(0, batch.index[0])
        if batch.drawn is not None:
            rows = augmented(rows, batch.drawn[0])
        with self._autocast, self._draws.used():
            logits = self._net(rows).float().unsqueeze(0)
        losses = self._loss(logits, batch.index, batch.weights)
        for parameter in self._net.parameters():
            parameter.grad = None
        losses.sum().backward()
        optimizer_step(self._optimizer)
        return losses.detach()

    def scale_learning_rates(self, factor: float) -> None:
        _scale_learning_rates(self._optimizer, self._learning_rates, factor)

    @torch.no_grad()
    def logits(self, inputs: Tensor) -> Tensor:
        self._net.eval()
        with self._autocast:
            parts = [self._net(rows).float() for rows in inputs.split(_ROWS)]
        return torch.cat(parts).unsqueeze(0)

    def weights(self, k: int) -> dict[str, Tensor]:
        return {
            name: value.detach().cpu().clone() for name, value in self._net.state_dict().items()
        }

    def restore(self, k: int, weights: dict[str, Tensor]) -> None:
        self._net.load_state_dict(weights)

    def state(self, k: int) -> dict[str, Any]:
        with unmarked(torch.optim.Optimizer.state_dict):
            optimizer = self._optimizer.state_dict()
        return {"weights": self.weights(k), "optimizer": optimizer, "draws": self._draws.states}

    def load_state(self, k: int, state: Mapping[str, Any]) -> None:
        self._net.load_state_dict(state["weights"])
        with unmarked(torch.optim.Optimizer.load_state_dict):
            self._optimizer.load_state_dict(state["optimizer"])
        self._draws.states = dict(state["draws"])


class Draws:
    """The random numbers of one member's backbone, which modules draw from torch's generators.

    A function of the member's seed and its steps, whatever else draws from them meanwhile.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(self._devices):
            torch.manual_seed(seed)
            self.states = self._read()

    @contextmanager
    def used(self) -> Iterator[None]:
        """What is drawn inside is drawn from here."""
        with torch.random.fork_rng(self._devices):
            torch.set_rng_state(self.states["cpu"])
            for device in self._devices:
                torch.cuda.set_rng_state(self.states["cuda"], device)
            yield
            self.states = self._read()

    def _read(self) -> dict[str, Tensor]:
        states = {"cpu": torch.get_rng_state()}
        for device in self._devices:
            states["cuda"] = torch.cuda.get_rng_state(device)
        return states


def _pad_rows(rows: Tensor) -> Tensor:
    """Zero rows appended up to a multiple of `ROW_MULTIPLE`: otherwise bits depend on the slot."""
    missing = -len(rows) % ROW_MULTIPLE
    return rows if missing == 0 else torch.cat([rows, rows.new_zeros(missing, *rows.shape[1:])])


def _scale_learning_rates(
    optimizer: torch.optim.Optimizer, learning_rates: Sequence[float], factor: float
) -> None:
    for param_group, learning_rate in zip(optimizer.param_groups, learning_rates, strict=True):
        if isinstance(param_group["lr"], Tensor):
            # A captured graph reads the same address again.
            param_group["lr"].fill_(learning_rate * factor)
        else:
            param_group["lr"] = learning_rate * factor


def _prepare_for_capture(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Keep learning rates and Adam's step count on the device: they change from step to step."""
    for param_group in optimizer.param_groups:
        param_group["lr"] = torch.tensor(float(param_group["lr"]), device=device)
        if "capturable" in param_group:
            param_group["capturable"] = True


def _leaf_parameter(parameter: Tensor, gradient: Tensor) -> nn.Parameter:
    leaf = nn.Parameter(parameter.detach())
    leaf.grad = gradient
    return leaf
