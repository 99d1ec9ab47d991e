"""The answer of a sweep in a few lines: each head at its best setting, and paired differences.

A head's settings of optimizer, schedule and training are tuned: the one with the best mean on
validation is compared, on test. All else that differs (data, model, …) makes a comparison of its
own, for there is nothing to choose.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from lossheads.analysis.aggregate import baseline_of, final, metric_info, seed_interval
from lossheads.analysis.arms import identities, labelled, settings_of
from lossheads.analysis.estimates import Covers, estimate
from lossheads.analysis.format import count_of, ends_text, number, percent
from lossheads.analysis.shared_examples import sample_of_pairs
from lossheads.analysis.statistics import MIN_EQUAL, Interval, Region
from lossheads.analysis.test_sets import SharedTestSet, by_test_set
from lossheads.records import Result, plain

TUNED = ("optimizer", "schedule", "training")

Direction = Literal["higher", "lower", "equal", "undecided"]
Standing = Literal["best", "tied", "worse", "better", "unknown"]


@dataclass(frozen=True)
class Candidate:
    """One head at its best setting, or one setting of the only head.

    Attributes:
        head: With options of its own where they differ; with one head alone, its setting.
        setting: The best one of those tried, in the words of the command line; "" if one was.
        tried: Settings of this head.
        value: On test, over seeds, at 95 %.
        by_seed: Seed -> value on test.
        left_out: Seeds without a value, because they diverged.
    """

    head: str
    setting: str
    tried: int
    value: Interval
    by_seed: Mapping[int, float]
    left_out: int


@dataclass(frozen=True)
class Difference:
    """The second head minus the first, seed by seed.

    Attributes:
        interval: Its level grows with the number of differences: all of them hold at 95 %.
        covers: What the interval is about, beside training.
        examples: On test, at each seed; 0 where that is not known.
    """

    first: str
    second: str
    interval: Interval
    higher_is_better: bool | None
    covers: Covers = "training"
    examples: int = 0

    @property
    def direction(self) -> Direction:
        """Of the second head's value, as far as the interval tells."""
        if Region(0.0, math.inf, open=True).conclude(self.interval) == "holds":
            return "higher"
        if Region(-math.inf, 0.0, open=True).conclude(self.interval) == "holds":
            return "lower"
        same = self.interval.mean == self.interval.deviation == 0
        return "equal" if same and self.interval.n >= MIN_EQUAL else "undecided"

    @property
    def standing(self) -> Standing:
        """How the second head stands to the first, the best; where nothing is decided, tied."""
        if self.interval.n < 2 or self.higher_is_better is None:
            return "unknown"
        if self.direction in ("equal", "undecided"):
            return "tied"
        return "better" if (self.direction == "higher") == self.higher_is_better else "worse"

    @property
    def scope(self) -> str:
        """What a conclusion is about, in the words of `lossheads compare`."""
        if self.covers == "training_and_examples":
            return "on new examples"
        if self.covers == "training_and_data":
            return "over seeds with data of their own"
        these = f"these {self.examples:,} test examples" if self.examples else "these test examples"
        return f"over seeds, on {these}"

    @property
    def numbers(self) -> str:
        """The interval with its level and n."""
        seeds = count_of(self.interval.n, "seed")
        named = f"{self.second} - {self.first}"
        if self.interval.n < 2:
            return f"{named}: {number(self.interval.mean)}, n = {seeds}, no interval"
        shown = f"{number(self.interval.mean)} {ends_text(self.interval)}"
        return f"{named}: {shown}, {percent(self.interval.level)}, n = {seeds}"

    @property
    def conclusion(self) -> str:
        """The interval in words, no more."""
        interval, direction = self.interval, self.direction
        if interval.n == 0:
            return "undecided: the two have no seed in common"
        if interval.n == 1:
            return "undecided: one seed tells nothing about the next; add seeds, seed=0,1,2,3,4"
        if direction == "equal":
            return f"equal in each of {count_of(interval.n, 'seed')}"
        if direction == "undecided":
            return (
                f"undecided {self.scope}: {self.second} may be {number(-interval.low)} "
                f"{self._word(-1)} or {number(interval.high)} {self._word(1)}"
                if interval.low < 0 < interval.high
                else "undecided: too few seeds for numbers that do not vary"
            )
        sign = 1 if direction == "higher" else -1
        least, most = sorted((abs(interval.low), abs(interval.high)))
        by = f"by {number(least)} to {number(most)}"
        return f"{self.second} is {self._word(sign)} {self.scope}, {by}"

    def _word(self, sign: int) -> str:
        if self.higher_is_better is None:
            return "higher" if sign > 0 else "lower"
        return "better" if (sign > 0) == self.higher_is_better else "worse"


