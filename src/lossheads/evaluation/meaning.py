"""What a stranger's numbers mean: asked, never guessed.

A head says all of it; without one the user states last layer (link), whether the numbers stand
before or behind it (given), and what a label can be (outcome). What is left out is refused with
the evidence that the numbers themselves give, and the calls that fit it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor

from lossheads.errors import HeadMismatch, UserError, near_matches
from lossheads.evaluation.evidence import (
    SUM_NOISE,
    SUM_TOLERANCE,
    Evidence,
    ask,
    called_logits,
    refuse_values,
    sample_of,
)
from lossheads.evaluation.files import read_predictions_file
from lossheads.evaluation.inputs import resolve_head
from lossheads.evaluation.labels import (
    as_outcome_labels,
    kind_of,
    outcome_of_kind,
    possible_outcomes,
    squeezed,
)
from lossheads.evaluation.raw import Columns, RawPredictions, checked_lengths
from lossheads.heads.base import Head
from lossheads.heads.criterion import with_softness
from lossheads.heads.reading import heads_of_link
from lossheads.outcomes import OneOf, Outcome, check_labels
from lossheads.predictions_file import read_predictions
from lossheads.records import read_result
from lossheads.runs.build import build
from lossheads.runs.config import config_folder, options

LINKS = ("softmax", "sigmoid")
GIVEN = ("logits", "probabilities")
_MAX_LOGIT = 100.0  # of a probability of exactly 0 or 1 behind a sigmoid


@dataclass(frozen=True)
class Meaning:
    """What the user says of the numbers; None where nothing is said."""

    head: Head | str | None = None
    link: str | None = None
    given: str | None = None
    outcome: Outcome | str | None = None
    class_names: Sequence[str] | None = None
    none_label: str | int | None = None


@dataclass(frozen=True)
class OwnPredictions:
    """Numbers whose meaning is known, with the labels of the same rows.

    Attributes:
        heads: The head that reads the numbers, and others that differ from it in their loss alone.
        numbers: (N, U) as given, perhaps mapped from disk; `logits` reads them.
        labels: As the outcome has them.
        clusters: (N,) int64 codes, or None.
        none: (N,) bool, which rows belong to no class; None where nobody asked. Their label is 0.
        notes: How the file was read, a clause each.
    """

    source: str
    heads: tuple[Head, ...]
    numbers: Any
    labels: Tensor
    to_logits: Callable[[Tensor], Tensor]
    given: str
    class_names: tuple[str, ...] = ()
    ids: NDArray[Any] | None = None
    clusters: NDArray[np.int64] | None = None
    parts: NDArray[Any] | None = None
    none: NDArray[np.bool_] | None = None
    digest: str = ""
    seed: Any = None
    notes: tuple[str, ...] = ()

    @property
    def head(self) -> Head:
        """The head that reads the numbers."""
        return self.heads[0]

    @property
    def n(self) -> int:
        """Examples."""
        return len(self.labels)

    def logits(self, start: int = 0, stop: int | None = None) -> Tensor:
        """Rows start … stop as logits (rows, U), checked.

        Raises:
            UserError: On a NaN, an infinity or a probability out of range, naming its row.
        """
        rows = self.numbers[start:stop]
        tensor = rows if isinstance(rows, Tensor) else torch.from_numpy(np.array(rows))
        tensor = tensor.flatten(1) if tensor.ndim > 1 else tensor.unsqueeze(1)
        refuse_values(tensor, start, self.source, self.given)
        wide = tensor if tensor.dtype == torch.float64 else tensor.float()
        return self.to_logits(wide)

    def chunks(self, rows: int) -> Iterator[tuple[slice, Tensor]]:
        """All rows, `rows` at a time: their place and their logits."""
        for start in range(0, self.n, rows):
            place = slice(start, min(self.n, start + rows))
            yield place, self.logits(place.start, place.stop)

    def taken(self, rows: NDArray[Any]) -> "OwnPredictions":
        """The examples of these row numbers, in their order."""
        which = torch.from_numpy(rows)
        return replace(
            self,
            numbers=self.numbers[which] if isinstance(self.numbers, Tensor) else self.numbers[rows],
            labels=self.labels[which.to(self.labels.device)],
            ids=None if self.ids is None else self.ids[rows],
            clusters=None if self.clusters is None else self.clusters[rows],
            parts=None if self.parts is None else self.parts[rows],
            none=None,
        )


def own_predictions(
    path: Path, columns: Columns, meaning: Meaning, who: str, trust: Sequence[str] = ()
) -> OwnPredictions:
    """Predictions in a file or run folder, once it is known what they mean.

    Raises:
        UserError: If it cannot be read, or leaves open what the numbers mean.
    """
    if path.is_dir():
        return _of_run(path, meaning, who, trust)
    return understood(read_predictions_file(path, columns, who), meaning, who)


def _of_run(folder: Path, meaning: Meaning, who: str, trust: Sequence[str]) -> OwnPredictions:
    """A run folder says itself what its numbers are."""
    result = read_result(folder)
    if result is None:
        raise UserError(
            f"{who} finds no finished run in {folder}: name a run's folder (outputs/runs/NAME), or "
            f"a file of predictions"
        )
    saved = read_predictions(folder)
    labels = squeezed(saved.labels)
    columns = saved.logits.shape[1]
    raw = RawPredictions(
        source=str(folder),
        numbers=saved.logits,
        labels=labels,
        named="logits",
        ids=saved.example_ids,
        class_names=tuple(result.class_names),
        digest=saved.examples_digest,
    )
    if meaning.head is None and meaning.link is None:
        builder = build("head", result.config["head"], trust)
        found = [(o, _built(builder, o)) for o in possible_outcomes(labels, columns)]
        heads = [head for _, head in found if head is not None and head.num_logits == columns]
        if labels.ndim == 2:  # a run keeps classes as indices: two dimensions are labels or groups
            heads = [
                head
                for head in heads
                if not isinstance(head.outcome, OneOf) or labels.dtype.kind == "f"
            ]
        if len(heads) != 1:
            raise UserError(
                f"{folder}: its labels {labels.shape} leave open what they can be for its head; "
                f"pass --outcome one_of, any_of or each_one_of with --head"
            )
        meaning = replace(meaning, head=heads[0], given="logits")
    ready = understood(raw, meaning, who)
    return replace(ready, seed=result.config.get("seed"))


def understood(raw: RawPredictions, meaning: Meaning, who: str) -> OwnPredictions:
    """Arrays with their meaning.

    Raises:
        UserError: If something must be asked, with evidence; or if values do not fit.
    """
    raw = replace(checked_lengths(raw), labels=squeezed(np.asarray(raw.labels)))
    numbers = raw.numbers
    if numbers.dtype.kind not in "iufb" or numbers.ndim > 3:
        raise UserError(
            f"{raw.source}: numbers must be floats of shape (N, U), got {numbers.dtype} "
            f"{numbers.shape}"
        )
    columns = int(np.prod(numbers.shape[1:], dtype=np.int64))
    for name, value, known in (("link", meaning.link, LINKS), ("given", meaning.given, GIVEN)):
        if value is not None and value not in known:
            raise UserError(f"{who} got {name}={value!r}; {near_matches(str(value), known)}")
    if meaning.head is not None and meaning.link is not None:
        raise UserError(f"{who} got head and link: a head holds its link, leave link out")
    if meaning.head is not None and not isinstance(meaning.head, str):
        resolve_head(meaning.head, None, torch.empty(0), torch.empty(0), who)
    outcome = _outcome(raw, meaning, columns)
    if outcome is None or (meaning.head is None and meaning.link is None):
        raise ask(raw, columns, who)
    heads = _heads(meaning, outcome, columns, who)
    given = meaning.given
    if given is None:
        evidence = Evidence.of(raw)
        if meaning.head is None:
            raise ask(raw, columns, who)
        if evidence.in_unit_interval:
            raise ask(raw, columns, who, _calls_of_head(raw, meaning, heads[0], who))
        given = "logits"  # a number below 0 or above 1 is no probability
    names = _names(raw, meaning, outcome, who)
    raw, none = _without_none(raw, meaning, names, who)
    labels, how = as_outcome_labels(raw.labels, outcome, names, raw.source)
    truth = torch.from_numpy(np.ascontiguousarray(labels))
    check_labels(heads[0].outcome, truth, raw.source)
    inverse = (lambda logits: logits) if given == "logits" else _inverse(raw, heads[0], who)
    return OwnPredictions(
        source=raw.source,
        heads=heads,
        numbers=numbers,
        labels=truth,
        to_logits=inverse,
        given=given,
        class_names=names,
        ids=raw.ids,
        clusters=None if raw.clusters is None else np.unique(raw.clusters, return_inverse=True)[1],
        parts=raw.parts,
        none=none,
        digest=raw.digest,
        notes=(
            f"{raw.named or 'numbers'} read as {given}",
            how,
            *_cut(raw, inverse),
            *_divided(raw, heads[0], inverse),
        ),
    )


def _calls_of_head(raw: RawPredictions, meaning: Meaning, head: Head, who: str) -> list[str]:
    """What may be said of numbers in [0, 1] beside a head, the likelier first.

    Any numbers may be logits; probabilities are what the head's last layer could give.
    """
    said = f"--head {meaning.head} " if isinstance(meaning.head, str) else ""
    kind = f" --outcome {meaning.outcome}" if isinstance(meaning.outcome, str) else ""
    givens = ["logits"]
    with suppress(UserError):
        _inverse(raw, head, who)
        givens.insert(1 if called_logits(raw) else 0, "probabilities")
    return [f"{said}--given {given}{kind}" for given in givens]


def _cut(raw: RawPredictions, inverse: Callable[[Tensor], Tensor]) -> list[str]:
    """What is said where probabilities of exactly 0 or 1 get finite logits."""
    if inverse is not _logit or not np.isin(sample_of(raw.numbers), (0, 1)).any():
        return []
    return [
        f"a probability of exactly 0 or 1 is taken for a logit of ∓{_MAX_LOGIT:g}: a wrong one "
        f"costs {_MAX_LOGIT:g} nats"
    ]


def _divided(raw: RawPredictions, head: Head, inverse: Callable[[Tensor], Tensor]) -> list[str]:
    """What is said where rows do not sum to 1: the softmax of their logarithms divides them."""
    if inverse is not _log:
        return []
    rows = _sampled_rows(raw)
    sums = (rows / head.framework_outputs(_log(rows)))[rows > 0]
    low, high = sums.min().item(), sums.max().item()
    if max(1 - low, high - 1) <= SUM_NOISE:
        return []
    return [
        f"rows sum to {low:.4g} … {high:.4g} and are divided by their sums: right for rounded "
        f"probabilities, wrong for what is no softmax"
    ]


def _without_none(
    raw: RawPredictions, meaning: Meaning, names: Sequence[str], who: str
) -> tuple[RawPredictions, NDArray[np.bool_] | None]:
    """Rows of no class get some class as their label, and are marked."""
    if meaning.none_label is None:
        return raw, None
    labels = raw.labels
    if labels.ndim != 1:
        raise UserError(f"{who}: none-label belongs to labels (N,), got {labels.shape}")
    word = str(meaning.none_label)
    if labels.dtype.kind != "U" and not word.lstrip("-").isdecimal():
        raise UserError(f"{who}: none-label must be a number as the labels are, got {word!r}")
    none = labels == (word if labels.dtype.kind == "U" else int(word))
    if not none.any() or none.all():
        raise UserError(f"{who} finds {int(none.sum())} of {len(none)} labels equal to {word}")
    some = names[0] if labels.dtype.kind == "U" and names else labels[~none][0]
    return replace(raw, labels=np.where(none, some, labels)), none


def _names(raw: RawPredictions, meaning: Meaning, outcome: Outcome, who: str) -> tuple[str, ...]:
    names = tuple(meaning.class_names or raw.class_names)
    if meaning.class_names is None and raw.class_names and len(names) != outcome.n:
        return ()  # columns of a single unit, of pairs or of groups
    if names and len(names) != outcome.n:
        raise UserError(
            f"{who} got {len(names)} class names for {outcome}: it needs {outcome.n}, in the "
            f"order of the columns"
        )
    if len(set(names)) < len(names):
        raise UserError(f"{who} got a class name twice: names must differ")
    return names


def _outcome(raw: RawPredictions, meaning: Meaning, columns: int) -> Outcome | None:
    """As said, or as the head's only possibility; None where several are left."""
    if isinstance(meaning.outcome, str):
        return outcome_of_kind(meaning.outcome, raw.labels, columns, raw.source)
    if meaning.outcome is not None:
        return meaning.outcome
    if meaning.head is None:
        return None
    if not isinstance(meaning.head, str):
        outcome = meaning.head.outcome
        kinds = {kind_of(o): o for o in possible_outcomes(raw.labels, columns)}
        soft = kinds[kind_of(outcome)].soft if kind_of(outcome) in kinds else outcome.soft
        return replace(outcome, soft=soft)
    builder = named_head(meaning.head)
    served = [o for o in possible_outcomes(raw.labels, columns) if _built(builder, o) is not None]
    return served[0] if len(served) == 1 else None


