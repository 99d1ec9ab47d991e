"""Two models on the same examples: which is better, on this test set and on new examples.

What is seen on these examples is exact; what holds for new examples is an interval of the paired
difference. Neither says what another training run would give, unless several runs of each model
are compared: then seeds and examples both vary.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lossheads.analysis.format import p_text
from lossheads.analysis.statistics import MIN_FORECAST, holm_levels, mcnemar
from lossheads.errors import UserError
from lossheads.evaluation.intervals import LEVEL, quantile
from lossheads.evaluation.meaning import OwnPredictions
from lossheads.evaluation.measuring import Measured, left_open, measured
from lossheads.evaluation.sampling import Sampled, standard_error
from lossheads.metrics.base import Metric
from lossheads.metrics.evaluate import SHIPPED
from lossheads.records import plain

# Higher and lower: of a metric without a better side.
Conclusion = Literal["better", "worse", "higher", "lower", "within", "undecided"]
MAX_MORE = 10_000_000


@dataclass(frozen=True)
class Difference:
    """The second model minus the first, on one metric.

    Attributes:
        first, second: Values on these examples; means over runs where there are several.
        low, high: Interval of the difference on new examples; of runs as well where there are
            several. NaN where nothing is known.
        error: Its standard error.
        runs_error: The part of it that more examples do not make smaller; 0 of single runs.
        most: What no difference exceeds: 1 of metrics in [0, 1].
        higher_is_better: Of the metric.
    """

    name: str
    first: float
    second: float
    low: float
    high: float
    error: float
    freedom: float
    higher_is_better: bool | None
    runs_error: float = 0.0
    most: float = math.inf

    @property
    def difference(self) -> float:
        """Second - first."""
        return self.second - self.first

    def side(self, gap: float) -> Literal["better", "worse", "higher", "lower"]:
        """What a second model is that exceeds the first by `gap`, which is not 0."""
        if self.higher_is_better is None:
            return "higher" if gap > 0 else "lower"
        return "better" if (gap > 0) == self.higher_is_better else "worse"


@dataclass(frozen=True)
class Verdict:
    """What the interval of one metric allows to say of the second model.

    Attributes:
        level: Confidence of the interval; stricter by Holm's procedure among several models.
        low, high: The interval at that level.
        p: Of the interval; where McNemar's exact test asks the same, the larger of both.
        more: About how many more examples would decide, seen differences kept; None where none
            would or it is decided.
    """

    metric: str
    conclusion: Conclusion
    margin: float
    level: float
    low: float
    high: float
    p: float
    more: int | None


@dataclass(frozen=True)
class Pair:
    """Two models compared.

    Attributes:
        first, second: Their names.
        only_first, only_second: Names of the examples that only one decided right.
        mcnemar_p: Exact, two-sided; NaN for several runs.
        classes: Per class: examples, and how many only one of them decided right.
        runs: Training runs of each.
    """

    first: str
    second: str
    n: int
    differences: tuple[Difference, ...]
    verdict: Verdict
    only_first: tuple[Any, ...]
    only_second: tuple[Any, ...]
    mcnemar_p: float
    classes: tuple[Mapping[str, Any], ...]
    runs: tuple[int, int] = (1, 1)

    def __getitem__(self, name: str) -> Difference:
        for difference in self.differences:
            if difference.name == name:
                return difference
        raise KeyError(f"no metric {name!r} was compared")


@dataclass(frozen=True)
class Comparison:
    """Every model against the first.

    Attributes:
        runs: How many training runs each model has.
        notes: How examples were matched, and what the numbers do not say.
    """

    pairs: tuple[Pair, ...]
    n: int
    runs: tuple[int, ...]
    notes: tuple[str, ...]

    def __getitem__(self, name: str) -> Difference:
        return self.pairs[0][name]

    @property
    def conclusion(self) -> str:
        """Of the first pair."""
        return self.pairs[0].verdict.conclusion

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data for JSON."""
        pairs = [
            plain(vars(pair))
            | {
                "differences": [
                    plain(vars(d) | {"difference": d.difference}) for d in pair.differences
                ],
                "verdict": plain(vars(pair.verdict)),
            }
            for pair in self.pairs
        ]
        return {
            "schema_version": 1,
            "n": self.n,
            "runs": list(self.runs),
            "notes": list(self.notes),
            "pairs": pairs,
        }

    def __str__(self) -> str:
        return "\n".join(sentence(pair) for pair in self.pairs)


