"""K members trained as one program.

A cohort takes batches and moves its members one optimizer step; it knows nothing of epochs,
rulers or files. `StackedCohort` serves trunks that can be stacked, `LoneCohort` every other trunk,
one member at a time; both keep the same interface.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from lossheads.engine.cuda_graph import Replayed
from lossheads.engine.head_loss import HeadLoss
from lossheads.engine.member import Member, Net, Trunk, building, initial_net
from lossheads.engine.stacking import StackedNet, needs_company, stackable

# Rows come in multiples of this, in training and in measuring, so that vector loops have no ragged
# end, which would be computed differently by seat.
ROW_LANE = 16

# Rows per pass when a whole split is measured: fixed, so that logits do not depend on memory.
_ROWS = 1024

OptimizerBuilder = partial[torch.optim.Optimizer]
Rates = Mapping[str, Any]


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

    def scale_rates(self, factor: float) -> None:
        """Multiply every member's learning rate, as configured, by `factor`."""

    def logits(self, inputs: Tensor) -> Tensor:
        """(N, ...) -> (K, N, U), without gradients."""

    def weights(self, k: int) -> dict[str, Tensor]:
        """Member k's weights on the CPU, under the names of a plain `Net`."""

    def restore(self, k: int, weights: dict[str, Tensor]) -> None:
        """Put back what `weights` gave."""


def build_cohort(
    trunk: Trunk,
    input_shape: tuple[int, ...],
    members: Sequence[Member],
    labels: Tensor,
    optimizer: OptimizerBuilder,
    device: torch.device,
    products: torch.dtype = torch.float32,
    graph: bool = False,
) -> Cohort:
    """The cohort of `members`, which must have equal numbers of units.

    Args:
        labels: The resident training labels; every head encodes them once.
        products: What layers multiply in: float32, or bfloat16 with weights, gradients, losses
            and optimizer in float32 all the same.
        graph: Record the step of a stacked cohort and replay it; for a card.

    Raises:
        ValueError: If several members share a trunk that cannot be stacked.
    """
    nets = [initial_net(trunk, input_shape, member) for member in members]
    if can_stack(trunk, input_shape, optimizer, members[0].rates):
        return StackedCohort(nets, members, labels, optimizer, device, products, graph)
    if len(members) > 1:
        raise ValueError("members of a trunk that cannot be stacked train one by one")
    return LoneCohort(nets[0], members, labels, optimizer, device, products)


def can_stack(
    trunk: Trunk, input_shape: tuple[int, ...], optimizer: OptimizerBuilder, rates: Rates
) -> bool:
    """Whether members of this trunk and optimizer can train side by side.

    The optimizer must treat each number alone, by one kernel for all of them: SGD, Adam and AdamW
    with `fused=True`. The trunk must be a chain of what `stacking` knows.
    """
    kinds = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)
    if optimizer.func not in kinds or not rates.get("fused", False):
        return False
    with building():
        return stackable(trunk(input_shape))


def bytes_per_member(net: Net, batch_size: int, measured: int) -> int:
    """Memory that one more stacked member takes, about: 5 MB for 784-128-10 at batch 128.

    Weights, gradients and two moments; in a step its rows and, per layer, result and gradient;
    in measuring a few thousand rows' results, and the logits of `measured` examples twice.
    """
    layers = [p for p in net.parameters() if p.dim() == 2]
    widths, inputs = sum(len(layer) for layer in layers), layers[0].shape[1]
    numbers = 4 * sum(p.numel() for p in net.parameters())
    numbers += batch_size * (inputs + 4 * widths)
    numbers += 2 * _ROWS * widths + 2 * measured * len(layers[-1])
    return 4 * numbers