@dataclass(frozen=True)
class Comparison:
    """The heads on one set of test examples under one metric.

    Attributes:
        title: The test set, and what else all of these runs share.
        examples: How many there are, with their unit.
        baseline: Score of the best constant prediction.
    """

    title: str
    metric: str
    higher_is_better: bool | None
    examples: str
    baseline: float
    candidates: list[Candidate]
    differences: list[Difference]


def comparisons(results: Sequence[Result]) -> list[Comparison]:
    """One for each test set and each condition; those in which no run finished are left out."""
    found = []
    for data in by_test_set(results):
        if data.finished:
            found += [_compare(data, *condition) for condition in _conditions(data.runs)]
    return [comparison for comparison in found if comparison.candidates]


def _conditions(runs: Sequence[Result]) -> list[tuple[str, dict[str, dict[str, list[Result]]]]]:
    """What the runs of a comparison share, and head -> setting -> its runs, one per seed."""
    unique = list({run.key: run for run in runs}.values())
    configs = [run.config for run in unique]
    leaves = settings_of(configs, identities(configs))
    found: dict[str, dict[str, dict[str, list[Result]]]] = {}
    heads = heads_of(leaves)
    settings = labelled(leaves, lambda key: key.split(".")[0] in TUNED)
    others = labelled(leaves, lambda key: key.split(".")[0] not in ("head", *TUNED))
    for run, head, setting, other in zip(unique, heads, settings, others, strict=True):
        found.setdefault(other, {}).setdefault(head, {}).setdefault(setting, []).append(run)
    return list(found.items())


def heads_of(leaves: Sequence[Mapping[str, Any]]) -> list[str]:
    """The head of each run as it was chosen, with options in which runs of one choice differ."""
    names = [str(leaf["choices.head"]) for leaf in leaves]
    words = dict[int, str]()
    for name in dict.fromkeys(names):
        own = [at for at, other in enumerate(names) if other == name]
        shown = labelled([leaves[at] for at in own], lambda key: key.split(".")[0] == "head")
        words |= dict(zip(own, shown, strict=True))
    return [", ".join(filter(None, (name, words[at]))) for at, name in enumerate(names)]


def _compare(
    data: SharedTestSet, condition: str, heads: Mapping[str, Mapping[str, list[Result]]]
) -> Comparison:
    runs = [run for settings in heads.values() for some in settings.values() for run in some]
    metric = monitored(runs, data.metrics)
    higher = metric_info(runs, metric).higher_is_better
    if len(heads) == 1:  # there is nothing to choose for: its settings are what differs
        ((name, settings),) = heads.items()
        named = {", ".join(filter(None, (name, words))): {"": s} for words, s in settings.items()}
    else:
        named = {name: dict(some) for name, some in heads.items()}
    best = {name: _best(some, metric, higher) for name, some in named.items()}
    candidates = [_candidate(name, best[name], some, metric) for name, some in named.items()]
    first, *others = best if len(heads) > 1 else list(best)[:1]
    level = together(len(others))
    return Comparison(
        title=", ".join(filter(None, (data.title, condition))),
        metric=metric,
        higher_is_better=higher,
        examples=data.examples,
        baseline=baseline_of(runs, metric, "test"),
        candidates=candidates,
        differences=[
            paired(
                (first, named[first][best[first]]),
                (other, named[other][best[other]]),
                metric,
                level,
            )
            for other in others
        ],
    )


