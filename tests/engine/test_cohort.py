"""A member's bits are its own: alone, in company, in any slot, whoever trains in other threads."""

import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lossheads.engine.batches import batch_stream
from lossheads.engine.cohort import SingleMemberCohort, StackedCohort, build_cohort, can_stack
from lossheads.engine.member import Member, initial_net
from lossheads.heads import (
    SigmoidBCE,
    SingleLogitBCE,
    SoftmaxBCE,
    SoftmaxCCE,
    TwoLogitCCE,
)
from lossheads.heads.base import Head
from lossheads.models import linear, mlp
from lossheads.outcomes import OneOf

CPU = torch.device("cpu")


pytestmark = pytest.mark.usefixtures("one_thread")
SHAPE = (1, 6, 6)
ADAM = {"lr": 1e-2, "fused": True}
OPTIMIZERS: list[tuple[Any, dict[str, Any]]] = [
    (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "fused": True}),
    (torch.optim.Adam, ADAM),
    (torch.optim.AdamW, {"lr": 1e-2, "weight_decay": 0.1, "fused": True}),
]
# Options beside the learning rate, which the fused kernels take as well.
OPTIONS: list[tuple[Any, dict[str, Any]]] = [
    (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "fused": True}),
    (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "fused": True}),
    (torch.optim.Adam, {"lr": 1e-2, "amsgrad": True, "betas": (0.8, 0.9), "fused": True}),
    (torch.optim.AdamW, {"lr": 1e-2, "amsgrad": True, "fused": True}),
]
BACKBONES: list[Any] = [linear, partial(mlp, hidden=[24]), partial(mlp, hidden=[20, 12])]


