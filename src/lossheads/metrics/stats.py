"""What several rulers need of the same predictions, counted once.

A ruler reads `Facts`, never raw predictions, so that thirty rulers cost little more than one.
Per-class tensors are flattened to K columns: C classes, L labels, or S·M classes of all sets.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from lossheads.outcomes import AnyOf, EachOneOf, OneOf, Outcome
from lossheads.predictions import Predictions


class LabelFacts:
    """All that the labels of a split say before any model has answered; floors come from here."""

    def __init__(self, outcome: Outcome, labels: Tensor) -> None:
        self.outcome = outcome
        self.labels = labels
        self.n = len(labels)

    @cached_property
    def hard(self) -> Tensor:
        """Labels as decisions: int64 (N,) or (N, S), or bool (N, L)."""
        return self.outcome.hard(self.labels)

    @cached_property
    def presence(self) -> Tensor:
        """(N, K) float32 in [0, 1]: soft labels keep their fractions."""
        presence: Tensor = self.outcome.presence(self.labels).flatten(1)
        return presence

    @cached_property
    def present(self) -> Tensor:
        """(N, K) bool: which classes the hardened labels hold."""
        return as_columns(self.outcome, self.hard)

    @cached_property
    def positives(self) -> Tensor:
        """(K,) float64: examples in which each class is present."""
        return count(self.present)

    @cached_property
    def rates(self) -> Tensor:
        """(K,) float64: share of examples in which each class is present."""
        return self.positives / self.n

    @cached_property
    def coin(self) -> Tensor:
        """(K,) float64: 1/2, the floor of telling present from absent; NaN where there is one."""
        varies = (self.positives > 0) & (self.positives < self.n)
        return torch.where(varies, 0.5, torch.nan).double()

    @cached_property
    def base_rates(self) -> Tensor:
        """(K,) float64: mean presence; differs from `rates` for soft labels alone."""
        return self.presence.mean(dim=0, dtype=torch.float64) if self.outcome.soft else self.rates

    @cached_property
    def commonest_share(self) -> Tensor:
        """Share of the commonest whole label: one class, one subset, or one choice per set."""
        if isinstance(self.outcome, OneOf):
            return self.rates.max()
        _, counts = torch.unique(self.hard, dim=0, return_counts=True)
        share: Tensor = counts.max().double() / self.n
        return share

    def by_set(self, columns: Tensor) -> Tensor:
        """(K,) -> (S, M): one row per exclusive choice; a OneOf is a single set."""
        return columns.reshape(-1, self.outcome.n)


class Facts:
    """One member's predictions beside the facts of their labels.

    `p` holds the predictions as they came. Everything else is computed when first asked for and
    kept as long as this object lives, which is one call of `measure`.
    """

    def __init__(self, p: Predictions) -> None:
        self.p = p
        self.outcome = p.outcome
        self.said = _label_facts(_Same(p.labels), p.outcome)
        self.n = self.said.n

    @cached_property
    def scores(self) -> Tensor:
        """(N, K) the head's per-class scores."""
        return self.p.scores.flatten(1)

    @cached_property
    def over_half(self) -> Tensor:
        """(N, K) bool: scores above 1/2. Exactly 1/2 is negative."""
        return self.scores > 0.5

    @cached_property
    def decided(self) -> Tensor:
        """(N, K) bool: the head's decisions, one column per class."""
        return as_columns(self.outcome, self.p.decisions)

    @cached_property
    def right(self) -> Tensor:
        """Bool, shaped like hard labels: decisions that agree with them."""
        return torch.eq(self.p.decisions, self.said.hard)

    @cached_property
    def hits(self) -> Tensor:
        """(K,) float64: examples in which the class is present and decided."""
        return count(self.decided & self.said.present)

    @cached_property
    def decided_counts(self) -> Tensor:
        """(K,) float64: examples in which the class is decided."""
        return count(self.decided)

    @cached_property
    def probs(self) -> Tensor:
        """Probabilities of the outcome's events: float64, shaped like `log_probs`."""
        return self.p.log_probs.exp()

    @cached_property
    def class_probs(self) -> Tensor:
        """(N, K) float64: the probability that each class is present."""
        return self.probs[..., 1] if isinstance(self.outcome, AnyOf) else self.probs.flatten(1)

    @cached_property
    def likeliest_output(self) -> Tensor:
        """int64 (N, 1) or (N, S): the highest unit of the last layer, the first of equal ones.

        A grouped layer is read set by set, as a framework reads one of shape (N, S, M).
        """
        return self.p.outputs.reshape(self._layer).argmax(dim=-1)

    @cached_property
    def likeliest_target(self) -> Tensor:
        """int64 (N, 1) or (N, S): the highest cell of the target, the first of equal ones."""
        return self.p.framework_target.reshape(self._layer).argmax(dim=-1)

    @property
    def _layer(self) -> tuple[int, int, int]:
        sets = self.outcome.sets if isinstance(self.outcome, EachOneOf) else 1
        return self.n, sets, self.p.outputs.shape[1] // sets

    @cached_property
    def target_on(self) -> Tensor:
        """(N, U) bool: framework targets that are not 0."""
        return self.p.framework_target != 0

    @cached_property
    def target_is_hard(self) -> Tensor:
        """Bool 0-d: every cell of the framework target is 0 or 1."""
        return (self.target_on == self.p.framework_target).all()

    @cached_property
    def output_over_half(self) -> Tensor:
        """(N, U) bool: units of the last layer above 1/2."""
        return self.p.outputs > 0.5

    @cached_property
    def order(self) -> tuple[Tensor, Tensor]:
        """(K,), (K,) float64: area under the ROC curve and average precision of the scores."""
        return order_rulers(self.scores, self.said.present)

    @cached_property
    def broken(self) -> Tensor:
        """Bool 0-d: some score is NaN, so no ruler may give a number."""
        return self.p.scores.isnan().any() | self.p.log_probs.isnan().any()


class _Same:
    """A tensor compared by identity and, where torch counts them, by changes made in place."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self.version = -1 if tensor.is_inference() else tensor._version

    def __hash__(self) -> int:
        return id(self.tensor)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Same):
            return NotImplemented
        return self.tensor is other.tensor and self.version == other.version


# Every lap of every member meets the same few splits: counting their labels once halves a lap.
@lru_cache(maxsize=8)
def _label_facts(labels: _Same, outcome: Outcome) -> LabelFacts:
    return LabelFacts(outcome, labels.tensor)


def as_columns(outcome: Outcome, decisions: Tensor) -> Tensor:
    """Hard labels or decisions -> bool (N, K), one column per class."""
    if isinstance(outcome, AnyOf):
        return decisions
    return replace(outcome, soft=False).presence(decisions).flatten(1) > 0


def share(cells: Tensor) -> Tensor:
    """Bool of any shape -> float64 0-d: the part that is true, exact to the last example."""
    return cells.count_nonzero().double() / cells.numel()


def count(cells: Tensor) -> Tensor:
    """Bool (N, K) -> (K,) float64: how many are true in each column."""
    return cells.sum(dim=0).double()


def tally(which: Tensor, n: int) -> Tensor:
    """How often each of 0 … n - 1 occurs in `which`: int64 (n,).

    torch.bincount asks the device for the highest number first, and cannot be laid on members
    side by side.
    """
    which = which.flatten()
    none = torch.zeros(n, dtype=torch.int64, device=which.device)
    return none.scatter_add(0, which, torch.ones_like(which))


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
