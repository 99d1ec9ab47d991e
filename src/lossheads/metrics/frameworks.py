"""What named frameworks would have printed as "accuracy" for the same last layer.

Each metric reads the last layer (`framework_outputs`) and the target a user of that framework
would pass (`framework_target`), never the head's decisions: the same model gets several numbers,
and which one is printed depends on shapes, on the name of the loss, and on the version.
"""

import torch
from torch import Tensor

from lossheads.metrics.base import metric
from lossheads.metrics.classification import best_constant_cells, best_constant_recalls
from lossheads.metrics.stats import PredictionStats, bincount, count, share
from lossheads.outcomes import AnyOf


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
)
def keras_3_accuracy(stats: PredictionStats) -> Tensor:
    """What tf.keras from 2.2 and Keras 3 print (and Keras before 1.0.6): elementwise accuracy at
    0.5 for a single unit, else argmax of the outputs against argmax of the target row, whatever
    the loss.
    """
    return _binary(stats) if _is_single_logit(stats) else _categorical(stats)


def _best_constant_cells_of_target(stats: PredictionStats) -> Tensor:
    return best_constant_cells(count(stats.framework_target_nonzero) / stats.n)


@metric(baseline=_best_constant_cells_of_target, higher_is_better=True, perfect=1.0)
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


@metric(baseline=_torchmetrics_baseline, higher_is_better=True, perfect=1.0)
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


METRICS = (
    keras_2_3_accuracy,
    keras_3_accuracy,
    fastai_accuracy_multi,
    sklearn_accuracy_score,
    torchmetrics_accuracy,
)
