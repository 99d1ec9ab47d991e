"""What can be wrong with outputs, targets, weights and size of the loss, told from one batch."""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from lossheads.linting.observation import (
    LossCall,
    Observation,
    dtype_is_whole,
    span,
    sums_to_one,
)
from lossheads.linting.report import Finding, finding

Found = Iterator[Finding]


def call_findings(call: LossCall) -> Found:
    """All that one loss shows."""
    for rule in _CALL_RULES:
        yield from rule(call)


def _one_unit(call: LossCall) -> bool:
    softmaxes = [each for each in call.last.activations if "softmax" in each.kind]
    squeezed = any(each.size == 1 for each in softmaxes)
    if call.link == "softmax" and (call.takes_indices or call.class_dim is not None):
        squeezed = squeezed or (call.num_outputs == 1 and call.outputs.ndim > 1)
    return squeezed


def _last_layer(call: LossCall) -> Found:
    if _one_unit(call):
        shape = tuple(call.outputs.shape)
        yield finding("one-unit-softmax", f"outputs {shape}, one unit under the softmax")
        return
    yield from _wrong_dimension(call)
    yield from _activation(call)
    if call.reads == "logits" and call.kind in ("softmax", "sigmoid"):
        code = f"{call.kind}-before-logits-loss"
        yield finding(code, f"{_outputs(call)}; {call.name} applies {_link(call)}")
    if call.reads == "probabilities":
        yield from _not_probabilities(call)
    if call.reads == "log_probabilities":
        yield from _not_log_probabilities(call)


def _outputs(call: LossCall) -> str:
    return f"{call.kind} by {call.seen_by}, outputs in {span(call.outputs)}"


def _link(call: LossCall) -> str:
    return f"a {call.link}" if call.link else "its own link"


def _wrong_dimension(call: LossCall) -> Found:
    if call.last.picked or not call.last.activations or call.outputs.ndim < 2:
        return
    if call.kind not in ("softmax", "log_softmax") or call.link == "sigmoid":
        return
    values = call.outputs.detach().double()
    values = values.exp() if call.kind == "log_softmax" else values
    if not sums_to_one(values, call.class_dim) and not call.last.clamped:
        dim = 1 if call.class_dim is None else call.class_dim
        sums = values.sum(dim=dim)
        yield finding(
            "softmax-over-wrong-dimension",
            f"over dimension {dim}, which holds the classes, outputs {tuple(values.shape)} sum to "
            f"{span(sums)}, not to 1",
        )


def _activation(call: LossCall) -> Found:
    if call.reads in ("numbers", "unknown") and not call.takes_indices:
        return  # a regression may be bounded
    kinds = [each.kind for each in call.last.activations]
    first = kinds[0] if kinds else call.kind
    if first in ("relu", "tanh"):
        share = (call.outputs == 0).double().mean().item()
        yield finding(
            f"{first}-before-loss",
            f"{_outputs(call)}" + (f", {share:.0%} of them exactly 0" if first == "relu" else ""),
        )


def _not_probabilities(call: LossCall) -> Found:
    values = call.outputs.detach()
    outside = ((values < 0) | (values > 1)).double().mean().item()
    certain = call.kind == "logits" and not call.last.clamped
    if outside > 0 or (certain and not _ends_in_probabilities(call)):
        yield finding(
            "logits-into-probability-loss",
            f"{_outputs(call)}, {outside:.0%} of them outside [0, 1]; {call.name} reads "
            f"probabilities",
        )
        return
    apart = call.kind == "softmax" and call.link == "sigmoid" and not call.last.picked
    if apart and call.num_outputs > 2 and not _several(call.target):
        yield finding(
            "softmax-with-binary-loss",
            f"{_outputs(call)}, {call.num_outputs} units; {call.name} takes each by itself",
        )
    if call.kind == "sigmoid" and call.link == "softmax":
        sums = call.outputs.detach().sum(dim=-1)
        yield finding(
            "sigmoid-with-categorical-loss",
            f"{_outputs(call)}, rows sum to {span(sums)}; {call.name} divides by that sum",
        )


