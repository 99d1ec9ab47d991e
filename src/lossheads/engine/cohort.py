"""K members trained as one program.

A cohort takes batches and moves its members one optimizer step; it knows nothing of epochs,
metrics or files. `StackedCohort` serves backbones that can be stacked, `LoneCohort` every other backbone,
one member at a time; both keep the same interface.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from lossheads.engine.cuda_graph import CUDAGraphStep
from lossheads.engine.head_loss import HeadLoss
from lossheads.engine.member import BackboneBuilder, Member, Net, initial_net, isolated_rng
from lossheads.engine.stacking import StackedNet, pad_single, stackable

# Rows come in multiples of this, in training and in measuring, so that vector loops have no ragged
# end, which would be computed differently by slot.
ROW_LANE = 16

# Rows per pass when a whole split is measured: fixed, so that logits do not depend on memory.
_ROWS = 1024

OptimizerBuilder = partial[torch.optim.Optimizer]
OptimizerKwargs = Mapping[str, Any]


@dataclass(frozen=True)
class Batch:
    """One step's rows. S is 1 when all members see the same rows, K when each has its own.

    Attributes:
        index: (S, B) rows of the training split.
        weights: (B,), 1 / (number of true rows), 0 where the row only fills up the last batch.
    """

    index: Tensor
    weights: Tensor


class Cohort(Protocol):
    """What the training loop asks of its members."""

    members: Sequence[Member]

    def step(self, inputs: Tensor, batch: Batch) -> Tensor:
        """Move every member one step; returns (K,) mean losses in each head's own nats.

        Args:
            inputs: The resident training inputs (N, ...).
        """

    def scale_learning_rates(self, factor: float) -> None:
        """Multiply every member's learning rate, as configured, by `factor`."""

    def logits(self, inputs: Tensor) -> Tensor:
        """(N, ...) -> (K, N, U), without gradients."""

    def weights(self, k: int) -> dict[str, Tensor]:
        """Member k's weights on the CPU, under the names of a plain `Net`."""

    def restore(self, k: int, weights: dict[str, Tensor]) -> None:
        """Put back what `weights` gave."""


def build_cohort(
    backbone: BackboneBuilder,
    input_shape: tuple[int, ...],
    members: Sequence[Member],
    labels: Tensor,
    optimizer: OptimizerBuilder,
    device: torch.device,
    compute_dtype: torch.dtype = torch.float32,
    graph: bool = False,
) -> Cohort:
    """The cohort of `members`, which must have equal numbers of units.

    Args:
        labels: The resident training labels; every head encodes them once.
        compute_dtype: What layers multiply in: float32, or bfloat16 with weights, gradients, losses
            and optimizer in float32 all the same.
        graph: Record the step of a stacked cohort and replay it; for a card.

    Raises:
        ValueError: If several members share a backbone that cannot be stacked.
    """
    nets = [initial_net(backbone, input_shape, member) for member in members]
    if can_stack(backbone, input_shape, optimizer, members[0].optimizer_kwargs):
        return StackedCohort(nets, members, labels, optimizer, device, compute_dtype, graph)
    if len(members) > 1:
        raise ValueError("members of a backbone that cannot be stacked train one by one")
    return LoneCohort(nets[0], members, labels, optimizer, device, compute_dtype)


def can_stack(
    backbone: BackboneBuilder,
    input_shape: tuple[int, ...],
    optimizer: OptimizerBuilder,
    optimizer_kwargs: OptimizerKwargs,
) -> bool:
    """Whether members of this backbone and optimizer can train side by side.

    The optimizer must treat each number alone, by one kernel for all of them: SGD, Adam and AdamW
    with `fused=True`. The backbone must be a chain of what `stacking` knows.
    """
    kinds = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)
    if optimizer.func not in kinds or not optimizer_kwargs.get("fused", False):
        return False
    with isolated_rng():
        return stackable(backbone(input_shape))


def bytes_per_member(net: Net, batch_size: int, measured: int, amsgrad: bool = False) -> int:
    """Memory that one more stacked member takes, about: 5 MB for 784-128-10 at batch 128.

    Weights, gradients and two moments, three with `amsgrad`; in a step its rows and, per layer, result and gradient;
    in measuring a few thousand rows' results, and the logits of `measured` examples twice.
    """
    layers = [p for p in net.parameters() if p.dim() == 2]
    widths, inputs = sum(len(layer) for layer in layers), layers[0].shape[1]
    numbers = (5 if amsgrad else 4) * sum(p.numel() for p in net.parameters())
    numbers += batch_size * (inputs + 4 * widths)
    numbers += 2 * _ROWS * widths + 2 * measured * len(layers[-1])
    return 4 * numbers


