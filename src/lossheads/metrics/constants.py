"""Best constant predictions that no formula gives: a linear program, and a search over orders."""

import numpy as np
import torch
from torch import Tensor

# All orders of so many labels are searched: 2^20 sets of labels take about half a second.
EXACT_LABELS = 20


def best_worst_recall(by_group: Tensor) -> float:
    """The highest lowest recall, groups pooled, that fixed chances in each group reach.

    Guessing class m in group s with chance q gives class m the recall sum_s positives q / sum_s
    positives: linear in q, so the lowest of them is maximised by a linear program.

    Args:
        by_group: (S, M) how often each class occurs in each group.

    Returns:
        At least 1 / (classes that occur), which an even guess among these has.
    """
    from scipy import sparse
    from scipy.optimize import linprog

    positives = by_group.cpu().numpy().astype(float)
    positives = positives[:, positives.sum(axis=0) > 0]
    groups, classes = positives.shape
    # Unknowns: the chances, group by group, then the lowest recall t. Rows: t - recall_m <= 0.
    recalls = [sparse.diags(-row) for row in positives / positives.sum(axis=0)]
    sums = sparse.kron(sparse.eye(groups), np.ones((1, classes)))
    found = linprog(
        c=[*np.zeros(groups * classes), -1.0],
        A_ub=sparse.hstack([*recalls, np.ones((classes, 1))]),
        b_ub=np.zeros(classes),
        A_eq=sparse.hstack([sums, np.zeros((groups, 1))]),
        b_eq=np.ones(groups),
        method="highs",
    )
    # The solver's last digits would make a baseline of 1 one that can be beaten.
    return round(float(-found.fun), 10)


def least_coverage(present: Tensor) -> int:
    """Sum over examples of how far down the best fixed order of labels their last positive is.

    The best order cannot be read off base rates: this is scheduling with precedences, hard in
    general. Up to `EXACT_LABELS` labels that occur all orders are searched. Of more, the one in
    fewest examples goes last, again and again, until so many are left: that order exists, but a
    better one may.

    Args:
        present: (N, L) bool. An example without positives counts 0.
    """
    rows = present.cpu()
    rows = rows[:, rows.any(dim=0)]
    total = 0
    while rows.shape[1] > EXACT_LABELS:
        last = int(rows.sum(dim=0).argmin())
        decided = rows[:, last]
        total += int(decided.sum()) * rows.shape[1]
        rows = rows[~decided][:, torch.arange(rows.shape[1]) != last]
    return total + _least_coverage_of_few(rows)


def _least_coverage_of_few(rows: Tensor) -> int:
    """The same by dynamic programming over the sets of labels that come first."""
    n, labels = rows.shape
    subsets = torch.arange(1 << labels)
    sizes, codes = torch.zeros_like(subsets), torch.zeros(n, dtype=torch.int64)
    for label in range(labels):
        sizes += (subsets >> label) & 1
        codes += rows[:, label].long() << label
    within = codes.bincount(minlength=1 << labels)
    for label in range(labels):  # count the examples whose positives all lie in each set
        halves = within.view(-1, 2, 1 << label)
        halves[:, 1] += halves[:, 0]
    # An example is covered at the first set that holds it, so its depth is the number of smaller
    # sets of the order that do not: examples held, summed over these sets, are to be many.
    held = within.clone()
    for size in range(1, labels + 1):
        at = subsets[sizes == size]
        before = torch.full_like(at, -1)
        for label in range(labels):
            without = at & ~(1 << label)
            before = torch.maximum(before, held[without].where(without != at, -1))
        held[at] += before
    # The full set is no smaller set: it holds everything.
    return n * labels - int(held[-1] - within[-1])
