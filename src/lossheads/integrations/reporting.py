"""What the callbacks share: rows of an epoch, their metrics as text, and one check of a batch."""

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

import lossheads
from lossheads.api.accumulator import Accumulator
from lossheads.api.evaluation import Evaluation
from lossheads.errors import UserError, near_matches
from lossheads.evaluation.inputs import HeadLike, as_tensor
from lossheads.heads.base import Head
from lossheads.outcomes import AnyOf, OneOf

Given = Literal["logits", "probabilities"]
# The first of these that the outcome has are printed unless others are named.
SHOWN = ("accuracy_score", "macro_f1_score", "nll_loss", "expected_calibration_error",
         "exact_match_score", "elementwise_accuracy_score")  # fmt: skip
SHOWN_AT_ONCE = 4
CHECKED_ROWS = 32  # of the first batch: enough for what `check` looks at
# log of the smallest normal float64: a probability of exactly 0 becomes this logit.
_TINY = torch.finfo(torch.float64).tiny


class Reporter:
    """Collects batches of an epoch, prints the metrics of all rows, and keeps every evaluation.

    Args:
        head: How outputs are read: a head, or the name of one (see `lossheads.evaluate`).
        given: Whether the model returns logits, or the probabilities that a last softmax or sigmoid
            makes of them.
        metrics: Names to print; None chooses at most four by the outcome. All are kept.
        write: Where lines go.
    """

    def __init__(
        self,
        head: HeadLike,
        given: Given = "logits",
        metrics: Sequence[str] | None = None,
        write: Callable[[str], None] = print,
    ) -> None:
        if given not in ("logits", "probabilities"):
            raise UserError(f"given must be 'logits' or 'probabilities', got {given!r}")
        self.head, self.given, self.metrics, self.write = head, given, metrics, write
        self.history: list[Evaluation] = []
        self._rows = Accumulator(head)

    def update(self, outputs: Any, labels: Any) -> None:
        """Add a batch."""
        who = "lossheads"
        rows, truth = as_tensor(outputs, "outputs", who), as_tensor(labels, "labels", who)
        truth = hard_labels(truth, self.head)
        if self.given == "probabilities":
            rows = to_logits(rows, self.head, truth)
        self._rows.update(rows, truth)

    def finish(self, title: str) -> Evaluation:
        """Print and keep the metrics of all rows since the last time, and forget the rows."""
        found = self._rows.compute()
        self._rows.reset()
        names = self.shown(found)
        self.write(as_text(title, found, names))
        self.history.append(found)
        return found

    def reset(self) -> None:
        """Forget all rows."""
        self._rows.reset()

    def __len__(self) -> int:
        """Rows so far."""
        return len(self._rows)

    def shown(self, found: Evaluation) -> list[str]:
        """Names of the metrics that are printed."""
        if self.metrics is None:
            return [name for name in SHOWN if name in found.metrics][:SHOWN_AT_ONCE]
        for name in self.metrics:
            if name not in found.metrics:
                raise UserError(f"no metric {name!r}; {near_matches(name, found.metrics)}")
        return list(self.metrics)

    def numbers(self, found: Evaluation) -> dict[str, float]:
        """The printed metrics with baseline and skill, for a library's own log."""
        numbers: dict[str, float] = {}
        for name in self.shown(found):
            each = found[name]
            numbers |= {
                name: each.value,
                f"{name}_baseline": each.baseline,
                f"{name}_skill": each.skill,
            }
        return numbers


def as_text(title: str, found: Evaluation, names: Sequence[str]) -> str:
    """A title and one line for each metric."""
    width = max(map(len, names), default=0)
    lines = [f"{title}, n = {found.n}"]
    for name in names:
        each = found[name]
        lines.append(
            f"  {name:{width}}  {_shown(each.value)}  baseline {_shown(each.baseline)}  "
            f"skill {_shown(each.skill, 3)}"
        )
    return "\n".join(lines)


