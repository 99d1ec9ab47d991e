"""What the callbacks share."""

import numpy as np
import pytest
import torch

import lossheads as lh
from lossheads.errors import UserError
from lossheads.integrations.reporting import (
    Reporter,
    check_once,
    first_examples,
    hard_labels,
    kept_random_state,
    to_logits,
)


def logits(n: int = 30, units: int = 4) -> torch.Tensor:
    return 3 * torch.randn(n, units, generator=torch.Generator().manual_seed(0))


def test_an_epoch_is_printed_with_baselines_and_kept():
    lines: list[str] = []
    reporter = Reporter(lh.SoftmaxCCE(lh.OneOf(4)), write=lines.append)
    z, y = logits(), torch.arange(30) % 4
    for rows in (slice(0, 16), slice(16, 30)):
        reporter.update(z[rows], y[rows])
    found = reporter.finish("validation")
    whole = lh.evaluate(z, y, head=lh.SoftmaxCCE(lh.OneOf(4)))
    assert {name: value.value for name, value in found.items()} == pytest.approx(
        {name: value.value for name, value in whole.items()}, nan_ok=True
    )
    (text,) = lines
    accuracy = whole["accuracy_score"]
    assert f"{accuracy.value:.4f}  baseline {accuracy.baseline:.4f}" in text
    assert "n = 30" in text
    assert "nll_loss" in text
    assert len(text.splitlines()) <= 5
    assert "nan" not in text
    calibration = next(line for line in text.splitlines() if "calibration" in line)
    assert calibration.split()[-2:] == ["skill", "–"]
    assert reporter.history == [found]
    assert len(reporter) == 0
    assert reporter.numbers(found)["accuracy_score_skill"] == accuracy.skill


def test_named_metrics_are_printed_and_unknown_ones_refused():
    lines: list[str] = []
    head = lh.SigmoidBCE(lh.AnyOf(4))
    reporter = Reporter(head, metrics=["hamming_loss"], write=lines.append)
    reporter.update(logits(), torch.rand(30, 4) < 0.5)
    reporter.finish("t")
    assert [line.split()[0] for line in lines[0].splitlines()[1:]] == ["hamming_loss"]
    reporter = Reporter(head, metrics=["haming_loss"])
    reporter.update(logits(), torch.rand(30, 4) < 0.5)
    with pytest.raises(UserError, match="hamming_loss"):
        reporter.finish("t")
    with pytest.raises(UserError, match="given"):
        Reporter(head, given="scores")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("head", "units"),
    [
        (lh.SoftmaxCCE(lh.OneOf(4)), 4),
        (lh.SigmoidBCE(lh.OneOf(4)), 4),
        (lh.SigmoidBCE(lh.AnyOf(4)), 4),
        (lh.SingleLogitBCE(lh.OneOf(2)), 1),
        (lh.TwoLogitCCE(lh.OneOf(2)), 2),
    ],
    ids=str,
)
def test_probabilities_become_logits_that_give_them(head, units):
    z = logits(units=units)
    p = head.framework_outputs(z)
    back = to_logits(p, head, torch.zeros(30).long())
    torch.testing.assert_close(head.framework_outputs(back).float(), p, atol=1e-6, rtol=0)
    torch.testing.assert_close(head.scores(back).float(), head.scores(z), atol=1e-6, rtol=0)


def test_saturated_probabilities_stay_finite():
    for p in (torch.eye(3), torch.tensor([[1.0, 0.0, 0.0]])):
        assert to_logits(p, lh.SoftmaxCCE(lh.OneOf(3)), torch.zeros(len(p)).long()).isfinite().all()
    back = to_logits(torch.tensor([[1.0], [0.0]]), lh.SingleLogitBCE(lh.OneOf(2)), torch.zeros(2))
    assert back.isfinite().all()


def test_logits_are_not_taken_for_probabilities():
    with pytest.raises(UserError, match="given='logits'"):
        to_logits(logits(), lh.SoftmaxCCE(lh.OneOf(4)), torch.zeros(30).long())
    with pytest.raises(UserError, match="sum to 1"):
        to_logits(torch.rand(5, 4), lh.SoftmaxCCE(lh.OneOf(4)), torch.zeros(5).long())


@pytest.mark.parametrize(
    ("labels", "head", "expected"),
    [
        (torch.eye(3)[[2, 0]], lh.SoftmaxCCE(lh.OneOf(3)), torch.tensor([2, 0])),
        (torch.tensor([[1], [0]]), lh.SoftmaxCCE(lh.OneOf(3)), torch.tensor([1, 0])),
        (torch.tensor([[1.0], [0.0]]), lh.SingleLogitBCE(lh.OneOf(2)), torch.tensor([1, 0])),
        (torch.tensor([[1.0, 1.0]]), lh.SigmoidBCE(lh.AnyOf(2)), torch.tensor([[True, True]])),
        (torch.tensor([[0.9, 0.1]]), lh.SoftmaxCCE(lh.OneOf(2)), torch.tensor([[0.9, 0.1]])),
        (torch.tensor([1, 0]), "softmax_cce", torch.tensor([1, 0])),
    ],
    ids=str,
)
def test_labels_of_frameworks_are_read(labels, head, expected):
    found = hard_labels(labels, head)
    assert found.dtype == expected.dtype
    assert torch.equal(found, expected)


def test_a_check_never_ends_a_training(monkeypatch):
    lines: list[str] = []

    def refuses(*_, **__):
        raise UserError("the forward pass fails")

    monkeypatch.setitem(vars(lh), "check", refuses)
    assert check_once(lines.append, None, None) is None
    assert "the forward pass fails" in lines[0]


def test_the_first_examples_are_drawn_without_moving_the_streams():
    class Noisy(torch.utils.data.Dataset):
        def __len__(self):
            return 5

        def __getitem__(self, i):
            return torch.rand(2) + np.random.rand(), i

    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    x, y = first_examples(Noisy(), None)
    assert (x.shape, y.tolist()) == ((5, 2), [0, 1, 2, 3, 4])
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()
    with kept_random_state():
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert first_examples(iter([]), None) is None
