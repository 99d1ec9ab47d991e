"""One example through a head, step by step."""

from collections.abc import Sequence
from typing import Any

from lossheads.evaluation.explaining import Explanation as Explanation
from lossheads.evaluation.explaining import explain_heads
from lossheads.evaluation.inputs import HeadLike
from lossheads.outcomes import Outcome


def explain(
    logits: Any,
    target: Any,
    *,
    head: HeadLike | Sequence[HeadLike],
    outcome: Outcome | None = None,
    base_rates: Any = None,
) -> Explanation:
    """Every step from logits to loss, gradient, scores and decision, with its formula.

    Args:
        logits: Of one example: (U,), or (S, M) for groups. Numbers, numpy array or tensor.
        target: Its label: an integer is a class, a list of 0 and 1 says which labels are on, a
            list of integers beside (S, M) logits is a class per group, floats are a distribution.
        head: A head such as `SoftmaxCCE(OneOf(3))` or a name such as "softmax_cce"; several are
            shown beside each other.
        outcome: For heads given by name, where shapes leave it open: OneOf, AnyOf or EachOneOf.
        base_rates: For heads whose loss needs the base rates of the training labels.

    Raises:
        UserError: In one sentence, on anything that does not fit.
    """
    single = isinstance(head, str) or not isinstance(head, Sequence)
    heads: list[HeadLike] = [head] if single else list(head)  # type: ignore[list-item, arg-type]
    return explain_heads([logits] * len(heads), target, heads, outcome, base_rates)
