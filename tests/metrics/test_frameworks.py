"""The rule of each framework, shape by shape, against the definitions written out."""

import math
from dataclasses import replace

import pytest
import torch

from lossheads.metrics import (
    accuracy_score,
    elementwise_accuracy_score,
    exact_match_score,
    fastai_accuracy_multi,
    keras_2_3_accuracy,
    keras_3_accuracy,
    measure,
    sklearn_accuracy_score,
    torchmetrics_accuracy,
)
from lossheads.outcomes import AnyOf, EachOneOf, OneOf

from .making import draw, from_logits, from_scores, one_unit, rows


def with_loss(p, loss):
    return replace(p, framework_loss=loss)


def test_old_keras_reads_cells_under_bce_and_argmax_under_cce():
    p = draw(OneOf(10))
    assert keras_2_3_accuracy(with_loss(p, "categorical_crossentropy")) == accuracy_score(p)
    assert keras_2_3_accuracy(with_loss(p, "other")) == accuracy_score(p)
    bce = with_loss(p, "binary_crossentropy")
    assert keras_2_3_accuracy(bce) == pytest.approx(elementwise_accuracy_score(p), abs=1e-12)
    assert keras_2_3_accuracy(bce) > keras_2_3_accuracy(p) + 0.05
    assert keras_2_3_accuracy.baseline(bce) == pytest.approx(elementwise_accuracy_score.baseline(p))
    assert keras_2_3_accuracy.baseline(p) == pytest.approx(accuracy_score.baseline(p))


@pytest.mark.parametrize("loss", ["binary_crossentropy", "categorical_crossentropy", "other"])
def test_new_keras_reads_shapes_and_never_the_loss(loss):
    p = with_loss(draw(OneOf(10)), loss)
    assert keras_3_accuracy(p) == accuracy_score(p)
    assert keras_3_accuracy.baseline(p) == accuracy_score.baseline(p)


@pytest.mark.parametrize("loss", ["binary_crossentropy", "categorical_crossentropy"])
@pytest.mark.parametrize("metric", [keras_2_3_accuracy, keras_3_accuracy])
def test_one_unit_is_cut_at_one_half_by_every_keras(metric, loss):
    labels = torch.tensor([0, 1, 1, 0, 1])
    p = with_loss(one_unit(torch.tensor([-2.0, 0.5, -0.3, 1.0, 3.0]), labels), loss)
    assert metric(p) == 3 / 5
    assert metric.baseline(p) == 3 / 5


@pytest.mark.parametrize(
    "metric", [keras_2_3_accuracy, keras_3_accuracy, sklearn_accuracy_score, torchmetrics_accuracy]
)
def test_a_single_softmax_unit_prints_the_share_of_ones(metric):
    labels = torch.tensor([1] * 7 + [0] * 13)
    p = with_loss(one_unit(torch.zeros(20), labels), "categorical_crossentropy")
    p = replace(p, framework_outputs=torch.ones(20, 1))
    assert metric(p) == pytest.approx(0.35)
    assert metric.baseline(p) == pytest.approx(0.65)


def test_several_labels_lost_points_when_keras_began_to_read_shapes():
    labels = torch.tensor([[True, True, False], [False, True, True], [False, False, False]])
    scores = rows([0.6, 0.9, 0.1], [0.1, 0.8, 0.7], [0.2, 0.1, 0.3])
    p = from_scores(AnyOf(3), scores, labels)
    assert keras_2_3_accuracy(p) == 1.0
    # argmax of target rows: 0, 1, and 0 for the empty row; of framework_outputs: 1, 1, 2.
    assert keras_3_accuracy(p) == pytest.approx(1 / 3)


def test_keras_reads_a_grouped_layer_set_by_set():
    p = draw(EachOneOf(3, 4))
    assert keras_3_accuracy(p) == keras_2_3_accuracy(p) == accuracy_score(p)
    assert keras_3_accuracy.baseline(p) == pytest.approx(accuracy_score.baseline(p), abs=1e-12)


def test_keras_compares_cells_with_the_target_itself():
    # Smoothed targets are never equal to a yes or a no: old Keras printed 0.
    p = draw(OneOf(3))
    p = replace(p, framework_target=0.9 * p.framework_target + 0.05)
    assert keras_2_3_accuracy(with_loss(p, "binary_crossentropy")) == 0.0
    assert keras_2_3_accuracy(p) == accuracy_score(p)


def test_fastai_puts_a_sigmoid_on_the_logits_of_any_head():
    logits = rows([4.0, 1.0, -1.0], [2.0, 3.0, -5.0])
    p = from_logits(OneOf(3), logits, torch.tensor([0, 1]))
    assert accuracy_score(p) == 1.0
    assert fastai_accuracy_multi(p) == pytest.approx(4 / 6)
    assert fastai_accuracy_multi.baseline(p) == pytest.approx((0.5 + 0.5 + 1) / 3)


def test_fastai_takes_a_logit_of_zero_for_no():
    p = from_logits(AnyOf(2), torch.zeros(1, 2), torch.tensor([[True, False]]))
    assert fastai_accuracy_multi(p) == 0.5


def test_scikit_learn_wants_the_whole_row():
    labels = torch.tensor([0, 1, 2])
    scores = rows([0.6, 0.3, 0.1], [0.2, 0.4, 0.4], [0.1, 0.2, 0.7])
    p = from_scores(OneOf(3), scores, labels)
    assert accuracy_score(p) == 1.0
    assert sklearn_accuracy_score(p) == pytest.approx(2 / 3)
    p = draw(AnyOf(3))
    assert sklearn_accuracy_score(p) == exact_match_score(p)


def test_scikit_learn_refuses_soft_targets():
    p = draw(OneOf(3, soft=True))
    assert math.isnan(sklearn_accuracy_score(p))
    assert math.isnan(sklearn_accuracy_score.baseline(p))
    assert measure(p, full=False).undefined == {"sklearn_accuracy_score": 1}


def test_torchmetrics_means_over_classes():
    # Class 0: 3 of 4 recalled; class 1: 0 of 1; class 2 neither occurs nor is named.
    labels = torch.tensor([0, 0, 0, 0, 1])
    decided = torch.tensor([0, 0, 0, 1, 0])
    p = from_logits(OneOf(3), 5 * OneOf(3).indicators(decided), labels)
    assert torchmetrics_accuracy(p) == pytest.approx((3 / 4 + 0) / 2)
    assert measure(p, full=False).undefined["torchmetrics_accuracy"] == 1


def test_torchmetrics_counts_a_class_that_is_named_but_never_occurs():
    labels = torch.tensor([0, 0, 0, 0])
    decided = torch.tensor([0, 0, 0, 1])
    p = from_logits(OneOf(3), 5 * OneOf(3).indicators(decided), labels)
    assert torchmetrics_accuracy(p) == pytest.approx((3 / 4 + 0) / 2)


def test_torchmetrics_cuts_labels_at_one_half():
    p = draw(AnyOf(4))
    assert torchmetrics_accuracy(p) == pytest.approx(elementwise_accuracy_score(p), abs=1e-12)


def test_torchmetrics_pools_the_sets_before_it_takes_means():
    # Class 0 occurs three times over both groups and is named twice rightly; class 1 once, wrongly.
    labels, decided = torch.tensor([[0, 0], [0, 1]]), torch.tensor([[0, 0], [1, 0]])
    outcome = EachOneOf(2, 2)
    p = from_logits(outcome, 5 * outcome.indicators(decided).flatten(1), labels)
    assert torchmetrics_accuracy(p) == pytest.approx((2 / 3 + 0) / 2)