def sentence(pair: Pair) -> str:
    """What may be said of the second model, no more than its interval says."""
    verdict = pair.verdict
    level = f"{100 * verdict.level:.3g} %"
    interval = f"{verdict.metric} differs by {verdict.low:+.4f} to {verdict.high:+.4f} ({level})"
    if verdict.conclusion == "within":
        said = f"within {verdict.margin:g} of {pair.first}"
        return f"On new examples {pair.second} is {said}: {interval}"
    by_more = f" by more than {verdict.margin:g}" if verdict.margin else ""
    if verdict.conclusion != "undecided":
        said = f"{_side_in_words(verdict.conclusion, pair)}{by_more}"
        return f"On new examples {pair.second} is {said}: {interval}"
    more = "more examples alone would hardly decide"
    if verdict.more is not None:
        more = f"about {verdict.more:,} more examples would decide"
    elif 1 < min(pair.runs) < MIN_FORECAST:
        more = f"fewer than {MIN_FORECAST} runs of each forecast no number that would decide"
    elif verdict.margin == 0 and (verdict.low > 0 or verdict.high < 0):
        more = f"the interval leaves 0, McNemar's exact test does not (p {p_text(verdict.p)})"
    if by_more and (verdict.low > 0 or verdict.high < 0):
        side = pair[verdict.metric].side(verdict.low)
        said = f"{_side_in_words(side, pair)}, undecided whether{by_more}"
        return f"On new examples {pair.second} is {said}: {interval}; {more}"
    return f"On new examples undecided between {pair.first} and {pair.second}: {interval}; {more}"


def _side_in_words(side: str, pair: Pair) -> str:
    """A metric without a better side says which model has more of it, and no more."""
    of_metric = f" in {pair.verdict.metric}" if side in ("higher", "lower") else ""
    return f"{side}{of_metric} than {pair.first}"


# --- matching ----------------------------------------------------------------------------------


def matched(models: Sequence[OwnPredictions], who: str) -> tuple[list[OwnPredictions], str]:
    """The models' rows of the same examples, in the order of the first.

    Raises:
        UserError: If they are not about the same examples, or their labels differ.
    """
    first, rest = models[0], list(models[1:])
    with_ids = [model.ids is not None for model in models]
    if all(with_ids) and not all(m.digest and m.digest == first.digest for m in models):
        how = "matched by ids"
        shared = _shared_ids(models)
        if not len(shared):
            raise UserError(
                f"{who}: {first.source} and {rest[0].source} share no id: they must be about the "
                f"same examples"
            )
        models = [_by_ids(model, shared) for model in models]
        dropped = max(len(with_all.labels) for with_all in [first, *rest]) - len(shared)
        if dropped:
            how += f"; {dropped} examples without a partner left out"
    else:
        how = "matched by order, labels equal"
        for other in rest:
            if other.n != first.n:
                raise UserError(
                    f"{who}: {first.source} has {first.n} examples and {other.source} {other.n}, "
                    f"and without ids in both they are matched by order: give ids, --ids NAME"
                )
    first, rest = models[0], list(models[1:])
    for other in rest:
        if other.head.outcome != first.head.outcome:
            raise UserError(
                f"{who}: {first.source} holds {first.head.outcome} and {other.source} "
                f"{other.head.outcome}: only models of one outcome are compared"
            )
        if first.class_names != other.class_names and sorted(first.class_names) == sorted(
            other.class_names
        ):
            raise UserError(
                f"{who}: {first.source} names its classes {', '.join(first.class_names[:4])} … and "
                f"{other.source} {', '.join(other.class_names[:4])} …: they must be in the same "
                f"order, or label numbers mean different classes"
            )
        differ = (first.labels != other.labels).reshape(first.n, -1).any(dim=1)
        if bool(differ.any()):
            row = int(differ.nonzero()[0])
            name = first.ids[row] if first.ids is not None else f"row {row}"
            raise UserError(
                f"{who}: {first.source} and {other.source} label {int(differ.sum())} of {first.n} "
                f"examples differently, first {name}: they must be about the same examples in the "
                f"same order, or have ids, --ids NAME"
            )
    return models if isinstance(models, list) else list(models), how


def _shared_ids(models: Sequence[OwnPredictions]) -> NDArray[Any]:
    ids = [model.ids for model in models if model.ids is not None]
    words = any(array.dtype.kind in "US" for array in ids)
    shared = ids[0].astype(np.str_) if words else ids[0]
    for array in ids[1:]:
        shared = shared[np.isin(shared, array.astype(np.str_) if words else array)]
    return shared


def _by_ids(model: OwnPredictions, shared: NDArray[Any]) -> OwnPredictions:
    assert model.ids is not None
    ids = model.ids.astype(np.str_) if shared.dtype.kind == "U" else model.ids
    order = np.argsort(ids, kind="stable")
    return model.taken(order[np.searchsorted(ids, shared, sorter=order)])


# --- differences -------------------------------------------------------------------------------