def _ends_in_probabilities(call: LossCall) -> bool:
    return call.kind in ("softmax", "sigmoid")


def _not_log_probabilities(call: LossCall) -> Found:
    values = call.outputs.detach().double()
    if call.kind == "log_softmax" or call.last.picked or values.ndim == 0:
        return
    if sums_to_one(values.exp(), call.class_dim):
        return
    dim = -1 if call.class_dim is None else call.class_dim
    yield finding(
        "not-log-probabilities",
        f"{_outputs(call)}; exp of them sums to {span(values.exp().sum(dim=dim))} over the classes",
    )


# --- targets -------------------------------------------------------------------------------------


def _several(target: Tensor | None) -> bool:
    """Rows of zeros and ones, some with two ones or more."""
    if target is None or target.ndim < 2 or target.numel() == 0:
        return False
    values = target.detach().double()
    binary = bool(((values == 0) | (values == 1)).all())
    return binary and bool((values.sum(dim=1) > 1).any())


def _targets(call: LossCall) -> Found:
    target, outputs = call.target, call.outputs
    if target is None or not isinstance(target, Tensor) or target.numel() == 0:
        return
    same = target.shape == outputs.shape
    rows = target.detach().double()
    softmax = call.link == "softmax" or (call.kind == "softmax" and call.link is not None)
    whole_rows = same and target.ndim >= 2 and call.num_outputs > 1
    if softmax and whole_rows:
        sums = rows.sum(dim=1)
        if _several(target):
            off = (sums != 1).double().mean().item()
            yield finding(
                "softmax-for-several-labels",
                f"{off:.0%} of the rows do not hold exactly one 1, up to {sums.max().item():.0f}",
            )
        elif call.link == "softmax" and target.is_floating_point() and not _no_rows(call, rows):
            dim = 1 if call.class_dim is None else call.class_dim
            if not sums_to_one(rows, call.class_dim):
                shown = span(rows.sum(dim=dim))
                yield finding("targets-not-distributions", f"rows of the target sum to {shown}")
    if call.link == "sigmoid" and call.whole and bool(((rows < 0) | (rows > 1)).any()):
        yield finding("targets-outside-unit-interval", f"targets in {span(target)}")
    yield from _indices(call, target)
    yield from _shapes_and_types(call, target)
    yield from _smoothing(call, target)


def _no_rows(call: LossCall, rows: Tensor) -> bool:
    return bool(call.options.get("log_target")) or _binary(rows)


def _binary(rows: Tensor) -> bool:
    return bool(((rows == 0) | (rows == 1)).all())


def _indices(call: LossCall, target: Tensor) -> Found:
    if not call.takes_indices or not dtype_is_whole(target) or target.shape == call.outputs.shape:
        return
    ignored = call.options.get("ignore_index", -100)
    left_out = target == ignored
    counted, classes = target[~left_out], call.num_outputs
    if _one_unit(call):
        return
    fits = call.outputs.ndim == target.ndim + 1
    if not counted.numel():
        yield finding("all-targets-ignored", f"all {target.numel()} targets are {ignored}")
    elif fits and bool(((counted < 0) | (counted >= classes)).any()) and _shape_fits(call, target):
        yield finding("labels-out-of-range", f"labels in {span(counted)} for {classes} outputs")
    if 0 <= (ignored if ignored is not None else -1) < classes and bool(left_out.any()):
        share = left_out.double().mean().item()
        code = "ignored-class" if target.ndim == 1 else "ignored-class-in-sequence"
        yield finding(code, f"ignore_index={ignored}, {share:.0%} of the labels")


def _shape_fits(call: LossCall, target: Tensor) -> bool:
    shape = list(call.outputs.shape)
    if call.class_dim is not None:
        del shape[call.class_dim]
    return shape == list(target.shape)


