"""What a user passes, as tensors with checked values: numpy, lists or tensors, never changed.

Inside training nothing is checked, for a check waits for the device; here, once per call, it is.
"""

import warnings
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from lossheads.errors import UserError, near_matches
from lossheads.heads.base import Head
from lossheads.heads.criterion import with_softness
from lossheads.outcomes import AnyOf, EachOneOf, OneOf, Outcome, check_labels
from lossheads.runs.build import build
from lossheads.runs.config import config_folder, options
from lossheads.runs.validate import check_head

HeadLike = Head | str


class ProbabilitiesAsLogits(UserWarning):
    """Logits look like the output of a softmax or a sigmoid, which the head would apply again."""


def as_tensor(value: Any, what: str, who: str) -> Tensor:
    """Numpy array, (nested) list or tensor -> a detached tensor on its own device.

    Raises:
        UserError: If it cannot be a tensor of numbers.
    """
    try:
        # A data frame is an array to numpy alone; a copy spares arrays that may not be written.
        array = value if isinstance(value, Tensor) else np.array(value)
        if isinstance(array, np.ndarray) and array.dtype.kind not in "biufc":
            raise UserError(
                f"{who} got {what} of type {type(value).__name__} that cannot be read as numbers, "
                f"{shortened(value)}: pass a tensor, a numpy array or a nested list of numbers"
            )
        tensor = array if isinstance(array, Tensor) else torch.from_numpy(array)
    except UserError:
        raise
    except Exception as error:  # whatever numpy and torch say of a stranger's object
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{who} got {what} of type {type(value).__name__} that cannot be read as an array of "
            f"numbers ({reason}): pass a tensor, a numpy array or a nested list"
        ) from error
    if tensor.layout is not torch.strided or tensor.is_nested or tensor.device.type == "meta":
        raise UserError(
            f"{who} got {what} as a sparse, nested or meta tensor: pass a dense one, .to_dense()"
        )
    if tensor.is_complex():
        raise UserError(f"{who} got complex {what}: they must be real numbers")
    return tensor.detach()


