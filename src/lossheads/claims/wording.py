"""Numbers, intervals and predictions as people read them."""

from collections.abc import Sequence

from lossheads.claims.claim import Prediction
from lossheads.claims.statistics import Interval
from lossheads.claims.verdict import ModelTest, Verdict
from lossheads.report.numbers import counted as counted
from lossheads.report.numbers import flips_word as flips_word
from lossheads.report.numbers import number as number
from lossheads.report.numbers import percent as percent


def spoken(word: str) -> str:
    """A verdict word as people read it: metric_artefact -> metric artefact."""
    return word.replace("_", " ")


def relation_text(prediction: Prediction) -> str:
    """The prediction in symbols, with its margin."""
    same = len(set(prediction.rulers)) == 1
    names = [
        arm if same else f"{ruler}({arm})"
        for arm, ruler in zip(prediction.arms, prediction.rulers, strict=True)
    ]
    if len(names) == 4:
        contrast = f"({names[0]} - {names[1]}) - ({names[2]} - {names[3]})"
    else:
        contrast = " - ".join(names)
    value, margin = prediction.value, prediction.margin
    if prediction.relation == "greater":
        right = f"> {value + margin:.6g}"
    elif prediction.relation == "less":
        right = f"< {value - margin:.6g}"
    else:
        right = f"within {value:.6g} ± {margin:.3g}"
    return f"{prediction.rulers[0]}: {contrast} {right}" if same else f"{contrast} {right}"


def interval_text(interval: Interval) -> str:
    """0.8801 [0.8790, 0.8812]"""
    return f"{number(interval.mean)} [{number(interval.low)}, {number(interval.high)}]"


def counts_text(test: ModelTest) -> str:
    """In how many seeds the two models differ, and the median p."""
    return (
        f"p < 0.05 in {test.told_apart} of {len(test.by_seed)} seeds, "
        f"median p = {number(test.median_p)}"
    )


def data_text(verdict: Verdict) -> str:
    """What the intervals cover: the luck of training, or that of drawing the data as well."""
    arms = verdict.claim.arms.values()
    redrawn = list(dict.fromkeys(arm.case or arm.name for arm in arms if arm.redrawn))
    fixed = list(dict.fromkeys(arm.case or arm.name for arm in arms if not arm.redrawn))
    if not redrawn:
        return (
            "All seeds share one data set: the intervals cover the luck of training (start and "
            "order), not that of another sample of data."
        )
    drawn = "Each seed draws its own data, one draw for all arms of a case: the intervals cover"
    if not fixed:
        return f"{drawn} the luck of the draw and of training."
    return (
        f"{drawn} the luck of the draw and of training for {', '.join(redrawn)}. All seeds of "
        f"{', '.join(fixed)} share one data set: there they cover the luck of training alone."
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(c.replace("|", "\\|") for c in line) + " |" for line in lines
    )
