"""What a metric makes of outputs that are known: perfect ones, constant ones, one label wrong.

A metric is a function that nobody can read, so it is asked. Outputs are made in the form in which
the model gives them (logits or probabilities, one unit or several), labels in the user's form.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lossheads.linting.observation import Kind
from lossheads.linting.recording import first_sentence
from lossheads.linting.report import Finding, finding

Ask = Callable[[Tensor, Tensor], float]
SAME = 1e-6
FITS = 0.999


@dataclass(frozen=True)
class Form:
    """How the model's outputs and the labels are laid out.

    Attributes:
        outcome: One class of several, several labels, or one yes-or-no unit.
        shape: Of one example's outputs: (C,), (1,) or ().
        probabilities: Outputs lie in [0, 1]; with `rows`, they sum to 1.
        indices: Labels are class indices (N,), or a column of them.
    """

    outcome: Literal["one", "several", "binary"]
    units: int
    shape: tuple[int, ...]
    probabilities: bool
    rows: bool
    indices: bool
    column: bool
    dtype: torch.dtype


def form_of(outputs: Tensor, labels: Tensor, kind: Kind) -> Form | str:
    """The form, or why it is not known."""
    if kind not in ("softmax", "sigmoid", "logits", "log_softmax"):
        return "what the outputs are was not seen" if kind == "unknown" else f"they pass a {kind}"
    if outputs.ndim > 2 or outputs.ndim == 0 or labels.ndim > 2 or not labels.ndim:
        return f"outputs {tuple(outputs.shape)} and labels {tuple(labels.shape)} are not rows"
    if len(outputs) != len(labels):
        return f"{len(outputs)} outputs and {len(labels)} labels"
    units = 1 if outputs.ndim == 1 else outputs.shape[1]
    if kind == "softmax" and units == 1:
        return "one unit under a softmax"
    values = labels.detach().double()
    if not bool((values == values.round()).all()):
        return "the labels are no decisions"
    probabilities = kind in ("softmax", "sigmoid")
    column = labels.ndim == 2 and labels.shape[1] == 1
    binary = bool(((values == 0) | (values == 1)).all())
    if units == 1:
        outcome: Literal["one", "several", "binary"] = "binary"
        if not binary:
            return "one unit, and labels beyond 0 and 1"
    elif labels.ndim == 1 or column:
        outcome = "one"
    elif labels.shape != outputs.shape or not binary:
        return f"labels {tuple(labels.shape)} beside outputs {tuple(outputs.shape)}"
    else:
        one_hot = bool((values.sum(dim=1) == 1).all()) and len(labels) >= 4
        outcome = "one" if one_hot else "several"
    indices = outcome == "one" and (labels.ndim == 1 or column)
    rows = kind == "softmax"
    shape = tuple(outputs.shape[1:])
    return Form(outcome, units, shape, probabilities, rows, indices, column, labels.dtype)


@dataclass(frozen=True)
class Probe:
    """Outputs and the labels that they are about, both in the user's form."""

    outputs: Tensor
    labels: Tensor
    truth: Tensor  # (N, U) of 0 and 1


def probe(form: Form, decided: Tensor, truth: Tensor, far: bool = False) -> Probe:
    """Outputs that decide `decided`, with margins that differ from cell to cell."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(decided.shape, generator=generator)
    low, width = (2.0, 1.0) if far else (0.2, 0.2)
    logits = (2 * decided - 1) * (low + width * noise)
    if form.rows:
        outputs = torch.softmax(logits * (1 if far else 8), dim=1)
    elif form.probabilities:
        outputs = 0.5 + (decided - 0.5) * (0.2 + 0.7 * noise)
    else:
        outputs = logits
    labels = truth.argmax(dim=1) if form.indices else truth
    if form.column and form.indices:
        labels = labels.unsqueeze(1)
    if form.outcome == "binary" and not form.column:
        labels = labels.squeeze(1)
    return Probe(outputs.reshape(len(truth), *form.shape), labels.to(form.dtype), truth)


def truths(form: Form) -> Tensor:
    """(N, U) labels: every class equally often, labels at 40 %, no row without two sorts."""
    if form.outcome == "one":
        classes = torch.arange(max(32, 4 * form.units)) % form.units
        return torch.nn.functional.one_hot(classes, form.units).float()
    generator = torch.Generator().manual_seed(1)
    return (torch.rand(64, form.units, generator=generator) < 0.4).float()


def metric_findings(
    outputs: Tensor | None,
    labels: Tensor | None,
    kind: Kind,
    metrics: Mapping[str, Ask],
    reasons: list[str],
) -> Iterator[Finding]:
    """All that the metrics show; `reasons` collects what could not be asked."""
    for name, ask in metrics.items():
        if outputs is None or labels is None:
            reasons.append(f"metric {name}: outputs or labels are not known")
            continue
        form = form_of(outputs, labels, kind)
        if isinstance(form, str):
            reasons.append(f"metric {name}: {form}")
            continue
        try:
            yield from _asked(name, ask, form)
        except Exception as error:  # a stranger's function on outputs of ours
            reasons.append(f"metric {name}: it refused the outputs ({first_sentence(error)})")


def _asked(name: str, ask: Ask, form: Form) -> Iterator[Finding]:
    truth = truths(form)
    near, far = probe(form, truth, truth), probe(form, truth, truth, far=True)
    worst = ask(*_pair(probe(form, _flipped(truth, form), truth, far=True)))
    perfect, clear = ask(*_pair(near)), ask(*_pair(far))
    if worst > max(perfect, clear) + SAME or not (0 <= perfect <= 1 and 0 <= clear <= 1):
        return  # lower is better, or no share: nothing is known of it
    if min(perfect, clear) < FITS:
        found = _misread(name, form, near, far, (perfect, clear))
        # A number that right outputs do not raise is no accuracy: mean confidence, for one.
        if found.code != "metric-misreads" or min(perfect, clear) > worst + 1e-3:
            yield found
        return
    yield from _fitting(name, ask, form)


def _pair(given: Probe) -> tuple[Tensor, Tensor]:
    return given.outputs.clone(), given.labels.clone()


def _flipped(truth: Tensor, form: Form) -> Tensor:
    return truth.roll(1, dims=1) if form.outcome == "one" else 1 - truth


def _misread(name: str, form: Form, near: Probe, far: Probe, got: tuple[float, float]) -> Finding:
    """The misreading whose numbers are the metric's own, on both probes; else just that."""
    seen = f"{name} gives outputs that are right in every decision {min(got):.4f}"
    for code, decide in _MISREADINGS.items():
        expected = [decide(each, form) for each in (near, far)]
        pairs = zip(got, expected, strict=True)
        if all(wanted is not None and abs(value - wanted) < 1e-4 for value, wanted in pairs):
            return finding(code, f"{seen}, which is what this misreading gives")
    return finding("metric-misreads", seen)


