"""The same program on a card. Skipped where there is none; never yet run on one (see CHANGELOG)."""

from functools import partial

import pytest
import torch

from lossheads.engine.batches import batch_stream
from lossheads.engine.cohort import build_cohort
from lossheads.engine.member import Member
from lossheads.heads import SigmoidBCE, SoftmaxCCE
from lossheads.heads.base import Head
from lossheads.models import mlp
from lossheads.outcomes import OneOf

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
CUDA = torch.device("cuda")
TEN = OneOf(10)
HEADS: list[Head] = [SoftmaxCCE(TEN), SigmoidBCE(TEN)]


def losses_of(
    device: torch.device, steps: int, watch_syncs: bool = False, graph: bool = False
) -> torch.Tensor:
    draw = torch.Generator().manual_seed(5)
    inputs = torch.rand(512, 1, 8, 8, generator=draw).to(device)
    labels = torch.randint(0, 10, (512,), generator=draw).to(device)
    members = [Member(HEADS[k % 2], k, k, {"lr": 1e-2, "fused": True}) for k in range(6)]
    backbone = partial(mlp, hidden=[32])
    adam = partial(torch.optim.Adam)
    cohort = build_cohort(backbone, (1, 8, 8), members, labels, adam, device, graph=graph)
    batches = batch_stream(512, 64, [m.data_seed for m in members], device)
    seen = [cohort.step(inputs, next(batches))]
    torch.cuda.set_sync_debug_mode("error" if watch_syncs else "default")
    try:
        # Within one pass: a new order is drawn on the CPU and copied once an epoch.
        seen += [cohort.step(inputs, next(batches)) for _ in range(steps - 1)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return torch.stack(seen).cpu()


def test_a_step_waits_for_nothing() -> None:
    assert losses_of(CUDA, steps=8, watch_syncs=True).isfinite().all()


def test_the_first_steps_agree_with_the_cpu() -> None:
    on_card, on_cpu = losses_of(CUDA, steps=4), losses_of(torch.device("cpu"), steps=4)
    torch.testing.assert_close(on_card, on_cpu, rtol=1e-3, atol=1e-4)


def test_the_card_repeats_itself_bit_for_bit() -> None:
    assert torch.equal(losses_of(CUDA, steps=20), losses_of(CUDA, steps=20))


def test_a_recorded_step_is_the_plain_one() -> None:
    torch.testing.assert_close(losses_of(CUDA, steps=12, graph=True), losses_of(CUDA, steps=12))
