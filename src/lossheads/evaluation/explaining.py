"""From logits to loss, gradient, scores and decision of one example, step by step, head by head."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from lossheads.analysis.bars import Bars
from lossheads.analysis.format import number
from lossheads.analysis.html import render
from lossheads.analysis.page_tables import Cell, PageTable, text_cell
from lossheads.errors import UserError
from lossheads.evaluation.inputs import HeadLike, as_tensor, checked, resolve_head
from lossheads.heads.base import Head, loss_unit
from lossheads.heads.formulas import Part, formula, terms
from lossheads.outcomes import AnyOf, EachOneOf, Outcome
from lossheads.records import plain

WHO = "explain"
_MOST = 64  # logits whose every number is shown in words


@dataclass(frozen=True)
class Step:
    """One step of a head.

    Attributes:
        name: "logits", "target", "scores", "terms", "loss", "gradient", "probabilities" or
            "decision".
        formula: In words of z, t, s; "" where the numbers are given.
        values: A number, a class, or nested lists of them.
    """

    name: str
    formula: str
    values: Any


@dataclass(frozen=True)
class HeadSteps:
    """What one head makes of the example.

    Attributes:
        head: Its name, as on the command line, or its class.
        description: The first line of what its class says of itself.
        unit: Of the loss.
    """

    head: str
    description: str
    unit: str
    steps: tuple[Step, ...]

    def __getitem__(self, name: str) -> Any:
        """The values of a step."""
        for step in self.steps:
            if step.name == name:
                return step.values
        raise KeyError(name)


@dataclass(frozen=True)
class Explanation:
    """One example through one head or several.

    Attributes:
        outcome: What the label can be.
        target: The label, as the outcome has it.
    """

    outcome: str
    target: Any
    heads: tuple[HeadSteps, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: infinities and NaN are null."""
        return plain(asdict(self))  # type: ignore[no-any-return]

    def table(self) -> PageTable:
        """A row per step, a column per head."""
        names = {step.name for head in self.heads for step in head.steps}
        rows = tuple(
            (text_cell(words), *(_cell(head, name) for head in self.heads))
            for name, words in _ROW.items()
            if name in names
        )
        caption = f"{self.outcome}, target {shown(self.target)}. Losses are of one example."
        return PageTable(caption, ("", *(head.head for head in self.heads)), rows)

    def html(self) -> str:
        """One self-contained page: pictures of scores and gradients, then every step."""
        return render(
            "explain.html",
            title=" and ".join(head.head for head in self.heads),
            lead=f"One example of {self.outcome}, target {shown(self.target)}: from logits to "
            f"loss, gradient and decision.",
            notes=[f"{head.head}: {head.description}" for head in self.heads],
            image=None,
            drawings=[(head.head, _drawing(head, self._reach(head.unit))) for head in self.heads],
            table=self.table(),
        )

    def _reach(self, unit: str) -> float:
        """The largest gradient of the heads whose losses share a unit: they share a scale."""
        alike = [head for head in self.heads if head.unit == unit]
        return max(abs(value) for head in alike for value in _flat(head["gradient"]))

    def __str__(self) -> str:
        lines = [self.table().caption]
        for place, head in enumerate(self.heads, 1):
            lines += ["", head.head]
            for row in self.table().rows:
                told, *words = row[place].lines or ("–",)
                lines.append(f"  {row[0].lines[0]}: {told}    {' '.join(words)}".rstrip())
        return "\n".join(lines)


_ROW = {
    "logits": "logits z",
    "target": "target t",
    "scores": "scores s",
    "loss": "loss L",
    "gradient": "gradient",
    "probabilities": "probabilities p",
    "decision": "decision",
}


def explain_heads(
    logits: Sequence[Any],
    target: Any,
    heads: Mapping[str, HeadLike] | Sequence[HeadLike],
    outcome: Outcome | None = None,
    base_rates: Any = None,
) -> Explanation:
    """Every step of each head on one example.

    Args:
        logits: For each head, its logits of the example: (U,), or (S, M) for groups.
        target: The example's label: a class, 0/1 for each label, a class for each group, or
            floats as a distribution.
        heads: Names or heads; with a mapping, by the names they are shown under.
        base_rates: For heads whose loss needs them, shaped like `outcome.columns`.

    Raises:
        UserError: In one sentence, on anything that does not fit.
    """
    named = list(heads.items()) if isinstance(heads, Mapping) else [(None, h) for h in heads]
    found, kinds = [], {}
    for (name, given), row in zip(named, logits, strict=True):
        rows = as_tensor(row, "logits", WHO)
        rows = rows if rows.is_floating_point() else rows.double()
        labels = as_tensor(target, "a target", WHO)
        rows, labels = rows.double().unsqueeze(0), labels.unsqueeze(0)
        head = resolve_head(given, outcome, rows, labels, WHO)
        _refuse_misfit(head, rows, labels)
        head, rows, labels = checked(head, rows, labels, WHO)
        if base_rates is not None:
            head = head.with_base_rates(_rates(head, base_rates))
        called = name or (given if isinstance(given, str) else type(head).__name__)
        steps = tuple(_steps(head, rows, labels))
        found.append(HeadSteps(called, _description(head), loss_unit(head), steps))
        kinds[str(head.outcome)] = labels[0].tolist()
    if len(kinds) > 1:
        raise UserError(f"{WHO} got heads for different outcomes: {' and '.join(kinds)}")
    ((kind, label),) = kinds.items()
    return Explanation(kind, label, tuple(found))


