"""What named frameworks would have printed as "accuracy" for the same last layer.

Each metric reads the last layer (`framework_outputs`) and the target a user of that framework
would pass (`framework_target`), never the head's decisions: the same model gets several numbers,
and which one is printed depends on shapes, on the name of the loss, and on the version.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from lossheads.dialects import DIALECTS, QUANTITIES, Dialect, Kind, Setting
from lossheads.metrics.base import SHARE, Metric, metric
from lossheads.metrics.classification import best_constant_cells, best_constant_recalls
from lossheads.metrics.stats import PredictionStats, bincount, count, share
from lossheads.outcomes import AnyOf, EachOneOf, OneOf
from lossheads.predictions import Predictions


def _binary(stats: PredictionStats) -> Tensor:
    # Equality with the target itself: a soft target is equal to neither 0 nor 1.
    return share(stats.framework_outputs_above_half == stats.predictions.framework_target)


def _binary_baseline(stats: PredictionStats) -> Tensor:
    target = stats.predictions.framework_target
    return torch.maximum(count(target == 1), count(target == 0)).mean() / stats.n


def _categorical(stats: PredictionStats) -> Tensor:
    return share(stats.framework_output_argmax == stats.framework_target_argmax)


def _categorical_baseline(stats: PredictionStats) -> Tensor:
    target = stats.framework_target_argmax
    groups, num_logits = target.shape[1], stats.predictions.framework_outputs.shape[1]
    which = target + num_logits * torch.arange(groups, device=target.device)
    counts = bincount(which, groups * num_logits).reshape(groups, num_logits)
    return counts.amax(dim=1).double().mean() / stats.n


def _is_single_logit(stats: PredictionStats) -> bool:
    return stats.predictions.framework_outputs.shape[1] == 1


def _uses_binary_accuracy(stats: PredictionStats) -> bool:
    return _is_single_logit(stats) or stats.predictions.framework_loss == "binary_crossentropy"


@metric(
    baseline=lambda stats: (
        _binary_baseline(stats) if _uses_binary_accuracy(stats) else _categorical_baseline(stats)
    ),
    higher_is_better=True,
    perfect=1.0,
    range=SHARE,
)
def keras_2_3_accuracy(stats: PredictionStats) -> Tensor:
    """What Keras 1.0.6 to 2.3.1 and tf.keras up to 2.1 print: elementwise accuracy at 0.5 for a
    single unit or binary cross-entropy, else argmax.
    """
    return _binary(stats) if _uses_binary_accuracy(stats) else _categorical(stats)


@metric(
    baseline=lambda stats: (
        _binary_baseline(stats) if _is_single_logit(stats) else _categorical_baseline(stats)
    ),
    higher_is_better=True,
    perfect=1.0,
    range=SHARE,
)
def keras_3_accuracy(stats: PredictionStats) -> Tensor:
    """What tf.keras from 2.2 and Keras 3 print (and Keras before 1.0.6): elementwise accuracy at
    0.5 for a single unit, else argmax of the outputs against argmax of the target row, whatever
    the loss.
    """
    return _binary(stats) if _is_single_logit(stats) else _categorical(stats)


def _best_constant_cells_of_target(stats: PredictionStats) -> Tensor:
    return best_constant_cells(count(stats.framework_target_nonzero) / stats.n)


@metric(baseline=_best_constant_cells_of_target, higher_is_better=True, perfect=1.0, range=SHARE)
def fastai_accuracy_multi(stats: PredictionStats) -> Tensor:
    """What fastai's accuracy_multi prints: elementwise accuracy of sigmoid(logit) > 0.5, for every
    head.
    """
    # fastai applies the sigmoid itself, to whatever the model returns: here, the logits.
    predicted = torch.sigmoid(stats.predictions.logits) > 0.5
    return share(predicted == stats.framework_target_nonzero)


def _nan_unless_hard(stats: PredictionStats, value: Tensor) -> Tensor:
    # scikit-learn refuses targets other than 0 and 1.
    return torch.where(stats.target_is_hard, value, torch.nan)


@metric(
    baseline=lambda stats: _nan_unless_hard(stats, stats.label_stats.most_frequent_share),
    higher_is_better=True,
    perfect=1.0,
    range=SHARE,
)
def sklearn_accuracy_score(stats: PredictionStats) -> Tensor:
    """What scikit-learn's accuracy_score(target, framework_outputs > 0.5) prints on multi-hot
    rows: rows that match in every cell.
    """
    equal = stats.framework_outputs_above_half == stats.framework_target_nonzero
    return _nan_unless_hard(stats, share(equal.all(dim=1)))


def _torchmetrics_baseline(stats: PredictionStats) -> Tensor:
    if isinstance(stats.outcome, AnyOf) or _is_single_logit(stats):
        return _best_constant_cells_of_target(stats)
    return best_constant_recalls(stats)


@metric(baseline=_torchmetrics_baseline, higher_is_better=True, perfect=1.0, range=SHARE)
def torchmetrics_accuracy(stats: PredictionStats) -> Tensor:
    """What torchmetrics' MulticlassAccuracy prints by default: mean recall over classes; for
    labels and a single unit, elementwise accuracy at 0.5.
    """
    if isinstance(stats.outcome, AnyOf) or _is_single_logit(stats):
        return share(stats.framework_outputs_above_half == stats.framework_target_nonzero)
    # Scores, not outputs: a head may have another number of logits than classes.
    labels = stats.label_stats.hard.flatten()
    predicted = stats.predictions.scores.argmax(dim=-1).flatten()
    n = stats.outcome.n
    pairs = bincount(labels * n + predicted, n * n).reshape(n, n)
    positives, true_positives = pairs.sum(dim=1), pairs.diagonal()
    # A class that is predicted but never occurs enters the mean as 0; torchmetrics drops it only
    # when it is neither.
    seen = positives + pairs.sum(dim=0) > 0
    return torch.where(seen, true_positives.double() / positives.clamp(min=1), torch.nan)


# The quantities of `dialects.QUANTITIES`, one metric each. Runs do not measure them: most are the
# number of a metric above under another name.


@metric(baseline=_categorical_baseline, higher_is_better=True, perfect=1.0, range=SHARE)
def printed_argmax(stats: PredictionStats) -> Tensor:
    """Argmax of the outputs against argmax of the target row; the first of equal ones."""
    return _categorical(stats)


@metric(baseline=_binary_baseline, higher_is_better=True, perfect=1.0, range=SHARE)
def printed_cells(stats: PredictionStats) -> Tensor:
    """Cells in which [output > 1/2] equals the target."""
    return _binary(stats)


@metric(baseline=_best_constant_cells_of_target, higher_is_better=True, perfect=1.0, range=SHARE)
def printed_logit_cells(stats: PredictionStats) -> Tensor:
    """Cells in which [sigmoid(logit) > 1/2] equals the target."""
    predicted = torch.sigmoid(stats.predictions.logits) > 0.5
    return share(predicted == stats.framework_target_nonzero)


@metric(baseline=_best_constant_cells_of_target, higher_is_better=True, perfect=1.0, range=SHARE)
def printed_raw_logit_cells(stats: PredictionStats) -> Tensor:
    """Cells in which [logit > 1/2] equals the target: logits cut as if they were probabilities."""
    return share((stats.predictions.logits > 0.5) == stats.framework_target_nonzero)


@metric(baseline=_best_constant_cells_of_target, higher_is_better=True, perfect=1.0, range=SHARE)
def printed_twice_sigmoid_cells(stats: PredictionStats) -> Tensor:
    """Cells in which [sigmoid(output) > 1/2] equals the target: any output above 0 is a one."""
    predicted = torch.sigmoid(stats.predictions.framework_outputs) > 0.5
    return share(predicted == stats.framework_target_nonzero)


@metric(
    baseline=lambda stats: _nan_unless_hard(stats, stats.label_stats.most_frequent_share),
    higher_is_better=True,
    perfect=1.0,
    range=SHARE,
)
def printed_rows(stats: PredictionStats) -> Tensor:
    """Rows in which [output > 1/2] equals the target in every cell."""
    equal = stats.framework_outputs_above_half == stats.framework_target_nonzero
    return _nan_unless_hard(stats, share(equal.all(dim=1)))


def _confusion(stats: PredictionStats) -> Tensor:
    """int64 (C, C): true class by highest output."""
    n = stats.predictions.framework_outputs.shape[1]
    pairs = stats.framework_target_argmax * n + stats.framework_output_argmax
    return bincount(pairs, n * n).reshape(n, n)


@metric(
    baseline=best_constant_recalls,
    higher_is_better=True,
    perfect=1.0,
    range=SHARE,
    outcomes=(OneOf,),
)
def printed_macro_recall(stats: PredictionStats) -> Tensor:
    """Mean of recall at the argmax; a class that is predicted but never occurs counts as 0."""
    pairs = _confusion(stats)
    positives = pairs.sum(dim=1)
    recalls = pairs.diagonal().double() / positives.clamp(min=1)
    return torch.where(positives + pairs.sum(dim=0) > 0, recalls, torch.nan)


@metric(
    baseline=best_constant_recalls,
    higher_is_better=True,
    perfect=1.0,
    range=SHARE,
    outcomes=(OneOf,),
)
def printed_balanced(stats: PredictionStats) -> Tensor:
    """Mean of recall at the argmax over the classes that occur."""
    pairs = _confusion(stats)
    return pairs.diagonal().double() / pairs.sum(dim=1)


@metric(baseline=_best_constant_cells_of_target, higher_is_better=True, perfect=1.0, range=SHARE)
def printed_equal_cells(stats: PredictionStats) -> Tensor:
    """Cells in which the output equals the target exactly."""
    return share(stats.predictions.framework_outputs == stats.predictions.framework_target)


def _mean_iou(pairs: Tensor, counted: Tensor) -> Tensor:
    """Intersection over union of the counted classes (bool), NaN where there is no union."""
    hits = pairs.diagonal().double()
    union = pairs.sum(dim=0) + pairs.sum(dim=1) - hits
    return torch.where(counted & (union > 0), hits / union, torch.nan)


def _iou_baseline(stats: PredictionStats, first: int) -> Tensor:
    # Always class k: its IoU is its share, every other class that occurs has 0.
    positives = stats.label_stats.positives[first:]
    return positives.max() / positives.sum() / (positives > 0).sum()


@metric(
    baseline=lambda stats: _iou_baseline(stats, 0),
    higher_is_better=True,
    perfect=1.0,
    range=SHARE,
    outcomes=(OneOf,),
)
def printed_mean_iou(stats: PredictionStats) -> Tensor:
    """Mean over classes of intersection over union at the argmax."""
    pairs = _confusion(stats)
    return _mean_iou(pairs, torch.ones_like(pairs[0], dtype=torch.bool))


@metric(
    baseline=lambda stats: _iou_baseline(stats, 1),
    higher_is_better=True,
    perfect=1.0,
    range=SHARE,
    outcomes=(OneOf,),
)
def printed_mean_iou_without_first(stats: PredictionStats) -> Tensor:
    """Mean of intersection over union at the argmax without the examples and the IoU of class 0."""
    pairs = _confusion(stats)
    counted = torch.arange(len(pairs), device=pairs.device) > 0
    return _mean_iou(pairs * counted[:, None], counted)


QUANTITY_METRICS: dict[str, Metric] = {
    each.name.removeprefix("printed_"): each
    for each in (
        printed_argmax,
        printed_cells,
        printed_logit_cells,
        printed_raw_logit_cells,
        printed_twice_sigmoid_cells,
        printed_rows,
        printed_macro_recall,
        printed_balanced,
        printed_equal_cells,
        printed_mean_iou,
        printed_mean_iou_without_first,
    )
}
assert list(QUANTITY_METRICS) == list(QUANTITIES)


@dataclass(frozen=True)
class PrintedNumber:
    """What one library would print for some predictions.

    Attributes:
        dialect: Library, versions, call, rule.
        quantity: Which of `dialects.QUANTITIES` it is for these shapes, loss and last layer.
        baseline: What the best constant prediction prints.
    """

    dialect: Dialect
    quantity: str
    value: float
    baseline: float


def printed_numbers(
    predictions: Predictions, ends_in: Literal["probabilities", "logits"] = "probabilities"
) -> Iterator[PrintedNumber]:
    """What every library of the table prints for these predictions, in the table's order.

    Dialects that refuse such predictions, or mean nothing by them, are left out.

    Args:
        ends_in: What the model hands to the metric: its outputs, or its logits.
    """
    found: dict[str, tuple[float, float]] = {}  # several dialects print one quantity
    for dialect in DIALECTS:
        quantity = dialect.reads(setting_of(predictions, ends_in))
        if quantity is None or not QUANTITY_METRICS[quantity].is_defined_for(predictions):
            continue
        if quantity not in found:
            computed = QUANTITY_METRICS[quantity]
            found[quantity] = computed(predictions), computed.baseline(predictions)
        yield PrintedNumber(dialect, quantity, *found[quantity])


def setting_of(
    predictions: Predictions, ends_in: Literal["probabilities", "logits"] = "probabilities"
) -> Setting:
    """What the libraries look at to choose a quantity."""
    kinds: dict[type, Kind] = {OneOf: "one_of", AnyOf: "any_of", EachOneOf: "each_one_of"}
    return Setting(
        kind=kinds[type(predictions.outcome)],
        one_unit=predictions.framework_outputs.shape[1] == 1,
        loss=predictions.framework_loss,
        ends_in=ends_in,
    )


def mean_of_batches(
    metric: Metric, predictions: Predictions, batch_size: int, weighted: bool = True
) -> float:
    """A metric of each batch, averaged: what a training loop logs instead of that of all rows.

    Exact for shares of examples or cells when weighted; for means over classes it is another
    number.

    Args:
        weighted: By the size of each batch, as Lightning's `self.log` does; otherwise the last,
            smaller batch counts like the others, as in Keras 3.0 or a mean of a list.
    """
    n = len(predictions.labels)
    total = norm = 0.0
    for start in range(0, n, batch_size):
        rows = slice(start, start + batch_size)
        part = replace(
            predictions,
            **{name: getattr(predictions, name)[rows] for name in _PER_EXAMPLE},
        )
        weight = len(part.labels) if weighted else 1
        total, norm = total + weight * metric(part), norm + weight
    return total / norm


_PER_EXAMPLE = (
    "labels", "scores", "log_probs", "decisions", "framework_outputs", "framework_target", "logits",
)  # fmt: skip

METRICS = (
    keras_2_3_accuracy,
    keras_3_accuracy,
    fastai_accuracy_multi,
    sklearn_accuracy_score,
    torchmetrics_accuracy,
)