def _built(builder: Callable[[Outcome], Head], outcome: Outcome) -> Head | None:
    try:
        return builder(outcome)
    except HeadMismatch:
        return None


def named_head(name: str) -> Callable[[Outcome], Head]:
    """The shipped head of that name, for any outcome.

    Raises:
        UserError: If there is none.
    """
    known = options("head")
    if name not in known:
        raise UserError(f"no head is called {name!r}; {near_matches(name, known)}")
    node = yaml.safe_load((config_folder() / "head" / f"{name}.yaml").read_text("utf-8"))
    made: Callable[[Outcome], Head] = build("head", node, trust=())
    return made


def _heads(meaning: Meaning, outcome: Outcome, columns: int, who: str) -> tuple[Head, ...]:
    if meaning.link is not None:
        return heads_of_link(meaning.link, outcome, columns)  # type: ignore[arg-type]
    if isinstance(meaning.head, str):
        head = named_head(meaning.head)(outcome)
    else:
        assert meaning.head is not None
        head = meaning.head
        if head.outcome != outcome:
            head = with_softness(head, outcome.soft)
    if head.num_logits != columns:
        raise UserError(
            f"{who} got {columns} numbers per example: {type(head).__name__} for {head.outcome} "
            f"needs {head.num_logits}"
        )
    return (head,)


