"""The same program on a card. Skipped where there is none; never yet run on one (see CHANGELOG)."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from lossheads.engine.augmentation import Augmentation, augmented
from lossheads.engine.batches import batch_stream
from lossheads.engine.cohort import build_cohort
from lossheads.engine.member import Member
from lossheads.heads import SigmoidBCE, SoftmaxCCE
from lossheads.heads.base import Head
from lossheads.models import cnn, mlp, resnet9
from lossheads.outcomes import OneOf
from lossheads.runs.config import compose
from lossheads.runs.device import prepare
from lossheads.runs.execute import execute

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
CUDA = torch.device("cuda")
TEN = OneOf(10)
HEADS: list[Head] = [SoftmaxCCE(TEN), SigmoidBCE(TEN)]
MLP = partial(mlp, hidden=[32])
IMAGE_NETS = [
    partial(cnn, channels=[4, 8], dense=16),
    partial(resnet9, channels=[4, 4, 8, 8], groups=4),
]
MOVED = Augmentation(crop=2, flip=True)
image_net = pytest.mark.parametrize("backbone", IMAGE_NETS, ids=["cnn", "resnet9"])


def losses_of(
    device: torch.device,
    steps: int,
    watch_syncs: bool = False,
    graph: bool = False,
    backbone: Any = MLP,
    members: int = 6,
    how: Augmentation | None = None,
) -> torch.Tensor:
    draw = torch.Generator().manual_seed(5)
    shape = (1, 16, 16)
    inputs = torch.rand(512, *shape, generator=draw).to(device)
    labels = torch.randint(0, 10, (512,), generator=draw).to(device)
    everyone = [Member(HEADS[k % 2], k, k, {"lr": 1e-2, "fused": True}) for k in range(members)]
    adam = partial(torch.optim.Adam)
    cohort = build_cohort(backbone, shape, everyone, labels, adam, device, graph=graph)
    batches = batch_stream(512, 64, [m.data_seed for m in everyone], device, how)
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


@image_net
def test_nor_does_one_of_convolutions(backbone: Any) -> None:
    found = losses_of(CUDA, steps=8, watch_syncs=True, backbone=backbone, members=1, how=MOVED)
    assert found.isfinite().all()


@image_net
def test_convolutions_start_as_on_the_cpu_and_repeat_bit_for_bit(backbone: Any) -> None:
    settings = {"kind": "cuda", "precision": "float32", "graph": False, "deterministic": True}
    try:
        prepare(settings, torch.get_num_threads())
        one, again = (losses_of(CUDA, 4, backbone=backbone, members=1) for _ in range(2))
        on_cpu = losses_of(torch.device("cpu"), 4, backbone=backbone, members=1)
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(one, again)
    torch.testing.assert_close(one, on_cpu, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("graph", [False, True])
def test_moved_images_are_those_of_the_cpu(graph: bool) -> None:
    images = torch.rand(64, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    drawn = MOVED.draw(1, 64, MOVED.stream(0))[0]
    assert torch.equal(augmented(images.to(CUDA), drawn.to(CUDA)).cpu(), augmented(images, drawn))
    on_card = losses_of(CUDA, steps=6, graph=graph, how=MOVED)
    on_cpu = losses_of(torch.device("cpu"), steps=6, how=MOVED)
    torch.testing.assert_close(on_card, on_cpu, rtol=1e-3, atol=1e-3)


def test_a_cohort_larger_than_the_card_is_halved(tmp_path: Path) -> None:
    """Real memory: a member takes 0.1 GB, and there is room for about three of eight."""
    words = ["dataset=digits", "device=cuda", "model.hidden=[4096,1024]", "training.steps=3"]
    words += ["recording.tensorboard=false", f"output_dir={tmp_path}"]
    configs = [compose([*words, f"seed={seed}"]) for seed in range(8)]
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(CUDA).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 4e8) / total)
    try:
        results = execute(configs)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert [result.status for result in results] == ["finished"] * 8
    assert max(result.environment["members"] for result in results) < 8