def compared(
    names: Sequence[str],
    models: Sequence[Sequence[OwnPredictions]],
    metric: str,
    margin: float,
    how: str,
    full: bool = False,
) -> Comparison:
    """Every model, given by its runs, against the first one.

    Args:
        metric: The one that is concluded on.
        margin: Differences up to it count as none; 0 asks which is better.

    Raises:
        UserError: If `metric` is not known from probabilities, or not measured on so many rows.
    """
    unknown = {name for runs in models for run in runs for name in left_open(run)}
    if metric in unknown:
        raise UserError(
            f"compare: {metric} depends on more than the probabilities, and the files hold no "
            f"logits: choose another metric, or give logits"
        )
    scalar = SHIPPED.scalar_for(models[0][0].head.outcome)
    known = {m.name: m for m in scalar if m.name not in unknown}
    done = [[measured(run, full=full) for run in runs] for runs in models]
    if not all(metric in run.sampled for runs in done for run in runs):
        raise UserError(
            f"compare: {metric} is left out on so many rows, as it takes long: add --full "
            f"(full=True), or choose another metric"
        )
    all_differences = [_differences(done[0], other, known) for other in done[1:]]
    chosen = [next(d for d in found if d.name == metric) for found in all_differences]
    p_values = [
        max(_p(one, margin), _exact_p(done[0], other, one, margin))
        for one, other in zip(chosen, done[1:], strict=True)
    ]
    levels = holm_levels(p_values) if len(chosen) > 1 else [LEVEL]
    pairs = []
    for index, found in enumerate(all_differences):
        sizes = (len(done[0]), len(done[index + 1]))
        one, level, p = chosen[index], levels[index], p_values[index]
        verdict = _verdict(one, margin, level, p, done[0][0].own.n, min(sizes))
        pairs.append(_pair(names[0], names[index + 1], done[0], done[index + 1], found, verdict))
    runs = tuple(len(model) for model in models)
    return Comparison(tuple(pairs), models[0][0].n, runs, (*_notes(runs, len(pairs), how),))


def _notes(runs: Sequence[int], pairs: int, how: str) -> list[str]:
    notes = [how]
    if min(runs) < 2:
        notes.append(
            "this compares trained models: one run of each says nothing of what another training "
            "run (another seed) of the same recipe would give; give several runs of each, "
            "A=run1,run2 B=run3,run4"
        )
    else:
        notes.append(
            f"intervals cover new examples and new training runs ({' and '.join(map(str, runs))} "
            f"runs); the runs' order carries no pairing"
        )
    if pairs > 1:
        notes.append(f"{pairs} conclusions share an error of 0.05 by Holm's procedure")
    return notes


def _differences(
    first: Sequence[Measured], second: Sequence[Measured], known: Mapping[str, Metric]
) -> tuple[Difference, ...]:
    shared = [n for n in first[0].sampled if n in second[0].sampled and n in known]
    return tuple(
        difference(
            name,
            [run.sampled[name] for run in first],
            [run.sampled[name] for run in second],
            known[name].higher_is_better,
        )
        for name in shared
    )


def difference(
    name: str, first: Sequence[Sampled], second: Sequence[Sampled], better: bool | None
) -> Difference:
    """By the difference of influence functions: pairs at equal examples vary together."""
    a, b = (float(np.mean([s.value for s in side])) for side in (first, second))
    mean_a, mean_b = (np.mean([s.influence for s in side], axis=0) for side in (first, second))
    square = standard_error(mean_b - mean_a) ** 2
    freedom = float(len(mean_a) - 1)
    if first[0].in_unit_interval and second[0].in_unit_interval:
        # Two half examples, one in favour of each, as Agresti and Min (2005) add them to pairs:
        # where no example differs, the next one may.
        square += 1 / min(first[0].edge_units, second[0].edge_units) ** 2
    spreads = [
        np.var([s.value for s in side], ddof=1) / len(side) if len(side) > 1 else 0.0
        for side in (first, second)
    ]
    runs_error = 0.0
    if min(len(first), len(second)) > 1:
        parts = [(square, freedom)]
        parts += [(float(v), len(s) - 1.0) for v, s in zip(spreads, (first, second), strict=True)]
        total = sum(part for part, _ in parts)
        runs_error = math.sqrt(sum(map(float, spreads)))
        below = sum(part**2 / free for part, free in parts)
        square, freedom = total, total**2 / below if below else freedom
    error = math.sqrt(square) if square >= 0 else math.nan
    half = float(stats.t.isf((1 - LEVEL) / 2, freedom)) * error if freedom > 0 else math.nan
    gap = b - a
    low, high = gap - half, gap + half
    most = 1.0 if first[0].in_unit_interval and second[0].in_unit_interval else math.inf
    low, high = max(-most, low), min(most, high)
    return Difference(name, a, b, low, high, error, freedom, better, runs_error, most)


