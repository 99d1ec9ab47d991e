"""Histograms, precision-recall curves and confusions add up and match scikit-learn."""

import math

import numpy as np
import pytest
import torch
from sklearn import metrics as sk_metrics

from lossheads.errors import UserError
from lossheads.metrics import confusion_matrix, precision_recall_curves, score_histograms
from lossheads.outcomes import AnyOf, EachOneOf, OneOf, Outcome

from .making import draw, from_logits, from_scores, rows

OUTCOMES: list[Outcome] = [OneOf(2), OneOf(5), AnyOf(4), EachOneOf(3, 4)]


@pytest.mark.parametrize("outcome", OUTCOMES, ids=str)
def test_histograms_count_every_score_once_on_its_side(outcome):
    p = draw(outcome)
    seen = score_histograms(p)
    scores = p.scores.flatten(1).double().numpy()
    present = outcome.indicators(p.labels).flatten(1).numpy() == 1
    for k in range(scores.shape[1]):
        for counts, rows_of in ((seen.present, present[:, k]), (seen.absent, ~present[:, k])):
            expected, edges = np.histogram(scores[rows_of, k], bins=30, range=(0, 1))
            assert counts[k].tolist() == expected.tolist()
    assert seen.edges.tolist() == pytest.approx(edges.tolist())


def test_scores_of_zero_and_one_fall_into_the_outer_bins():
    p = from_scores(AnyOf(1), rows([0.0], [1.0]), torch.tensor([[False], [True]]))
    seen = score_histograms(p)
    assert seen.absent[0, 0] == 1
    assert seen.present[0, -1] == 1
    assert seen.present.sum() + seen.absent.sum() == 2


@pytest.mark.parametrize("outcome", OUTCOMES, ids=str)
def test_curves_agree_with_confusions_at_each_threshold(outcome):
    p = draw(outcome, n=60)
    seen = precision_recall_curves(p, thresholds=11)
    scores = p.scores.flatten(1).double()
    present = outcome.indicators(p.labels).flatten(1).bool()
    for i, threshold in enumerate(seen.thresholds):
        for k in range(scores.shape[1]):
            passed = scores[:, k] >= threshold
            expected = sk_metrics.confusion_matrix(present[:, k], passed, labels=[False, True])
            (tn, fp), (fn, tp) = expected.tolist()
            assert seen.true_negatives[k, i] == tn
            assert seen.false_positives[k, i] == fp
            assert seen.false_negatives[k, i] == fn
            assert seen.true_positives[k, i] == tp
            if tp + fp:
                assert seen.precision[k, i] == pytest.approx(tp / (tp + fp))
            else:
                assert math.isnan(seen.precision[k, i])
            assert seen.recall[k, i] == pytest.approx(tp / (tp + fn))


def test_a_score_on_a_threshold_passes_it():
    p = from_scores(AnyOf(1), rows([0.0], [0.5], [1.0]), torch.tensor([[True]] * 3))
    assert precision_recall_curves(p, thresholds=3).true_positives.tolist() == [[3, 2, 1]]


def test_curves_run_from_zero_to_one_and_start_with_everything_passing():
    p = draw(OneOf(3))
    seen = precision_recall_curves(p)
    assert len(seen.thresholds) == 127
    assert seen.thresholds[[0, -1]].tolist() == [0.0, 1.0]
    assert seen.recall[:, 0].tolist() == [1.0] * 3
    shares = [(p.labels == k).double().mean().item() for k in range(3)]
    assert seen.precision[:, 0].tolist() == pytest.approx(shares)


def test_confusion_rows_are_true_classes():
    labels, decided = torch.tensor([0, 0, 1, 2]), torch.tensor([0, 2, 1, 1])
    p = from_logits(OneOf(3), 5 * OneOf(3).indicators(decided), labels)
    assert confusion_matrix(p).tolist() == [[1, 0, 1], [0, 1, 0], [0, 1, 0]]


def test_each_set_has_its_own_confusion():
    outcome = EachOneOf(3, 4)
    p = draw(outcome)
    seen = confusion_matrix(p)
    assert seen.shape == (3, 4, 4)
    for i in range(3):
        expected = sk_metrics.confusion_matrix(p.labels[:, i], p.decisions[:, i], labels=range(4))
        assert seen[i].tolist() == expected.tolist()


def test_labels_are_not_confused_with_each_other():
    with pytest.raises(UserError, match=r"confusion_matrix does not support AnyOf\(n=4\)"):
        confusion_matrix(draw(AnyOf(4)))