def _shown(value: float, digits: int = 4) -> str:
    """A dash for what is undefined, as in the tables of `evaluate`."""
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def hard_labels(labels: Tensor, head: HeadLike) -> Tensor:
    """Columns, exact one-hot rows and floats of 0 and 1 as the head's outcome has its labels.

    Frameworks pass them so; whatever else floats are, they are distributions. A head given by name
    does not say its outcome, and its labels stay as they are.
    """
    if not isinstance(head, Head):
        return labels
    outcome = head.outcome
    whole = bool(((labels == 0) | (labels == 1)).all()) if labels.is_floating_point() else True
    if isinstance(outcome, AnyOf):
        return labels.bool() if whole and not outcome.soft else labels
    if isinstance(outcome, OneOf) and not outcome.soft:
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels.squeeze(1)
        if labels.ndim == 2 and labels.shape[1] == outcome.n and whole:
            if bool((labels.sum(dim=1) == 1).all()):
                return labels.argmax(dim=1)
        elif labels.ndim == 1 and labels.is_floating_point() and bool((labels % 1 == 0).all()):
            return labels.long()
    return labels


def to_logits(probabilities: Tensor, head: HeadLike, labels: Tensor) -> Tensor:
    """Logits of which the head's last layer makes these probabilities.

    Tries the inverse of a softmax (log) and of a sigmoid (log-odds), and takes the one that the
    head's own last layer takes back.

    Raises:
        UserError: If neither does, as for outputs that are logits.
    """
    from lossheads.evaluation.inputs import resolve_head

    p = probabilities.double().flatten(1) if probabilities.ndim > 1 else probabilities.double()
    p = p.unsqueeze(1) if p.ndim == 1 else p
    resolved = resolve_head(head, None, p, labels, "lossheads")
    if bool(((p >= 0) & (p <= 1)).all()):
        log_p = p.clamp(min=_TINY).log()
        # 1 - p is 0 where p was rounded to 1: the log-odds end at those of the last float below.
        odds = log_p - (1 - p).clamp(min=torch.finfo(torch.float64).eps).log()
        for logits in (log_p, odds):
            back = resolved.framework_outputs(logits)
            # Frameworks compute in single precision, and rows sum to 1 only as far.
            if back.shape == p.shape and torch.allclose(back, p, rtol=0, atol=1e-5):
                return logits
    raise UserError(
        f"lossheads got outputs that are no probabilities of {type(resolved).__name__}: rows of a "
        f"softmax sum to 1, sigmoids lie in [0, 1]; pass given='logits' if the model returns logits"
    )


def check_once(
    write: Callable[[str], None], model: Any, inputs: Any, labels: Any = None, **names: Any
) -> Any:
    """`lossheads.check` on one batch, printed; None where it could not be done.

    A check may not end a training: what it refuses is printed as one line.
    """
    try:
        report = lossheads.check(model, inputs, labels, **names)
    except UserError as error:
        write(f"lossheads check: not done: {error}")
        return None
    write(f"lossheads check, first batch: {report}")
    return report


@contextmanager
def kept_random_state() -> Iterator[None]:
    """Draw an example without moving the streams that training draws from."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


def first_examples(dataset: Any, collate: Callable[[list[Any]], Any] | None) -> Any:
    """The first rows of a map-style dataset as one batch, by the loader's own collation.

    The loader itself is left alone: to iterate it would shuffle, and start its workers.

    Returns:
        None where the dataset has no rows by number.
    """
    if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        return None
    with kept_random_state():
        rows = [dataset[i] for i in range(min(CHECKED_ROWS, len(dataset)))]
        collate = collate or torch.utils.data.default_collate
        return collate(rows) if rows else None


def finite(numbers: Mapping[str, float]) -> dict[str, float]:
    """Without the undefined ones: loggers and JSON choke on NaN."""
    return {name: value for name, value in numbers.items() if value == value}