def _cells(decisions: Tensor, given: Probe) -> float:
    return (decisions.reshape(given.truth.shape) == given.truth).float().mean().item()


def _at_half(given: Probe, form: Form) -> float | None:
    return None if form.probabilities else _cells((given.outputs > 0.5).float(), given)


def _rounded(given: Probe, form: Form) -> float | None:
    return None if form.probabilities else _cells(given.outputs.round(), given)


def _sigmoid_again(given: Probe, form: Form) -> float | None:
    if not form.probabilities:
        return None
    return _cells((given.outputs.sigmoid() > 0.5).float(), given)


def _strongest(given: Probe, form: Form) -> float | None:
    if form.outcome != "several":
        return None
    return (given.outputs.argmax(dim=1) == given.truth.argmax(dim=1)).float().mean().item()


def _argmax_of_one(given: Probe, form: Form) -> float | None:
    return (given.truth == 0).float().mean().item() if form.outcome == "binary" else None


def _equal(given: Probe, form: Form) -> float | None:
    return _cells(given.outputs, given) if given.outputs.shape == given.labels.shape else None


_MISREADINGS: dict[str, Callable[[Probe, Form], float | None]] = {
    "metric-argmax-for-several-labels": _strongest,
    "metric-argmax-of-one-unit": _argmax_of_one,
    "metric-sigmoid-again": _sigmoid_again,
    "metric-cuts-logits-at-half": _at_half,
    "metric-rounds-logits": _rounded,
    "metric-wants-equality": _equal,
}


def _fitting(name: str, ask: Ask, form: Form) -> Iterator[Finding]:
    """Metrics that read the outputs rightly, and still may say another thing than is thought."""
    truth = truths(form)
    if form.outcome == "one" and form.units > 2:
        nothing = probe(form, torch.zeros_like(truth), truth)
        flat = torch.full_like(nothing.outputs, 1 / form.units if form.probabilities else -0.3)
        value = ask(flat, nothing.labels.clone())
        if abs(value - (1 - 1 / form.units)) < 1e-4:
            yield finding(
                "metric-elementwise-on-one-hot",
                f"{name} gives a model that says nothing {value:.4f} = 1 - 1/{form.units}",
            )
            return
        yield from _macro(name, ask, form)
    if form.outcome == "several" and form.units > 1:
        decided = truth.clone()
        decided[:, 0] = 1 - decided[:, 0]
        value = ask(*_pair(probe(form, decided, truth)))
        if value < SAME:
            yield finding(
                "metric-subset-accuracy",
                f"{name} is {value:.4f} where one of {form.units} labels is wrong in every row",
            )


def _macro(name: str, ask: Ask, form: Form) -> Iterator[Finding]:
    """Only class 0 is ever decided, and three examples of four are of it."""
    rest = torch.arange(1, form.units).repeat(4)
    classes = torch.cat([torch.zeros(3 * len(rest), dtype=torch.long), rest])
    truth = torch.nn.functional.one_hot(classes, form.units).float()
    decided = torch.zeros_like(truth)
    decided[:, 0] = 1
    value = ask(*_pair(probe(form, decided, truth)))
    if abs(value - 1 / form.units) < 1e-4:
        yield finding(
            "metric-macro", f"{name} is {value:.4f} where 75 % of the decisions are right"
        )