def shortened(value: Any) -> str:
    """As Python writes it, in one line, cut where it is long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 40 else f"{text[:40]}…"


def resolve_head(
    head: HeadLike, outcome: Outcome | None, logits: Tensor, labels: Tensor, who: str
) -> Head:
    """The head itself, or the shipped one of that name for the outcome.

    Raises:
        UserError: If no head has the name, or shapes and dtypes leave the outcome open.
    """
    if not isinstance(head, str):
        if isinstance(head, type) or not isinstance(head, Head):
            raise UserError(
                f"{who} got head={head!r}: it must be a head such as SoftmaxCCE(OneOf(10)), or the "
                f"name of one such as 'softmax_cce'"
            )
        if outcome is not None and outcome != head.outcome:
            raise UserError(
                f"{who} got outcome={outcome} beside a head for {head.outcome}: leave outcome out, "
                f"the head holds it"
            )
        if type(head).__module__.split(".")[0] != "lossheads":
            check_head(head, type(head).__name__)  # a head of one's own may fail in any way
        return head
    known = options("head")
    if head not in known:
        raise UserError(f"{who} knows no head {head!r}; {near_matches(head, known)}")
    if outcome is None:
        outcome = _outcome_of(head, logits, labels, who)
    node = yaml.safe_load((config_folder() / "head" / f"{head}.yaml").read_text("utf-8"))
    named: Head = build("head", node, trust=())(outcome)
    return named


def _outcome_of(head: str, logits: Tensor, labels: Tensor, who: str) -> Outcome:
    """From shapes and dtypes alone; what they leave open is asked for."""
    whole = not labels.is_floating_point()
    if logits.ndim == 3 and labels.ndim == 2 and whole:
        return EachOneOf(logits.shape[1], logits.shape[2])
    if logits.ndim == 2 and labels.ndim == 1 and whole and labels.dtype != torch.bool:
        return OneOf(max(2, logits.shape[1]))
    if logits.ndim == 2 and labels.ndim == 2 and whole:
        return AnyOf(labels.shape[1])
    raise UserError(
        f"{who} got head={head!r} with logits {tuple(logits.shape)} and labels "
        f"{tuple(labels.shape)} of type {labels.dtype}, which leave open what the labels can be: "
        f"pass outcome=OneOf(C), AnyOf(L) or EachOneOf(S, M), or a head that holds it"
    )


def checked(head: Head, logits: Tensor, labels: Tensor, who: str) -> tuple[Head, Tensor, Tensor]:
    """The head for hard or soft labels, flat float logits (N, U), labels as the outcome has them.

    Raises:
        UserError: On lengths, shapes, types or values that do not fit, named in one sentence.
    """
    logits = _checked_logits(head, logits, who)
    head, labels = _as_outcome_labels(head, labels, who)
    if len(labels) != len(logits):
        raise UserError(
            f"{who} got {len(logits)} rows of logits and {len(labels)} labels: they must be equal "
            f"in number"
        )
    if len(logits) == 0:
        raise UserError(f"{who} got 0 examples: it needs at least one")
    check_labels(head.outcome, labels, who)
    _suspect_probabilities(head, logits, who)
    return head, logits, labels.to(logits.device)


def _checked_logits(head: Head, logits: Tensor, who: str) -> Tensor:
    if logits.dtype == torch.bool:
        raise UserError(
            f"{who} got logits that are true or false: pass numbers, as the last layer gives them"
        )
    if not logits.is_floating_point():  # a list of whole numbers is no worse than one of others
        logits = logits.double()
    flat = logits.flatten(1) if logits.ndim > 2 else logits
    if flat.ndim == 1 and head.num_logits == 1:
        flat = flat.unsqueeze(1)
    if flat.ndim != 2 or flat.shape[1] != head.num_logits:
        raise UserError(
            f"{who} got logits of shape {tuple(logits.shape)}: {type(head).__name__} for "
            f"{head.outcome} needs (N, {head.num_logits})"
        )
    nan, infinite = int(flat.isnan().sum()), int(flat.isinf().sum())
    if nan or infinite:
        raise UserError(
            f"{who} got {nan} NaN and {infinite} infinite values among {flat.numel()} logits: no "
            f"metric is defined for them; leave these rows out, or find where they come from"
        )
    # float64 stays; half precisions are widened, since a metric of theirs would be rough.
    return flat if flat.dtype == torch.float64 else flat.float()


def _as_outcome_labels(head: Head, labels: Tensor, who: str) -> tuple[Head, Tensor]:
    """Integers and bools are hard labels, floats of the outcome's shape are distributions."""
    outcome = head.outcome
    soft = labels.is_floating_point()
    if not soft and labels.shape[1:] == outcome.columns and not isinstance(outcome, AnyOf):
        raise UserError(
            f"{who} got labels of shape {tuple(labels.shape)}, which look like one-hot rows: "
            f"{outcome} takes class indices, labels.argmax(-1); pass floats for distributions"
        )
    if not soft:
        if isinstance(outcome, AnyOf):
            if labels.dtype != torch.bool and bool(((labels != 0) & (labels != 1)).any()):
                raise UserError(
                    f"{who} got integer labels beyond 0 and 1: {outcome} takes one 0 or 1 for each "
                    f"label"
                )
            labels = labels.bool()
        else:
            labels = labels.long()
    if soft != outcome.soft:
        head = with_softness(head, soft)
    return head, labels


def _suspect_probabilities(head: Head, logits: Tensor, who: str) -> None:
    """Logits within [0, 1] hardly ever come from a trained layer without softmax or sigmoid."""
    if len(logits) < 2 or bool((logits < 0).any()) or bool((logits > 1).any()):
        return
    sums_to_one = bool((logits.sum(dim=1) - 1).abs().max() < 1e-3)
    if not sums_to_one and head.num_logits > 1 and isinstance(head.outcome, OneOf):
        return
    layer = "a softmax" if sums_to_one and head.num_logits > 1 else "a sigmoid"
    warnings.warn(
        f"{who} got logits that all lie in [0, 1]"
        f"{' with rows that sum to 1' if sums_to_one else ''}, as {layer} gives them: if they are "
        f"probabilities, pass what stands before {layer}",
        ProbabilitiesAsLogits,
        stacklevel=4,
    )
