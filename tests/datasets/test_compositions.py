"""Canvases and quadrants: every picture is checked against the garments it must be made of."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lossheads.datasets import Canvas, Quadrants, garments
from lossheads.datasets.garments import read_garments
from lossheads.errors import UserError
from lossheads.outcomes import AnyOf, EachOneOf

from .checking import same, splits, standard_error

CANVAS = Canvas(size=75, most=3, empty=0.25, train=300, val=60, test=200, seed=0)
QUADRANTS = Quadrants(
    rows=2,
    columns=3,
    tile=14,
    garments=4,
    background=0.3,
    imbalance=8.0,
    train=400,
    val=60,
    test=200,
    seed=0,
)
PARTS = ("train", "val", "test")


@pytest.fixture
def known(cache):
    """For each split, the class of each garment, by its bytes. The stand-ins have no zeros."""
    for name in ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte"):
        assert (cache / garments.TORCHVISION / name).is_file()
    parts = read_garments(None, cache)
    return {
        part: {
            image.tobytes(): int(kind)
            for image, kind in zip(rows.images, rows.classes, strict=True)
        }
        for part, rows in parts.items()
    }


def garments_on(canvas: np.ndarray, known: dict[bytes, int]) -> list[int]:
    """Classes of the garments found on a canvas, which they must cover without a rest."""
    found, left = [], canvas.copy()
    for top in range(canvas.shape[0] - 27):
        for start in range(canvas.shape[1] - 27):
            window = left[top : top + 28, start : start + 28]
            # Cheap first: a garment's corner pixels decide whether looking closer is worth it.
            if window[0].any() and window[:, 0].any() and (kind := known.get(window.tobytes())):
                found.append(kind)
                window[:] = 0
            elif window[0].any() and known.get(window.tobytes()) == 0:
                found.append(0)
                window[:] = 0
    assert not left.any()
    return found


def test_labels_are_exactly_the_garments_on_the_canvas(cache, known):
    dataset = CANVAS.load(None, cache)
    assert dataset.outcome == CANVAS.outcome == AnyOf(10)
    for part, split in zip(PARTS, splits(dataset), strict=True):
        canvases = (split.inputs[:25, 0] * 255).round().to(torch.uint8).numpy()
        for canvas, labels in zip(canvases, split.labels, strict=False):
            found = garments_on(canvas, known[part])
            assert sorted(found) == labels.nonzero().flatten().tolist()


def test_canvases_hold_none_to_most_garments_in_the_shares_asked(cache):
    split = replace(CANVAS, train=6_000).load(None, cache).train
    counts = split.labels.sum(dim=1).bincount(minlength=4).double() / len(split)
    wanted = torch.tensor([0.25, 0.25, 0.25, 0.25])
    assert (counts - wanted).abs().max() < 5 * standard_error(wanted[:1], len(split))
    # On three of four canvases there are two of ten garments on average.
    rates = split.labels.double().mean(dim=0)
    assert (rates - 0.15).abs().max() < 5 * standard_error(torch.tensor([0.15]), len(split))


@pytest.mark.parametrize("empty", [0, 1])
def test_none_or_all_canvases_can_be_empty(cache, empty):
    for split in splits(replace(CANVAS, empty=empty).load(None, cache)):
        assert (split.labels.any(dim=1).double().mean().item()) == 1 - empty
        assert split.inputs.flatten(1).any(dim=1).double().mean().item() == 1 - empty


def test_garments_reach_all_places_of_their_cells(cache):
    # Cells of 37 pixels leave ten places along each side: 0 … 9 and 37 … 46.
    inputs = replace(CANVAS, most=1, train=3_000).load(None, cache).train.inputs[:, 0]
    tops = [row.any(dim=1).nonzero()[0].item() for row in inputs if row.any()]
    assert set(tops) == {*range(10), *range(37, 47)}


def test_quadrants_show_what_their_labels_say(cache, known):
    source = replace(QUADRANTS, tile=28)
    dataset = source.load(None, cache)
    assert dataset.outcome == source.outcome == EachOneOf(6, 5)
    assert dataset.class_names == ("background", *garments.NAMES[:4])
    assert dataset.input_shape == (1, 56, 84)
    for part, split in zip(PARTS, splits(dataset), strict=True):
        pictures = (split.inputs[:, 0] * 255).round().to(torch.uint8).numpy()
        for picture, labels in zip(pictures, split.labels.tolist(), strict=True):
            tiles = [
                picture[top : top + 28, left : left + 28] for top in (0, 28) for left in (0, 28, 56)
            ]
            shown = [known[part][tile.tobytes()] + 1 if tile.any() else 0 for tile in tiles]
            assert shown == labels


@pytest.mark.parametrize("tile", [14, 7])
def test_small_tiles_are_block_means_of_the_large_ones(cache, tile):
    large = replace(QUADRANTS, tile=28).load(None, cache).val
    small = replace(QUADRANTS, tile=tile).load(None, cache).val
    assert torch.equal(large.labels, small.labels)
    pooled = torch.nn.functional.avg_pool2d(large.inputs, 28 // tile)
    # Sums of up to 16 float32 numbers in [0, 1], in another order.
    torch.testing.assert_close(small.inputs, pooled, atol=1e-6, rtol=0)


def test_shares_of_quadrants_are_those_asked(cache):
    source = replace(QUADRANTS, train=5_000)
    shares = source.shares()
    assert shares[0] == pytest.approx(0.3)
    assert shares.sum() == pytest.approx(1)
    assert shares[1] / shares[4] == pytest.approx(8)
    np.testing.assert_allclose(shares[1:-1] / shares[2:], 2)
    labels = source.load(None, cache).train.labels
    for position in labels.T:
        seen = position.bincount(minlength=5).double() / len(position)
        far = 5 * (torch.from_numpy(shares * (1 - shares)) / len(position)).sqrt()
        assert ((seen - torch.from_numpy(shares)).abs() < far).all()


@pytest.mark.parametrize("source", [CANVAS, QUADRANTS], ids=["canvas", "quadrants"])
def test_seed_decides_every_bit(cache, source):
    one, other = source.load(None, cache), replace(source, seed=1).load(None, cache)
    assert same(one, source.load(None, cache))
    assert not torch.equal(one.test.inputs, other.test.inputs)
    more = replace(source, train=20).load(None, cache)
    assert torch.equal(one.test.inputs, more.test.inputs)


@pytest.mark.parametrize(
    ("source", "settings", "rule"),
    [
        (CANVAS, {"size": 27}, "size must be .* got 27"),
        (CANVAS, {"size": 56, "most": 5}, "most must be at most 4 .* got 5"),
        (CANVAS, {"most": 0}, "most must be .* got 0"),
        (CANVAS, {"empty": 1.5}, "empty must be .* got 1.5"),
        (QUADRANTS, {"tile": 10}, "tile must be 28 or 14 or 7, got 10"),
        (QUADRANTS, {"tile": "14"}, "tile must be 28 or 14 or 7, got '14'"),
        (QUADRANTS, {"garments": 11}, "garments must be .* got 11"),
        (QUADRANTS, {"background": 0}, "background must be .* got 0"),
        (QUADRANTS, {"imbalance": 0.5}, "imbalance must be .* got 0.5"),
        (QUADRANTS, {"rows": 0}, "rows must be .* got 0"),
    ],
)
def test_wrong_settings_are_refused(source, settings, rule):
    with pytest.raises(UserError, match=rule):
        replace(source, **settings)
