"""Rulers of the order of scores: every threshold at once, ties counted exactly.

Shapes are fixed whatever the ties, so nothing here waits for a GPU.
"""

import torch
from torch import Tensor

# Columns are swept in slices of this many cells: five int64 tensors of it are 40 MB.
CELLS_AT_ONCE = 1 << 20


def order_rulers(scores: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Area under the ROC curve and average precision of each column.

    Args:
        scores: (N, K), higher means more likely present.
        present: (N, K) bool.

    Returns:
        Two float64 tensors (K,). The area is NaN for a column that is never or always present;
        average precision is NaN for one that is never present.
    """
    step = max(1, CELLS_AT_ONCE // len(scores))
    slices = zip(scores.T.split(step), present.T.split(step), strict=True)
    areas, precisions = zip(*(_sweep(s, y) for s, y in slices), strict=True)
    return torch.cat(areas), torch.cat(precisions)


def _sweep(scores: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """(K, N), (K, N) -> (K,), (K,)."""
    ranked, order = scores.sort(dim=1, descending=True)
    hit = present.gather(1, order)
    passed = torch.arange(1, ranked.shape[1] + 1, device=scores.device)
    last = torch.ones_like(hit)
    last[:, :-1] = ranked[:, :-1] != ranked[:, 1:]
    # Equal scores pass a threshold together: each position takes the counts at its group's end.
    passed = _group_ends(passed.expand_as(order), last)
    hits = _group_ends(hit.cumsum(dim=1), last)
    positives = hit.sum(dim=1)
    pairs = positives * (hit.shape[1] - positives)
    # Summed over ranks, hits - hit·passed is (pairs won) - (pairs lost): exact in integers.
    lead = (hits - hit * passed).sum(dim=1)
    area = (1 + lead.double() / pairs) / 2
    precision = (hit * (hits.double() / passed)).sum(dim=1) / positives
    return area, precision


def _group_ends(counts: Tensor, last: Tensor) -> Tensor:
    beyond = torch.iinfo(counts.dtype).max
    return counts.where(last, beyond).flip(1).cummin(dim=1).values.flip(1)