def _log(p: Tensor) -> Tensor:
    return p.double().log()


def _logit(p: Tensor) -> Tensor:
    return torch.logit(p.double()).clamp(-_MAX_LOGIT, _MAX_LOGIT)


def _sampled_rows(raw: RawPredictions) -> Tensor:
    sample = torch.from_numpy(sample_of(raw.numbers).astype(np.float64))
    return sample.flatten(1) if sample.ndim > 1 else sample.unsqueeze(1)


def _inverse(raw: RawPredictions, head: Head, who: str) -> Callable[[Tensor], Tensor]:
    """Probabilities -> logits whose last layer gives them back, as the head itself shows.

    Softmax leaves a constant per row free; log-probabilities are one choice.
    """
    rows = _sampled_rows(raw)
    refuse_values(rows, 0, raw.source, "probabilities")
    # The head says which, not the rows: of low ones sigmoid(log p) = p / (1 + p) is near p.
    shown = head.framework_outputs(torch.linspace(-1, 1, rows.shape[1]).double().unsqueeze(0))
    for inverse in (_log, _logit):
        if not torch.allclose(head.framework_outputs(inverse(shown)), shown):
            continue
        gap = (head.framework_outputs(inverse(rows)) - rows).abs()
        if bool((gap <= SUM_TOLERANCE).all()):
            return inverse
    low, high = (f(rows.sum(dim=1)).item() for f in (torch.min, torch.max))
    raise UserError(
        f"{who}: the rows of {raw.source} sum to {low:.4g} … {high:.4g} and are no probabilities "
        f"that the last layer of {type(head).__name__} could give: rows behind a softmax sum to 1; "
        f"name another link or head, or given=logits"
    )