def _p(one: Difference, margin: float) -> float:
    """The largest alpha at which the interval leaves every border undecided."""
    if not one.error > 0 or math.isnan(one.difference):
        return 1.0
    borders = (0.0,) if margin == 0 else (-margin, margin)
    nearest = min(abs(one.difference - border) for border in borders)
    return float(2 * stats.t.sf(nearest / one.error, one.freedom))


def _exact_p(
    first: Sequence[Measured], second: Sequence[Measured], one: Difference, margin: float
) -> float:
    """McNemar's of single runs, where the metric is the share of examples right; else 0."""
    if margin > 0 or len(first) > 1 or len(second) > 1:
        return 0.0
    right_a, right_b = (_right(run[0]) for run in (first, second))
    if not math.isclose(one.first, right_a.mean()) or not math.isclose(one.second, right_b.mean()):
        return 0.0
    return mcnemar(int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())).p


def _verdict(one: Difference, margin: float, level: float, p: float, n: int, runs: int) -> Verdict:
    half = float(stats.t.isf((1 - level) / 2, one.freedom)) * one.error
    low, high = one.difference - half, one.difference + half
    low, high = max(-one.most, low), min(one.most, high)
    conclusion: Conclusion = "undecided"
    if margin > 0 and -margin <= low and high <= margin:
        conclusion = "within"
    elif (low > margin or high < -margin) and (margin > 0 or p <= 1 - level):
        conclusion = one.side(one.difference)
    more = None
    if conclusion == "undecided" and (runs == 1 or runs >= MIN_FORECAST):
        more = _more(one, margin, level, n)
    return Verdict(one.name, conclusion, margin, level, low, high, p, more)


def _more(one: Difference, margin: float, level: float, n: int) -> int | None:
    """Examples still needed for the interval to leave the nearest border."""
    borders = (0.0,) if margin == 0 else (-margin, margin)
    nearest = min(abs(one.difference - border) for border in borders)
    if not nearest > 0 or not one.error > 0:
        return None
    # What the runs vary stays: the error has to fall to this in all.
    left = (nearest / quantile(level, max(n, 2))) ** 2 - one.runs_error**2
    if not left > 0:
        return None
    more = math.ceil(n * (one.error**2 - one.runs_error**2) / left - n)
    return more if 0 < more <= MAX_MORE else None


def _pair(
    first_name: str,
    second_name: str,
    first: Sequence[Measured],
    second: Sequence[Measured],
    differences: tuple[Difference, ...],
    verdict: Verdict,
) -> Pair:
    own = first[0].own
    right_a, right_b = (_right(run[0]) for run in (first, second))
    only_a, only_b = right_a & ~right_b, right_b & ~right_a
    ids = own.ids if own.ids is not None else np.arange(own.n)
    single = len(first) == len(second) == 1
    p = mcnemar(int(only_a.sum()), int(only_b.sum())).p if single else math.nan
    return Pair(
        first=first_name,
        second=second_name,
        n=own.n,
        differences=differences,
        verdict=verdict,
        only_first=tuple(ids[only_a].tolist()) if single else (),
        only_second=tuple(ids[only_b].tolist()) if single else (),
        mcnemar_p=p,
        classes=_classes(first[0], only_a, only_b) if single else (),
        runs=(len(first), len(second)),
    )


def _right(run: Measured) -> NDArray[np.bool_]:
    """(N,) examples of which every decision is right."""
    right = (run.rows.labels == run.rows.decisions).reshape(run.rows.n, -1).all(dim=1)
    return np.asarray(right.numpy())


def _classes(
    run: Measured, only_a: NDArray[np.bool_], only_b: NDArray[np.bool_]
) -> tuple[Mapping[str, Any], ...]:
    """Per class or label, examples that hold it and that only one model decided right."""
    labels = run.rows.labels.numpy()
    if labels.ndim > 1 and labels.dtype != bool:
        return ()
    count = run.own.head.outcome.n
    names = run.own.class_names or tuple(map(str, range(count)))
    rows: list[dict[str, Any]] = []
    for place in range(count):
        held = labels[:, place] if labels.ndim > 1 else labels == place
        a, b = int((held & only_a).sum()), int((held & only_b).sum())
        rows.append(
            {
                "class": names[place],
                "examples": int(held.sum()),
                "only_first_right": a,
                "only_second_right": b,
                "p": mcnemar(a, b).p,
            }
        )
    order = sorted(range(count), key=lambda i: rows[i]["p"])
    adjusted, worst = [1.0] * count, 0.0
    for rank, index in enumerate(order):
        worst = max(worst, min(1.0, float(rows[index]["p"]) * (count - rank)))
        adjusted[index] = worst
    return tuple({**row, "p_holm": adjusted[i]} for i, row in enumerate(rows))
