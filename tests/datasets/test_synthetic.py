"""Drawn data sets: truth, Bayes scores, determinism, refusals."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lossheads.datasets import SyntheticBlobs, SyntheticMultilabel, SyntheticTree
from lossheads.errors import UserError
from lossheads.outcomes import AnyOf, OneOf

from .checking import same, share_an_example, splits, standard_error

BLOBS = SyntheticBlobs(
    classes=3, dimensions=5, separation=2.0, shares=None, train=400, val=100, test=40_000, seed=0
)
TREE = SyntheticTree(
    shape="tree",
    depth=2,
    branching=3,
    separation=1.5,
    growth=2.0,
    train=400,
    val=100,
    test=40_000,
    seed=0,
)
MANY = SyntheticMultilabel(
    labels=6,
    dimensions=8,
    prevalence=[0.05, 0.4],
    correlation=0.5,
    noise=0.5,
    training_labels="hard",
    train=400,
    val=100,
    test=40_000,
    seed=0,
)
SOURCES = [BLOBS, TREE, replace(TREE, shape="flat"), MANY, replace(MANY, noise=0, prevalence=0.2)]
IDS = ["blobs", "tree", "flat", "labels", "noiseless"]


def best_hits(split, outcome):
    """Where the likeliest decision by the stated truth is right: bool (N,) or (N, L)."""
    return outcome.hard(split.labels) == (
        split.true_posterior > 0.5
        if isinstance(outcome, AnyOf)
        else split.true_posterior.argmax(dim=1)
    )


@pytest.mark.parametrize("source", SOURCES, ids=IDS)
def test_deciding_by_the_truth_reaches_the_bayes_score(source):
    dataset = source.load(None, None)
    hits = best_hits(dataset.test, dataset.outcome)
    # Labels of one row share their inputs, so rows are what is independent.
    far = 5 * max(standard_error(hits, len(dataset.test)), 1e-12)
    assert hits.double().mean().item() == pytest.approx(dataset.bayes_score, abs=far)


@pytest.mark.parametrize("source", SOURCES, ids=IDS)
def test_truth_is_calibrated(source):
    dataset = source.load(None, None)
    indicators = dataset.outcome.indicators(dataset.test.labels).double().flatten()
    truth = dataset.test.true_posterior.flatten()
    for low in np.linspace(0, 0.9, 10):
        inside = (truth >= low) & (truth < low + 0.1)
        if (count := int(inside.sum())) > 500:
            far = 5 * 0.5 / count**0.5
            assert abs((indicators[inside] - truth[inside]).mean().item()) < far


@pytest.mark.parametrize("source", SOURCES, ids=IDS)
def test_contract_of_drawn_data(source):
    dataset = source.load(None, None)
    assert dataset.outcome == source.outcome
    assert [len(split) for split in splits(dataset)] == [400, 100, 40_000]
    assert not share_an_example(dataset)
    for split in splits(dataset):
        assert split.inputs.dtype == torch.float32
        assert split.true_posterior.dtype == torch.float64
        assert split.true_posterior.shape == (len(split), *dataset.outcome.columns)
        if isinstance(dataset.outcome, OneOf):
            torch.testing.assert_close(split.true_posterior.sum(1), torch.ones(len(split)).double())
    assert dataset.provenance.checksum.startswith("sha256 ")


@pytest.mark.parametrize("source", SOURCES, ids=IDS)
def test_seed_decides_every_bit(source):
    one, again = source.load(None, None), source.load(None, None)
    other = replace(source, seed=1).load(None, None)
    assert same(one, again)
    assert not torch.equal(one.train.inputs, other.train.inputs)
    assert one.provenance.checksum != other.provenance.checksum


@pytest.mark.parametrize("source", SOURCES, ids=IDS)
def test_more_training_examples_leave_the_test_split_alone(source):
    one, other = source.load(None, None), replace(source, train=700).load(None, None)
    assert torch.equal(one.test.inputs, other.test.inputs)
    assert torch.equal(one.test.labels, other.test.labels)


def test_blobs_can_be_a_binary_task_with_35_percent_ones():
    source = replace(BLOBS, classes=2, shares=[0.65, 0.35])
    labels = source.load(None, None).test.labels
    far = 5 * standard_error(torch.tensor([0.35]), len(labels))
    assert labels.double().mean().item() == pytest.approx(0.35, abs=far)


def test_flat_twin_has_the_bayes_score_of_the_tree_and_the_same_labels():
    tree, flat = TREE.load(None, None), replace(TREE, shape="flat").load(None, None)
    assert tree.bayes_score == flat.bayes_score
    assert tree.input_shape == flat.input_shape
    assert torch.equal(tree.train.labels, flat.train.labels)
    # The twin's own formula, not the tree's, must give the shared number.
    gap = best_hits(flat.test, flat.outcome).double().mean() - tree.bayes_score
    assert abs(gap) < 5 * standard_error(torch.tensor([tree.bayes_score]), len(flat.test))


def test_tree_confuses_siblings_and_the_twin_confuses_all():
    rivals = {}
    for shape in ("tree", "flat"):
        test = replace(TREE, shape=shape).load(None, None).test
        decided = test.true_posterior.argmax(dim=1)
        wrong = decided != test.labels
        rivals[shape] = (decided[wrong] // 3 == test.labels[wrong] // 3).double().mean().item()
    # Two of the eight other classes are siblings.
    assert rivals["tree"] > 0.6
    assert rivals["flat"] == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("noise", [0, 0.05, 1.0, 5.0])
@pytest.mark.parametrize("prevalence", [[0.001, 0.3], 0.7])
def test_prevalences_are_met(prevalence, noise):
    source = replace(MANY, prevalence=prevalence, noise=noise, labels=4)
    test = source.load(None, None).test
    wanted = torch.from_numpy(source.prevalences())
    far = 5 * (wanted * (1 - wanted) / len(test)).sqrt()
    assert ((test.labels.double().mean(dim=0) - wanted).abs() < far).all()


def test_thousand_labels_can_be_drawn():
    source = replace(MANY, labels=1_000, prevalence=[0.001, 0.3], test=500)
    dataset = source.load(None, None)
    assert dataset.outcome == AnyOf(1_000)
    assert dataset.train.labels.shape == (400, 1_000)
    assert 0.5 < dataset.bayes_score < 1


@pytest.mark.parametrize("correlation", [0.0, 0.4, 1.0])
def test_scores_of_two_labels_correlate_as_asked(correlation):
    source = replace(MANY, labels=200, dimensions=400, correlation=correlation, prevalence=0.5)
    truth = replace(source, test=4_000).load(None, None).test.true_posterior
    scores = torch.logit(truth.clamp(1e-12, 1 - 1e-12))
    # At prevalence 1/2 thresholds are 0: logits are scores / noise. 19,900 pairs average out
    # the chance angles of their own directions, not the sampling of 4,000 rows.
    pairs = torch.corrcoef(scores.T)[*torch.triu_indices(200, 200, 1)]
    assert pairs.mean().item() == pytest.approx(correlation, abs=5 / 4_000**0.5)


def test_soft_training_labels_are_the_posterior_and_change_nothing_else():
    hard = MANY.load(None, None)
    soft = replace(MANY, training_labels="soft").load(None, None)
    assert soft.outcome == AnyOf(6, soft=True)
    assert torch.equal(soft.train.labels, hard.train.true_posterior.float())
    for mine, theirs in zip(splits(hard), splits(soft), strict=True):
        assert torch.equal(mine.inputs, theirs.inputs)
        assert torch.equal(mine.true_posterior, theirs.true_posterior)
    for mine, theirs in ((hard.val, soft.val), (hard.test, soft.test)):
        assert torch.equal(mine.labels.float(), theirs.labels)


def test_labels_are_independent_given_the_inputs():
    test = MANY.load(None, None).test
    residual = test.labels.double() - test.true_posterior
    pairs = torch.corrcoef(residual.T)[*torch.triu_indices(6, 6, 1)]
    assert pairs.abs().max().item() < 5 / len(test) ** 0.5


@pytest.mark.parametrize(
    ("source", "settings", "rule"),
    [
        (BLOBS, {"classes": 1}, "classes must be an integer of at least 2, got 1"),
        (BLOBS, {"classes": "three"}, "classes must be an integer .* got 'three'"),
        (BLOBS, {"dimensions": 2}, "dimensions must be at least 3 .* got 2"),
        (BLOBS, {"separation": 0}, "separation must be .* got 0"),
        (BLOBS, {"shares": [0.5, 0.5]}, "shares must be 3 positive numbers"),
        (BLOBS, {"shares": [0.5, 0.5, 0.5]}, "that sum to 1"),
        (BLOBS, {"shares": "many"}, "shares must be .* got many"),
        (BLOBS, {"test": 0}, "test must be .* got 0"),
        (BLOBS, {"seed": -1}, "seed must be .* got -1"),
        (TREE, {"shape": "tre"}, "shape=tre: did you mean tree"),
        (
            TREE,
            {"depth": 10, "branching": 10, "growth": 1.0},
            "at most 1,000 classes.* 10,000,000,000",
        ),
        (TREE, {"growth": 10.0, "depth": 3}, "growth=10.0 .* top branches over 100"),
        (TREE, {"separation": float("nan")}, "separation must be .* got nan"),
        (MANY, {"labels": 1_001}, "labels must be .* got 1001"),
        (MANY, {"prevalence": 0.0}, "prevalence must be .* got 0.0"),
        (
            MANY,
            {"prevalence": [0.3, 0.1]},
            "prevalence must be a number from 0.3 to 0.999, got 0.1",
        ),
        (MANY, {"prevalence": [0.1, 0.2, 0.3]}, "prevalence must be .* got 3 numbers"),
        (MANY, {"prevalence": None}, "prevalence must be .* got None"),
        (MANY, {"correlation": 1.1}, "correlation must be .* got 1.1"),
        (MANY, {"noise": 0.001}, "noise must be .* got 0.001"),
        (MANY, {"training_labels": "sof"}, "training_labels=sof: did you mean soft"),
    ],
)
def test_wrong_settings_are_refused_before_drawing(source, settings, rule):
    with pytest.raises(UserError, match=rule):
        replace(source, **settings)
