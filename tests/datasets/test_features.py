"""Garments by a tree of features: names, branches and binary labels say the same thing."""

from dataclasses import replace

import pytest
import torch

from lossheads.datasets import FashionMNIST, FashionMNISTFeatures, garments
from lossheads.datasets.fashion_mnist_features import BRANCHES, WORN
from lossheads.errors import UserError
from lossheads.outcomes import AnyOf, OneOf

from .checking import same, splits

ALL_WORN = FashionMNISTFeatures(garments=list(WORN), labels="branch")
FOUR = FashionMNISTFeatures(garments=["Coat", "Bag", "Shirt", "Trouser"], labels="garment")


def test_every_garment_but_the_bag_has_its_branch():
    assert set(garments.NAMES) - set(WORN) == {"Bag"}


@pytest.mark.parametrize(
    ("source", "outcome"),
    [(FOUR, OneOf(4)), (ALL_WORN, OneOf(4)), (replace(ALL_WORN, labels="features"), AnyOf(2))],
)
def test_outcome_is_known_before_loading(cache, source, outcome):
    dataset = source.load(None, cache)
    assert source.outcome == dataset.outcome == outcome
    assert dataset.class_names == source.class_names


def test_garments_are_numbered_in_the_order_given_and_others_left_out(cache):
    whole = FashionMNIST(classes=10).load(None, cache)
    for mine, ten in zip(splits(FOUR.load(None, cache)), splits(whole), strict=True):
        names = [garments.NAMES[number] for number in ten.labels.tolist()]
        kept = torch.tensor([name in FOUR.garments for name in names])
        assert torch.equal(mine.inputs, ten.inputs[kept])
        assert mine.labels.tolist() == [
            FOUR.garments.index(name) for name in names if name in FOUR.garments
        ]


def test_the_two_features_of_a_branch_are_the_branch(cache):
    by_branch = ALL_WORN.load(None, cache)
    by_features = replace(ALL_WORN, labels="features").load(None, cache)
    for branches, features in zip(splits(by_branch), splits(by_features), strict=True):
        assert torch.equal(branches.inputs, features.inputs)
        for branch, (upper, outer) in zip(
            branches.labels.tolist(), features.labels.tolist(), strict=True
        ):
            name = f"{'upper' if upper else 'lower'} {'outer' if outer else 'inner'}"
            assert BRANCHES[branch] == name
    assert by_branch.test.labels.unique().tolist() == [0, 1, 2, 3]
    assert same(by_branch, ALL_WORN.load(None, cache))


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"garments": "Coat"}, "garments must be a list .* got Coat"),
        ({"garments": ["Coat"]}, "at least 2 different garments"),
        ({"garments": ["Coat", "Coat", "Shirt"]}, "at least 2 different garments"),
        ({"garments": ["Coat", "Shirts"]}, "garments=Shirts: did you mean Shirt"),
        ({"garments": ["Coat", "Bag"]}, "garments=Bag"),
        ({"labels": "feature"}, "labels=feature: did you mean features"),
    ],
)
def test_wrong_settings_are_refused(settings, rule):
    with pytest.raises(UserError, match=rule):
        replace(ALL_WORN, **settings)
