"""Class separation of logits, against the double sums of the paper."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lossheads.heads import SingleLogitBCE, SingleLogitSoftmaxCCE, TwoLogitCCE
from lossheads.metrics import logit_separation_score
from lossheads.outcomes import OneOf
from lossheads.predictions import predict
from lossheads.runs.build import build_parts
from lossheads.runs.config import compose

from .making import draw, from_logits


def by_pairs(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """1 - within / total as mean cosine distances of all pairs, classes counted alike."""
    z = logits.double().numpy()
    z = z - z.mean(1, keepdims=True)
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    groups = [z[labels.numpy() == k] for k in np.unique(labels.numpy())]
    distance = np.array([[(1 - a @ b.T).mean() for b in groups] for a in groups])
    return float(1 - np.diag(distance).mean() / distance.mean())


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_it_is_the_papers_ratio_of_mean_distances(classes):
    made = draw(OneOf(classes))
    value = logit_separation_score(made)
    assert value == pytest.approx(by_pairs(made.logits, made.labels), abs=1e-9)
    # and with logits that know the class
    better = made.logits + 4 * torch.nn.functional.one_hot(made.labels, classes)
    known = from_logits(OneOf(classes), better, made.labels)
    assert logit_separation_score(known) == pytest.approx(by_pairs(better, made.labels), abs=1e-9)
    assert logit_separation_score(known) > value + 0.1


def test_classes_of_one_direction_each_are_apart_and_constant_logits_are_not():
    labels = torch.tensor([0, 0, 1, 2, 2, 2])
    one_each = 3.0 * torch.nn.functional.one_hot(labels, 3)
    assert logit_separation_score(from_logits(OneOf(3), one_each, labels)) == pytest.approx(1)
    constant = torch.tensor([[1.0, -2.0, 0.5]]).expand(6, 3)
    made = from_logits(OneOf(3), constant, labels)
    assert logit_separation_score(made) == 0
    assert logit_separation_score.baseline(made) == 0


def test_what_a_softmax_does_not_see_has_no_effect():
    made = draw(OneOf(4))
    moved = replace(made, logits=5 * (made.logits + torch.randn(len(made.logits), 1)))
    assert logit_separation_score(moved) == pytest.approx(logit_separation_score(made), abs=1e-5)


def test_a_class_nobody_has_does_not_count():
    made = draw(OneOf(3))
    wider = torch.cat([made.logits, made.logits.mean(1, keepdim=True)], dim=1)
    assert logit_separation_score(from_logits(OneOf(4), wider, made.labels)) == pytest.approx(
        logit_separation_score(made), abs=1e-6
    )


def test_one_logit_is_read_as_two():
    z, labels = torch.linspace(-3, 3, 20).unsqueeze(1), torch.arange(20) % 2
    one = predict(SingleLogitBCE(OneOf(2)), z, labels)
    two = predict(TwoLogitCCE(OneOf(2)), torch.cat([-z / 2, z / 2], dim=1), labels)
    assert logit_separation_score(one) == pytest.approx(logit_separation_score(two), abs=1e-6)
    assert logit_separation_score(predict(SingleLogitSoftmaxCCE(OneOf(2)), z, labels)) == 0


def test_a_run_measures_it_where_it_is_asked_for():
    word = "extra_metrics=[lossheads.metrics.logit_separation_score]"
    asked, plain = (
        {metric.name for metric in build_parts(compose(words)).metrics.scalar_for(OneOf(10))}
        for words in ([word], [])
    )
    assert asked - plain == {"logit_separation_score"}