class StackedCohort:
    """Members side by side in one flat buffer.

    On a CPU a member's bits are its own as long as torch computes on one thread, in training and
    in measuring: compute_dtype that several threads share are cut up by their number and by G.
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
    ) -> None:
        self.members = members
        # Members of one head sit together, so that its loss is one call.
        kinds = list(dict.fromkeys(member.head for member in members))
        slots = sorted(range(len(members)), key=lambda k: kinds.index(members[k].head))
        if len(slots) == 1 and pad_single(nets[0]):
            slots *= 2  # nobody reads the copy
        self._slots = slots
        self._slot_of = {k: slot for slot, k in enumerate(slots)}
        self._order = torch.tensor([self._slot_of[k] for k in range(len(members))], device=device)
        self._net = StackedNet([nets[k] for k in slots], device, compute_dtype)
        self._plain = nets[0]
        self._losses = [
            HeadLoss(head, [slot for slot, _ in group], labels)
            for head, group in groupby(enumerate(slots), key=lambda pair: members[pair[1]].head)
        ]
        self._optimizer = self._build_optimizer(optimizer)
        self._learning_rates = [
            float(param_group["lr"]) for param_group in self._optimizer.param_groups
        ]
        if graph:
            _prepare_for_capture(self._optimizer, device)
        self._call = CUDAGraphStep(self._move) if graph else self._move
        self._inputs = labels.new_empty(0)  # the training inputs of the last step
        self._own_rows = torch.tensor(slots, device=device)
        self._rows = torch.empty(0, device=device)  # takes its shape at the first step

    @torch.no_grad()
    def step(self, inputs: Tensor, batch: Batch) -> Tensor:
        index = (
            batch.index if len(batch.index) == 1 else batch.index.index_select(0, self._own_rows)
        )
        self._inputs = inputs
        return self._call(index, batch.weights)

    def _move(self, index: Tensor, weights: Tensor) -> Tensor:
        """One step; keeps to tensors of fixed shape and place, and never waits for the device."""
        inputs = self._inputs
        torch.index_select(inputs, 0, index.reshape(-1), out=self._rows)
        logits = self._net.forward(self._rows.view(*index.shape, *inputs.shape[1:]))
        parts = [part.with_gradient(logits, index, weights) for part in self._losses]
        self._net.backward(torch.cat([gradient for _, gradient in parts]))
        self._optimizer.step()
        return torch.cat([losses for losses, _ in parts]).index_select(0, self._order)

    def scale_learning_rates(self, factor: float) -> None:
        _scale(self._optimizer, self._learning_rates, factor)

    @torch.no_grad()
    def logits(self, inputs: Tensor) -> Tensor:
        parts = [
            self._net.logits(_filled_up(rows).unsqueeze(0))[:, : len(rows)]
            for rows in inputs.split(_ROWS)
        ]
        return torch.cat(parts, dim=1).index_select(0, self._order)

    def weights(self, k: int) -> dict[str, Tensor]:
        net = self._net.unstack(self._slot_of[k], self._plain)
        return {name: value.detach().clone() for name, value in net.state_dict().items()}

    def restore(self, k: int, weights: dict[str, Tensor]) -> None:
        self._plain.load_state_dict(weights)
        self._net.fill(self._slot_of[k], self._plain)

    def _build_optimizer(self, optimizer: OptimizerBuilder) -> torch.optim.Optimizer:
        kwargs = [dict(self.members[k].optimizer_kwargs) for k in self._slots]
        if all(own == kwargs[0] for own in kwargs):
            flat = nn.Parameter(self._net.parameters)
            flat.grad = self._net.gradients
            return optimizer([flat], **kwargs[0])
        param_groups = [
            {"params": [_leaf(*pair) for pair in self._net.slices(slot)], **own}
            for slot, own in enumerate(kwargs)
        ]
        return optimizer(param_groups, **kwargs[0])


class LoneCohort:
    """One member and any backbone, by plain autograd."""

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
        self._rough = torch.autocast(
            device.type, torch.bfloat16, compute_dtype is not torch.float32
        )
        self._loss = HeadLoss(members[0].head, [0], labels)
        self._optimizer = optimizer(self._net.parameters(), **members[0].optimizer_kwargs)
        self._learning_rates = [param_group["lr"] for param_group in self._optimizer.param_groups]

    def step(self, inputs: Tensor, batch: Batch) -> Tensor:
        self._net.train()
        with self._rough:
            logits = self._net(inputs.index_select(0, batch.index[0])).float().unsqueeze(0)
        losses = self._loss(logits, batch.index, batch.weights)
        self._optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        self._optimizer.step()
        return losses.detach()

    def scale_learning_rates(self, factor: float) -> None:
        _scale(self._optimizer, self._learning_rates, factor)

    @torch.no_grad()
    def logits(self, inputs: Tensor) -> Tensor:
        self._net.eval()
        with self._rough:
            parts = [self._net(rows).float() for rows in inputs.split(_ROWS)]
        return torch.cat(parts).unsqueeze(0)

    def weights(self, k: int) -> dict[str, Tensor]:
        return {
            name: value.detach().cpu().clone() for name, value in self._net.state_dict().items()
        }

    def restore(self, k: int, weights: dict[str, Tensor]) -> None:
        self._net.load_state_dict(weights)


def _filled_up(rows: Tensor) -> Tensor:
    """Rows up to a multiple of a cache line: compute_dtype of ragged shapes differ by slot."""
    missing = -len(rows) % ROW_LANE
    return rows if missing == 0 else torch.cat([rows, rows.new_zeros(missing, *rows.shape[1:])])


def _scale(
    optimizer: torch.optim.Optimizer, learning_rates: Sequence[float], factor: float
) -> None:
    for param_group, learning_rate in zip(optimizer.param_groups, learning_rates, strict=True):
        if isinstance(param_group["lr"], Tensor):
            param_group["lr"].fill_(
                learning_rate * factor
            )  # a recording reads the same place again
        else:
            param_group["lr"] = learning_rate * factor


def _prepare_for_capture(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Keep on the device what changes from step to step: rates, and Adam's count of steps."""
    for param_group in optimizer.param_groups:
        param_group["lr"] = torch.tensor(float(param_group["lr"]), device=device)
        if "capturable" in param_group:
            param_group["capturable"] = True


def _leaf(parameter: Tensor, gradient: Tensor) -> nn.Parameter:
    leaf = nn.Parameter(parameter.detach())
    leaf.grad = gradient
    return leaf
