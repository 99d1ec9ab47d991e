"""Results written by hand: an arm is a list of values per seed, one a validation."""

import math
from collections.abc import Mapping, Sequence

from lossheads.metrics.evaluate import ALL_METRICS, ALL_PER_CLASS_METRICS
from lossheads.records import Measurement, Result, Status, ValidationStep

ARGMAX, CELLS, KERAS = "accuracy_score", "elementwise_accuracy_score", "keras_2_3_accuracy"
BASELINES = {ARGMAX: 0.1, CELLS: 0.9, KERAS: 0.1, "nll_loss": math.log(10)}
INFO = {metric.name: metric.info for metric in (*ALL_METRICS, *ALL_PER_CLASS_METRICS)}
CLASSES = [f"class {number}" for number in range(10)]


def measured(
    values: Mapping[str, float], baselines: Mapping[str, float] | None = None
) -> Measurement:
    known = {**BASELINES, **(baselines or {})}
    own = {name: known[name] for name in values}
    return Measurement(metrics=dict(values), baselines=own, per_class={}, undefined={}, n=1000)


def run(
    seed: int,
    history: Sequence[Mapping[str, float]],
    *,
    head: str = "softmax_cce",
    baselines: Mapping[str, float] | None = None,
    status: Status = "finished",
    steps: Sequence[int] | None = None,
) -> Result:
    """A run with history at steps 0, 100, 200, …; a finished one measured test at the last."""
    at = steps or [100 * index for index in range(len(history))]
    walked = []
    for index, (step, values) in enumerate(zip(at, history, strict=True)):
        val = measured(values, baselines)
        end = index == len(history) - 1 and status == "finished"
        walked.append(ValidationStep(step, step / 100, 1.0, 1e-3, val, val if end else None))
    return Result(
        key=f"key{seed}",
        name=f"toy-{head}-s{seed}",
        status=status,
        config={"seed": seed},
        class_names=CLASSES,
        history=walked,
        seconds=1.0,
        environment={},
        metric_info=INFO,
    )


def puzzle() -> dict[str, list[Result]]:
    """Two arms, three seeds, three history: equal by argmax, apart by what Keras printed."""
    arms: dict[str, list[Result]] = {"cce": [], "bce": []}
    for seed, luck in enumerate((-0.01, 0.0, 0.01)):
        ways = [0.1, 0.7 + luck, 0.88 + luck]
        cells = [1 - 0.2 * (1 - argmax) for argmax in ways]
        pairs = list(zip(ways, cells, strict=True))
        cce = [{ARGMAX: a, CELLS: c, KERAS: a, "nll_loss": 1 - a} for a, c in pairs]
        bce = [{ARGMAX: a, CELLS: c, KERAS: c, "nll_loss": 1 - a} for a, c in pairs]
        arms["cce"].append(run(seed, cce))
        arms["bce"].append(run(seed, bce, head="softmax_bce", baselines={KERAS: 0.9}))
    return arms