def monitored(runs: Sequence[Result], known: Sequence[str]) -> str:
    """The metric that the runs were told to monitor, else the first of their outcome."""
    told = [run.config.get("training") for run in runs]
    named = {str(one.get("monitor")) if isinstance(one, Mapping) else "" for one in told}
    return next((name for name in known if {name} == named), known[0])


def _best(settings: Mapping[str, Sequence[Result]], metric: str, higher: bool | None) -> str:
    return min(settings, key=lambda name: rank(settings[name], metric, higher))


def _candidate(
    head: str, best: str, settings: Mapping[str, Sequence[Result]], metric: str
) -> Candidate:
    runs = settings[best]
    known = by_seed(runs, metric)
    values = {seed: run.test.metrics[metric] for seed, run in known.items()}
    value = seed_interval(list(values.values()), metric_info(runs, metric).range)
    return Candidate(head, best, len(settings), value, values, len(runs) - len(known))


def by_seed(runs: Sequence[Result], metric: str) -> dict[int, Result]:
    """Those with a value on test."""
    finished = {run.config["seed"]: run for run in runs if run.status == "finished"}
    return {
        seed: run
        for seed, run in finished.items()
        if not math.isnan(run.test.metrics.get(metric, math.nan))
    }


def rank(runs: Sequence[Result], metric: str, higher: bool | None) -> tuple[int, float]:
    """Of a setting, lower is better: first seeds lost under it, then the mean on validation."""
    at = final([run for run in runs if run.status == "finished"], metric, "val")
    if higher is None:
        return (len(runs) - at.n, 0.0)
    worth = -at.mean if higher else at.mean
    return (len(runs) - at.n, math.inf if math.isnan(worth) else worth)


def together(differences: int, alpha: float = 0.05) -> float:
    """The level of each of several intervals that hold at 1 - alpha together, after Bonferroni."""
    return 1 - alpha / max(1, differences)


def paired(
    first: tuple[str, Sequence[Result]],
    second: tuple[str, Sequence[Result]],
    metric: str,
    level: float,
) -> Difference:
    """The second minus the first, each a name and its runs, over the seeds of both.

    Of a share of right examples the interval covers other test examples, too, as that of a claim.
    """
    (name, runs), (other, others) = first, second
    ones, twos = by_seed(runs, metric), by_seed(others, metric)
    pairs = [(run, twos[seed]) for seed, run in ones.items() if seed in twos]
    numbers = [two.test.metrics[metric] - one.test.metrics[metric] for one, two in pairs]
    sample = sample_of_pairs(pairs, metric)
    sizes = {run.test.n for pair in pairs for run in pair}
    return Difference(
        first=name,
        second=other,
        interval=estimate(numbers, sample).interval(level),
        higher_is_better=metric_info([*runs, *others], metric).higher_is_better,
        covers=sample.covers,
        examples=sizes.pop() if len(sizes) == 1 else 0,
    )


def summary_json(results: Sequence[Result], runs: str) -> dict[str, Any]:
    """All of it for machines: null for what is not finite.

    Args:
        runs: The folder of the run folders.
    """
    data: dict[str, Any] = {
        "schema_version": 1,
        "runs": [
            {"name": run.name, "folder": f"{runs}/{run.name}", "status": run.status}
            | {"seed": run.config["seed"], "metrics": _test_metrics(run)}
            for run in results
        ],
        "comparisons": [_as_data(comparison) for comparison in comparisons(results)],
    }
    return plain(data)  # type: ignore[no-any-return]


def _test_metrics(run: Result) -> dict[str, dict[str, float]]:
    if run.status != "finished":
        return {}
    names = run.test.metrics
    return {
        name: {"value": names[name], "baseline": run.test.baselines.get(name, math.nan)}
        for name in names
    }


def _as_data(comparison: Comparison) -> dict[str, Any]:
    data = asdict(comparison)
    for shown, difference in zip(data["differences"], comparison.differences, strict=True):
        shown |= {"direction": difference.direction, "conclusion": difference.conclusion}
    return data
