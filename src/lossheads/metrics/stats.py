"""Statistics of predictions and labels that several metrics share, computed once.

A metric reads `PredictionStats`, never raw predictions, so that thirty metrics cost little more
than one. Per-class tensors are flattened to K columns: C classes, L labels, or S·M classes of all
groups.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from lossheads.metrics.constants import best_worst_recall, least_coverage
from lossheads.outcomes import AnyOf, EachOneOf, OneOf, Outcome
from lossheads.predictions import Predictions


class LabelStats:
    """Statistics of a split's labels alone; baselines are computed from these.

    Make one per split and pass it to every `measure` of that split: each value is computed when
    first asked for and kept. `prevalence` is the base rate of the hardened labels, `base_rates`
    that of the labels as they are; they differ for soft labels alone.
    """

    def __init__(self, outcome: Outcome, labels: Tensor) -> None:
        self.outcome = outcome
        self.labels = labels
        self.n = len(labels)

    @cached_property
    def hard(self) -> Tensor:
        """Labels as decisions: int64 (N,) or (N, S), or bool (N, L)."""
        return self.outcome.hard(self.labels)

    @cached_property
    def indicators(self) -> Tensor:
        """(N, K) float32 in [0, 1]: soft labels keep their fractions."""
        indicators: Tensor = self.outcome.indicators(self.labels).flatten(1)
        return indicators

    @cached_property
    def present(self) -> Tensor:
        """(N, K) bool: which classes the hardened labels hold."""
        return as_columns(self.outcome, self.hard)

    @cached_property
    def positives(self) -> Tensor:
        """(K,) float64: examples in which each class is present."""
        return count(self.present)

    @cached_property
    def prevalence(self) -> Tensor:
        """(K,) float64: share of examples in which each class is present."""
        return self.positives / self.n

    @cached_property
    def chance(self) -> Tensor:
        """(K,) float64: chance level 1/2 of a ranking; NaN for a label with a single value."""
        varies = (self.positives > 0) & (self.positives < self.n)
        return torch.where(varies, 0.5, torch.nan).double()

    @cached_property
    def base_rates(self) -> Tensor:
        """(K,) float64: mean indicators; differs from `prevalence` for soft labels alone."""
        return (
            self.indicators.mean(dim=0, dtype=torch.float64)
            if self.outcome.soft
            else self.prevalence
        )

    @cached_property
    def most_frequent_share(self) -> Tensor:
        """Share of the most frequent complete label: a class, a subset, or one class per group."""
        if isinstance(self.outcome, OneOf):
            return self.prevalence.max()
        _, counts = torch.unique(self.hard, dim=0, return_counts=True)
        share: Tensor = counts.max().double() / self.n
        return share

    @cached_property
    def best_worst_recall(self) -> Tensor:
        """The highest lowest recall that guesses by fixed chances reach, see `constants`."""
        by_group = self.by_group(self.positives)
        if len(by_group) == 1:  # an even guess; nothing has to leave the device
            return 1 / (self.positives > 0).sum().double()
        return self._scalar(best_worst_recall(by_group))

    @cached_property
    def least_excess_coverage(self) -> Tensor:
        """Of a fixed order of labels: negatives above the lowest positive, mean over examples."""
        excess = least_coverage(self.present) - int(self.present.sum())
        return self._scalar(excess / self.n)

    def _scalar(self, value: float) -> Tensor:
        return torch.tensor(value, dtype=torch.float64, device=self.labels.device)

    def by_group(self, columns: Tensor) -> Tensor:
        """(K,) -> (S, M): one row per exclusive choice; a OneOf is a single group."""
        return columns.reshape(-1, self.outcome.n)


class PredictionStats:
    """Statistics of one member's predictions, with those of their labels.

    Everything is computed when first asked for and kept as long as this object lives, which is
    one call of `measure`.

    Args:
        label_stats: Of exactly these labels, where the caller has them; computed otherwise.
    """

    def __init__(self, predictions: Predictions, label_stats: LabelStats | None = None) -> None:
        if label_stats is not None and label_stats.labels is not predictions.labels:
            raise ValueError(
                f"PredictionStats got label_stats of another tensor of {label_stats.n} labels: "
                f"pass LabelStats(predictions.outcome, predictions.labels), or None"
            )
        self.predictions = predictions
        self.outcome = predictions.outcome
        self.label_stats = label_stats or LabelStats(predictions.outcome, predictions.labels)
        self.n = self.label_stats.n

    @cached_property
    def scores(self) -> Tensor:
        """(N, K) the head's per-class scores."""
        return self.predictions.scores.flatten(1)

    @cached_property
    def ranks(self) -> Tensor:
        """(N, K) what rises with `scores` and still differs where they round to 0 or 1."""
        read = self.predictions.log_odds
        return self.scores if read is None else read(self.predictions.logits).flatten(1)

    @cached_property
    def scores_above_half(self) -> Tensor:
        """(N, K) bool: scores above 1/2. Exactly 1/2 is negative."""
        return self.scores > 0.5

    @cached_property
    def decided(self) -> Tensor:
        """(N, K) bool: the head's decisions, one column per class."""
        return as_columns(self.outcome, self.predictions.decisions)

    @cached_property
    def correct(self) -> Tensor:
        """Bool, shaped like hard labels: decisions that agree with them."""
        return torch.eq(self.predictions.decisions, self.label_stats.hard)

    @cached_property
    def true_positives(self) -> Tensor:
        """(K,) float64: examples in which the class is present and decided."""
        return count(self.decided & self.label_stats.present)

    @cached_property
    def predicted_positives(self) -> Tensor:
        """(K,) float64: examples in which the class is decided."""
        return count(self.decided)

    @cached_property
    def probs(self) -> Tensor:
        """Probabilities of the outcome's events: float64, shaped like `log_probs`."""
        return self.predictions.log_probs.exp()

    @cached_property
    def class_probs(self) -> Tensor:
        """(N, K) float64: the probability that each class is present."""
        return self.probs[..., 1] if isinstance(self.outcome, AnyOf) else self.probs.flatten(1)

    @cached_property
    def framework_output_argmax(self) -> Tensor:
        """int64 (N, 1) or (N, S): the highest unit of the last layer, the first of equal ones.

        A grouped layer is read group by group, as a framework reads one of shape (N, S, M).
        """
        return self.predictions.framework_outputs.reshape(self._layer_shape).argmax(dim=-1)

    @cached_property
    def framework_target_argmax(self) -> Tensor:
        """int64 (N, 1) or (N, S): the highest cell of the target, the first of equal ones."""
        return self.predictions.framework_target.reshape(self._layer_shape).argmax(dim=-1)

    @property
    def _layer_shape(self) -> tuple[int, int, int]:
        groups = self.outcome.groups if isinstance(self.outcome, EachOneOf) else 1
        return self.n, groups, self.predictions.framework_outputs.shape[1] // groups

    @cached_property
    def framework_target_nonzero(self) -> Tensor:
        """(N, U) bool: framework targets that are not 0."""
        return self.predictions.framework_target != 0

    @cached_property
    def target_is_hard(self) -> Tensor:
        """Bool 0-d: every cell of the framework target is 0 or 1."""
        return (self.framework_target_nonzero == self.predictions.framework_target).all()

    @cached_property
    def framework_outputs_above_half(self) -> Tensor:
        """(N, U) bool: units of the last layer above 1/2."""
        return self.predictions.framework_outputs > 0.5

    @cached_property
    def ranking(self) -> tuple[Tensor, Tensor]:
        """(K,), (K,) float64: area under the ROC curve and average precision of the scores."""
        return roc_auc_and_average_precision(self.ranks, self.label_stats.present)

    @cached_property
    def has_nan(self) -> Tensor:
        """Bool 0-d: some score is NaN, so no metric may give a number."""
        return self.predictions.scores.isnan().any() | self.predictions.log_probs.isnan().any()


