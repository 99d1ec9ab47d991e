"""Every pass sees every row once; weights leave out the rows that only fill up."""

from itertools import islice

import pytest
import torch

from lossheads.engine.batches import batch_stream, steps_per_epoch

CPU = torch.device("cpu")


@pytest.mark.parametrize(("n", "size"), [(203, 30), (128, 128), (64, 32), (5, 16), (33, 1)])
def test_a_pass_sees_every_row_once(n: int, size: int) -> None:
    steps = steps_per_epoch(n, size)
    batches = list(islice(batch_stream(n, size, [4], CPU), 2 * steps))
    for one_pass in (batches[:steps], batches[steps:]):
        rows = torch.cat([batch.index[0][batch.weights > 0] for batch in one_pass])
        assert sorted(rows.tolist()) == list(range(n))
    orders = [torch.cat([b.index[0] for b in part]) for part in (batches[:steps], batches[steps:])]
    assert n < 10 or not torch.equal(*orders)


def test_weights_are_means_over_true_rows_in_one_shape() -> None:
    batches = list(islice(batch_stream(203, 30, [4], CPU), 7))
    assert {tuple(batch.index.shape) for batch in batches} == {(1, 32)}
    counts = [int((batch.weights > 0).sum()) for batch in batches]
    assert counts == [30] * 6 + [23]
    for batch, count in zip(batches, counts, strict=True):
        assert batch.weights.sum().item() == pytest.approx(1)
        assert batch.weights.max().item() == pytest.approx(1 / count)


def test_equal_data_seeds_share_one_order() -> None:
    shared = next(batch_stream(203, 30, [4, 4, 4], CPU))
    own = next(batch_stream(203, 30, [4, 5, 4], CPU))
    assert shared.index.shape == (1, 32)
    assert own.index.shape == (3, 32)
    assert torch.equal(own.index[0], shared.index[0])
    assert torch.equal(own.index[2], shared.index[0])
    assert not torch.equal(own.index[1], shared.index[0])
