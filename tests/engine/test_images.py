"""Layers on images: a member's bits are its own, whoever computes them; and they are autograd's."""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lossheads.engine import images
from lossheads.engine.batches import batch_stream
from lossheads.engine.cohort import (
    SingleMemberCohort,
    StackedCohort,
    build_cohort,
    can_stack,
    shares_threads,
)
from lossheads.engine.member import Member, Net, initial_net
from lossheads.engine.stacking import StackedNet
from lossheads.engine.team import Team
from lossheads.heads import SigmoidBCE, SingleLogitBCE, SoftmaxCCE
from lossheads.heads.base import Head
from lossheads.models import cnn, linear, mlp, resnet9
from lossheads.models.resnet9 import AveragePool, Residual
from lossheads.outcomes import OneOf

CPU = torch.device("cpu")
SHAPE = (3, 16, 16)
TEN = OneOf(10)
HEADS: list[Head] = [SoftmaxCCE(TEN), SigmoidBCE(TEN)]
ADAM = {"lr": 1e-2, "fused": True}
BACKBONES: dict[str, Any] = {
    "cnn": partial(cnn, channels=[5, 16], dense=24),
    "resnet9": partial(resnet9, channels=[4, 8, 8, 16], groups=2),
}

pytestmark = pytest.mark.usefixtures("one_thread")
every_backbone = pytest.mark.parametrize("backbone", BACKBONES.values(), ids=list(BACKBONES))


def data(classes: int = 10, rows: int = 203) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(5)
    inputs = torch.rand(rows, *SHAPE, generator=draw)
    return inputs, torch.randint(0, classes, (rows,), generator=draw)


def member(head: Head, seed: int, **rates: Any) -> Member:
    return Member(head, seed, seed, rates or ADAM)


def walk(
    members: Sequence[Member],
    backbone: Any,
    threads: int = 1,
    batch: int = 70,
    steps: int = 7,
    classes: int = 10,
    compute_dtype: torch.dtype = torch.float32,
) -> list[dict[str, Tensor]]:
    """Weights of every member after steps of `batch` rows: 203 = 2 · 70 + 63, a partial one too."""
    inputs, labels = data(classes)
    cohort = build_cohort(
        *(backbone, SHAPE, members, labels, partial(torch.optim.Adam), CPU, compute_dtype),
        threads=threads,
    )
    batches = batch_stream(len(inputs), batch, [m.data_seed for m in members], CPU)
    for _ in range(steps):
        cohort.step(inputs, next(batches))
    return [cohort.weights(k) for k in range(len(members))]


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


@every_backbone
@pytest.mark.parametrize("batch", [10, 70, 150])
def test_a_member_has_the_same_bits_in_any_company_and_number_of_threads(
    backbone: Any, batch: int
) -> None:
    everyone = [member(HEADS[k % 2], k) for k in range(5)]
    alone = [walk([one], backbone, batch=batch)[0] for one in everyone]
    for company, threads in ((everyone, 1), (everyone[::-1], 2), (everyone[1:3], 3)):
        together = walk(company, backbone, threads, batch)
        for one, weights in zip(company, together, strict=True):
            assert same(weights, alone[one.seed]), f"seed {one.seed} of {len(company)}"
    assert same(walk(everyone[:1], backbone, threads=2, batch=batch)[0], alone[0])


@every_backbone
def test_shared_batches_and_one_logit_keep_the_bits(backbone: Any) -> None:
    head = SingleLogitBCE(OneOf(2))
    members = [Member(head, seed, 3, ADAM) for seed in range(3)]
    alone = [walk([one], backbone, classes=2)[0] for one in members]
    for threads in (1, 2):
        together = walk(members, backbone, threads, classes=2)
        assert all(same(a, b) for a, b in zip(alone, together, strict=True))


