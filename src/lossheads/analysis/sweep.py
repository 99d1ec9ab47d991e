"""The arms of a sweep as pictures place them: head, a setting across, panels for the rest.

Within one condition (data, model, … : what is not tuned) each head's best setting is chosen by its
mean on validation, and every arm is compared with the best of these, on test, seed by seed.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lossheads.analysis.aggregate import baseline_of, metric_info, seed_interval
from lossheads.analysis.arms import arm_names, identities, labelled, settings_of, short_names
from lossheads.analysis.palette import RATE, Mark, mark, marks, shades_of
from lossheads.analysis.statistics import Interval
from lossheads.analysis.summary import (
    TUNED,
    Difference,
    Standing,
    by_seed,
    heads_of,
    monitored,
    paired,
    rank,
    together,
)
from lossheads.errors import UserError, near_matches
from lossheads.records import Result


@dataclass(frozen=True)
class Asked:
    """What the command line asked of a report.

    Attributes:
        by: Settings that tables show as columns; the first is told by colour, the second across.
        metric: What is compared; "" for the one that runs monitored.
        sort: A metric or setting by which tables are sorted; "" for the metric.
        reference: The arm or head that others are compared with; "" for the first.
        margin: Differences up to it count as none; None for one point where 1 is perfect.
    """

    by: tuple[str, ...] = ()
    metric: str = ""
    sort: str = ""
    reference: str = ""
    margin: float | None = None


@dataclass(frozen=True, eq=False)
class Arm:
    """One arm under one metric.

    Attributes:
        name: Among all arms of the test set.
        series: Its value of the first setting of `by`, by default the head.
        across: Its value of the second one, by default the learning rate; None without.
        panel, condition: Its other tuned settings, and what is not tuned, in words.
        others: Both, without the settings of `by`, in words.
        value: On test, over seeds, at 95 %.
        by_seed: Seed -> value on test.
        settings: Every setting of `by` -> its value.
        mark: Of its series.
        at_rate: The same in the lightness of its learning rate.
        needs_panel: Whether another arm of its condition has the same series and setting.
    """

    name: str
    series: str
    across: Any
    panel: str
    condition: str
    others: str
    runs: tuple[Result, ...]
    value: Interval
    by_seed: Mapping[int, float]
    settings: Mapping[str, Any]
    mark: Mark = field(default_factory=lambda: mark(0))
    at_rate: Mark = field(default_factory=lambda: mark(0))
    needs_panel: bool = False

    @property
    def setting(self) -> str:
        """The setting across, as the command line writes it; "" without."""
        if self.across is None:
            return ""
        return f"{short_key(list(self.settings)[1])}={setting_text(self.across)}"

    @property
    def short(self) -> str:
        """The series and the setting across it; with the panel where that takes it."""
        return self.whole if self.needs_panel else self._place

    @property
    def whole(self) -> str:
        """The series and all that was tuned."""
        return ", ".join(filter(None, (self._place, self.panel)))

    @property
    def _place(self) -> str:
        return " ".join(filter(None, (self.series, self.setting)))


def names_of(arms: Iterable[Arm]) -> dict[Arm, str]:
    """What a text calls these: their series, or `short` where two of them share one."""
    told = list(arms)
    alone = len({arm.series for arm in told}) == len(told)
    return {arm: arm.series if alone else arm.short for arm in told}


@dataclass(frozen=True)
class Compared:
    """An arm beside the best one of its condition."""

    standing: Standing
    words: str


# Of an arm whose seeds all diverged, and of those beside it where no other has a value.
NOT_COMPARED = Compared("unknown", "no seed has a value")
EQUAL = Compared("tied", "equal to best at every seed")


@dataclass(frozen=True)
class Condition:
    """Arms that share all that is not tuned.

    Attributes:
        optima: Series -> its arm with the best mean on validation, best first.
        compared: Arm name -> how it stands to the best.
        drawn: Each series at its best; where there is one series, its settings. In the order met.
        reference: What the others of them are held against; None where it is not here.
        looks: Pairs that are compared: all arms with the best, those drawn with the reference.
    """

    title: str
    arms: tuple[Arm, ...]
    optima: Mapping[str, Arm]
    compared: Mapping[str, Compared]
    drawn: tuple[Arm, ...]
    reference: Arm | None
    looks: int

    @property
    def level(self) -> float:
        """Of every interval of a difference, so that all of them hold together at 95 %."""
        return together(self.looks)

    @property
    def best(self) -> Arm | None:
        """The first of the optima; None where neither direction is better."""
        return next(iter(self.optima.values()), None)


@dataclass(frozen=True)
class Sweep:
    """Runs on one test set under one metric, which cannot leave its ends."""

    metric: str
    higher_is_better: bool | None
    ends: tuple[float, float]
    baseline: float
    series_key: str
    across_key: str
    by: tuple[str, ...]
    conditions: tuple[Condition, ...]

    @property
    def arms(self) -> list[Arm]:
        """All of them."""
        return [arm for condition in self.conditions for arm in condition.arms]


def sweep_of(runs: Sequence[Result], metrics: Sequence[str], asked: Asked) -> Sweep:
    """The arms of runs on one test set.

    Raises:
        UserError: For a metric that none of them was measured under, or a setting of `by` that
            none of them has.
    """
    unique = list({run.key: run for run in runs}.values())
    metric = asked.metric or monitored(unique, metrics)
    if metric not in metrics:
        raise UserError(
            f"report got --metric {metric}: no run was measured under it; "
            f"{near_matches(metric, metrics)}"
        )
    info = metric_info(unique, metric)
    higher = info.higher_is_better
    configs = [run.config for run in unique]
    known = identities(configs)
    names = arm_names(configs, known)
    leaves = settings_of(configs, known)
    by = _asked_keys(asked.by, leaves) or _usual(leaves)
    arms = _arms(unique, names, leaves, by, metric)
    conditions = dict[str, list[Arm]]()
    for arm in arms:
        conditions.setdefault(arm.condition, []).append(arm)
    return Sweep(
        metric=metric,
        higher_is_better=higher,
        ends=info.range,
        baseline=baseline_of(unique, metric, "test"),
        series_key=by[0],
        across_key=by[1] if len(by) > 1 else "",
        by=by,
        conditions=tuple(
            _condition(title, some, metric, higher, asked.reference)
            for title, some in conditions.items()
        ),
    )


def _asked_keys(words: Sequence[str], leaves: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    keys = tuple(_known_key(word, leaves) for word in words)
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise UserError(
            f"report got --by {','.join(words)}: it names {twice} twice; once is enough"
        )
    return keys


def _known_key(word: str, leaves: Sequence[Mapping[str, Any]]) -> str:
    """The full key of a setting: a group's choice, a dotted key, or its last part."""
    keys = dict.fromkeys(key for leaf in leaves for key in leaf)
    if f"choices.{word}" in keys or word in keys:
        return word
    ending = [key for key in keys if key.endswith(f".{word}") and not key.startswith("choices.")]
    if len(ending) == 1:
        return ending[0]
    known = {key.removeprefix("choices.") for key in keys}
    near = f"it may be {' or '.join(ending)}" if ending else near_matches(word, known)
    raise UserError(f"report got --by {word}: no run has one such setting; {near}")


