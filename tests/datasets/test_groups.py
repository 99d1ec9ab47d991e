"""Synthetic groups: three kinds of training labels over the same examples and truth."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lossheads.datasets import SyntheticGroups
from lossheads.errors import UserError
from lossheads.outcomes import EachOneOf

from .checking import same, share_an_example, splits, standard_error

HARD = SyntheticGroups(
    groups=3,
    classes=4,
    separation=2.0,
    shares=[0.4, 0.3, 0.2, 0.1],
    labels="hard",
    smoothing=0.2,
    train=300,
    val=100,
    test=30_000,
    seed=0,
)
SMOOTHED, SOFT = replace(HARD, labels="smoothed"), replace(HARD, labels="soft")


@pytest.mark.parametrize("source", [HARD, SMOOTHED, SOFT], ids=["hard", "smoothed", "soft"])
def test_deciding_by_the_truth_reaches_the_bayes_score(source):
    dataset = source.load(None, None)
    assert dataset.outcome == source.outcome == EachOneOf(3, 4, soft=source.labels != "hard")
    hits = dataset.test.true_posterior.argmax(dim=2) == dataset.outcome.hard(dataset.test.labels)
    # Sets are independent: every cell is a trial.
    far = 5 * standard_error(hits, hits.numel())
    assert hits.double().mean().item() == pytest.approx(dataset.bayes_score, abs=far)
    assert not share_an_example(dataset)


def test_inputs_truth_and_drawn_classes_do_not_depend_on_the_kind_of_labels():
    hard = HARD.load(None, None)
    for source in (SMOOTHED, SOFT):
        other = source.load(None, None)
        for mine, theirs in zip(splits(hard), splits(other), strict=True):
            assert torch.equal(mine.inputs, theirs.inputs)
            assert torch.equal(mine.true_posterior, theirs.true_posterior)
        for mine, theirs in ((hard.val, other.val), (hard.test, other.test)):
            assert torch.equal(hard.outcome.indicators(mine.labels), theirs.labels)


def test_training_labels_are_smoothed_or_exact():
    hard, smoothed, soft = (source.load(None, None).train for source in (HARD, SMOOTHED, SOFT))
    one_hot = HARD.outcome.indicators(hard.labels)
    torch.testing.assert_close(smoothed.labels, 0.8 * one_hot + 0.05)
    assert torch.equal(soft.labels, soft.true_posterior.float())


def test_truth_is_calibrated_in_every_set():
    dataset = HARD.load(None, None)
    residual = (
        dataset.outcome.indicators(dataset.test.labels).double() - dataset.test.true_posterior
    )
    for low, high in ((0, 0.1), (0.1, 0.3), (0.3, 0.6), (0.6, 0.9), (0.9, 1.01)):
        inside = (dataset.test.true_posterior >= low) & (dataset.test.true_posterior < high)
        counts = inside.sum(dim=0)
        gaps = (residual * inside).sum(dim=0) / counts
        assert (gaps.abs() < 5 * 0.5 / counts.double().sqrt())[counts > 200].all()


def test_classes_are_as_frequent_as_asked_in_every_set():
    labels = HARD.load(None, None).test.labels
    for one_set in labels.T:
        shares = one_set.bincount(minlength=4).double() / len(one_set)
        np.testing.assert_allclose(shares, HARD.shares, atol=5 * 0.5 / len(one_set) ** 0.5)


def test_no_input_belongs_to_one_set_alone():
    dataset = replace(HARD, separation=20.0, groups=5).load(None, None)
    indicators = dataset.outcome.indicators(dataset.test.labels)
    # Variance of each input explained by each group's class, as share of its whole variance.
    inputs = dataset.test.inputs
    shares = torch.stack(
        [
            sum(p.mean() * inputs[p.bool()].mean(dim=0).square() for p in one_set.T)
            for one_set in indicators.transpose(0, 1)
        ]
    )
    shares = shares / inputs.square().mean(dim=0)
    assert shares.max() < 0.95


def test_seed_decides_every_bit():
    one, other = HARD.load(None, None), replace(HARD, seed=1).load(None, None)
    assert same(one, HARD.load(None, None))
    assert not torch.equal(one.test.inputs, other.test.inputs)


def test_many_sets_of_many_classes_can_be_drawn():
    source = replace(HARD, groups=64, classes=100, shares=None, train=20, val=5, test=5)
    assert source.load(None, None).input_shape == (6_400,)


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"groups": 0}, "groups must be .* got 0"),
        ({"classes": 1}, "classes must be .* got 1"),
        ({"labels": "sof"}, "labels=sof: did you mean soft"),
        ({"smoothing": 2}, "smoothing must be .* got 2"),
        ({"shares": [0.5, 0.5]}, "shares must be 4 positive numbers"),
        ({"separation": "far"}, "separation must be .* got 'far'"),
    ],
)
def test_wrong_settings_are_refused(settings, rule):
    with pytest.raises(UserError, match=rule):
        replace(HARD, **settings)
