"""What the last lap measures beside the rulers of an outcome: other thresholds, and outliers."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from lossheads.heads.base import Head
from lossheads.outcomes import AnyOf
from lossheads.predictions import Predictions, predict
from lossheads.results import Measurement
from lossheads.rulers.detection import detect
from lossheads.rulers.thresholds import compare_thresholds


def with_thresholds(
    test: Measurement, on_test: Predictions, head: Head, val_logits: Tensor, val_labels: Tensor
) -> Measurement:
    """AnyOf: adds `one_half/<ruler>` and `tuned/<ruler>` (per label, on validation, for its F1).

    The plain names are the head's own rule. Other outcomes pass through: nothing to tune.

    Args:
        on_test: What `test` has measured.
        val_logits: (N, L) of the validation split, whose labels come beside them.
    """
    if not isinstance(on_test.outcome, AnyOf) or on_test.outcome.soft:
        return test
    rulers, floors = dict(test.rulers), dict(test.floors)
    compared = compare_thresholds(predict(head, val_logits, val_labels), on_test)
    for rule in ("one_half", "tuned"):
        for name, value in compared[rule].items():
            rulers[f"{rule}/{name}"] = value
            floors[f"{rule}/{name}"] = test.floors[name]
    return replace(test, rulers=rulers, floors=floors)


def with_outliers(
    test: Measurement,
    head: Head,
    known: Tensor,
    outliers: Mapping[str, Tensor],
    none_class: int | None,
) -> Measurement:
    """Adds `outliers/<set>/<reading>_auroc_score` and `…_fpr95_error` for each set of outliers.

    Args:
        known: (N, U) logits of the test split.
        outliers: Set name -> (M, U) logits.
        none_class: Column trained to mean "none of these", left out of every reading.
    """
    rulers, floors = dict(test.rulers), dict(test.floors)
    for name, logits in outliers.items():
        found = detect(head, known, logits, none_class)
        rulers |= {f"outliers/{name}/{ruler}": value for ruler, value in found.rulers.items()}
        floors |= {f"outliers/{name}/{ruler}": value for ruler, value in found.floors.items()}
    return replace(test, rulers=rulers, floors=floors)