def _shapes_and_types(call: LossCall, target: Tensor) -> Found:
    outputs = call.outputs
    shapes = f"outputs {tuple(outputs.shape)}, targets {tuple(target.shape)} of {target.dtype}"
    if call.reads == "numbers" and not call.takes_indices:
        if target.shape != outputs.shape and not call.error and target.numel() and outputs.numel():
            yield finding("broadcast-targets", shapes)
        return
    if not call.error or _one_unit(call):
        return
    whole, same = dtype_is_whole(target), target.shape == outputs.shape
    if call.takes_indices:
        if (whole and same and outputs.ndim > 1) or (not whole and _shape_fits(call, target)):
            yield finding("target-dtype", shapes)
        elif not same and not _shape_fits(call, target):
            yield finding("target-shape", shapes)
    elif not same:
        yield finding("target-shape", shapes)
    elif whole:
        yield finding("target-dtype", shapes)


def _smoothing(call: LossCall, target: Tensor) -> Found:
    smoothing = call.options.get("label_smoothing") or 0
    if not smoothing or target.shape != call.outputs.shape or not target.is_floating_point():
        return
    if call.link == "sigmoid":
        if target.ndim == 2 and call.num_outputs > 2 and sums_to_one(target.double(), 1):
            yield finding(
                "smoothing-towards-half",
                f"label_smoothing={smoothing:g} on one-hot rows of {call.num_outputs} classes",
            )
        return
    rows = target.detach().double().movedim(call.class_dim or -1, -1).flatten(0, -2)
    low = rows.sort(dim=-1).values[:, :-1]
    flat = low.amax(dim=-1) - low.amin(dim=-1)
    if rows.shape[-1] > 2 and bool((low > 0).all()) and bool((flat < 1e-6).all()):
        yield finding(
            "smoothed-twice",
            f"rows never fall below {low.min().item():.3g}, and label_smoothing={smoothing:g}",
        )


# --- weights -------------------------------------------------------------------------------------


def _weights(call: LossCall) -> Found:
    weight, pos_weight = call.options.get("weight"), call.options.get("pos_weight")
    if isinstance(pos_weight, Tensor) and call.target is not None:
        misfit = _pos_weight_misfit(pos_weight, call)
        if misfit:
            yield finding("pos-weight-shape", misfit)
        else:
            yield from _pos_weight_direction(pos_weight, call)
    if not isinstance(weight, Tensor):
        return
    if call.takes_indices:
        yield from _class_weight(weight, call)
    elif call.link == "sigmoid" and weight.numel() == 1 and weight.item() != 1:
        yield finding("weight-scales-everything", f"weight={weight.item():g}")


def _pos_weight_misfit(pos_weight: Tensor, call: LossCall) -> str:
    outputs, shape = call.outputs, tuple(pos_weight.shape)
    said = f"pos_weight {shape} for outputs {tuple(outputs.shape)}"
    try:
        fits = torch.broadcast_shapes(shape, outputs.shape) == outputs.shape
    except RuntimeError:
        fits = False
    if not fits:
        return said
    if pos_weight.numel() == 1:
        return ""
    if outputs.ndim == 1:
        return f"{said}: one number per example"
    if len(shape) == outputs.ndim and shape[0] > 1:
        return f"{said}: one number per example"
    if outputs.ndim > 2 and len(shape) == 1 and outputs.shape[1] == shape[0]:
        return f"{said}: it runs along the last dimension, not along the labels"
    return ""


