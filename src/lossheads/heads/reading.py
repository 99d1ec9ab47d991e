"""The head that reads numbers of a model nothing more is known of than its last layer."""

from typing import Any, Literal

from lossheads.errors import UserError
from lossheads.heads.base import Head
from lossheads.heads.binary import SingleLogitBCE
from lossheads.heads.grouped import GroupedCCE
from lossheads.heads.multiclass import SigmoidBCE, SoftmaxBCE, SoftmaxCCE
from lossheads.heads.multilabel_softmax import PerLabelCCE, SoftmaxMultihot
from lossheads.outcomes import AnyOf, EachOneOf, OneOf, Outcome

LinkName = Literal["softmax", "sigmoid"]


def heads_of_link(link: LinkName, outcome: Outcome, num_logits: int) -> tuple[Head, ...]:
    """Heads with this last layer, one for each loss by which a framework chose its accuracy.

    All of them read logits alike; the first stands for them.

    Args:
        num_logits: U, numbers per example.

    Raises:
        UserError: If no last layer of that kind gives U numbers for the outcome.
    """
    kinds: tuple[Any, ...] = ()
    if link == "softmax":
        if isinstance(outcome, OneOf) and num_logits > 1:
            kinds = (SoftmaxCCE, SoftmaxBCE)
        elif isinstance(outcome, AnyOf):
            kinds = (PerLabelCCE,) if num_logits == 2 * outcome.n else (SoftmaxMultihot,)
        elif isinstance(outcome, EachOneOf):
            kinds = (GroupedCCE,)
    elif not isinstance(outcome, EachOneOf):
        one_unit = isinstance(outcome, OneOf) and num_logits == 1
        kinds = (SingleLogitBCE if one_unit else SigmoidBCE,)
    if not kinds:
        raise UserError(
            f"link={link} has no reading of {num_logits} numbers for {outcome}: softmax needs one "
            f"number per class, at least 2; groups are read by softmax alone"
        )
    return tuple(kind(outcome) for kind in kinds)
