"""Crops and mirror images: what they do to pixels, who sees which, that bits are a member's own."""

from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from lossheads.engine.augmentation import Augmentation, augmented
from lossheads.engine.batches import batch_stream
from lossheads.engine.cohort import build_cohort
from lossheads.engine.member import Member
from lossheads.errors import UserError
from lossheads.heads import SigmoidBCE, SoftmaxCCE
from lossheads.heads.base import Head
from lossheads.models import cnn, mlp
from lossheads.outcomes import OneOf
from lossheads.records import run_key
from lossheads.runs.config import compose
from lossheads.runs.execute import execute

pytestmark = pytest.mark.usefixtures("one_thread")
CPU, SHAPE = torch.device("cpu"), (2, 6, 5)
BOTH = Augmentation(crop=2, flip=True)
HEADS: list[Head] = [SoftmaxCCE(OneOf(10)), SigmoidBCE(OneOf(10))]
ADAM = {"lr": 1e-2, "fused": True}


def images(n: int = 50) -> Tensor:
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(5)) + 0.5


def by_padding(image: Tensor, down: int, right: int, mirrored: int, most: int) -> Tensor:
    """The same written another way: mirror, pad all sides, cut out."""
    image = image.flip(2) if mirrored else image
    padded = functional.pad(image, (most,) * 4)
    _, height, width = image.shape
    top, left = most - down, most - right
    return padded[:, top : top + height, left : left + width]


def test_every_shift_and_mirror_image_is_that_of_padding_and_cutting() -> None:
    shifts = [
        (down, right, mirrored)
        for down in range(-2, 3)
        for right in range(-2, 3)
        for mirrored in (0, 1)
    ]
    rows = images(len(shifts))
    found = augmented(rows, torch.tensor(shifts, dtype=torch.int8))
    expected = torch.stack(
        [by_padding(row, *drawn, 2) for row, drawn in zip(rows, shifts, strict=True)]
    )
    assert torch.equal(found, expected)


def test_all_shifts_are_equally_likely_and_half_of_the_images_mirrored() -> None:
    drawn = BOTH.draw(100, 100, BOTH.stream(0)).flatten(0, 1)
    for column, kinds in ((0, 5), (1, 5), (2, 2)):
        values, counts = drawn[:, column].unique(return_counts=True)
        assert values.tolist() == (list(range(-2, 3)) if kinds == 5 else [0, 1])
        # Five standard deviations of a count of 10,000.
        assert (counts / 10_000 - 1 / kinds).abs().max() < 5 * (1 / kinds / 10_000) ** 0.5


def test_switched_off_nothing_moves() -> None:
    assert not Augmentation(crop=2).draw(5, 50, BOTH.stream(0))[..., 2].any()
    assert not Augmentation(flip=True).draw(5, 50, BOTH.stream(0))[..., :2].any()
    assert Augmentation.of({}) is None
    assert all(batch.drawn is None for batch in islice(batch_stream(50, 16, [0], CPU), 4))


def test_equal_seeds_see_equal_pictures_and_others_do_not() -> None:
    first, second = (
        list(islice(batch_stream(50, 16, seeds, CPU, BOTH), 8)) for seeds in ([3, 3], [7, 3])
    )
    for shared, own in zip(first, second, strict=True):
        assert shared.drawn is not None
        assert own.drawn is not None
        assert torch.equal(shared.drawn[0], own.drawn[1])
        assert not torch.equal(own.drawn[0], own.drawn[1])
    assert not torch.equal(first[0].drawn, first[4].drawn)  # the next epoch draws anew


def test_the_order_of_batches_is_the_one_without() -> None:
    plain, moved = (list(islice(batch_stream(50, 16, [3, 4], CPU, how), 8)) for how in (None, BOTH))
    assert all(torch.equal(a.index, b.index) for a, b in zip(plain, moved, strict=True))


def trained(members: Sequence[Member], backbone: Any, how: Augmentation | None) -> list[Any]:
    """Each member's losses and weights after a few steps."""
    inputs, draw = images(), torch.Generator().manual_seed(6)
    labels = torch.randint(0, 10, (50,), generator=draw)
    cohort = build_cohort(backbone, SHAPE, members, labels, partial(torch.optim.Adam), CPU)
    batches = batch_stream(50, 16, [member.data_seed for member in members], CPU, how)
    losses = torch.stack([cohort.step(inputs, next(batches)) for _ in range(9)])
    return [(losses[:, k], cohort.weights(k)) for k in range(len(members))]


def equal(one: Any, other: Any) -> bool:
    same_weights = all(torch.equal(one[1][name], other[1][name]) for name in one[1])
    return torch.equal(one[0], other[0]) and same_weights


def test_a_members_bits_do_not_depend_on_its_company() -> None:
    backbone = partial(mlp, hidden=[24])
    members = [Member(HEADS[k % 2], k // 2, k // 2, ADAM) for k in range(6)]
    together = trained(members, backbone, BOTH)
    for k, member in enumerate(members):
        assert equal(together[k], trained([member], backbone, BOTH)[0])
    assert equal(together[2], trained([members[5], members[2]], backbone, BOTH)[1])


@pytest.mark.parametrize(
    "backbone", [partial(mlp, hidden=[24]), partial(cnn, channels=[4], dense=8)]
)
def test_the_net_is_trained_on_the_moved_rows(backbone: Any) -> None:
    """The first loss is that of the initial net on rows moved beforehand."""
    member = Member(HEADS[0], 1, 1, ADAM)
    labels = torch.randint(0, 10, (50,), generator=torch.Generator().manual_seed(6))
    batch = next(batch_stream(50, 16, [1], CPU, BOTH))
    cohort, other = (
        build_cohort(backbone, SHAPE, [member], labels, partial(torch.optim.Adam), CPU)
        for _ in range(2)
    )
    assert batch.drawn is not None
    moved = images().index_copy(
        0, batch.index[0], augmented(images()[batch.index[0]], batch.drawn[0])
    )
    expected = other.step(moved, next(batch_stream(50, 16, [1], CPU)))
    assert torch.equal(cohort.step(images(), batch), expected)
    plain = trained([member], backbone, None)[0]
    assert not torch.equal(plain[0], trained([member], backbone, BOTH)[0][0])


def test_switched_off_it_is_no_part_of_the_configuration() -> None:
    """Runs of earlier versions keep their keys."""
    off = compose(["training.random_crop=0", "training.random_flip=false"])
    assert off == compose([])
    assert not {"random_crop", "random_flip"} & set(off["training"])
    keys = {
        run_key(compose(words))
        for words in ([], ["training.random_crop=1"], ["training.random_flip=true"])
    }
    assert len(keys) == 3


TINY = ["dataset=digits", "training.steps=3", "device=cpu", "recording.tensorboard=false"]


def test_a_run_is_trained_with_it(tmp_path: Path) -> None:
    out = [*TINY, f"output_dir={tmp_path}"]
    plain, moved = execute(
        [compose(out), compose([*out, "training.random_crop=1", "training.random_flip=true"])]
    )
    assert moved.config["training"]["random_crop"] == 1
    assert plain.first_step == moved.first_step  # measured on the rows as they are
    assert plain.kept.train_loss != moved.kept.train_loss


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["training.random_crop=8"], "random_crop must be at most 7 .* got 8"),
        (["training.random_crop=-1"], "random_crop must be at least 0, got -1"),
        (["dataset=synthetic_blobs", "training.random_flip=true"], "images"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    words: list[str], named: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=rf"training\..*{named}"):
        execute([compose([*TINY, f"output_dir={tmp_path}", *words])])
    assert not (tmp_path / "runs").exists()