def _usual(leaves: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The head, and the learning rate or else the first number that was varied."""
    differing = varied(leaves)
    numbers = [
        key
        for key in differing
        if all(_is_number(leaf[key]) for leaf in leaves if key in leaf)
        and key.split(".")[0] in TUNED
    ]
    across = next((key for key in ("optimizer.lr", *numbers) if key in differing), "")
    return ("head", across) if across else ("head",)


def varied(leaves: Sequence[Mapping[str, Any]]) -> list[str]:
    """Settings, choices apart, in which runs differ."""
    values: dict[str, set[str]] = {}
    for leaf in leaves:
        for key, value in leaf.items():
            values.setdefault(key, set()).add(str(value))
    return [k for k, some in values.items() if len(some) > 1 and not k.startswith("choices.")]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _arms(
    runs: Sequence[Result],
    names: Sequence[str],
    leaves: Sequence[Mapping[str, Any]],
    by: Sequence[str],
    metric: str,
) -> list[Arm]:
    groups: dict[str, list[int]] = {}
    for at, name in enumerate(names):
        groups.setdefault(name, []).append(at)
    firsts = [leaves[some[0]] for some in groups.values()]  # one row of settings per arm
    heads = heads_of(firsts)
    head_at_hand = "head" in by
    panels = labelled(firsts, lambda key: key.split(".")[0] in TUNED and not _is_shown(key, by))
    rest = labelled(
        firsts,
        lambda key: (
            key.split(".")[0] not in ("head" if head_at_hand else "", *TUNED)
            and not _is_shown(key, by)
        ),
    )
    found = []
    shown = [_values(by, leaf, head) for leaf, head in zip(firsts, heads, strict=True)]
    looks = _looks(firsts, shown, by)
    for (name, some), values, panel, other, look in zip(
        groups.items(), shown, panels, rest, looks, strict=True
    ):
        own = tuple(runs[at] for at in some)
        known = {seed: run.test.metrics[metric] for seed, run in by_seed(own, metric).items()}
        series = setting_text(values[by[0]])
        across = values[by[1]] if len(by) > 1 else None
        value = seed_interval(list(known.values()), metric_info(own, metric).range)
        others = ", ".join(filter(None, (panel, other)))
        further = [f"{key.split('.')[-1]}={setting_text(values[key])}" for key in by[2:]]
        panel = ", ".join(filter(None, (panel, *further)))
        found.append(
            Arm(name, series, across, panel, other, others, own, value, known, values, *look)
        )
    told = Counter((arm.condition, arm.short) for arm in found)
    return [replace(arm, needs_panel=told[arm.condition, arm.short] > 1) for arm in found]


def _looks(
    leaves: Sequence[Mapping[str, Any]], shown: Sequence[Mapping[str, Any]], by: Sequence[str]
) -> list[tuple[Mark, Mark]]:
    """Of each arm its series' mark, and the same at its learning rate; with one series the latter.

    A series of a head has the head's place; one of rates is told by lightness.
    """
    texts = [setting_text(values[by[0]]) for values in shown]
    heads = {str(leaf["choices.head"]) for leaf in leaves}
    settings: dict[str, dict[str, Any]] = {}
    for text, values, leaf in zip(texts, shown, leaves, strict=True):
        if by[0] == "head":
            settings[text] = {"head": leaf["choices.head"], "text": text}
        elif by[0] == RATE and _is_number(values[RATE]):
            settings[text] = {"head": min(heads) if len(heads) == 1 else RATE, RATE: values[RATE]}
        else:
            settings[text] = {"head": text}
    series = marks(settings)
    across = [values.get(RATE) for values in shown]
    across = [value if _is_number(value) else None for value in across]
    shades = shades_of(across) if len(set(across)) > 1 else [0] * len(across)
    found = []
    for text, shade in zip(texts, shades, strict=True):
        plain = series[text]
        at_rate = mark(plain.place, shade) if shade else plain
        found.append((at_rate if len(series) == 1 else plain, at_rate))
    return found


def _is_shown(key: str, by: Sequence[str]) -> bool:
    return key in by or (key.rpartition(".")[0] in by and key.endswith("._target_"))


def _values(by: Sequence[str], leaf: Mapping[str, Any], head: str) -> dict[str, Any]:
    return {key: head if key == "head" else leaf.get(f"choices.{key}", leaf.get(key)) for key in by}


def setting_text(value: Any) -> str:
    """As the command line writes it: two values that differ do not read alike."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _condition(
    title: str, arms: Sequence[Arm], metric: str, higher: bool | None, wanted: str
) -> Condition:
    by_series: dict[str, list[Arm]] = {}
    for arm in arms:
        by_series.setdefault(arm.series, []).append(arm)

    def place(arm: Arm) -> tuple[int, float]:
        return rank(arm.runs, metric, higher)

    optima = sorted((min(some, key=place) for some in by_series.values()), key=place)
    # Where neither direction is better, nothing can be chosen.
    optima = [arm for arm in optima if arm.value.n and higher is not None]
    chosen = optima if len(optima) > 1 else [arm for arm in arms if arm.value.n]
    drawn = tuple(arm for arm in arms if arm in chosen)
    reference = _reference(arms, drawn, wanted)
    pairs = {frozenset((arm.name, optima[0].name)) for arm in arms} if optima else set()
    if reference is not None:
        pairs |= {frozenset((arm.name, reference.name)) for arm in drawn}
    looks = sum(len(pair) > 1 for pair in pairs)
    compared = {}
    if optima:
        level = together(looks)
        compared = {arm.name: _compared(arm, optima[0], metric, level) for arm in arms}
    by_name = {arm.series: arm for arm in optima}
    return Condition(title, tuple(arms), by_name, compared, drawn, reference, looks)