def _pos_weight_direction(pos_weight: Tensor, call: LossCall) -> Found:
    target = call.target
    if target is None or target.shape != call.outputs.shape:
        return
    values = target.detach().double()
    if pos_weight.numel() > 1 and values.ndim == 2:
        positives, total = values.sum(dim=0), len(values)
    else:
        positives, total = values.sum().reshape(1), values.numel()
    weights = pos_weight.detach().double().reshape(-1)
    ratio = (total - positives) / positives
    known = ratio.isfinite() & (ratio > 0) & (weights > 0)
    if weights.shape != ratio.shape or not bool(known.any()) or total < 16:
        return
    turned = (ratio.log() * weights.log())[known] < 0
    near = ((weights * ratio).log().abs() < math.log(3))[known]
    strong = (ratio.log().abs() > math.log(2.5))[known]
    wrong = turned & near & strong
    if bool((wrong.double().mean() > 0.5).item()):
        yield finding(
            "pos-weight-inverted",
            f"pos_weight {weights[known].mean().item():.3g} where negatives / positives is "
            f"{ratio[known].mean().item():.3g}",
        )


def _class_weight(weight: Tensor, call: LossCall) -> Found:
    classes = call.num_outputs
    if weight.numel() != classes:
        yield finding("class-weight-shape", f"{weight.numel()} weights for {classes} outputs")
        return
    target = call.target
    if target is None or not dtype_is_whole(target) or target.shape == call.outputs.shape:
        return
    inside = target[(target >= 0) & (target < classes)].flatten()
    counts = torch.bincount(inside, minlength=classes).double()
    known = (counts > 0) & (weight > 0)
    if known.sum() < 2:
        return
    if int(counts.sum()) < 30:
        return  # a small batch may have its frequencies by chance
    log_counts, log_weights = counts[known].log(), weight.detach()[known].double().log()
    spread = log_counts.max() - log_counts.min(), log_weights.max() - log_weights.min()
    if spread[0] < math.log(2) or spread[1] < math.log(1.5):
        return
    correlation = torch.corrcoef(torch.stack([log_counts, log_weights]))[0, 1].item()
    if correlation > 0.9:
        yield finding(
            "class-weight-inverted",
            f"correlation of log weight and log frequency {correlation:.2f} over "
            f"{int(known.sum())} classes of the batch",
        )


# --- size of the loss ----------------------------------------------------------------------------


def _scale(call: LossCall) -> Found:
    if call.name == "kl_div" and call.options.get("reduction") == "mean":
        yield finding(
            "mean-over-cells", f"reduction='mean' over outputs {tuple(call.outputs.shape)}"
        )
    averaged = call.options.get("reduction") == "mean"
    rows = call.outputs.ndim == 2 and call.num_outputs > 2
    if call.link == "sigmoid" and call.whole and averaged and rows:
        yield finding("mean-over-classes", f"{call.num_outputs} labels per example")
        yield from _rare(call)


def _rare(call: LossCall) -> Found:
    if call.target is None or call.target.shape != call.outputs.shape or call.kind != "logits":
        return
    share = call.target.detach().double().mean().item()
    start = call.outputs.detach().double().sigmoid().mean().item()
    if 0 < share < 0.1 and start > 4 * share:
        yield finding("prior-bias", f"mean label {share:.3g}, mean probability {start:.3g}")


def _first_loss(call: LossCall) -> Found:
    """Cross-entropy of these logits in plain nats, whatever weights the loss has."""
    if call.error or call.target is None or call.kind not in ("logits", "log_softmax", "unknown"):
        return
    if call.reads != "logits" or not call.whole or not call.link or _one_unit(call):
        return
    outputs, target = call.outputs.detach().double(), call.target.detach()
    if target.shape == outputs.shape and bool(((target < 0) | (target > 1)).any()):
        return  # another finding says so
    if target.is_floating_point():
        target = target.double()
    if call.link == "softmax":
        ignored = call.options.get("ignore_index", -100)
        nats = F.cross_entropy(outputs, target, ignore_index=ignored).item()
        chance, formula = math.log(call.num_outputs), f"ln {call.num_outputs}"
    else:
        nats = F.binary_cross_entropy_with_logits(outputs, target.double()).item()
        chance, formula = math.log(2), "ln 2"
    if nats > 2 * chance + 1:
        # Cosine logits with a scale start at several times ln C, as their authors mean it.
        yield finding(
            "initial-loss" if nats > 20 * chance else "initial-loss-high",
            f"{nats:.3g} nats, where equal probabilities give {formula} = {chance:.3g}; outputs in "
            f"{span(outputs)}",
        )


