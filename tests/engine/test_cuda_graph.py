"""Recorded steps: the bookkeeping around a recording, held on a CPU by a stand-in for it."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from lossheads.engine.batches import batch_stream
from lossheads.engine.cohort import StackedCohort
from lossheads.engine.cuda_graph import WARMUP_CALLS, CUDAGraphStep
from lossheads.engine.member import Member, initial_net
from lossheads.heads import SigmoidBCE, SoftmaxCCE
from lossheads.models import mlp
from lossheads.outcomes import OneOf

CPU = torch.device("cpu")
BACKBONE = partial(mlp, hidden=[16])


def stand_in(work: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], object]]:
    """Like a recording: knows only the tensors that `work` closes over, fills one fixed result."""
    result = torch.empty(0)

    def replay() -> None:
        made = work()
        result.resize_(made.shape).copy_(made)

    return result, replay


def at_once(work: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    return work(*tensors)


def test_replays_see_new_arguments_and_leave_old_results_alone() -> None:
    calls: list[Tensor] = []

    def work(x: Tensor) -> Tensor:
        calls.append(x)
        return 2 * x

    double = CUDAGraphStep(work, stand_in, at_once)
    results = [double(torch.tensor([float(k)])) for k in range(7)]
    assert [float(result) for result in results] == [0, 2, 4, 6, 8, 10, 12]
    rooms = {call.data_ptr() for call in calls[WARMUP_CALLS:]}
    assert len(rooms) == 1  # one place, written to before every replay


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.SGD])
def test_a_replayed_cohort_takes_the_steps_of_a_plain_one(
    kind: type[torch.optim.Optimizer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rates and Adam's count of steps included, under a schedule that moves the rates."""
    monkeypatch.setattr(
        "lossheads.engine.cohort.CUDAGraphStep",
        partial(CUDAGraphStep, capture=stand_in, warmup=at_once),
    )
    draw = torch.Generator().manual_seed(2)
    inputs = torch.rand(203, 1, 6, 6, generator=draw)
    labels = torch.randint(0, 10, (203,), generator=draw)
    heads = [SoftmaxCCE(OneOf(10)), SigmoidBCE(OneOf(10))]
    members = [Member(heads[k % 2], k, k, {"lr": 0.01, "fused": True}) for k in range(4)]
    found = []
    for graph in (False, True):
        nets = [initial_net(BACKBONE, (1, 6, 6), member) for member in members]
        cohort = StackedCohort(nets, members, labels, partial(kind), CPU, graph=graph)
        batches = batch_stream(203, 30, [0, 1, 2, 3], CPU)
        losses = []
        for step in range(15):
            cohort.scale_learning_rates(1 / (1 + step))
            losses.append(cohort.step(inputs, next(batches)))
        found.append((torch.stack(losses), [cohort.weights(k) for k in range(4)]))
    (plain, before), (replayed, after) = found
    torch.testing.assert_close(replayed, plain)
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one, other)
