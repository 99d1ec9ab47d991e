"""Known garments and outliers: who is in which split, and what "none" adds."""

from dataclasses import replace

import pytest
import torch

from lossheads.datasets import FashionMNIST, FashionMNISTKnown, garments
from lossheads.datasets.fashion_mnist import pixels
from lossheads.datasets.garments import read_garments
from lossheads.errors import UserError
from lossheads.outcomes import AnyOf, OneOf

from .checking import same, splits
from .conftest import TEST_FILE, TRAIN_FILE, VAL

SOURCE = FashionMNISTKnown(
    held_out=["Bag", "Sneaker"], none="absent", none_examples=50, noise_examples=40, seed=0
)
HELD = torch.tensor([garments.NAMES.index("Bag"), garments.NAMES.index("Sneaker")])


def variants(cache):
    return {none: replace(SOURCE, none=none).load(None, cache) for none in OUTCOMES}


OUTCOMES = {"absent": OneOf(8), "class": OneOf(9), "zero_rows": AnyOf(8)}


@pytest.mark.parametrize("none", list(OUTCOMES))
def test_outcome_is_known_before_loading(cache, none):
    source = replace(SOURCE, none=none)
    assert source.outcome == OUTCOMES[none] == source.load(None, cache).outcome


def test_held_out_garments_are_in_no_split(cache):
    whole = FashionMNIST(classes=10).load(None, cache)
    for mine, all_ten in zip(splits(SOURCE.load(None, cache)), splits(whole), strict=True):
        stays = ~torch.isin(all_ten.labels, HELD)
        assert torch.equal(mine.inputs, all_ten.inputs[stays])
        # Ankle boot moves from 9 to 7, the garments before Sneaker keep their numbers.
        moved = torch.where(all_ten.labels == 9, 7, all_ten.labels)[stays]
        assert torch.equal(mine.labels, moved)


def test_class_names_are_the_known_garments_in_order(cache):
    names = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Ankle boot")
    datasets = variants(cache)
    assert datasets["absent"].class_names == datasets["zero_rows"].class_names == names
    assert datasets["class"].class_names == (*names, "none")


def test_variants_differ_in_training_only(cache):
    datasets = variants(cache)
    absent = datasets["absent"]
    for none in ("class", "zero_rows"):
        other = datasets[none]
        assert torch.equal(absent.val.inputs, other.val.inputs)
        assert torch.equal(absent.test.inputs, other.test.inputs)
        known = len(absent.train)
        assert torch.equal(absent.train.inputs, other.train.inputs[:known])
        assert len(other.train) == known + 50
    assert torch.equal(datasets["class"].train.inputs, datasets["zero_rows"].train.inputs)
    assert torch.equal(datasets["class"].test.labels, absent.test.labels)
    rows = datasets["zero_rows"]
    assert torch.equal(rows.test.labels, absent.outcome.indicators(absent.test.labels).bool())


def test_nothing_is_the_last_class_or_all_labels_off(cache):
    datasets = variants(cache)
    assert (datasets["class"].train.labels[-50:] == 8).all()
    assert (datasets["class"].train.labels[:-50] < 8).all()
    assert not datasets["zero_rows"].train.labels[-50:].any()
    assert datasets["zero_rows"].train.labels[:-50].sum(dim=1).eq(1).all()


def squares(images):
    """The 16 squares of each image as a sorted list of their bytes."""
    blocks = images.reshape(-1, 4, 7, 4, 7).transpose(2, 3).reshape(-1, 16, 49)
    return [sorted(row.numpy().tobytes() for row in image) for image in blocks]


def test_nothing_is_made_of_shuffled_known_training_garments(cache):
    train = replace(SOURCE, none="class").load(None, cache).train
    sources = squares(train.inputs[:-50])
    shuffled = squares(train.inputs[-50:])
    assert all(image in sources for image in shuffled)
    originals = {image.numpy().tobytes() for image in train.inputs[:-50]}
    assert not any(image.numpy().tobytes() in originals for image in train.inputs[-50:])