def _reference(arms: Sequence[Arm], drawn: Sequence[Arm], wanted: str) -> Arm | None:
    if not wanted:
        return drawn[0] if drawn else None
    by_name = {arm.name: arm for arm in arms if arm.value.n}
    return (by_name | {arm.series: arm for arm in reversed(drawn)}).get(wanted)


def difference(first: Arm, second: Arm, metric: str, level: float) -> Difference:
    """The second minus the first, over the seeds that both have."""
    return paired((first.name, first.runs), (second.name, second.runs), metric, level)


def _compared(arm: Arm, best: Arm, metric: str, level: float) -> Compared:
    if arm.name == best.name:
        return Compared("best", "best on validation")
    if not arm.value.n:
        return NOT_COMPARED
    found = difference(best, arm, metric, level)
    standing = found.standing
    if standing == "unknown":
        return Compared(standing, "one shared seed or none: not compared with best")
    if standing == "tied":
        undecided = Compared(standing, "cannot be told from best")
        return EQUAL if found.direction == "equal" else undecided
    is_better = standing == "better"
    word = "better on test than the best on validation" if is_better else "worse than best"
    least, most = sorted((abs(found.interval.low), abs(found.interval.high)))
    return Compared(standing, f"{word}, by {least:.2g} to {most:.2g}")


def sorted_arms(sweep: Sweep, arms: Iterable[Arm], sort: str) -> list[Arm]:
    """By a setting of `by`, numbers as numbers, or else by the metric, best first."""
    if sort and sort != sweep.metric:
        key = next((key for key in sweep.by if sort in (key, key.split(".")[-1])), None)
        if key is None:
            known = [*sweep.by, sweep.metric]
            raise UserError(
                f"report got --sort {sort}: it must be a setting of --by or the metric; "
                f"{near_matches(sort, known)}"
            )
        return sorted(arms, key=lambda arm: _order(arm.settings[key]))
    sign = -1 if sweep.higher_is_better in (True, None) else 1
    return sorted(
        arms, key=lambda a: (math.isnan(a.value.mean), 0 if not a.value.n else sign * a.value.mean)
    )


def _order(value: Any) -> tuple[int, float, str]:
    return (0, float(value), "") if _is_number(value) else (1, 0.0, str(value))


def across_values(arms: Iterable[Arm]) -> list[Any]:
    """The settings across, numbers in their order."""
    return sorted({setting_text(arm.across): arm.across for arm in arms}.values(), key=_order)


def short_key(key: str) -> str:
    """optimizer.lr -> lr"""
    return short_names([key])[key] if "." in key else key
