"""What can be wrong with the last layer, the size of the loss and its gradient, from one batch."""

import math
from collections.abc import Callable, Iterator

from torch import Tensor
from torch.nn import functional as F

from lossheads.linting.observation import (
    LossCall,
    Observation,
    span,
    sums_to_one,
)
from lossheads.linting.report import Finding, finding
from lossheads.linting.target_rules import binary, several, target_findings, weight_findings

Found = Iterator[Finding]


def call_findings(call: LossCall) -> Found:
    """All that one loss shows."""
    for rule in _CALL_RULES:
        yield from rule(call)


def _last_layer(call: LossCall) -> Found:
    if call.one_unit:
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
    if outside > 0 or certain:
        yield finding(
            "logits-into-probability-loss",
            f"{_outputs(call)}, {outside:.0%} of them outside [0, 1]; {call.name} reads "
            f"probabilities",
        )
        return
    apart = call.kind == "softmax" and call.link == "sigmoid" and not call.last.picked
    if apart and call.num_outputs > 2 and not several(call.target):
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
    if call.reads != "logits" or not call.whole or not call.link or call.one_unit:
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
    target_findings,
    weight_findings,
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
    one_hot = labels.ndim == 2 and binary(labels) and bool((labels.sum(dim=1) == 1).all())
    if one_hot and seen.labels.is_floating_point() and labels.shape[1] > 1:
        yield finding(
            "problem-type-guessed", f"float labels {tuple(labels.shape)} with one 1 in each row"
        )