def test_outliers_are_what_they_are_called(cache):
    dataset = SOURCE.load(None, cache)
    outliers = dataset.outliers
    assert {name: len(inputs) for name, inputs in outliers.items()} == {
        "held_out": TEST_FILE // 5,
        "uniform_noise": 40,
        "gaussian_noise": 40,
        "blank": 256,
        "digits": 1_797,
    }
    for inputs in outliers.values():
        assert inputs.shape[1:] == dataset.input_shape
        assert inputs.dtype == torch.float32
        assert (inputs.min().item(), inputs.max().item()) >= (0, 0)
        assert inputs.max().item() <= 1
    assert (outliers["blank"].flatten(1).std(dim=1) == 0).all()
    assert len(outliers["blank"].unique(dim=0)) == 256
    # 31,360 uniform pixels: five standard errors of their mean are 0.0082.
    assert outliers["uniform_noise"].mean().item() == pytest.approx(0.5, abs=0.0082)
    test = read_garments(None, cache)["test"]
    held = torch.isin(torch.from_numpy(test.classes), HELD)
    assert torch.equal(outliers["held_out"], pixels(test.images[held.numpy()]))


def test_outliers_are_the_same_for_all_variants_and_in_no_training(cache):
    datasets = variants(cache)
    for name, inputs in datasets["absent"].outliers.items():
        rows = {row.tobytes() for row in inputs.numpy()}
        for dataset in datasets.values():
            assert torch.equal(inputs, dataset.outliers[name])
            assert not rows & {row.tobytes() for row in dataset.train.inputs.numpy()}


def test_garments_held_out_by_number_are_drawn_by_the_seed(cache):
    pairs = [replace(SOURCE, held_out=2, seed=seed).strangers for seed in range(450)]
    assert pairs[:50] == [replace(SOURCE, held_out=2, seed=seed).strangers for seed in range(50)]
    count = {pair: pairs.count(pair) for pair in pairs}
    # All 45 pairs, ten times each give or take: chi-squared of 44, 99.9 % below 78.7.
    assert len(count) == 45
    assert sum((n - 10) ** 2 / 10 for n in count.values()) < 78.7
    drawn = replace(SOURCE, held_out=2, seed=3)
    named = replace(SOURCE, held_out=list(drawn.strangers), seed=3)
    assert drawn.outcome == OneOf(8)
    assert same(drawn.load(None, cache), named.load(None, cache))


def test_every_variant_draws_the_same_strangers():
    drawn = {
        replace(SOURCE, held_out=2, none=none, none_examples=n, noise_examples=n).strangers
        for none in OUTCOMES
        for n in (1, 50)
    }
    assert len(drawn) == 1


def test_split_sizes_add_up(cache):
    kept = [len(split) for split in splits(SOURCE.load(None, cache))]
    assert kept == [(TRAIN_FILE - VAL) * 8 // 10, VAL * 8 // 10, TEST_FILE * 8 // 10]


def test_loading_twice_gives_the_same_bits(cache):
    source = replace(SOURCE, none="class")
    assert same(source.load(None, cache), source.load(None, cache))


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"held_out": []}, "held_out must be a list of 1 to 8"),
        ({"held_out": "Bag"}, "held_out must be a list .* got Bag"),
        ({"held_out": 0}, "held_out must be an integer from 1 to 8, got 0"),
        ({"held_out": 9}, "held_out must be an integer from 1 to 8, got 9"),
        ({"held_out": True}, "held_out must be an integer from 1 to 8, got True"),
        ({"held_out": ["Bags"]}, "held_out=Bags: did you mean Bag"),
        ({"held_out": list(garments.NAMES[:9])}, "at least 2 remain"),
        ({"none": "never"}, "none=never"),
        ({"none_examples": 0}, "none_examples must be .* got 0"),
        ({"noise_examples": 1.5}, "noise_examples must be .* got 1.5"),
    ],
)
def test_wrong_settings_are_refused(settings, rule):
    with pytest.raises(UserError, match=rule):
        replace(SOURCE, **settings)
