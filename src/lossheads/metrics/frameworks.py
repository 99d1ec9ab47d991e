"""What named frameworks would have printed as "accuracy" for the same last layer.

Each dialect reads the raw last layer (`outputs`) and the target a user of that framework would
pass (`framework_target`), never the head's decisions: the same model gets several numbers, and
which one is printed depends on shapes, on the name of the loss, and on the version.
"""

import torch
from torch import Tensor

from lossheads.metrics.base import Ruler
from lossheads.metrics.classification import constant_cells, constant_recalls
from lossheads.metrics.stats import Facts, count, share, tally
from lossheads.outcomes import AnyOf


def _binary(facts: Facts) -> Tensor:
    # Equality with the target itself: a soft target is never equal to a yes or a no.
    return share(facts.output_over_half == facts.p.framework_target)


def _binary_floor(facts: Facts) -> Tensor:
    target = facts.p.framework_target
    return torch.maximum(count(target == 1), count(target == 0)).mean() / facts.n


def _categorical(facts: Facts) -> Tensor:
    return share(facts.likeliest_output == facts.likeliest_target)


def _categorical_floor(facts: Facts) -> Tensor:
    target = facts.likeliest_target
    sets, units = target.shape[1], facts.p.outputs.shape[1]
    which = target + units * torch.arange(sets, device=target.device)
    counts = tally(which, sets * units).reshape(sets, units)
    return counts.amax(dim=1).double().mean() / facts.n


def _by_shape(facts: Facts) -> bool:
    return facts.p.outputs.shape[1] == 1


def _by_shape_or_loss(facts: Facts) -> bool:
    return _by_shape(facts) or facts.p.framework_loss == "binary_crossentropy"


keras_2_3_accuracy = Ruler(
    name="keras_2_3_accuracy",
    says="What Keras 1.0.6 to 2.3.1 and tf.keras up to 2.1 print: cells at ½ when there is one "
    "unit or the loss is binary cross-entropy, else argmax.",
    rule=lambda facts: _binary(facts) if _by_shape_or_loss(facts) else _categorical(facts),
    floor_rule=lambda facts: (
        _binary_floor(facts) if _by_shape_or_loss(facts) else _categorical_floor(facts)
    ),
)

keras_3_accuracy = Ruler(
    name="keras_3_accuracy",
    says="What tf.keras from 2.2 and Keras 3 print (and Keras before 1.0.6): cells at ½ for one "
    "unit, else argmax of the outputs against argmax of the target row, whatever the loss.",
    rule=lambda facts: _binary(facts) if _by_shape(facts) else _categorical(facts),
    floor_rule=lambda facts: (
        _binary_floor(facts) if _by_shape(facts) else _categorical_floor(facts)
    ),
)


def _fastai(facts: Facts) -> Tensor:
    # fastai applies the sigmoid itself, to whatever the model returns: here, the logits.
    said = torch.sigmoid(facts.p.logits) > 0.5
    return share(said == facts.target_on)


def _constant_output(facts: Facts) -> Tensor:
    return constant_cells(count(facts.target_on) / facts.n)


fastai_accuracy_multi = Ruler(
    name="fastai_accuracy_multi",
    says="What fastai's accuracy_multi prints: cells with the sigmoid of the logit on the right "
    "side of ½, whatever the head.",
    rule=_fastai,
    floor_rule=_constant_output,
)


def _where_hard(facts: Facts, value: Tensor) -> Tensor:
    # scikit-learn refuses targets other than 0 and 1.
    return torch.where(facts.target_is_hard, value, torch.nan)


def _rows_equal(facts: Facts) -> Tensor:
    equal = facts.output_over_half == facts.target_on
    return _where_hard(facts, share(equal.all(dim=1)))


sklearn_accuracy_score = Ruler(
    name="sklearn_accuracy_score",
    says="What scikit-learn's accuracy_score(target, outputs > 0.5) prints on multi-hot rows: "
    "rows that match in every cell.",
    rule=_rows_equal,
    floor_rule=lambda facts: _where_hard(facts, facts.said.commonest_share),
)


def _torchmetrics(facts: Facts) -> Tensor:
    if isinstance(facts.outcome, AnyOf) or _by_shape(facts):
        return share(facts.output_over_half == facts.target_on)
    # Per-class scores, not units: a head may have another number of units than classes.
    labels, named = facts.said.hard.flatten(), facts.p.scores.argmax(dim=-1).flatten()
    n = facts.outcome.n
    pairs = tally(labels * n + named, n * n).reshape(n, n)
    seen, hits = pairs.sum(dim=1), pairs.diagonal()
    # A class that is named but never occurs enters the mean as 0; torchmetrics drops it only
    # when it is neither.
    met = seen + pairs.sum(dim=0) > 0
    return torch.where(met, hits.double() / seen.clamp(min=1), torch.nan)


def _torchmetrics_floor(facts: Facts) -> Tensor:
    if isinstance(facts.outcome, AnyOf) or _by_shape(facts):
        return _constant_output(facts)
    return constant_recalls(facts)


torchmetrics_accuracy = Ruler(
    name="torchmetrics_accuracy",
    says="What torchmetrics' MulticlassAccuracy prints by default: the mean over classes of the "
    "share recalled; for labels and for one unit, cells at ½.",
    rule=_torchmetrics,
    floor_rule=_torchmetrics_floor,
)

RULERS = (
    keras_2_3_accuracy,
    keras_3_accuracy,
    fastai_accuracy_multi,
    sklearn_accuracy_score,
    torchmetrics_accuracy,
)
