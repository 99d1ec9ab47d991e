"""The tables and forest plots of one verdict, made from its JSON alone."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from lossheads.analysis.drawing import Scale, number_line
from lossheads.analysis.forest import Bar, scale_for, strip
from lossheads.analysis.format import (
    count_of,
    ends_text,
    interval_text,
    levels,
    nan_if_null,
    number,
    p_text,
    percent,
    recorded_interval,
    seeds_of,
    sign_flip_text,
)
from lossheads.analysis.page_tables import (
    Cell,
    PageTable,
    code_cell,
    conclusion_cell,
    list_cell,
    number_cell,
    text_cell,
)
from lossheads.analysis.statistics import MIN_FORECAST
from lossheads.claims.render.words import in_words
from lossheads.claims.schema import as_arguments, region_of

Data = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """One hypothesis beside its strip."""

    name: str
    says: str
    condition: str
    conclusion: str
    picture: Markup
    number: str
    ends: str

    @classmethod
    def of(cls, name: str, found: Data, bar: Bar, scale: Scale) -> "Row":
        """The row of a hypothesis of verdict.json."""
        return cls(
            name=name,
            says=in_words(name, found) if found["says"] else "",
            condition=found["condition"]
            + (", on this test set" if found["about"] == "this_test_set" else ""),
            conclusion=found["conclusion"],
            picture=strip(bar, scale),
            number=number(bar.plain.mean),
            ends=ends_text(bar.plain),
        )


@dataclass(frozen=True)
class Forest:
    """Hypotheses on one metric, drawn on one scale."""

    title: str
    rows: tuple[Row, ...]
    axis: Markup


def forests(hypotheses: Mapping[str, Data]) -> list[Forest]:
    """Hypotheses in groups of equal unit: same metrics, and differences apart from levels."""
    groups: dict[tuple[str, ...], dict[str, Data]] = {}
    for name, found in hypotheses.items():
        key = (*dict.fromkeys(found["metrics"]), unit_kind(found))
        groups.setdefault(key, {})[name] = found
    return [_forest(key, group) for key, group in groups.items()]


def unit_kind(found: Data) -> str:
    """Mean or difference."""
    # A difference of differences has the unit of a difference and may share its scale.
    return "Mean" if len(found["arms"]) == 1 else "Difference"


def _forest(key: Sequence[str], group: Mapping[str, Data]) -> Forest:
    *metrics, unit = key
    bars = {name: bar_of(name, found) for name, found in group.items()}
    scale = scale_for(list(bars.values()), with_zero=unit == "Difference")
    rows = tuple(Row.of(name, found, bars[name], scale) for name, found in group.items())
    n = f", n = {seeds_of(bar.plain for bar in bars.values())} seeds"
    paired = ", paired by seed" if unit == "Difference" else ""
    between = "in" if len(metrics) == 1 else "between"
    title = f"{unit} {'of' if unit == 'Mean' else between} {' and '.join(metrics)}{paired}{n}"
    return Forest(title, rows, number_line(scale))


def bar_of(name: str, found: Data, baseline: float = math.nan) -> Bar:
    """A hypothesis of verdict.json as it is drawn."""
    plain, tested = recorded_interval(found["interval"]), recorded_interval(found["tested"])
    region = region_of(found["relation"], float(found["value"]), float(found["margin"]))
    alt = (
        f"{in_words(name, found)}: mean {interval_text(plain)} at {percent(plain.level)}, "
        f"corrected interval {ends_text(tested)} at {percent(tested.level)}; hypothesis "
        f"{found['condition']}; {found['conclusion']}"
    )
    return Bar(plain, tested, region.low, region.high, alt, baseline)


def findings_table(hypotheses: Mapping[str, Data], alpha: float | None) -> PageTable | None:
    """The numbers behind the strips."""
    if not hypotheses:
        return None
    plain = levels(recorded_interval(found["interval"]) for found in hypotheses.values())
    head = (
        "hypothesis",
        "condition",
        f"mean, {plain} interval",
        "corrected interval",
        "what they cover",
        "conclusion",
        "sign-flip test",
        "n",
    )
    rows = tuple(_finding_row(name, found) for name, found in hypotheses.items())
    caption = (
        "Differences are paired by seed. Corrected by Holm over "
        f"{count_of(len(hypotheses), 'hypothesis', 'hypotheses')} at level {number(alpha)}; p is "
        "two-sided, n counts seeds. The sign-flip test covers what the seeds vary."
    )
    return PageTable(caption, head, rows)


def _finding_row(name: str, found: Data) -> tuple[Cell, ...]:
    plain, tested = recorded_interval(found["interval"]), recorded_interval(found["tested"])
    return (
        code_cell(name),
        text_cell(found["condition"]),
        number_cell(number(plain.mean), ends_text(plain)),
        number_cell(ends_text(tested), f"at {percent(tested.level)}{_p(found['p'])}"),
        text_cell(*_covers(found)),
        conclusion_cell(found["conclusion"], _needed(found)),
        _sign_flip_cell(found["sign_flip_test"], tested.level, plain.n),
        number_cell(str(plain.n)),
    )


def _p(value: float) -> str:
    """Of numbers that are equal at every seed it is 0, which says nothing."""
    return f", p {p_text(value)}" if value else ""


def _needed(found: Data) -> str:
    """What would decide, of seeds or else of test examples."""
    if recorded_interval(found["interval"]).n < MIN_FORECAST:
        return ""
    if found["more_seeds"]:
        return f"{count_of(found['more_seeds'], 'more seed')} would decide"
    examples = found.get("more_examples")
    return f"more seeds would not decide, {examples:,} more test examples would" if examples else ""


OVER = {
    "training": "over seeds alone",
    "training_and_examples": "over seeds and test examples",
    "training_and_data": "over seeds, each with data of its own",
}
_COVERS = {
    "training": "training alone",
    "training_and_examples": "training, test examples",
    "training_and_data": "training, data of each seed",
}


def _covers(found: Data) -> list[str]:
    """What an interval covers; beside one that covers more, that of the seeds alone."""
    covers = found.get("covers", "training")  # as verdicts made before it was recorded did
    text = _COVERS[covers]
    if found.get("about") == "this_test_set" and found["sample"]:
        text += ", on this test set"
    if covers != "training_and_examples":
        return [text]
    return [text, f"seeds alone {ends_text(recorded_interval(found['over_seeds']))}"]


def _sign_flip_cell(test: Data, level: float, n: int) -> Cell:
    conclusion = test["conclusion"]
    smallest = nan_if_null(test["smallest_p"])
    return text_cell(sign_flip_text(conclusion, smallest, level, n), f"p {p_text(test['p'])}")


def checks_table(checks: Mapping[str, Data]) -> PageTable | None:
    """Stated beside computed."""
    if not checks:
        return None
    rows = tuple(
        (
            code_cell(name),
            text_cell(check["says"]),
            number_cell(stated(check)),
            number_cell(computed(check)),
            conclusion_cell(check["conclusion"], _reading(check["reading"])),
        )
        for name, check in checks.items()
    )
    caption = "Numbers that need no training: what was stated, and what the program computes."
    return PageTable(caption, ("check", "what", "stated", "computed", "conclusion"), rows)


def stated(check: Data) -> str:
    """What a check asks for: the digits printed, or a relation to a number."""
    value = check["stated"]
    if isinstance(value, str):  # digits as the source printed them
        return value
    sign = {"equals": "=", "greater": ">", "less": "<"}[check["relation"]]
    margin = f" ± {nan_if_null(check['tolerance']):.3g}" if sign == "=" else ""
    return f"{sign} {digits(value)}{margin}"


def _reading(reading: str | None) -> str:
    """How the printed digits relate to the number, where digits were printed."""
    return {"right": "correctly rounded", "truncated": "truncated, not rounded"}.get(
        reading or "", f"digits {reading}" if reading else ""
    )


def digits(value: float | None) -> str:
    """A computed number with ten digits; a dash for what is undefined."""
    known = nan_if_null(value)
    return "–" if math.isnan(known) else f"{known:.10g}"


def computed(check: Data) -> str:
    """What a check found: by its distance from a border that it reads like and has not reached."""
    at, border = nan_if_null(check["computed"]), check["stated"]
    text = digits(at)
    is_number = isinstance(border, int | float)  # else digits as the source printed them
    if check["relation"] != "equals" and is_number and at != border and text == digits(border):
        return f"{text} {'-' if at < border else '+'} {abs(at - border):.2g}"
    return text


def arms_table(arms: Mapping[str, Data], shared: Mapping[str, Any]) -> PageTable | None:
    """What each arm sets beyond what all of them set, and its initial gradient norm."""
    if not arms:
        return None
    rows: list[tuple[Cell, ...]] = []
    for name, arm in arms.items():
        own = {k: v for k, v in arm["overrides"].items() if k not in shared}
        chosen = ", ".join(f"{v} × {n}" for v, n in arm["chosen"].items())
        norm, ratio = number(arm["gradient_norm"]), number(arm["gradient_ratio"])
        rows.append(
            (
                code_cell(name),
                code_cell(*as_arguments(own) or ["–"]),
                number_cell(norm),
                number_cell(ratio),
                text_cell(chosen),
            )
        )
    head: tuple[str, ...] = ("arm", "settings", "first gradient", "ratio", "chosen × seeds")
    if not any(row[-1].lines for row in rows):  # only a tuned arm chooses a value
        head, rows = head[:-1], [row[:-1] for row in rows]
    caption = (
        "First gradient: mean L2 norm on one example's logits before any step; ratio: to the first "
        "arm of the same case."
    )
    return PageTable(caption, head, tuple(rows))


def shared_by(arms: Mapping[str, Data]) -> dict[str, Any]:
    """The settings that every arm has in common."""
    sets = [arm["overrides"] for arm in arms.values()]
    first = sets[0] if sets else {}
    return {k: v for k, v in first.items() if all(k in s and s[k] == v for s in sets)}


def scores_table(cells: Sequence[Data]) -> PageTable | None:
    """Arm × metric; the longer of the two goes down, so that a page stays narrow."""
    if not cells:
        return None
    arms = list(dict.fromkeys(cell["arm"] for cell in cells))
    metrics = list(dict.fromkeys(cell["metric"] for cell in cells))
    mixed = len({cell.get("covers") for cell in cells}) > 1
    at = {(cell["arm"], cell["metric"]): _cell(cell, mixed) for cell in cells}
    none = number_cell("–")
    if len(arms) >= len(metrics):
        head = ("arm", *metrics)
        rows = [(code_cell(a), *(at.get((a, r), none) for r in metrics)) for a in arms]
    else:
        head = ("metric", *arms)
        rows = [(code_cell(r), *(at.get((a, r), none) for a in arms)) for r in metrics]
    marked = any(cell["standing"] in MARKS for cell in cells)
    intervals = [recorded_interval(cell["interval"]) for cell in cells]
    caption = (
        f"Test split: mean over n = {seeds_of(intervals)} seeds, its {levels(intervals)} interval, "
        "and the baseline, the score of the best constant prediction. A dash: not measured."
        f"{f' {MARKS_SAY}' if marked else ''}"
    )
    return PageTable(caption, head, tuple(rows))


MARKS = {"best": "★", "tied": "☆", "better": "☆"}
MARKS_SAY = (
    "★: best on validation, among the arms of a case with the same classes and test examples; ☆: "
    "not distinguishably worse on test, by paired intervals that hold at 95 % together for one "
    "metric in one case. Without marks: metrics with no better side or none on validation, or with "
    "other baselines for other arms; arms that lost a seed or stand alone."
)


def _cell(cell: Data, mixed: bool) -> Cell:
    interval = recorded_interval(cell["interval"])
    baseline = nan_if_null(cell["baseline"])
    alone = _COVERS["training"] if mixed and cell["covers"] == "training" else ""
    mark = MARKS.get(cell["standing"], "")
    return number_cell(
        f"{mark}\N{NO-BREAK SPACE}{number(interval.mean)}" if mark else number(interval.mean),
        ends_text(interval),
        alone,
        "no baseline" if math.isnan(baseline) else f"baseline {number(baseline)}",
    )


def models_table(models: Mapping[str, Data]) -> PageTable | None:
    """McNemar's test of two trained models at each seed, as counts."""
    if not models:
        return None
    rows = []
    for names, test in tests_by_arms(models):
        pairs = test["by_seed"]
        rows.append(
            (
                code_cell(*names),
                code_cell(*test["arms"]),
                list_cell(", ".join(f"{pair['first']}:{pair['second']}" for pair in pairs)),
                list_cell(", ".join(f"{nan_if_null(pair['p']):.2g}" for pair in pairs)),
                number_cell(number(test["median_p"])),
                number_cell(f"{test['significant_seeds']} of {len(pairs)}"),
            )
        )
    head = (
        "hypotheses",
        "models",
        "only one correct, by seed",
        "p, by seed",
        "median p",
        "seeds with p < 0.05",
    )
    caption = "Counts of test examples that only one of the two models classifies correctly."
    return PageTable(caption, head, tuple(rows))


def tests_by_arms(models: Mapping[str, Data]) -> list[tuple[list[str], Data]]:
    """Names of the hypotheses that compare the same two arms, and their one test."""
    groups: dict[frozenset[str], list[str]] = {}
    for name, test in models.items():
        groups.setdefault(frozenset(test["arms"]), []).append(name)
    return [(names, models[names[0]]) for names in groups.values()]
