"""Evaluation of a cohort's members on the validation and test split of a dataset."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from lossheads.datasets.dataset import Dataset, Split
from lossheads.engine.cohort import Cohort
from lossheads.metrics import (
    LabelStats,
    MetricSet,
    add_ood_metrics,
    add_threshold_metrics,
    correct_mask_bits,
    measure_cohort,
)
from lossheads.predictions import Predictions, predict_cohort
from lossheads.records import CorrectMask, Measurement

# Numbers of a split (members × examples × logits) that are measured at once: enough to keep a
# GPU busy, and about 140 MB of what metrics share.
_CELLS_AT_ONCE = 1 << 20


class Evaluation:
    """Measures members on both splits. Statistics of their labels are computed once."""

    def __init__(self, cohort: Cohort, dataset: Dataset, metrics: MetricSet) -> None:
        self._cohort, self._dataset, self._metrics = cohort, dataset, metrics
        self._val_labels, self._test_labels = (
            LabelStats(dataset.outcome, split.labels) for split in (dataset.val, dataset.test)
        )
        self._val_logits = torch.empty(0)  # of the last forward pass

    def forward(self) -> list[bool]:
        """Compute all members' logits on validation; whether each member's are finite."""
        self._val_logits = self._cohort.logits(self._dataset.val.inputs)
        finite: list[bool] = self._val_logits.isfinite().all(dim=2).all(dim=1).tolist()
        return finite

    def on_val(self, members: Sequence[int], full: bool) -> Iterator[tuple[int, Measurement]]:
        """Measure these members by the logits of the last `forward`.

        Args:
            full: Every metric, or only those of every validation step.
        """
        for k, _, val in self._measure(
            members, self._val_logits, self._dataset.val, self._val_labels, full
        ):
            yield k, val

    def on_test(self, members: Sequence[int]) -> Iterator[tuple[int, Measurement, Predictions]]:
        """Measure these members on test: every metric, tuned thresholds and outliers included.

        Thresholds are tuned on the validation logits of the last `forward`.
        """
        dataset, heads = self._dataset, [member.head for member in self._cohort.members]
        test_logits = self._cohort.logits(dataset.test.inputs)
        outlier_logits = {
            name: self._cohort.logits(inputs) for name, inputs in dataset.outliers.items()
        }
        examples = dataset.test.digest(dataset.outcome)
        for k, predictions, test in self._measure(
            members, test_logits, dataset.test, self._test_labels, full=True
        ):
            test = add_threshold_metrics(
                test,
                predictions,
                heads[k],
                self._val_logits[k],
                self._val_labels,
                self._test_labels,
            )
            outliers = {name: logits[k] for name, logits in outlier_logits.items()}
            test = add_ood_metrics(test, heads[k], test_logits[k], outliers, dataset.none_class)
            bits = correct_mask_bits(predictions, self._test_labels)
            yield k, replace(test, correct=CorrectMask(bits, examples)), predictions

    def _measure(
        self,
        members: Sequence[int],
        logits: torch.Tensor,
        split: Split,
        label_stats: LabelStats,
        full: bool,
    ) -> Iterator[tuple[int, Predictions, Measurement]]:
        """Each member's index, predictions and measurement; members of equal heads at once."""
        heads = [member.head for member in self._cohort.members]
        for head in dict.fromkeys(heads[k] for k in members):
            same_head = [k for k in members if heads[k] == head]
            size = max(1, _CELLS_AT_ONCE // max(1, logits[0].numel()))
            for part in (same_head[at : at + size] for at in range(0, len(same_head), size)):
                predictions = predict_cohort(head, logits[part], split.labels, split.true_posterior)
                measured = measure_cohort(predictions, full, label_stats, self._metrics)
                yield from zip(part, predictions, measured, strict=True)
