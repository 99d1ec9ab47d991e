"""Fashion-MNIST as tensors: scale, splits, classes, pairs; one look at the real files."""

import pytest
import torch

from lossheads.datasets import FashionMNIST, FashionMNISTPair, garments
from lossheads.errors import UserError
from lossheads.outcomes import OneOf

from .checking import same, share_an_example, splits
from .conftest import TEST_FILE, TRAIN_FILE, VAL


def test_pixels_are_bytes_divided_by_255(cache):
    dataset = FashionMNIST(classes=10).load(None, cache)
    images = torch.from_numpy(garments.read_garments(None, cache)["train"].images)
    assert dataset.train.inputs.shape == (TRAIN_FILE - VAL, 1, 28, 28)
    assert dataset.train.inputs.dtype == torch.float32
    assert torch.equal(dataset.train.inputs, images.unsqueeze(1) / 255)
    assert dataset.input_shape == (1, 28, 28)


def test_splits_share_no_example_and_lose_none(cache):
    dataset = FashionMNIST(classes=10).load(None, cache)
    assert [len(split) for split in splits(dataset)] == [TRAIN_FILE - VAL, VAL, TEST_FILE]
    assert not share_an_example(dataset)


@pytest.mark.parametrize("classes", [2, 5, 10])
def test_classes_keeps_the_first_garments(cache, classes):
    source = FashionMNIST(classes=classes)
    dataset = source.load(None, cache)
    assert source.outcome == dataset.outcome == OneOf(classes)
    assert dataset.class_names == garments.NAMES[:classes]
    for split in splits(dataset):
        assert split.labels.unique().tolist() == list(range(classes))
    assert len(dataset.test) == TEST_FILE * classes // 10


def test_loading_twice_gives_the_same_bits(cache):
    source = FashionMNIST(classes=10)
    assert same(source.load(None, cache), source.load(None, cache))


def test_provenance_names_every_verified_file(cache):
    provenance = FashionMNIST(classes=10).load(None, cache).provenance
    assert provenance.name == "fashion_mnist"
    assert all(md5 in provenance.checksum for md5 in garments.FILES.values())
    assert provenance.licence.startswith("MIT")


@pytest.mark.parametrize("classes", [1, 11, 2.0, "ten", True])
def test_other_numbers_of_classes_are_refused(classes):
    with pytest.raises(
        UserError, match=rf"classes must be an integer from 2 to 10, got {classes!r}"
    ):
        FashionMNIST(classes=classes)


@pytest.mark.parametrize("rate", [0.2, 0.35, 0.5, 0.8])
def test_pair_meets_its_positive_rate_in_every_split(cache, rate):
    dataset = FashionMNISTPair("Pullover", "Shirt", rate).load(None, cache)
    assert dataset.outcome == OneOf(2)
    assert dataset.class_names == ("Pullover", "Shirt")
    for split in splits(dataset):
        # Half an example either way: rounding is all that may keep it from the rate.
        assert abs(split.labels.sum().item() - rate * len(split)) <= 0.5


def test_pair_keeps_the_first_examples_in_order(cache):
    test = FashionMNIST(classes=10).load(None, cache).test
    pair = FashionMNISTPair("Pullover", "Shirt", 0.2).load(None, cache).test
    pullovers, shirts = (test.inputs[test.labels == k] for k in (2, 6))
    assert torch.equal(pair.inputs[pair.labels == 0], pullovers)
    ones = pair.inputs[pair.labels == 1]
    assert 0 < len(ones) < len(shirts)
    assert torch.equal(ones, shirts[: len(ones)])


def test_pair_swapped_swaps_the_labels(cache):
    one = FashionMNISTPair("Pullover", "Shirt", 0.5).load(None, cache).val
    other = FashionMNISTPair("Shirt", "Pullover", 0.5).load(None, cache).val
    assert torch.equal(one.labels, 1 - other.labels)
    assert torch.equal(one.inputs, other.inputs)


def test_pair_that_would_lose_a_garment_is_refused(cache):
    with pytest.raises(UserError, match=r"positive_rate=0\.01 leaves no example"):
        FashionMNISTPair("Pullover", "Shirt", 0.01).load(None, cache)


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        (("Pulover", "Shirt", 0.5), "negative=Pulover: did you mean Pullover"),
        (("Pullover", 3, 0.5), "positive=3: choose from "),
        (("Shirt", "Shirt", 0.5), "negative and positive must differ, got Shirt"),
        (("Pullover", "Shirt", 0), "positive_rate must be .* got 0"),
        (("Pullover", "Shirt", 1.0), "positive_rate must be .* got 1.0"),
        (("Pullover", "Shirt", float("nan")), "positive_rate must be .* got nan"),
    ],
)
def test_pair_settings_are_refused(settings, rule):
    with pytest.raises(UserError, match=rule):
        FashionMNISTPair(*settings)


def test_the_real_files_are_fashion_mnist(tmp_path):
    try:
        dataset = FashionMNIST(classes=10).load(None, tmp_path)
    except UserError as error:
        if "found its files neither" not in str(error):
            raise
        pytest.skip("no source of Fashion-MNIST is reachable")
    assert [len(split) for split in splits(dataset)] == [55_000, 5_000, 10_000]
    assert dataset.test.labels.bincount().tolist() == [1_000] * 10
    whole = torch.cat([dataset.train.labels, dataset.val.labels])
    assert whole.bincount().tolist() == [6_000] * 10
    # The two constants that tutorials normalise with: mean and deviation of the training pixels.
    pixels = torch.cat([dataset.train.inputs, dataset.val.inputs])
    assert pixels.mean().item() == pytest.approx(0.2860, abs=5e-5)
    assert pixels.std().item() == pytest.approx(0.3530, abs=5e-5)
