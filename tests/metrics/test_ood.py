"""Known examples against outliers: scikit-learn's ROC curve as oracle."""

import math

import numpy as np
import pytest
import torch
from sklearn import metrics as sk_metrics

from lossheads.errors import UserError
from lossheads.heads import SigmoidBCE, SingleLogitBCE, SoftmaxCCE
from lossheads.metrics import evaluate_ood, ood_scores
from lossheads.outcomes import OneOf

from .making import generator

HEAD = SoftmaxCCE(OneOf(4))


def two_crowds(step: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    g = generator(0)
    known = 2 * torch.randn(130, 4, generator=g) + 1
    outliers = torch.randn(70, 4, generator=g)
    if step:
        known, outliers = ((x / step).round() * step for x in (known, outliers))
    return known, outliers


@pytest.mark.parametrize("step", [0.0, 1.0])
def test_areas_and_false_alarms(step):
    known, outliers = two_crowds(step)
    seen = evaluate_ood(HEAD, known, outliers)
    assert seen.n == 200
    assert len(seen.metrics) == 8
    inside, outside = ood_scores(HEAD, known), ood_scores(HEAD, outliers)
    is_known = np.repeat([1, 0], [130, 70])
    for reading in ("max_score", "max_logit", "energy"):
        values = torch.cat([inside[reading], outside[reading]]).numpy()
        area = sk_metrics.roc_auc_score(is_known, values)
        false, true, _ = sk_metrics.roc_curve(is_known, values, drop_intermediate=False)
        assert seen.metrics[f"{reading}_auroc_score"] == pytest.approx(area, abs=1e-12)
        passing = false[np.argmax(true >= 0.95)]
        assert seen.metrics[f"{reading}_fpr95_error"] == pytest.approx(passing, abs=1e-12)


def test_readings_by_hand():
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0]])
    seen = ood_scores(HEAD, logits)
    total = 1 + math.e + math.e**2 + math.exp(-1)
    assert seen["max_score"].item() == pytest.approx(math.e**2 / total, rel=1e-6)
    assert seen["max_logit"].item() == 2.0
    assert seen["energy"].item() == pytest.approx(math.log(total), rel=1e-12)


def test_a_common_shift_moves_max_logit_and_energy_but_not_the_softmax():
    known, _ = two_crowds()
    seen = evaluate_ood(HEAD, known, known - 30)
    assert seen.metrics["max_score_auroc_score"] == pytest.approx(0.5, abs=0.01)
    assert seen.metrics["max_logit_auroc_score"] == 1.0
    assert seen.metrics["energy_fpr95_error"] == 0.0


def test_nineteen_of_twenty_known_examples_are_enough():
    known = torch.arange(20.0).unsqueeze(1).expand(20, 4)
    outliers = torch.tensor([[0.0], [0.5], [1.0], [1.5]]).expand(4, 4)
    # The threshold is 1: 19 of 20 known examples pass, and the outliers at 1 and 1.5.
    assert evaluate_ood(HEAD, known, outliers).metrics["max_logit_fpr95_error"] == 0.5


def test_baselines_are_those_of_a_reading_that_cannot_tell():
    same = torch.randn(1000, 4, generator=generator(1))
    seen = evaluate_ood(HEAD, same, same)
    for name, baseline in seen.baselines.items():
        if "nothing" not in name:
            assert seen.metrics[name] == pytest.approx(baseline), name


def test_nothing_is_said_where_no_score_passes_one_half():
    # Highest sigmoids: of the known .88, .50 (exactly), .73; of the outliers .27, .62, .50, .12.
    known = torch.tensor([[2.0, -1.0], [0.0, -3.0], [-1.0, 1.0]])
    outliers = torch.tensor([[-1.0, -2.0], [0.5, -9.0], [0.0, 0.0], [-2.0, -2.0]])
    seen = evaluate_ood(SigmoidBCE(OneOf(2)), known, outliers).metrics
    assert seen["nothing_said_score"] == 3 / 4
    assert seen["nothing_said_of_known_error"] == pytest.approx(1 / 3)
    # A softmax over two classes has a score of at least one half, and above it but for a tie.
    seen = evaluate_ood(SoftmaxCCE(OneOf(2)), known, outliers).metrics
    assert seen["nothing_said_score"] == 2 / 4
    assert seen["nothing_said_of_known_error"] == 0


def test_the_best_constant_answers_are_the_baselines_of_what_is_said():
    always, never = torch.full((10, 4), -1.0), torch.full((10, 4), 1.0)
    head = SigmoidBCE(OneOf(4))
    said = evaluate_ood(head, always, always)
    unsaid = evaluate_ood(head, never, never)
    for name in ("nothing_said_score", "nothing_said_of_known_error"):
        best = max if name.endswith("score") else min
        assert said.baselines[name] == best(said.metrics[name], unsaid.metrics[name])


def test_the_column_that_means_nothing_is_no_sign_of_the_known():
    known = torch.tensor([[3.0, 0.0, 0.0, 0.0]])
    outliers = torch.tensor([[0.0, 0.0, 0.0, 9.0]])
    assert evaluate_ood(HEAD, known, outliers).metrics["max_score_auroc_score"] == 0.0
    seen = evaluate_ood(HEAD, known, outliers, none_class=3)
    assert set(seen.metrics.values()) == {0.0, 1.0}
    assert seen.metrics["nothing_said_score"] == 1.0
    assert all(seen.metrics[f"{r}_auroc_score"] == 1.0 for r in ("max_score", "energy"))


def test_nan_logits_leave_detection_undefined():
    known, outliers = two_crowds()
    outliers[3, 2] = math.nan
    seen = evaluate_ood(HEAD, known, outliers)
    assert all(math.isnan(value) for value in seen.metrics.values())
    assert set(seen.undefined) == set(seen.metrics)


def test_what_cannot_be_compared_is_refused():
    known, outliers = two_crowds()
    with pytest.raises(UserError, match="130 known examples and 0 outliers"):
        evaluate_ood(HEAD, known, outliers[:0])
    with pytest.raises(UserError, match="none_class=4 for SoftmaxCCE"):
        evaluate_ood(HEAD, known, outliers, none_class=4)
    with pytest.raises(UserError, match="none_class=0 for SingleLogitBCE with 1 logits"):
        evaluate_ood(SingleLogitBCE(OneOf(2)), known[:, :1], outliers[:, :1], none_class=0)
