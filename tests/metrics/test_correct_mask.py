"""Which examples were decided right, packed: against the metrics that count the same."""

import base64

import pytest
import torch

from lossheads.metrics import accuracy_score, correct_mask_bits, exact_match_score
from lossheads.outcomes import AnyOf, EachOneOf, OneOf
from lossheads.records import CorrectMask

from .making import from_logits, generator

N = 203  # no multiple of eight: the last byte is padded


def drawn(outcome):
    columns = 1
    for size in outcome.columns:
        columns *= size
    logits = torch.randn(N, columns, generator=generator(1))
    if isinstance(outcome, AnyOf):
        labels = torch.rand(N, outcome.n, generator=generator(2)) < 0.5
    else:
        shape = (N,) if isinstance(outcome, OneOf) else (N, outcome.groups)
        labels = torch.randint(outcome.n, shape, generator=generator(2))
    return from_logits(outcome, logits, labels)


@pytest.mark.parametrize("outcome", [OneOf(3), AnyOf(2), EachOneOf(2, 3)], ids=str)
def test_bits_count_what_exact_match_counts(outcome):
    p = drawn(outcome)
    share = CorrectMask(correct_mask_bits(p), "").mask.bit_count() / N
    assert share == exact_match_score(p)
    assert 0 < share < 1


def test_with_one_class_an_example_they_count_accuracy():
    p = drawn(OneOf(3))
    assert CorrectMask(correct_mask_bits(p), "").mask.bit_count() / N == accuracy_score(p)


def test_the_first_example_is_the_highest_bit():
    logits = torch.eye(3)[[0, 1, 2, 0, 0, 0, 0, 0, 1]]
    labels = torch.tensor([0, 0, 2, 0, 1, 1, 1, 1, 1])
    bits = base64.b64decode(correct_mask_bits(from_logits(OneOf(3), logits, labels)))
    assert [f"{byte:08b}" for byte in bits] == ["10110000", "10000000"]


@pytest.mark.parametrize(
    ("outcome", "logits", "labels"),
    [
        (AnyOf(2), [[1.0, 1.0], [1.0, -1.0]], [[True, False], [True, False]]),
        (EachOneOf(2, 2), [[1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 1.0]], [[0, 1], [0, 1]]),
    ],
    ids=str,
)
def test_an_example_is_right_when_all_of_it_is(outcome, logits, labels):
    # The first example has one of its two answers right, the second both.
    p = from_logits(outcome, torch.tensor(logits), torch.tensor(labels))
    assert base64.b64decode(correct_mask_bits(p)) == bytes([0b01000000])
