"""Batches: row numbers of the training split, a new permutation per epoch, fixed shapes."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from lossheads.engine.augmentation import Augmentation
from lossheads.engine.cohort import ROW_MULTIPLE, Batch
from lossheads.engine.member import batch_seed


def batch_stream(
    n: int,
    batch_size: int,
    data_seeds: Sequence[int],
    device: torch.device,
    augmentation: Augmentation | None = None,
    start: int = 0,
) -> Iterator[Batch]:
    """Endless stream of batches: every row once per epoch, in an order drawn from `data_seeds`.

    The last batch of an epoch holds the remaining rows, padded with rows of weight 0.

    Args:
        n: Rows of the training split.
        batch_size: True rows per batch, except the last.
        data_seeds: One per member. Members with equal seeds get equal batches; when all seeds
            are equal, the rows are gathered once.
        start: Batches that are left out: a stream from its middle, for training that goes on.
    """
    seeds = data_seeds[:1] if len(set(data_seeds)) == 1 else data_seeds
    generators = [torch.Generator().manual_seed(batch_seed(seed)) for seed in seeds]
    weights = _weights(n, batch_size).to(device)
    streams = [augmentation.stream(seed) for seed in seeds] if augmentation else []
    epochs, skipped = divmod(start, len(weights))
    for _ in range(epochs):  # drawn and left out, as the next ones follow them
        for generator in generators:
            torch.randperm(n, generator=generator)
        for stream in streams:
            _draw(augmentation, weights, stream)
    while True:
        index = torch.stack(
            [_epoch_order(n, batch_size, generator) for generator in generators], dim=1
        )
        parts = [index[skipped:].to(device, non_blocking=True), weights[skipped:]]
        if augmentation:
            drawn = [_draw(augmentation, weights, stream) for stream in streams]
            parts.append(torch.stack(drawn, dim=1)[skipped:].to(device, non_blocking=True))
        yield from map(Batch, *parts)
        skipped = 0


def steps_per_epoch(n: int, batch_size: int) -> int:
    """Batches per epoch, the last partial one included."""
    return -(-n // batch_size)


def _draw(augmentation: Augmentation | None, weights: Tensor, stream: torch.Generator) -> Tensor:
    """How each row of an epoch's batches is moved."""
    assert augmentation is not None
    steps, rows = weights.shape
    return augmentation.draw(steps, rows, stream)


def _epoch_order(n: int, batch_size: int, generator: torch.Generator) -> Tensor:
    """(steps, B) rows of one epoch. Drawn on the CPU: the same order on every device."""
    steps, width = steps_per_epoch(n, batch_size), _padded_batch_size(batch_size)
    order = torch.randperm(n, generator=generator)
    rows = torch.zeros(steps * batch_size, dtype=torch.int64)
    rows[:n] = order
    index = torch.zeros(steps, width, dtype=torch.int64)
    index[:, :batch_size] = rows.view(steps, batch_size)
    return index


def _weights(n: int, batch_size: int) -> Tensor:
    """(steps, B): 1 / (true rows of the batch), 0 for padding rows."""
    steps, width = steps_per_epoch(n, batch_size), _padded_batch_size(batch_size)
    weights = torch.zeros(steps, width)
    weights[:, :batch_size] = 1 / batch_size
    last = n - (steps - 1) * batch_size
    weights[-1] = 0
    weights[-1, :last] = 1 / last
    return weights


def _padded_batch_size(batch_size: int) -> int:
    return -(-batch_size // ROW_MULTIPLE) * ROW_MULTIPLE