def test_members_with_their_own_rates_walk_as_if_alone() -> None:
    backbone = BACKBONES["cnn"]
    members = [member(HEADS[0], 0, lr=rate, fused=True) for rate in (1e-3, 1e-2)]
    for one, weights in zip(members, walk(members, backbone), strict=True):
        assert same(weights, walk([one], backbone)[0])


def test_bits_do_not_depend_on_what_other_threads_train() -> None:
    backbone = BACKBONES["cnn"]
    members = [member(HEADS[k % 2], k) for k in range(4)]
    alone = [walk([one], backbone)[0] for one in members]
    found: dict[int, list[dict[str, Tensor]]] = {}

    def work(at: int) -> None:
        torch.set_num_threads(1)
        found[at] = walk(members[at : at + 2], backbone)

    workers = [threading.Thread(target=work, args=(at,)) for at in (0, 2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(same(a, b) for a, b in zip(alone, found[0] + found[2], strict=True))


@every_backbone
def test_a_stacked_member_walks_like_autograd_in_its_first_steps(backbone: Any) -> None:
    """Float32, so some ulps apart: SGD, which does not blow them up as Adam does."""
    inputs, labels = data()
    one = member(HEADS[1], 3, lr=0.02, fused=True)
    sgd = partial(torch.optim.SGD)
    lone = SingleMemberCohort(initial_net(backbone, SHAPE, one), [one], labels, sgd, CPU)
    stacked = build_cohort(backbone, SHAPE, [one], labels, sgd, CPU, threads=2)
    assert isinstance(stacked, StackedCohort)
    batches = batch_stream(len(inputs), 70, [3], CPU)
    before = stacked.weights(0)
    for _ in range(6):
        batch = next(batches)
        losses = [cohort.step(inputs, batch) for cohort in (lone, stacked)]
        torch.testing.assert_close(*losses, rtol=1e-5, atol=1e-6)
    after = stacked.weights(0)
    for name, value in lone.weights(0).items():
        torch.testing.assert_close(after[name], value, rtol=1e-4, atol=2e-6)
        assert not torch.equal(before[name], value), name
    torch.testing.assert_close(stacked.logits(inputs), lone.logits(inputs), rtol=1e-4, atol=1e-5)


CHAINS: dict[str, Callable[[], list[nn.Module]]] = {
    "stride, padding, groups": lambda: [
        *(nn.Conv2d(3, 6, 5, stride=2, padding=(0, 1)), nn.ReLU()),
        *(nn.Conv2d(6, 4, 3, dilation=2, groups=2, bias=False), nn.Flatten()),
    ],
    "pooling alone": lambda: [
        *(nn.MaxPool2d(3, stride=2, padding=1), nn.Conv2d(3, 4, 3), nn.ReLU()),
        *(nn.MaxPool2d(2, ceil_mode=True), nn.MaxPool2d(2), nn.Flatten()),
    ],
    "norm first": lambda: [
        *(nn.ReLU(), nn.GroupNorm(3, 3), nn.Identity(), nn.Sequential(nn.Conv2d(3, 4, 3))),
        *(nn.GroupNorm(2, 4), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(36, 5), nn.ReLU()),
    ],
    "residual first": lambda: [Residual(3, 1), Residual(3, 3), AveragePool()],
}


@pytest.mark.parametrize("chain", CHAINS.values(), ids=list(CHAINS))
@pytest.mark.parametrize("rows", [16, 80, 160])
def test_gradients_of_any_chain_are_those_of_autograd(
    chain: Callable[[], list[nn.Module]], rows: int
) -> None:
    torch.manual_seed(1)
    nets = []
    for _ in range(2):
        backbone = nn.Sequential(*chain()).double()
        width = backbone(torch.zeros(1, *SHAPE, dtype=torch.float64)).shape[1]
        nets.append(Net(backbone, nn.Linear(width, 3).double()))
    inputs = torch.randn(2, rows, *SHAPE, dtype=torch.float64)
    stacked = stacked_in_double(nets)
    grads = torch.randn(2, rows, 3, dtype=torch.float64)
    with torch.no_grad():
        logits = stacked.forward(inputs)
        stacked.backward(grads.clone())
    for k, net in enumerate(nets):
        expected = net(inputs[k])
        torch.testing.assert_close(logits[k], expected)
        expected.backward(grads[k])
        # The gradients, read as if they were the weights.
        stacked.parameters.copy_(stacked.gradients)
        found = stacked.unstack(k, Net(nn.Sequential(*chain()), nn.Linear(width, 3)).double())
        for name, weight in net.named_parameters():
            torch.testing.assert_close(found.get_parameter(name).data, weight.grad, msg=name)


def test_inputs_are_left_as_they_are() -> None:
    """Rows of one channel need no copy, and members may share them."""
    chain = nn.Sequential(nn.ReLU(), nn.Conv2d(1, 2, 3), nn.Flatten())
    stacked = StackedNet([Net(chain, nn.Linear(72, 3))] * 2, CPU)
    inputs = torch.randn(1, 16, 1, 8, 8)
    before = inputs.clone()
    with torch.no_grad():
        stacked.forward(inputs)
    assert torch.equal(inputs, before)


def stacked_in_double(nets: list[Net]) -> StackedNet:
    """A stack whose buffers are float64, for gradients without rounding."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        return StackedNet(nets, CPU)
    finally:
        torch.set_default_dtype(before)


@every_backbone
def test_weights_put_back_give_the_same_logits(backbone: Any) -> None:
    inputs, labels = data()
    members = [member(HEADS[0], seed) for seed in range(3)]
    cohort = build_cohort(backbone, SHAPE, members, labels, partial(torch.optim.Adam), CPU)
    for k, one in enumerate(members):
        start = initial_net(backbone, SHAPE, one).state_dict()
        assert same(cohort.weights(k), start)
    kept, before = cohort.weights(1), cohort.logits(inputs)
    batches = batch_stream(len(inputs), 70, [0, 1, 2], CPU)
    cohort.step(inputs, next(batches))
    moved = cohort.logits(inputs)
    cohort.restore(1, kept)
    after = cohort.logits(inputs)
    assert torch.equal(after[1], before[1])
    assert torch.equal(after[[0, 2]], moved[[0, 2]])
    assert not torch.equal(moved[1], before[1])


@pytest.mark.parametrize("rows", [1, 10, 203, 1030])
def test_measured_logits_have_the_same_bits_alone_and_in_company(rows: int) -> None:
    inputs, labels = data(rows=rows)[0], data()[1]
    members = [member(HEADS[k % 2], k) for k in range(3)]
    build = partial(build_cohort, BACKBONES["cnn"], SHAPE, device=CPU, labels=labels)
    adam = partial(torch.optim.Adam)
    together = build(members=members, optimizer=adam, threads=2).logits(inputs)
    assert together.shape == (3, rows, 10)
    for k, one in enumerate(members):
        assert torch.equal(build(members=[one], optimizer=adam).logits(inputs)[0], together[k])


def test_products_in_bfloat16_are_near_and_keep_their_bits() -> None:
    backbone, rough = BACKBONES["resnet9"], torch.bfloat16
    members = [member(HEADS[0], k, lr=1e-4, fused=True) for k in range(2)]
    walks = [walk(members, backbone, compute_dtype=dtype) for dtype in (rough, torch.float32)]
    for near, exact in zip(*walks, strict=True):
        for name, value in exact.items():
            assert near[name].dtype == torch.float32
            torch.testing.assert_close(near[name], value, rtol=0.05, atol=0.01)
        assert not same(near, exact)
    assert same(walk(members[:1], backbone, compute_dtype=rough)[0], walks[0][0])


def test_a_diverged_member_does_not_disturb_the_others() -> None:
    sane, wild = member(HEADS[0], 0), member(HEADS[1], 9, lr=1e30, fused=True)
    together = walk([sane, wild], BACKBONES["cnn"])
    assert not all(value.isfinite().all() for value in together[1].values())
    assert same(together[0], walk([sane], BACKBONES["cnn"])[0])


REFUSED: dict[str, list[nn.Module]] = {
    "circular padding": [nn.Conv2d(3, 4, 3, padding_mode="circular"), nn.Flatten()],
    "padding by word": [nn.Conv2d(3, 4, 3, padding="same"), nn.Flatten()],
    "statistics of a batch": [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten()],
    "norm without weights": [nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4, affine=False), nn.Flatten()],
    "noise": [nn.Conv2d(3, 4, 3), nn.Dropout(), nn.Flatten()],
    "images never end": [nn.Conv2d(3, 4, 16)],
    "another flatten": [nn.Conv2d(3, 4, 3), nn.Flatten(2), nn.Flatten()],
    "a layer twice": [*[nn.Conv2d(3, 3, 3)] * 2, nn.Flatten()],
    "a dense layer twice": [nn.Flatten(), *[nn.Linear(768, 768)] * 2],
    "a subclass": [type("Own", (nn.Conv2d,), {})(3, 4, 3), nn.Flatten()],
}


@pytest.mark.parametrize("chain", REFUSED.values(), ids=list(REFUSED))
def test_what_is_not_supported_is_not_stacked(chain: list[nn.Module]) -> None:
    def backbone(shape: tuple[int, ...]) -> nn.Module:
        return nn.Sequential(*chain)

    assert not can_stack(backbone, SHAPE, partial(torch.optim.Adam), ADAM)


def test_images_share_threads_and_rows_of_numbers_do_not() -> None:
    for backbone in BACKBONES.values():
        assert can_stack(backbone, SHAPE, partial(torch.optim.Adam), ADAM)
        assert shares_threads(backbone, SHAPE)
    for flat in (linear, partial(mlp, hidden=[4])):
        assert not shares_threads(flat, SHAPE)


@pytest.mark.parametrize("rows", [16, 32, 48, 128, 144, 1024])
def test_halves_are_whole_chunks_of_all_rows(rows: int) -> None:
    chunks = [chunk for half in images._halves(rows, CPU) for chunk in half]
    assert (chunks[0].start, chunks[-1].stop) == (0, rows)
    assert all(a.stop == b.start for a, b in pairwise(chunks))
    assert all(chunk.start % 16 == 0 for chunk in chunks)


def test_a_team_does_every_part_once_and_reports_failures() -> None:
    team = Team(3)
    done: list[int] = []
    for _ in range(50):
        done.clear()
        team.run(partial(done.append, k) for k in range(20))
        assert sorted(done) == list(range(20))

    def fail() -> None:
        raise RuntimeError("broken on purpose")

    done.clear()
    with pytest.raises(RuntimeError, match="broken on purpose"):
        team.run([fail, *(partial(done.append, k) for k in range(20))])
    assert sorted(done) == list(range(20))
    team.run([partial(done.append, 20)])
    assert done[-1] == 20


def test_the_threads_of_a_team_end_with_it() -> None:
    before = set(threading.enumerate())
    team = Team(4)
    helpers = set(threading.enumerate()) - before
    assert len(helpers) == 3
    del team
    for helper in helpers:
        helper.join(timeout=10)
        assert not helper.is_alive()


def test_the_threads_of_a_team_flush_denormals_as_their_caller_does() -> None:
    caller, found = threading.get_ident(), []
    torch.set_flush_denormal(False)  # else it would be 0 from the start
    tiny = torch.full((1,), 1e-40)

    both = threading.Barrier(2, timeout=30)

    def compute() -> None:
        both.wait()  # one part for each of the two threads
        if threading.get_ident() != caller:
            found.append(float(tiny * 1.0) == 0)

    for flush in (True, False):
        torch.set_flush_denormal(flush)
        try:
            found.clear()
            Team(2).run([compute] * 2)
            assert found == [flush]
        finally:
            torch.set_flush_denormal(False)
