"""What named frameworks would have printed as "accuracy" for the same last layer.

Each framework metric reads the raw last layer (`outputs`) and the target a user of that framework would
pass (`framework_target`), never the head's decisions: the same model gets several numbers, and
which one is printed depends on shapes, on the name of the loss, and on the version.
"""

import torch
from torch import Tensor

from lossheads.metrics.base import Metric
from lossheads.metrics.classification import best_constant_cells, best_constant_recalls
from lossheads.metrics.stats import PredictionStats, bincount, count, share
from lossheads.outcomes import AnyOf


def _binary(stats: PredictionStats) -> Tensor:
    # Equality with the target itself: a soft target is never equal to a yes or a no.
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


keras_2_3_accuracy = Metric(
    name="keras_2_3_accuracy",
    description="What Keras 1.0.6 to 2.3.1 and tf.keras up to 2.1 print: cells at ½ when there is one "
    "unit or the loss is binary cross-entropy, else argmax.",
    function=lambda stats: _binary(stats) if _uses_binary_accuracy(stats) else _categorical(stats),
    baseline_function=lambda stats: (
        _binary_baseline(stats) if _uses_binary_accuracy(stats) else _categorical_baseline(stats)
    ),
)

keras_3_accuracy = Metric(
    name="keras_3_accuracy",
    description="What tf.keras from 2.2 and Keras 3 print (and Keras before 1.0.6): cells at ½ for one "
    "unit, else argmax of the outputs against argmax of the target row, whatever the loss.",
    function=lambda stats: _binary(stats) if _is_single_logit(stats) else _categorical(stats),
    baseline_function=lambda stats: (
        _binary_baseline(stats) if _is_single_logit(stats) else _categorical_baseline(stats)
    ),
)


def _fastai(stats: PredictionStats) -> Tensor:
    # fastai applies the sigmoid itself, to whatever the model returns: here, the logits.
    predicted = torch.sigmoid(stats.predictions.logits) > 0.5
    return share(predicted == stats.framework_target_nonzero)


def _best_constant_cells_of_target(stats: PredictionStats) -> Tensor:
    return best_constant_cells(count(stats.framework_target_nonzero) / stats.n)


fastai_accuracy_multi = Metric(
    name="fastai_accuracy_multi",
    description="What fastai's accuracy_multi prints: cells with the sigmoid of the logit on the right "
    "side of ½, whatever the head.",
    function=_fastai,
    baseline_function=_best_constant_cells_of_target,
)


def _nan_unless_hard(stats: PredictionStats, value: Tensor) -> Tensor:
    # scikit-learn refuses targets other than 0 and 1.
    return torch.where(stats.target_is_hard, value, torch.nan)


def _rows_equal(stats: PredictionStats) -> Tensor:
    equal = stats.framework_outputs_above_half == stats.framework_target_nonzero
    return _nan_unless_hard(stats, share(equal.all(dim=1)))


sklearn_accuracy_score = Metric(
    name="sklearn_accuracy_score",
    description="What scikit-learn's accuracy_score(target, outputs > 0.5) prints on multi-hot rows: "
    "rows that match in every cell.",
    function=_rows_equal,
    baseline_function=lambda stats: _nan_unless_hard(stats, stats.label_stats.most_frequent_share),
)


def _torchmetrics(stats: PredictionStats) -> Tensor:
    if isinstance(stats.outcome, AnyOf) or _is_single_logit(stats):
        return share(stats.framework_outputs_above_half == stats.framework_target_nonzero)
    # Per-class scores, not num_logits: a head may have another number of num_logits than classes.
    labels, named = (
        stats.label_stats.hard.flatten(),
        stats.predictions.scores.argmax(dim=-1).flatten(),
    )
    n = stats.outcome.n
    pairs = bincount(labels * n + named, n * n).reshape(n, n)
    seen, true_positives = pairs.sum(dim=1), pairs.diagonal()
    # A class that is named but never occurs enters the mean as 0; torchmetrics drops it only
    # when it is neither.
    met = seen + pairs.sum(dim=0) > 0
    return torch.where(met, true_positives.double() / seen.clamp(min=1), torch.nan)


def _torchmetrics_baseline(stats: PredictionStats) -> Tensor:
    if isinstance(stats.outcome, AnyOf) or _is_single_logit(stats):
        return _best_constant_cells_of_target(stats)
    return best_constant_recalls(stats)


torchmetrics_accuracy = Metric(
    name="torchmetrics_accuracy",
    description="What torchmetrics' MulticlassAccuracy prints by default: the mean over classes of the "
    "share recalled; for labels and for one unit, cells at ½.",
    function=_torchmetrics,
    baseline_function=_torchmetrics_baseline,
)

METRICS = (
    keras_2_3_accuracy,
    keras_3_accuracy,
    fastai_accuracy_multi,
    sklearn_accuracy_score,
    torchmetrics_accuracy,
)
