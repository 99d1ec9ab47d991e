"""Rulers of the order of scores: every threshold at once, ties counted exactly.

Shapes are fixed whatever the ties, so nothing here waits for a GPU.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

# Rows are swept in slices of this many cells: scores, order and counts take about 30 MB.
CELLS_AT_ONCE = 1 << 20
COUNTS = torch.int32  # half the traffic of int64, and enough for two thousand million examples


def order_rulers(scores: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Area under the ROC curve and average precision of each column.

    Args:
        scores: (N, K), higher means more likely present.
        present: (N, K) bool.

    Returns:
        Two float64 tensors (K,). The area is NaN for a column that is never or always present;
        average precision is NaN for one that is never present.
    """
    sweeps = _sliced(scores.T, present.T)
    areas, precisions = zip(*(_area_and_precision(s, y) for s, y in sweeps), strict=True)
    return torch.cat(areas), torch.cat(precisions)


def misordered_pairs(scores: Tensor, present: Tensor) -> Tensor:
    """Share of (present, absent) pairs of each row in which the absent column scores no lower.

    Args:
        scores: (N, L).
        present: (N, L) bool.

    Returns:
        (N,) float64; NaN for a row with nothing, or everything, present.
    """
    return torch.cat([_misordered(s, y) for s, y in _sliced(scores, present)])


def _sliced(scores: Tensor, present: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    step = max(1, CELLS_AT_ONCE // scores.shape[1])
    return zip(scores.split(step), present.split(step), strict=True)


def _area_and_precision(scores: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    hit, passed, hits = _sweep(scores, present)
    positives = hit.sum(dim=1)
    pairs = positives * (hit.shape[1] - positives)
    # Summed over ranks, hits - hit·passed is (pairs won) - (pairs lost): exact in integers.
    lead = (hits - hit * passed).sum(dim=1)
    area = (1 + lead.double() / pairs) / 2
    precision = (hit * (hits.double() / passed)).sum(dim=1) / positives
    return area, precision


def _misordered(scores: Tensor, present: Tensor) -> Tensor:
    hit, passed, hits = _sweep(scores, present)
    positives = hit.sum(dim=1)
    lost = (hit * (passed - hits)).sum(dim=1)
    return lost.double() / (positives * (hit.shape[1] - positives))


def _sweep(scores: Tensor, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Lower a threshold through each row.

    Returns:
        Three (R, M) tensors by falling score: whether this one is present; how many have passed
        the threshold; how many of those are present. Equal scores pass together: each position
        takes the counts at the end of its group.
    """
    ranked, order = scores.contiguous().sort(dim=1, descending=True)
    hit = present.contiguous().gather(1, order)
    passed = torch.arange(1, ranked.shape[1] + 1, dtype=COUNTS, device=scores.device)
    last = torch.ones_like(hit)
    last[:, :-1] = ranked[:, :-1] != ranked[:, 1:]
    return hit, _group_ends(passed, last), _group_ends(hit.cumsum(dim=1, dtype=COUNTS), last)


def _group_ends(counts: Tensor, last: Tensor) -> Tensor:
    beyond = torch.iinfo(counts.dtype).max
    return counts.where(last, beyond).flip(1).cummin(dim=1).values.flip(1)