def _refuse_misfit(head: Head, logits: Tensor, label: Tensor) -> None:
    """What `checked` would say of the rows of a table, in the words of one example."""
    count, name = logits[0].numel(), type(head).__name__
    if count > _MOST:
        raise UserError(
            f"{WHO} got {count} logits: it writes each number down, for at most {_MOST}"
        )
    if count != head.num_logits:
        raise UserError(
            f"{WHO} got {count} logits: {name} for {head.outcome} needs {head.num_logits}"
        )
    nan, infinite = int(logits.isnan().sum()), int(logits.isinf().sum())
    if nan or infinite:
        raise UserError(
            f"{WHO}: logits must be finite, got {nan} NaN and {infinite} infinite ones of {count}"
        )
    n, hard = head.outcome.n, not label.is_floating_point()
    if hard and not isinstance(head.outcome, AnyOf) and bool(((label < 0) | (label >= n)).any()):
        raise UserError(
            f"{WHO}: target must be a class of 0 … {n - 1}, got {shown(label[0].tolist())}"
        )


def _rates(head: Head, given: Any) -> Tensor:
    rates = as_tensor(given, "base rates", WHO).double()
    if tuple(rates.shape) != head.outcome.columns or not bool(((rates >= 0) & (rates <= 1)).all()):
        raise UserError(
            f"{WHO} got base rates {shown(rates.tolist())}: {head.outcome} needs shares of shape "
            f"{head.outcome.columns}, each in [0, 1]"
        )
    return rates


def _description(head: Head) -> str:
    told = inspect.getdoc(type(head)) or type(head).__name__
    return told.splitlines()[0]


def _steps(head: Head, logits: Tensor, labels: Tensor) -> list[Step]:
    target = head.encode(labels).double()
    z = logits.clone().requires_grad_()
    try:
        loss = head.loss(z, target)
    except UserError as error:
        raise UserError(f"{WHO}: {error}; here with base_rates=P,P,…") from error
    gradient = torch.zeros_like(z)
    if loss.requires_grad:
        (gradient,) = torch.autograd.grad(loss.sum(), z)
    scores, probabilities = head.scores(logits)[0], _probabilities(head, logits)
    summands = terms(head, logits, target.double())
    grouped = _grouper(head)

    def step(name: str, part: Part | None, values: Any) -> Step:
        return Step(name, formula(head, part) if part else "", values)

    found = [
        step("logits", None, grouped(logits[0])),
        step("target", "encode", target[0].tolist()),
        step("scores", "scores", scores.tolist()),
    ]
    if summands is not None and summands.numel() > 1:
        found.append(step("terms", "loss", (summands + 0.0).tolist()))
    found.append(step("loss", "loss", loss.item() + 0.0))
    found.append(step("gradient", "gradient", grouped(gradient[0] + 0.0)))
    if not torch.allclose(probabilities, scores.double()):
        found.append(step("probabilities", "log_probs", probabilities.tolist()))
    found.append(step("decision", "decide", head.decide(logits)[0].tolist()))
    return found


def _grouper(head: Head) -> Any:
    """Numbers per logit as nested lists, the groups' in rows."""
    outcome = head.outcome
    shape = outcome.columns if isinstance(outcome, EachOneOf) else (head.num_logits,)
    return lambda row: row.reshape(shape).tolist()


def _probabilities(head: Head, logits: Tensor) -> Tensor:
    """Shaped like scores: of each class, or of "on" for each label."""
    found = head.log_probs(logits)[0].exp()
    return found[..., 1] if isinstance(head.outcome, AnyOf) else found


def shown(values: Any) -> str:
    """Numbers with four decimals, labels as they are; groups are separated by |."""
    if isinstance(values, list):
        between = "  |  " if values and isinstance(values[0], list) else "  "
        return between.join(map(shown, values))
    if isinstance(values, bool):
        return "on" if values else "off"
    return number(values) if isinstance(values, float) else str(values)


def _cell(head: HeadSteps, name: str) -> Cell:
    steps = {step.name: step for step in head.steps}
    if name not in steps:
        return Cell(("= s",) if name == "probabilities" else ())
    told = shown(steps[name].values)
    if name == "loss" and "terms" in steps:
        told = f"{' + '.join(map(shown, _flat(steps['terms'].values)))} = {told}"
    if name == "loss":
        told = f"{told} {head.unit}"
    return Cell(tuple(filter(None, (told, steps[name].formula))))


def _drawing(head: HeadSteps, reach: float) -> list[Bars]:
    """Scores against the target, and the gradient, unit by unit."""
    scores = _flat(head["scores"])
    target = _flat(head["target"])
    bars = [
        Bars("score", _names(len(scores)), scores, target if len(target) == len(scores) else [])
    ]
    gradient = _flat(head["gradient"])
    return [
        *bars,
        Bars(f"gradient, {head.unit} per logit", _names(len(gradient)), gradient, (), reach),
    ]


def _names(count: int) -> list[str]:
    return list(map(str, range(count)))


def _flat(values: Any) -> list[float]:
    if isinstance(values, list):
        return [number for value in values for number in _flat(value)]
    return [float(values)]
