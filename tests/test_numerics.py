"""softmax and log_softmax by formula against torch's kernels, in values, gradients and places."""

import pytest
import torch
from torch.nn import functional as F

from lossheads.numerics import log_softmax, softmax

PAIRS = {"softmax": (softmax, F.softmax), "log_softmax": (log_softmax, F.log_softmax)}


def logits(rows: int, classes: int, scale: float = 8.0) -> torch.Tensor:
    return scale * torch.randn(rows, classes, generator=torch.Generator().manual_seed(rows))


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("classes", [1, 2, 10, 15, 16, 40])
def test_values_and_gradients_are_those_of_torch(name, classes):
    ours, theirs = PAIRS[name]
    z = logits(33, classes).double().requires_grad_()
    pull = logits(33, classes, scale=1.0).double()
    got, wanted = ours(z), theirs(z, dim=-1)
    torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)
    (gradient,) = torch.autograd.grad((got * pull).sum(), z)
    (theirs_gradient,) = torch.autograd.grad((wanted * pull).sum(), z)
    torch.testing.assert_close(gradient, theirs_gradient, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", PAIRS)
def test_huge_logits_neither_overflow_nor_lose_their_differences(name):
    ours, theirs = PAIRS[name]
    z = torch.tensor([[3e38, 0.0, -3e38], [10_001.0, 10_000.0, 9_999.0], [-1e30, -1e30, -1e30]])
    torch.testing.assert_close(ours(z), theirs(z, dim=-1), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", PAIRS)
def test_a_ruled_out_class_has_no_probability_and_broken_rows_stay_broken(name):
    ours, theirs = PAIRS[name]
    infinite, nothing = float("inf"), float("nan")
    rows = [[-infinite, 0.0, 1.0], [infinite, 0.0, 1.0], [nothing, 0.0, 1.0], [-infinite] * 3]
    z = torch.tensor(rows)
    torch.testing.assert_close(ours(z), theirs(z, dim=-1), equal_nan=True)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bits_do_not_depend_on_a_row_s_place(name, dtype):
    ours, _ = PAIRS[name]
    z = logits(1_037, 10).to(dtype)
    whole = ours(z)
    for first in (0, 1, 7, 500, 1_030):
        assert torch.equal(ours(z[first:]), whole[first:])
        assert torch.equal(ours(z[first : first + 1].clone()), whole[first : first + 1])
