"""Several members measured side by side: what each would have got alone, to the last bit."""

import pytest
import torch

from heads.pairings import draw_labels, pairings
from lossheads import metrics
from lossheads.heads import SoftmaxCCE
from lossheads.heads.base import Head
from lossheads.metrics import measure, measure_cohort
from lossheads.outcomes import AnyOf, OneOf
from lossheads.predictions import predict, predict_cohort

from .making import generator


def drawn(head: Head, members: int, n: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits (members, n, U) of very different sizes, labels and a true posterior."""
    g = generator(members * n)
    labels = draw_labels(head.outcome, n)
    sizes = torch.logspace(-1, 2, members).reshape(-1, 1, 1)
    truth = head.outcome.indicators(labels).double() * 0.9 + 0.05
    if not isinstance(head.outcome, AnyOf):
        truth = truth / truth.sum(dim=-1, keepdim=True)
    return sizes * torch.randn(members, n, head.num_logits, generator=g), labels, truth


def alone_and_together(
    head: Head, members: int, n: int, full: bool, broken: int | None = None
) -> tuple[list[str], list[str]]:
    logits, labels, truth = drawn(head, members, n)
    if broken is not None:
        logits[broken, n // 2] = torch.nan
    alone = [measure(predict(head, own, labels, truth), full) for own in logits]
    together = measure_cohort(predict_cohort(head, logits, labels, truth), full)
    # As text, in which one NaN is like another and every digit shows.
    return list(map(repr, alone)), list(map(repr, together))


@pytest.mark.parametrize("head", pairings())
def test_members_side_by_side_are_measured_as_if_alone(head):
    for full in (False, True):
        alone, together = alone_and_together(head, members=3, n=211, full=full)
        assert together == alone


@pytest.mark.parametrize("members", [1, 2, 5, 9])
@pytest.mark.parametrize("n", [1, 16, 1_003])
def test_no_number_of_members_or_examples_changes_a_bit(members, n):
    alone, together = alone_and_together(SoftmaxCCE(OneOf(10)), members, n, full=True)
    assert together == alone
    assert len(together) == members


def test_a_broken_member_disturbs_nobody():
    alone, together = alone_and_together(SoftmaxCCE(OneOf(5)), 4, 100, full=True, broken=2)
    assert together == alone
    assert "nan" in together[2]
    whole, _ = alone_and_together(SoftmaxCCE(OneOf(5)), 4, 100, full=True)
    assert [together[k] == whole[k] for k in range(4)] == [True, True, False, True]


def test_each_metric_is_laid_on_all_members_at_once(monkeypatch):
    calls = []
    rule = metrics.nll_loss.function

    def counted(stats):
        calls.append(stats)
        return rule(stats)

    monkeypatch.setitem(metrics.nll_loss.__dict__, "function", counted)
    alone_and_together(SoftmaxCCE(OneOf(3)), members=6, n=20, full=False)
    assert len(calls) == 6 + 1


def test_one_member_is_taken_out_of_its_cohort():
    head = SoftmaxCCE(OneOf(4))
    logits, labels, truth = drawn(head, 3, 50)
    said = predict_cohort(head, logits, labels, truth)
    for k, member in enumerate(said):
        lone = predict(head, logits[k], labels, truth)
        assert torch.equal(member.scores, lone.scores)
        assert torch.equal(member.log_probs, lone.log_probs)
        assert torch.equal(member.decisions, lone.decisions)
        assert member.labels is labels
        assert metrics.confusion_matrix(member).equal(metrics.confusion_matrix(lone))
