"""Posteriors and Bayes accuracies against brute force: densities from scipy, and plain draws."""

import math

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from lossheads.datasets.drawing import (
    draw,
    equidistant_bayes,
    orthogonal,
    posterior,
    tree_bayes,
    tree_means,
)

DRAWS = 200_000
# Five standard errors of a share near 1/2: a right formula fails here once in two million seeds.
FAR = 5 * 0.5 / math.sqrt(DRAWS)


def nearest_mean_accuracy(means, shares, seed=3):
    """Share of brute-force draws whose most likely class, by density, is the true one."""
    rng = np.random.default_rng(seed)
    classes = rng.choice(len(means), size=DRAWS, p=shares)
    x = means[classes] + rng.standard_normal((DRAWS, means.shape[1]))
    scores = np.stack(
        [np.log(p) - ((x - m) ** 2).sum(1) / 2 for m, p in zip(means, shares, strict=True)], 1
    )
    return (scores.argmax(axis=1) == classes).mean()


def test_posterior_is_bayes_rule_on_densities():
    rng = np.random.default_rng(0)
    means, shares = rng.normal(size=(4, 3)), np.array([0.1, 0.2, 0.3, 0.4])
    inputs = rng.normal(size=(50, 3)).astype(np.float32)
    joint = np.stack(
        [
            p * multivariate_normal(m).pdf(inputs.astype(float))
            for m, p in zip(means, shares, strict=True)
        ],
        1,
    )
    expected = joint / joint.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(posterior(inputs, means, shares), expected, rtol=1e-12)


def test_draws_follow_shares_and_means():
    means, shares = np.array([[0.0, 5.0], [-5.0, 0.0]]), np.array([0.35, 0.65])
    inputs, classes = draw(means, shares, DRAWS, np.random.default_rng(1))
    assert abs((classes == 1).mean() - 0.65) < FAR
    for k in (0, 1):
        # A mean of at least 70,000 unit normals: five standard errors are 0.019.
        np.testing.assert_allclose(inputs[classes == k].mean(axis=0), means[k], atol=0.019)
        np.testing.assert_allclose(inputs[classes == k].std(axis=0), 1, atol=0.02)


def test_two_equal_classes_are_told_apart_as_the_textbook_says():
    # The midpoint lies separation / 2 away from either mean.
    shares = np.array([0.5, 0.5])
    assert equidistant_bayes(2.0, shares) == pytest.approx(norm.cdf(1.0), abs=1e-12)


@pytest.mark.parametrize(
    ("separation", "shares"),
    [
        (2.0, [0.65, 0.35]),
        (1.0, [0.98, 0.02]),
        (3.0, [0.1] * 10),
        (2.0, [0.4, 0.3, 0.1, 0.1, 0.1]),
        (0.5, [0.25] * 4),
    ],
)
def test_equidistant_bayes_is_what_brute_force_reaches(separation, shares):
    means = separation / math.sqrt(2) * np.eye(len(shares))
    reached = nearest_mean_accuracy(means, shares)
    assert equidistant_bayes(separation, np.array(shares)) == pytest.approx(reached, abs=FAR)


@pytest.mark.parametrize(
    ("amplitudes", "branching"),
    [([3.0, 2.0, 1.5], 2), ([2.0, 1.0], 4), ([1.0, 1.0], 3), ([0.3, 0.3], 2)],
)
def test_tree_bayes_is_what_brute_force_reaches(amplitudes, branching):
    means = tree_means(np.array(amplitudes), branching)
    shares = np.full(len(means), 1 / len(means))
    reached = nearest_mean_accuracy(means, shares)
    assert tree_bayes(np.array(amplitudes), branching) == pytest.approx(reached, abs=FAR)


@pytest.mark.parametrize("classes", [2, 5, 10])
def test_tree_of_one_level_is_flat(classes):
    tree = tree_bayes(np.array([1.5]), classes)
    flat = equidistant_bayes(1.5 * math.sqrt(2), np.full(classes, 1 / classes))
    assert tree == pytest.approx(flat, abs=1e-10)


def test_tree_whose_upper_branches_are_endless_is_its_lowest_level():
    # Subtrees 50 deviations apart are never confused: what remains is one family of siblings.
    assert tree_bayes(np.array([50.0, 1.0]), 3) == pytest.approx(
        tree_bayes(np.array([1.0]), 3), abs=1e-9
    )


def test_leaves_are_as_far_apart_as_their_paths():
    means = tree_means(np.array([2.0, 1.0]), 2)
    distances = np.linalg.norm(means[:, None] - means, axis=2)
    siblings, cousins = math.sqrt(2 * 1), math.sqrt(2 * (4 + 1))
    expected = [
        [0, siblings, cousins, cousins],
        [siblings, 0, cousins, cousins],
        [cousins, cousins, 0, siblings],
        [cousins, cousins, siblings, 0],
    ]
    np.testing.assert_allclose(distances, expected)


def test_rotation_keeps_all_distances():
    q = orthogonal(20, seed=4)
    np.testing.assert_allclose(q @ q.T, np.eye(20), atol=1e-12)
    assert np.abs(q).max() < 0.9  # and is not a mere exchange of axes
