"""Scikit-learn's digits: scale, splits, classes."""

import pytest
import torch
from sklearn.datasets import load_digits

from lossheads.datasets import Digits
from lossheads.errors import UserError
from lossheads.outcomes import OneOf

from .checking import same, share_an_example, splits


def test_every_image_is_in_one_split():
    dataset = Digits(classes=10).load(None, None)
    assert [len(split) for split in splits(dataset)] == [1_085, 357, 355]
    assert not share_an_example(dataset)
    ours = torch.cat([split.inputs for split in splits(dataset)]).flatten(1)
    theirs = torch.from_numpy(load_digits().data).float() / 16
    assert sorted(ours.tolist()) == sorted(theirs.tolist())


def test_labels_stay_with_their_images():
    bunch = load_digits()
    known = {
        tuple(image): digit for image, digit in zip(bunch.data / 16, bunch.target, strict=True)
    }
    for split in splits(Digits(classes=10).load(None, None)):
        found = [known[tuple(row)] for row in split.inputs.flatten(1).double().tolist()]
        assert found == split.labels.tolist()


def test_inputs_are_small_images_in_zero_to_one():
    inputs = Digits(classes=10).load(None, None).train.inputs
    assert inputs.shape[1:] == (1, 8, 8)
    assert inputs.dtype == torch.float32
    assert (inputs.min().item(), inputs.max().item()) == (0.0, 1.0)


@pytest.mark.parametrize("classes", [2, 5, 10])
def test_each_split_has_its_fifths_of_each_digit(classes):
    source = Digits(classes=classes)
    dataset = source.load(None, None)
    assert source.outcome == dataset.outcome == OneOf(classes)
    counts = torch.stack([split.labels.bincount(minlength=classes) for split in splits(dataset)])
    assert counts.shape == (3, classes)
    fifths = torch.tensor([[3], [1], [1]]) * counts.sum(dim=0) / 5
    # Three whole turns at most are cut short by the end of the file.
    assert (counts - fifths).abs().max() < 2


def test_loading_twice_gives_the_same_bits():
    assert same(Digits(classes=10).load(None, None), Digits(classes=10).load(None, None))


def test_checksum_is_of_the_images_used():
    one, other = Digits(classes=10).load(None, None), Digits(classes=2).load(None, None)
    assert one.provenance == other.provenance
    assert len(one.provenance.checksum) == len("sha256 ") + 64


@pytest.mark.parametrize("classes", [1, 11, 2.5])
def test_other_numbers_of_classes_are_refused(classes):
    with pytest.raises(UserError, match=f"digits: classes must be .* got {classes}"):
        Digits(classes=classes)