class StackedCohort:
    """Members side by side in one flat buffer.

    On a CPU a member's bits are its own as long as torch computes on one thread, in training and
    in measuring: products that several threads share are cut up by their number and by G.
    """

    def __init__(
        self,
        nets: Sequence[Net],
        members: Sequence[Member],
        labels: Tensor,
        optimizer: OptimizerBuilder,
        device: torch.device,
        products: torch.dtype = torch.float32,
        graph: bool = False,
    ) -> None:
        self.members = members
        # Members of one head sit together, so that its loss is one call.
        kinds = list(dict.fromkeys(member.head for member in members))
        seats = sorted(range(len(members)), key=lambda k: kinds.index(members[k].head))
        if len(seats) == 1 and needs_company(nets[0]):
            seats *= 2  # nobody reads the copy
        self._seats = seats
        self._seat_of = {k: seat for seat, k in enumerate(seats)}
        self._order = torch.tensor([self._seat_of[k] for k in range(len(members))], device=device)
        self._net = StackedNet([nets[k] for k in seats], device, products)
        self._plain = nets[0]
        self._losses = [
            HeadLoss(head, [seat for seat, _ in group], labels)
            for head, group in groupby(enumerate(seats), key=lambda pair: members[pair[1]].head)
        ]
        self._optimizer = self._build_optimizer(optimizer)
        self._rates = [float(group["lr"]) for group in self._optimizer.param_groups]
        if graph:
            _let_record(self._optimizer, device)
        self._call = Replayed(self._move) if graph else self._move
        self._inputs = labels.new_empty(0)  # the training inputs of the last step
        self._own_rows = torch.tensor(seats, device=device)
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

    def scale_rates(self, factor: float) -> None:
        _scale(self._optimizer, self._rates, factor)

    @torch.no_grad()
    def logits(self, inputs: Tensor) -> Tensor:
        parts = [
            self._net.logits(_filled_up(rows).unsqueeze(0))[:, : len(rows)]
            for rows in inputs.split(_ROWS)
        ]
        return torch.cat(parts, dim=1).index_select(0, self._order)

    def weights(self, k: int) -> dict[str, Tensor]:
        net = self._net.unstack(self._seat_of[k], self._plain)
        return {name: value.detach().clone() for name, value in net.state_dict().items()}

    def restore(self, k: int, weights: dict[str, Tensor]) -> None:
        self._plain.load_state_dict(weights)
        self._net.fill(self._seat_of[k], self._plain)

    def _build_optimizer(self, optimizer: OptimizerBuilder) -> torch.optim.Optimizer:
        rates = [dict(self.members[k].rates) for k in self._seats]
        if all(rate == rates[0] for rate in rates):
            flat = nn.Parameter(self._net.parameters)
            flat.grad = self._net.gradients
            return optimizer([flat], **rates[0])
        groups = [
            {"params": [_leaf(*pair) for pair in self._net.slices(seat)], **rate}
            for seat, rate in enumerate(rates)
        ]
        return optimizer(groups, **rates[0])


class LoneCohort:
    """One member and any trunk, by plain autograd."""

    def __init__(
        self,
        net: Net,
        members: Sequence[Member],
        labels: Tensor,
        optimizer: OptimizerBuilder,
        device: torch.device,
        products: torch.dtype = torch.float32,
    ) -> None:
        self.members = members
        self._net = net.to(device)
        self._rough = torch.autocast(device.type, torch.bfloat16, products is not torch.float32)
        self._loss = HeadLoss(members[0].head, [0], labels)
        self._optimizer = optimizer(self._net.parameters(), **members[0].rates)
        self._rates = [group["lr"] for group in self._optimizer.param_groups]

    def step(self, inputs: Tensor, batch: Batch) -> Tensor:
        self._net.train()
        with self._rough:
            logits = self._net(inputs.index_select(0, batch.index[0])).float().unsqueeze(0)
        losses = self._loss(logits, batch.index, batch.weights)
        self._optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        self._optimizer.step()
        return losses.detach()

    def scale_rates(self, factor: float) -> None:
        _scale(self._optimizer, self._rates, factor)

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
    """Rows up to a multiple of a cache line: products of ragged shapes differ by seat."""
    missing = -len(rows) % ROW_LANE
    return rows if missing == 0 else torch.cat([rows, rows.new_zeros(missing, *rows.shape[1:])])


def _scale(optimizer: torch.optim.Optimizer, rates: Sequence[float], factor: float) -> None:
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate * factor)  # a recording reads the same place again
        else:
            group["lr"] = rate * factor


def _let_record(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Keep on the device what changes from step to step: rates, and Adam's count of steps."""
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(float(group["lr"]), device=device)
        if "capturable" in group:
            group["capturable"] = True


def _leaf(parameter: Tensor, gradient: Tensor) -> nn.Parameter:
    leaf = nn.Parameter(parameter.detach())
    leaf.grad = gradient
    return leaf