def as_columns(outcome: Outcome, decisions: Tensor) -> Tensor:
    """Hard labels or decisions -> bool (N, K), one column per class."""
    if isinstance(outcome, AnyOf):
        return decisions
    return replace(outcome, soft=False).indicators(decisions).flatten(1) > 0


def share(cells: Tensor) -> Tensor:
    """Bool of any shape -> float64 0-d: the part that is true, exact to the last example."""
    return cells.count_nonzero().double() / cells.numel()


def count(cells: Tensor) -> Tensor:
    """Bool (N, K) -> (K,) float64: how many are true in each column."""
    return cells.sum(dim=0).double()


def bincount(which: Tensor, n: int) -> Tensor:
    """How often each of 0 … n - 1 occurs in `which`: int64 (n,).

    torch.bincount asks the device for the highest number first, and has no batching rule for vmap.
    """
    which = which.flatten()
    none = torch.zeros(n, dtype=torch.int64, device=which.device)
    return none.scatter_add(0, which, torch.ones_like(which))


# Rows are swept in slices of this many cells: scores, order and counts take about 30 MB.
CELLS_AT_ONCE = 1 << 20
COUNT_DTYPE = torch.int32  # half the traffic of int64, and enough for two thousand million examples


def roc_auc_and_average_precision(scores: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Area under the ROC curve and average precision of each column.

    Args:
        scores: (N, K), higher means more likely present.
        present: (N, K) bool.

    Returns:
        Two float64 tensors (K,). The area is NaN for a column that is never or always present;
        average precision is NaN for one that is never present.
    """
    slices = _sliced(scores.T, present.T)
    areas, precisions = zip(*(_area_and_precision(s, y) for s, y in slices), strict=True)
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
    is_positive, predicted_positives, true_positives = _threshold_scan(scores, present)
    positives = is_positive.sum(dim=1)
    pairs = positives * (is_positive.shape[1] - positives)
    # Summed over ranks, true_positives - is_positive·predicted_positives is (pairs won) -
    # (pairs lost): exact in integers.
    lead = (true_positives - is_positive * predicted_positives).sum(dim=1)
    area = (1 + lead.double() / pairs) / 2
    precision = (is_positive * (true_positives.double() / predicted_positives)).sum(
        dim=1
    ) / positives
    return area, precision


def _misordered(scores: Tensor, present: Tensor) -> Tensor:
    is_positive, predicted_positives, true_positives = _threshold_scan(scores, present)
    positives = is_positive.sum(dim=1)
    lost = (is_positive * (predicted_positives - true_positives)).sum(dim=1)
    return lost.double() / (positives * (is_positive.shape[1] - positives))


def _threshold_scan(scores: Tensor, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Lower a threshold through each row.

    Returns:
        Three (R, M) tensors by falling score: whether this one is present; how many are at or
        above its score; how many of those are present. Equal scores count together: each position
        takes the counts at the end of its tie.
    """
    ranked, order = scores.contiguous().sort(dim=1, descending=True)
    is_positive = present.contiguous().gather(1, order)
    predicted_positives = torch.arange(
        1, ranked.shape[1] + 1, dtype=COUNT_DTYPE, device=scores.device
    )
    last = torch.ones_like(is_positive)
    last[:, :-1] = ranked[:, :-1] != ranked[:, 1:]
    return (
        is_positive,
        _tie_ends(predicted_positives, last),
        _tie_ends(is_positive.cumsum(dim=1, dtype=COUNT_DTYPE), last),
    )


def _tie_ends(counts: Tensor, last: Tensor) -> Tensor:
    beyond = torch.iinfo(counts.dtype).max
    return counts.where(last, beyond).flip(1).cummin(dim=1).values.flip(1)
