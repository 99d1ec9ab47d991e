"""lossheads: compare loss heads honestly.

    import lossheads as lh

    head = lh.SoftmaxCCE(lh.OneOf(10))
    loss = head(logits, labels)                        # a criterion for any training loop
    print(lh.evaluate(logits, labels, head=head))      # every metric, baseline and skill

What `dir(lossheads)` lists is public; everything else may change. Importing this package imports
nothing heavy: a name brings torch when it is first asked for.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lossheads.api.accumulator import Accumulator as Accumulator
    from lossheads.api.check import check as check
    from lossheads.api.comparing import Comparison as Comparison
    from lossheads.api.comparing import compare as compare
    from lossheads.api.evaluation import Evaluation as Evaluation
    from lossheads.api.evaluation import MetricValue as MetricValue
    from lossheads.api.evaluation import evaluate as evaluate
    from lossheads.api.evaluation import metric_names as metric_names
    from lossheads.api.explaining import Explanation as Explanation
    from lossheads.api.explaining import explain as explain
    from lossheads.api.running import run_claim as run_claim
    from lossheads.api.running import train as train
    from lossheads.decoding.decode import Decoding as Decoding
    from lossheads.decoding.decode import decode as decode
    from lossheads.errors import HeadMismatch as HeadMismatch
    from lossheads.errors import RunsFailed as RunsFailed
    from lossheads.errors import UserError as UserError
    from lossheads.evaluation.inputs import ProbabilitiesAsLogits as ProbabilitiesAsLogits
    from lossheads.heads import Asymmetric as Asymmetric
    from lossheads.heads import Focal as Focal
    from lossheads.heads import GroupedBalancedCCE as GroupedBalancedCCE
    from lossheads.heads import GroupedCCE as GroupedCCE
    from lossheads.heads import GroupedCentredCCE as GroupedCentredCCE
    from lossheads.heads import GroupedKLExcess as GroupedKLExcess
    from lossheads.heads import GroupedLogitAdjustedCCE as GroupedLogitAdjustedCCE
    from lossheads.heads import GroupedLogSumCCE as GroupedLogSumCCE
    from lossheads.heads import GroupedPairwiseCCE as GroupedPairwiseCCE
    from lossheads.heads import Head as Head
    from lossheads.heads import LinearSquaredError as LinearSquaredError
    from lossheads.heads import MultilabelCCE as MultilabelCCE
    from lossheads.heads import PerLabelCCE as PerLabelCCE
    from lossheads.heads import SigmoidBCE as SigmoidBCE
    from lossheads.heads import SigmoidOffsetBCE as SigmoidOffsetBCE
    from lossheads.heads import SingleLogitBCE as SingleLogitBCE
    from lossheads.heads import SingleLogitSoftmaxCCE as SingleLogitSoftmaxCCE
    from lossheads.heads import SoftmaxBCE as SoftmaxBCE
    from lossheads.heads import SoftmaxCCE as SoftmaxCCE
    from lossheads.heads import SoftmaxFocal as SoftmaxFocal
    from lossheads.heads import SoftmaxLogitNormCCE as SoftmaxLogitNormCCE
    from lossheads.heads import SoftmaxLogitPenaltyCCE as SoftmaxLogitPenaltyCCE
    from lossheads.heads import SoftmaxMultihot as SoftmaxMultihot
    from lossheads.heads import SoftmaxPoly1CCE as SoftmaxPoly1CCE
    from lossheads.heads import SoftmaxWeightedCCE as SoftmaxWeightedCCE
    from lossheads.heads import TwoLogitCCE as TwoLogitCCE
    from lossheads.linting.report import CheckReport as CheckReport
    from lossheads.linting.report import Finding as Finding
    from lossheads.metrics.base import metric as metric
    from lossheads.metrics.base import per_class_metric as per_class_metric
    from lossheads.metrics.stats import PredictionStats as PredictionStats
    from lossheads.outcomes import AnyOf as AnyOf
    from lossheads.outcomes import EachOneOf as EachOneOf
    from lossheads.outcomes import OneOf as OneOf
    from lossheads.outcomes import Outcome as Outcome
    from lossheads.records import Result as Result

__version__ = "0.2.0"

# Threads that wait for each other should sleep, not spin; OpenMP reads this when torch is loaded.
# Alone on two cores it costs nothing (3.7 against 4.0 ms a cohort step, medians of 3); beside
# other work it saves nearly everything (22 against 172 ms).
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

# Module -> the public names that it defines; `tests/api` holds this against the imports above.
_PUBLIC = {
    "lossheads.api.accumulator": ("Accumulator",),
    "lossheads.api.check": ("check",),
    "lossheads.api.comparing": ("Comparison", "compare"),
    "lossheads.api.evaluation": ("Evaluation", "MetricValue", "evaluate", "metric_names"),
    "lossheads.api.explaining": ("Explanation", "explain"),
    "lossheads.api.running": ("run_claim", "train"),
    "lossheads.decoding.decode": ("Decoding", "decode"),
    "lossheads.errors": ("HeadMismatch", "RunsFailed", "UserError"),
    "lossheads.evaluation.inputs": ("ProbabilitiesAsLogits",),
    "lossheads.heads": (
        "Asymmetric",
        "Focal",
        "GroupedBalancedCCE",
        "GroupedCCE",
        "GroupedCentredCCE",
        "GroupedKLExcess",
        "GroupedLogSumCCE",
        "GroupedLogitAdjustedCCE",
        "GroupedPairwiseCCE",
        "Head",
        "LinearSquaredError",
        "MultilabelCCE",
        "PerLabelCCE",
        "SigmoidBCE",
        "SigmoidOffsetBCE",
        "SingleLogitBCE",
        "SingleLogitSoftmaxCCE",
        "SoftmaxBCE",
        "SoftmaxCCE",
        "SoftmaxFocal",
        "SoftmaxLogitNormCCE",
        "SoftmaxLogitPenaltyCCE",
        "SoftmaxMultihot",
        "SoftmaxPoly1CCE",
        "SoftmaxWeightedCCE",
        "TwoLogitCCE",
    ),
    "lossheads.linting.report": ("CheckReport", "Finding"),
    "lossheads.metrics.base": ("metric", "per_class_metric"),
    "lossheads.metrics.stats": ("PredictionStats",),
    "lossheads.outcomes": ("AnyOf", "EachOneOf", "OneOf", "Outcome"),
    "lossheads.records": ("Result",),
}
_MODULE_OF = {name: module for module, names in _PUBLIC.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'lossheads' has no attribute {name!r}")
    value = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = value  # the next look-up costs nothing
    return value


def __dir__() -> list[str]:
    return sorted([*_MODULE_OF, "__version__"])
