"""What can be wrong with targets and weights, told from one batch."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from lossheads.linting.observation import LossCall, dtype_is_whole, span, sums_to_one
from lossheads.linting.report import Finding, finding

Found = Iterator[Finding]


def several(target: Tensor | None) -> bool:
    """Rows of zeros and ones, some with two ones or more."""
    if target is None or target.ndim < 2 or target.numel() == 0:
        return False
    values = target.detach().double()
    binary = bool(((values == 0) | (values == 1)).all())
    return binary and bool((values.sum(dim=1) > 1).any())


def target_findings(call: LossCall) -> Found:
    target, outputs = call.target, call.outputs
    if target is None or not isinstance(target, Tensor) or target.numel() == 0:
        return
    same = target.shape == outputs.shape
    rows = target.detach().double()
    softmax = call.link == "softmax" or (call.kind == "softmax" and call.link is not None)
    whole_rows = same and target.ndim >= 2 and call.num_outputs > 1
    if softmax and whole_rows:
        sums = rows.sum(dim=1)
        if several(target):
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
    return bool(call.options.get("log_target")) or binary(rows)


def binary(rows: Tensor) -> bool:
    return bool(((rows == 0) | (rows == 1)).all())


def _indices(call: LossCall, target: Tensor) -> Found:
    if not call.takes_indices or not dtype_is_whole(target) or target.shape == call.outputs.shape:
        return
    ignored = call.options.get("ignore_index", -100)
    left_out = target == ignored
    counted, classes = target[~left_out], call.num_outputs
    if call.one_unit:
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
    if not call.error or call.one_unit:
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


def weight_findings(call: LossCall) -> Found:
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