_CALL_RULES: tuple[Callable[[LossCall], Found], ...] = (
    _last_layer,
    _targets,
    _weights,
    _scale,
    _first_loss,
)


def whole_findings(seen: Observation) -> Found:
    """What the loss as a whole shows."""
    if seen.loss is not None and seen.loss.numel() > 1:
        yield finding("unreduced-loss", f"the loss has shape {tuple(seen.loss.shape)}")
    elif seen.loss is not None and not math.isfinite(_mean(seen.loss)):
        bad = 0 if seen.outputs is None else int((~seen.outputs.isfinite()).sum())
        yield finding(
            "loss-not-finite", f"loss {_mean(seen.loss)}, {bad} outputs that are not finite"
        )
    elif seen.loss is not None:
        yield from _sum_over_batch(seen)
    if seen.trainable is not None:
        if not seen.has_graph:
            yield finding("no-gradient", f"none of {seen.trainable} parameters is reached")
        elif seen.loss is not None and not seen.reached and _counts(seen.loss):
            yield finding(
                "dead-gradient",
                f"0 of {seen.trainable} parameters get a gradient, loss {_mean(seen.loss):.4g}",
            )
    if seen.unreached and seen.reached:
        names = ", ".join(seen.unreached[:4]) + (", …" if len(seen.unreached) > 4 else "")
        yield finding(
            "parameters-without-gradient",
            f"{len(seen.unreached)} of {seen.trainable} parameters: {names}",
        )
    yield from _problem_type(seen)


def _counts(loss: Tensor) -> bool:
    return math.isfinite(_mean(loss)) and _mean(loss) > 1e-6


def _mean(loss: Tensor) -> float:
    return float(loss.double().mean().item())


def _sum_over_batch(seen: Observation) -> Found:
    if seen.loss is None:
        return
    once = seen.loss.item()
    if seen.doubled is not None and seen.doubled.numel() == 1:
        twice = abs(once) > 1e-9 and abs(seen.doubled.item() / once - 2) < 1e-3
        if twice and not _divided_by_batch(seen, once):
            code = "sums-by-design" if seen.doubling_by_design else "sum-over-batch"
            yield finding(
                code, f"the loss is {once:.4g}, of the batch taken twice {seen.doubled.item():.4g}"
            )
        return
    for call in seen.calls:
        if call.options.get("reduction") != "sum" or call.value is None:
            continue
        if abs(call.value.detach().double().item() - once) <= 1e-5 * abs(once):
            yield finding(
                "sum-over-batch", f"reduction='sum' over {len(call.outputs)} rows: {once:.4g}"
            )


def _divided_by_batch(seen: Observation, once: float) -> bool:
    """A sum that was divided by a batch size written somewhere is the mean of this batch."""
    for call in seen.calls:
        if call.value is not None and call.options.get("reduction") in ("sum", "none"):
            mean = call.value.detach().double().sum().item() / len(call.outputs)
            if len(call.outputs) > 1 and abs(mean - once) <= 1e-4 * abs(once):
                return True
    return False


def _problem_type(seen: Observation) -> Found:
    told = seen.settings
    if not told.get("sequence") or told.get("problem_type") or seen.labels is None:
        return
    labels = seen.labels.detach().double()
    whole = bool((labels == labels.round()).all())
    if told.get("num_labels") == 1 and whole and len(labels.unique()) <= 2:
        yield finding(
            "problem-type-regression",
            f"num_labels=1, labels are {' and '.join(f'{v:g}' for v in labels.unique())}",
        )
    one_hot = labels.ndim == 2 and _binary(labels) and bool((labels.sum(dim=1) == 1).all())
    if one_hot and seen.labels.is_floating_point() and labels.shape[1] > 1:
        yield finding(
            "problem-type-guessed", f"float labels {tuple(labels.shape)} with one 1 in each row"
        )