def data(classes: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(5)
    inputs = torch.rand(203, *SHAPE, generator=draw)
    return inputs, torch.randint(0, classes, (203,), generator=draw)


def member(head: Head, seed: int, data_seed: int | None = None, **rates: Any) -> Member:
    return Member(head, seed, seed if data_seed is None else data_seed, rates or ADAM)


def walk(
    members: Sequence[Member],
    backbone: Any,
    kind: Any = torch.optim.Adam,
    steps: int = 17,
    classes: int = 10,
    compute_dtype: torch.dtype = torch.float32,
) -> list[dict[str, Tensor]]:
    """Weights of every member after `steps` of 30 rows: 203 = 6 · 30 + 23, a partial batch too."""
    inputs, labels = data(classes)
    cohort = build_cohort(backbone, SHAPE, members, labels, partial(kind), CPU, compute_dtype)
    batches = batch_stream(len(inputs), 30, [m.data_seed for m in members], CPU)
    for _ in range(steps):
        cohort.step(inputs, next(batches))
    return [cohort.weights(k) for k in range(len(members))]


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


TEN = OneOf(10)
HEADS: list[Head] = [SoftmaxCCE(TEN), SigmoidBCE(TEN), SoftmaxBCE(TEN)]


@pytest.mark.parametrize("backbone", BACKBONES, ids=["linear", "mlp-24", "mlp-20-12"])
@pytest.mark.parametrize(
    ("kind", "rates"), OPTIMIZERS, ids=[kind.__name__ for kind, _ in OPTIMIZERS]
)
def test_member_has_the_same_bits_alone_and_in_any_company(
    backbone: Any, kind: Any, rates: dict[str, Any]
) -> None:
    everyone = [member(HEADS[k % 3], k, **rates) for k in range(8)]
    alone = [walk([one], backbone, kind)[0] for one in everyone]
    for company in (everyone, everyone[::-1], everyone[:5], everyone[3:6], everyone[2:4]):
        together = walk(company, backbone, kind)
        for one, weights in zip(company, together, strict=True):
            assert same(weights, alone[one.seed]), f"seed {one.seed} of {len(company)}"


@pytest.mark.parametrize(("kind", "options"), OPTIONS, ids=lambda given: str(given))
def test_options_of_optimizers_keep_the_bits_of_members(kind: Any, options: dict[str, Any]) -> None:
    members = [member(HEADS[k % 3], k, **options) for k in range(4)]
    default = {"lr": options["lr"], "fused": True}
    others = [member(HEADS[0], k, **default) for k in (7, 8)]
    alone = [walk([one], BACKBONES[1], kind)[0] for one in members]
    for cohort in (members, [*members[::-1], *others]):  # one and several groups of parameters
        for one, weights in zip(cohort, walk(cohort, BACKBONES[1], kind), strict=True):
            assert one in others or same(weights, alone[one.seed])
    assert not same(walk([member(HEADS[0], 0, **default)], BACKBONES[1], kind)[0], alone[0])


def test_shared_and_own_batches_give_the_same_bits() -> None:
    backbone = BACKBONES[1]
    shared = walk([member(HEADS[0], s, data_seed=3) for s in range(4)], backbone)
    mixed = walk(
        [member(HEADS[0], 0, data_seed=3), *(member(HEADS[0], s) for s in (7, 8, 9))], backbone
    )
    assert same(shared[0], mixed[0])


def test_members_with_their_own_rates_walk_as_if_alone() -> None:
    backbone = BACKBONES[1]
    members = [member(HEADS[0], 0, lr=rate, fused=True) for rate in (1e-3, 1e-2, 3e-2)]
    members.append(member(HEADS[1], 1, lr=1e-2, weight_decay=0.1, fused=True))
    for one, weights in zip(members, walk(members, backbone), strict=True):
        assert same(weights, walk([one], backbone)[0])


@pytest.mark.parametrize("head", [SingleLogitBCE(OneOf(2)), TwoLogitCCE(OneOf(2))])
def test_binary_heads_keep_their_bits(head: Head) -> None:
    members = [member(head, seed) for seed in range(6)]
    alone = [walk([one], BACKBONES[1], classes=2)[0] for one in members]
    together = walk(members, BACKBONES[1], classes=2)
    assert all(same(a, b) for a, b in zip(alone, together, strict=True))


def test_bits_do_not_depend_on_what_other_threads_train() -> None:
    members = [member(HEADS[k % 3], k) for k in range(6)]
    alone = [walk([one], BACKBONES[1])[0] for one in members]
    found: dict[int, list[dict[str, Tensor]]] = {}

    def work(at: int) -> None:
        torch.set_num_threads(1)
        found[at] = walk(members[at : at + 3], BACKBONES[1])

    for _ in range(5):  # builds of two threads meet by chance
        threads = [threading.Thread(target=work, args=(at,)) for at in (0, 3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(same(a, b) for a, b in zip(alone, found[0] + found[3], strict=True))


def test_rough_products_walk_near_the_exact_ones_and_keep_their_bits() -> None:
    """bfloat16 has 8 bits: about 0.4 % per product; weights stay float32."""
    members = [member(HEADS[k % 3], k, lr=0.05, fused=True) for k in range(4)]
    walks = [
        walk(members, BACKBONES[2], torch.optim.SGD, compute_dtype=compute_dtype)
        for compute_dtype in (torch.bfloat16, torch.float32)
    ]
    for rough, exact in zip(*walks, strict=True):
        for name, value in exact.items():
            assert rough[name].dtype == torch.float32
            assert not torch.equal(rough[name], value)
            torch.testing.assert_close(rough[name], value, rtol=0.05, atol=0.01)
    alone = walk(members[:1], BACKBONES[2], torch.optim.SGD, compute_dtype=torch.bfloat16)[0]
    assert same(alone, walks[0][0])


def test_diverged_member_does_not_disturb_the_others() -> None:
    backbone = BACKBONES[1]
    kind = torch.optim.SGD
    sane = [member(HEADS[0], seed, lr=0.1, fused=True) for seed in range(3)]
    wild = member(HEADS[1], 9, lr=1e30, fused=True)
    together = walk([sane[0], wild, *sane[1:]], backbone, kind)
    assert not all(value.isfinite().all() for value in together[1].values())
    for one, weights in zip(sane, [together[0], *together[2:]], strict=True):
        assert same(weights, walk([one], backbone, kind)[0])


def test_stacked_member_walks_like_plain_autograd_in_its_first_steps() -> None:
    """The reference is torch's own: nn.Linear, autograd, SGD. Float32, so a few ulps apart."""
    inputs, labels = data(10)
    one = member(HEADS[0], 3, lr=0.1, fused=True)
    net = initial_net(BACKBONES[2], SHAPE, one)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    batches = batch_stream(len(inputs), 30, [3], CPU)
    for _ in range(8):
        batch = next(batches)
        true_rows = batch.index[0][batch.weights > 0]
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(inputs[true_rows]), labels[true_rows]).backward()
        optimizer.step()
    stacked = walk([one], BACKBONES[2], torch.optim.SGD, steps=8)[0]
    for name, value in net.state_dict().items():
        torch.testing.assert_close(stacked[name], value, rtol=1e-4, atol=1e-6)


def test_lone_cohort_walks_like_the_stacked_one_in_its_first_steps() -> None:
    inputs, labels = data(10)
    one = member(HEADS[1], 3, lr=0.1, fused=True)
    lone = SingleMemberCohort(
        initial_net(BACKBONES[1], SHAPE, one), [one], labels, partial(torch.optim.SGD), CPU
    )
    batches = batch_stream(len(inputs), 30, [3], CPU)
    for _ in range(8):
        lone.step(inputs, next(batches))
    stacked = walk([one], BACKBONES[1], torch.optim.SGD, steps=8)[0]
    for name, value in lone.weights(0).items():
        torch.testing.assert_close(stacked[name], value, rtol=1e-4, atol=1e-6)


def test_losses_are_the_heads_own_means_over_true_rows() -> None:
    inputs, labels = data(10)
    members = [member(head, 4) for head in HEADS]
    cohort = build_cohort(BACKBONES[1], SHAPE, members, labels, partial(torch.optim.Adam), CPU)
    last = [
        batch
        for _, batch in zip(range(7), batch_stream(len(inputs), 30, [4] * 3, CPU), strict=False)
    ][-1]
    rows = last.index[0][last.weights > 0]
    assert len(rows) == 23
    logits = cohort.logits(inputs[rows])
    expected = [
        one.head.loss(logits[k], one.head.encode(labels[rows])).mean()
        for k, one in enumerate(members)
    ]
    torch.testing.assert_close(cohort.step(inputs, last), torch.stack(expected))


@pytest.mark.parametrize("rows", [1, 10, 203, 357, 4097])
def test_measured_logits_have_the_same_bits_alone_and_in_company(rows: int) -> None:
    inputs = torch.rand(rows, *SHAPE, generator=torch.Generator().manual_seed(1))
    _, labels = data(10)
    members = [member(HEADS[k % 3], k) for k in range(8)]
    build = partial(build_cohort, BACKBONES[1], SHAPE, device=CPU, labels=labels)
    adam = partial(torch.optim.Adam)
    together = build(members=members, optimizer=adam).logits(inputs)
    assert together.shape == (8, rows, 10)
    for k, one in enumerate(members):
        assert torch.equal(build(members=[one], optimizer=adam).logits(inputs)[0], together[k])


def test_heads_of_one_seed_start_from_the_same_net() -> None:
    nets = [initial_net(BACKBONES[1], SHAPE, member(head, 6)) for head in HEADS]
    assert same(nets[0].state_dict(), nets[1].state_dict())
    other = initial_net(BACKBONES[1], SHAPE, member(HEADS[0], 7))
    assert not same(nets[0].state_dict(), other.state_dict())


def test_building_a_net_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    initial_net(BACKBONES[1], SHAPE, member(HEADS[0], 6))
    assert torch.equal(before, torch.get_rng_state())


def own_backbone(shape: tuple[int, ...]) -> nn.Module:
    """A module that is no chain of known layers."""
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.Tanh())


def test_unknown_backbones_train_alone() -> None:
    backbone = own_backbone
    _, labels = data(10)
    assert not can_stack(backbone, SHAPE, partial(torch.optim.Adam), ADAM)
    cohort = build_cohort(
        backbone, SHAPE, [member(HEADS[0], 0)], labels, partial(torch.optim.Adam), CPU
    )
    assert isinstance(cohort, SingleMemberCohort)
    with pytest.raises(ValueError, match="one member at a time, got 2"):
        build_cohort(
            backbone, SHAPE, [member(HEADS[0], 0)] * 2, labels, partial(torch.optim.Adam), CPU
        )


def test_weights_put_back_give_the_same_logits() -> None:
    inputs, labels = data(10)
    members = [member(HEADS[0], seed) for seed in range(5)]
    cohort = build_cohort(BACKBONES[1], SHAPE, members, labels, partial(torch.optim.Adam), CPU)
    assert isinstance(cohort, StackedCohort)
    kept, before = cohort.weights(2), cohort.logits(inputs)
    batches = batch_stream(len(inputs), 30, list(range(5)), CPU)
    for _ in range(3):
        cohort.step(inputs, next(batches))
    moved = cohort.logits(inputs)
    cohort.restore(2, kept)
    after = cohort.logits(inputs)
    assert torch.equal(after[2], before[2])
    assert torch.equal(after[[0, 1, 3, 4]], moved[[0, 1, 3, 4]])
    assert not torch.equal(moved[2], before[2])
