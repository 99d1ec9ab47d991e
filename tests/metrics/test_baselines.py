"""Baselines by search: the best that all predictions reach which say the same of every example."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations, permutations, product

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from lossheads.dialects import DIALECTS
from lossheads.heads import SigmoidBCE, SoftmaxCCE
from lossheads.heads.base import FrameworkLoss
from lossheads.metrics import (
    SHIPPED,
    MetricSet,
    average_precision_score,
    evaluate_ood,
    excess_coverage_error,
    fitted_temperature,
    macro_f1_score,
    macro_precision_score,
    measure,
    measure_cohort,
    metrics_for,
    per_class_metrics_for,
    ranking_loss,
    roc_auc_score,
    worst_recall_score,
)
from lossheads.metrics.frameworks import (
    QUANTITY_METRICS,
    printed_mean_iou,
    printed_mean_iou_without_first,
    setting_of,
)
from lossheads.outcomes import AnyOf, EachOneOf, OneOf, Outcome
from lossheads.predictions import CohortPredictions, Predictions

from .making import draw, draw_labels, from_logits, generator

OUTCOMES: list[Outcome] = [
    OneOf(2),
    OneOf(4),
    AnyOf(1),
    AnyOf(4),
    EachOneOf(1, 3),
    EachOneOf(2, 2),
    EachOneOf(2, 3),
    EachOneOf(3, 2),
]
SOFT: list[Outcome] = [replace(outcome, soft=True) for outcome in OUTCOMES]
# Where classes exclude each other, chances by which each decision is drawn may beat every fixed
# decision under these.
GUESSED = (
    macro_f1_score,
    macro_precision_score,
    worst_recall_score,
    printed_mean_iou,
    printed_mean_iou_without_first,
)


@dataclass(frozen=True)
class Search:
    """Every constant prediction of some labels: decisions, scores, probabilities, outputs."""

    outcome: Outcome
    labels: Tensor
    one_unit: bool = False

    @cached_property
    def width(self) -> int:
        return math.prod(self.outcome.columns)

    @property
    def binary(self) -> bool:
        return isinstance(self.outcome, AnyOf)

    @cached_property
    def target(self) -> Tensor:
        rows = self.outcome.indicators(self.labels).flatten(1)
        return rows[:, 1:] if self.one_unit else rows

    @cached_property
    def rates(self) -> Tensor:
        """Events at their base rates, as one example's log-probabilities are laid out."""
        rates = self.outcome.indicators(self.labels).double().mean(dim=0)
        return torch.stack([1 - rates, rates], dim=-1) if self.binary else rates

    def all(self, loss: FrameworkLoss) -> CohortPredictions:
        """One member for each; members beyond the end of a list begin it again."""
        lists = self._decisions(), self._scores(), self._events(), self._outputs()
        n, k = len(self.labels), max(map(len, lists))

        def spread(rows: Tensor) -> Tensor:
            rows = rows[torch.arange(k) % len(rows)]
            return rows.unsqueeze(1).expand(k, n, *rows.shape[1:])

        decided, scored, likely, said = map(spread, lists)
        return CohortPredictions(
            Predictions(
                outcome=self.outcome,
                labels=self.labels,
                scores=scored.unflatten(-1, self.outcome.columns),
                log_probs=likely.log(),
                decisions=decided,
                framework_outputs=said,
                framework_target=self.target,
                framework_loss=loss,
                logits=2 * said - 1,
                true_posterior=self.outcome.indicators(self.labels).double(),
            )
        )

    def perfect(self, like: Predictions) -> Predictions:
        hard = self.outcome.hard(self.labels)
        indicators = replace(self.outcome, soft=False).indicators(hard).double()
        events = torch.stack([1 - indicators, indicators], -1) if self.binary else indicators
        return replace(like, scores=indicators, log_probs=events.log(), decisions=hard)

    def guessed(self, guesses: Tensor) -> Predictions:
        """Every guess beside every label: independent, exactly in these proportions."""
        labels = self.labels.repeat_interleave(len(guesses), dim=0)
        decisions = guesses.repeat(len(self.labels), *[1] * (guesses.ndim - 1))
        outputs = replace(self.outcome, soft=False).indicators(decisions).flatten(1)
        made = from_logits(self.outcome, 2 * outputs - 1, labels)
        return replace(made, decisions=decisions, framework_outputs=outputs)

    def _decisions(self) -> Tensor:
        # The likeliest first: beside it, probabilities at the base rates are calibrated.
        wise = self.rates.argmax(dim=-1, keepdim=self.rates.ndim == 1).flatten()
        n = 2 if self.binary else self.outcome.n
        every = torch.tensor([wise.tolist(), *product(range(n), repeat=len(wise))])
        return every.bool() if self.binary else every.reshape(-1, *self.outcome.columns[:-1])

    def _scores(self) -> Tensor:
        """All rows of zeros and ones, and every weak order of up to four columns."""
        levels = [k / self.width for k in range(self.width)] if self.width < 5 else []
        rows = (product(values, repeat=self.width) for values in ([0.0, 1.0], levels))
        return torch.tensor([row for some in rows for row in some]).double()

    def _events(self) -> Tensor:
        noise = 0.3 * torch.rand(20, *self.rates.shape, generator=generator(5)).double()
        noise[0] = 0
        return (self.rates + noise) / (self.rates + noise).sum(dim=-1, keepdim=True)

    def _outputs(self) -> Tensor:
        """Zeros and ones, rows of the target, and the most frequent value of every cell."""
        ends = torch.tensor(list(product([0.0, 1.0], repeat=self.target.shape[1])))
        return torch.cat([ends, self.target[:10], self.target.mode(dim=0).values.unsqueeze(0)])


def metrics_of(like: Predictions) -> MetricSet:
    """All metrics, of the quantities that libraries print those that one prints here."""
    ends = ("probabilities", "logits")
    printed = {dialect.reads(setting_of(like, end)) for dialect in DIALECTS for end in ends}
    quantities = [each for name, each in QUANTITY_METRICS.items() if name in printed]
    directed = [each for each in SHIPPED.scalar if each is not fitted_temperature]
    return MetricSet((*directed, *quantities), SHIPPED.per_class)


def check_constants(search: Search, loss: FrameworkLoss) -> None:
    cohort = search.all(loss)
    metrics = metrics_of(cohort[0])
    tables = measure_cohort(cohort, full=True, metrics=metrics)
    perfect = measure(search.perfect(cohort[0]), full=True, metrics=metrics)
    for each in metrics.scalar_for(search.outcome):
        values = [[table.metrics[each.name]] for table in tables]
        check(
            each,
            not search.binary,
            values,
            [tables[0].baselines[each.name]],
            [perfect.metrics[each.name]],
        )
    for each in metrics.per_class_for(search.outcome):
        values = [table.per_class[each.name] for table in tables]
        check(
            each, not search.binary, values, each.baseline(cohort[0]), perfect.per_class[each.name]
        )


def check(each, guessing: bool, values, baselines, perfect) -> None:
    """Column by column: the baseline is the best value, and NaN where perfection has none."""
    best = max if each.higher_is_better else min
    for column, baseline, top in zip(zip(*values, strict=True), baselines, perfect, strict=True):
        if math.isnan(top):
            assert math.isnan(baseline), each.name
            continue
        found = best(value for value in column if not math.isnan(value))
        if guessing and each in GUESSED:
            found = best(found, baseline)  # `test_no_chances_beat_…` finds what reaches it
        # 1e-6: soft labels are float32 and their rows sum to 1 in the seventh digit.
        assert baseline == pytest.approx(found, abs=1e-6), each.name


def without_a_class(outcome: Outcome) -> Tensor:
    labels = draw_labels(outcome, 30, generator(3))
    return (
        labels & (torch.arange(outcome.n) > 0)
        if labels.dtype == torch.bool
        else labels.clamp(min=1)
    )


LABELS = {
    "drawn": lambda outcome: draw_labels(outcome, 40, generator(2)),
    "a class never occurs": without_a_class,
    "one class only": lambda outcome: torch.ones_like(draw_labels(outcome, 7, generator(3))),
    "one example": lambda outcome: draw_labels(outcome, 1, generator(8)),
    "nothing": lambda outcome: torch.zeros_like(draw_labels(outcome, 7, generator(3))),
    "few": lambda outcome: draw_labels(outcome, 5, generator(9)),
}


@pytest.mark.parametrize("loss", ["binary_crossentropy", "categorical_crossentropy"])
@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("outcome", OUTCOMES, ids=str)
def test_no_constant_prediction_beats_a_baseline_and_one_reaches_it(outcome, labels, loss):
    check_constants(Search(outcome, LABELS[labels](outcome)), loss)


@pytest.mark.parametrize("outcome", SOFT, ids=str)
def test_no_constant_prediction_beats_a_baseline_of_soft_labels(outcome):
    labels = draw_labels(outcome, 40, generator(2))
    check_constants(Search(outcome, labels), "categorical_crossentropy")
    # A value that several soft labels share can be hit exactly.
    check_constants(Search(outcome, labels[[0, 0, 0, *range(20)]]), "binary_crossentropy")


@pytest.mark.parametrize("labels", LABELS)
def test_no_constant_prediction_of_a_single_unit_beats_a_baseline(labels):
    check_constants(
        Search(OneOf(2), LABELS[labels](OneOf(2)), one_unit=True), "binary_crossentropy"
    )


class Chances:
    """What guesses by fixed chances score: formulas of expected counts, apart from the metrics."""

    def __init__(self, outcome: Outcome, labels: Tensor) -> None:
        shape = -1, outcome.n
        counts = outcome.indicators(labels).double().sum(dim=0).reshape(shape).numpy()
        self.n, self.counts, self.seen = len(labels), counts, counts.sum(axis=0) > 0

    def macro_f1_score(self, q):
        hits, either = q * self.counts, self.n * q + self.counts
        return (2 * hits[either > 0] / either[either > 0]).mean()

    def worst_recall_score(self, q):
        return ((q * self.counts).sum(axis=0)[self.seen] / self.counts.sum(axis=0)[self.seen]).min()

    def macro_precision_score(self, q):
        return (self.counts[q > 0] / self.n).mean()

    def printed_mean_iou(self, q, first=0):
        counts, q = self.counts[0, first:], q[0, first:]
        union = counts.sum() * q + counts - q * counts
        return (q * counts)[union > 0] @ (1 / union[union > 0]) / max((union > 0).sum(), 1)

    def printed_mean_iou_without_first(self, q):
        return self.printed_mean_iou(q, first=1)

    def best(self, name: str) -> tuple[float, np.ndarray]:
        """Climbed to from every choice of classes that may be guessed, and several starts."""
        found = [self._climb(name, q) for q in self._starts()]
        return max(found, key=lambda each: each[0])

    def _starts(self):
        rng = np.random.default_rng(1)
        groups, n = self.counts.shape
        some = [set(c) for size in range(1, n + 1) for c in combinations(range(n), size)]
        for chosen in product(some, repeat=groups):
            q = np.array([[float(k in each) for k in range(n)] for each in chosen])
            q *= rng.uniform(0.5, 1.5, q.shape)
            yield q / q.sum(axis=1, keepdims=True)

    def _climb(self, name, start):
        free = start > 0
        value = getattr(self, name)

        def chances(x):
            q = np.zeros_like(start)
            q[free] = np.clip(x[:-1], 1e-12, None)
            return q / q.sum(axis=1, keepdims=True)

        if name == "worst_recall_score":  # the lowest of smooth functions: raise a bound below all
            total = self.counts.sum(axis=0)[self.seen]

            def slack(x):
                return (chances(x) * self.counts).sum(axis=0)[self.seen] / total - x[-1]

            limits, goal = [{"type": "ineq", "fun": slack}], lambda x: -x[-1]
        else:
            limits, goal = [], lambda x: -value(chances(x))
        x = minimize(
            goal, [*start[free], value(start)], method="SLSQP", constraints=limits,
            bounds=[(0, 1)] * (free.sum() + 1), options={"maxiter": 200},
        ).x  # fmt: skip
        reached = chances(x)
        return value(reached), reached


def guessed_cases():
    for outcome in (o for o in OUTCOMES if not isinstance(o, AnyOf)):
        for each in GUESSED:
            if isinstance(outcome, each.outcomes):
                yield pytest.param(outcome, each, id=f"{outcome}, {each.name}")


def unequal_groups(outcome: Outcome, seed: int) -> Tensor:
    g = generator(seed)
    rows = (2 * torch.randn(*outcome.columns, generator=g)).softmax(dim=-1).reshape(-1, outcome.n)
    drawn = torch.multinomial(rows, 25, replacement=True, generator=g).T
    return drawn.reshape(25, *outcome.columns[:-1])


@pytest.mark.parametrize(("outcome", "each"), list(guessed_cases()))
def test_no_chances_beat_a_baseline_and_some_reach_it(outcome, each):
    drawn = [LABELS["drawn"](outcome), LABELS["few"](outcome)]
    drawn += [unequal_groups(outcome, seed) for seed in range(5)]
    for labels in (each for each in drawn if each.any()):
        best, chances = Chances(outcome, labels).best(each.name)
        # In 200 guesses the chances are met to half of a hundredth, whence the wide tolerance.
        steps = (np.arange(200) + 0.5) / 200
        table = np.stack([np.searchsorted(row.cumsum(), steps) for row in chances], axis=1)
        rows = torch.from_numpy(table).reshape(200, *outcome.columns[:-1])
        guess = Search(outcome, labels).guessed(rows)
        assert each.baseline(guess) == pytest.approx(best, abs=2e-4)
        assert each(guess) == pytest.approx(best, abs=0.02)


def test_groups_of_unequal_rates_let_a_guess_recall_every_class_more_often_than_one_in_c():
    labels = torch.tensor([[0, 1], [0, 1], [0, 1], [1, 0]])
    p = Search(EachOneOf(2, 2), labels).guessed(torch.tensor([[0, 1]]))
    assert worst_recall_score(p) == worst_recall_score.baseline(p) == 3 / 4


def test_groups_that_show_one_class_each_leave_nothing_to_be_skilled_at():
    labels = torch.tensor([[0, 1, 2]]).expand(7, 3)
    assert worst_recall_score.baseline(Search(EachOneOf(3, 3), labels).guessed(labels[:1])) == 1.0


def test_a_group_of_two_even_classes_raises_mean_precision_by_guessing_both():
    labels = torch.tensor([[0, 0], [0, 0], [1, 1], [1, 2], [0, 0], [1, 1], [0, 2], [1, 1]])
    p = Search(EachOneOf(2, 3), labels).guessed(torch.tensor([[0, 0], [1, 0]]))
    rates = 1 / 2, 1 / 2, 3 / 8
    assert macro_precision_score(p) == pytest.approx(sum(rates) / 3)
    assert macro_precision_score.baseline(p) == pytest.approx(sum(rates) / 3)
    fixed = Search(EachOneOf(2, 3), labels).all("other")
    assert max(map(macro_precision_score, fixed)) == pytest.approx(7 / 16)


def test_labels_that_never_occur_leave_their_metrics_without_a_baseline():
    labels = torch.zeros(10, 2, dtype=torch.bool)
    seen = measure(from_logits(AnyOf(2), torch.zeros(10, 2), labels), full=True)
    for name in ("macro_f1_score", "micro_f1_score", "micro_recall_score"):
        assert math.isnan(seen.baselines[name]), name
    assert seen.baselines["elementwise_accuracy_score"] == 1.0


@pytest.mark.parametrize("outcome", [OneOf(4), EachOneOf(3, 4)], ids=str)
def test_an_even_guess_recalls_every_class_alike(outcome):
    labels = draw_labels(outcome, 30, generator(4))
    every = torch.arange(4).reshape(-1, *[1] * (labels.ndim - 1)).expand(4, *labels.shape[1:])
    guess = Search(outcome, labels).guessed(every)
    assert worst_recall_score(guess) == pytest.approx(1 / 4)
    assert worst_recall_score.baseline(guess) >= 1 / 4


def in_order(labels: Tensor, order) -> Predictions:
    """The same order of labels for every example."""
    scores = torch.tensor(order).double().expand(labels.shape)
    return replace(from_logits(AnyOf(labels.shape[1]), scores, labels), scores=scores)


@pytest.mark.parametrize("seed", range(8))
def test_no_fixed_order_of_labels_ranks_better_than_the_baselines_state(seed):
    # Few examples of unequal sizes: the commonest label is often not the one to put first.
    g = generator(seed)
    labels = torch.rand(7, 5, generator=g) < torch.rand(7, 1, generator=g)
    every = [in_order(labels, order) for order in permutations(range(5))]
    for each in (ranking_loss, excess_coverage_error):
        best = min(each(p) for p in every)
        assert each.baseline(every[0]) == pytest.approx(best, abs=1e-12)


def test_more_labels_than_are_searched_have_the_coverage_of_a_good_order(monkeypatch):
    labels = torch.rand(30, 6, generator=generator(1)) < torch.linspace(0.1, 0.6, 6)
    every = [in_order(labels, order) for order in permutations(range(6))]
    coverages = sorted(excess_coverage_error(p) for p in every)
    monkeypatch.setattr("lossheads.metrics.constants.EXACT_LABELS", 3)
    found = excess_coverage_error.baseline(every[0])
    assert min(abs(found - each) for each in coverages) < 1e-9
    assert found < coverages[len(coverages) // 10]


@pytest.mark.parametrize("outcome", [OneOf(4), AnyOf(3), EachOneOf(2, 3)], ids=str)
def test_equal_scores_for_all_examples_have_the_baseline_of_order_metrics(outcome):
    p = draw(outcome)
    flat = replace(p, scores=torch.full_like(p.scores, 0.25))
    assert average_precision_score(flat) == pytest.approx(average_precision_score.baseline(p))
    assert roc_auc_score(flat) == roc_auc_score.baseline(p)


def test_noise_is_luckier_than_the_baseline_of_average_precision_over_few_examples_alone():
    labels = torch.tensor([True, True, False, False, False, False])
    orders = torch.tensor(list(permutations(range(6)))).double()
    columns = labels.unsqueeze(1).expand(6, len(orders))
    noise = replace(from_logits(AnyOf(720), orders.T, columns), scores=orders.T)
    base, harmonic = 2 / 6, sum(1 / k for k in range(1, 7))
    expected = base + (1 - base) * (harmonic - 1) / 5
    assert np.mean(average_precision_score(noise)) == pytest.approx(expected)
    many = torch.rand(60_000, 1, generator=generator(1))
    copies = replace(from_logits(AnyOf(1), many, labels.repeat(10_000).unsqueeze(1)), scores=many)
    assert average_precision_score(copies) == pytest.approx([base], abs=0.01)
    assert average_precision_score.baseline(copies) == pytest.approx([base])


def test_noise_has_the_baselines_of_outlier_metrics():
    noise = torch.randn(40_000, 3, generator=generator(1))
    seen = evaluate_ood(SoftmaxCCE(OneOf(3)), noise[:20_000], noise[20_000:])
    ranking = {name: value for name, value in seen.metrics.items() if "nothing_said" not in name}
    for name, value in ranking.items():
        assert value == pytest.approx(seen.baselines[name], abs=0.01), name


def test_what_says_nothing_of_anything_has_the_baselines_of_saying_nothing():
    for said, constant in (("score", -9.0), ("of_known_error", 9.0)):  # never above 1/2, always
        logits = torch.full((4, 3), constant)
        seen = evaluate_ood(SigmoidBCE(OneOf(3)), logits, logits)
        name = f"nothing_said_{said}"
        assert seen.metrics[name] == seen.baselines[name], name


def perfect(outcome: Outcome) -> Predictions:
    labels = draw_labels(outcome, 60, generator(1))
    indicators = outcome.indicators(labels)
    # 60: far enough for every probability to be 0 or 1 in the twelfth digit.
    p = from_logits(outcome, 60 * (2 * indicators.flatten(1) - 1), labels)
    return replace(p, true_posterior=indicators.double())


@pytest.mark.parametrize("outcome", OUTCOMES, ids=str)
def test_perfect_predictions_get_the_perfect_value_of_every_metric(outcome):
    seen = measure(perfect(outcome), full=True)
    for metric in metrics_for(outcome):
        # A single label has no pairs to order; certain predictions have no temperature.
        if metric is fitted_temperature or (metric.name == "ranking_loss" and outcome.n == 1):
            assert math.isnan(seen.metrics[metric.name])
            continue
        assert seen.metrics[metric.name] == pytest.approx(metric.perfect, abs=1e-9), metric.name
    for metric in per_class_metrics_for(outcome):
        for value in seen.per_class[metric.name]:
            assert value == pytest.approx(metric.perfect, abs=1e-9), metric.name


def test_ten_even_classes_leave_nine_tenths_of_cells_to_a_predictor_that_says_nothing():
    labels = torch.arange(10).repeat(5)
    silent = from_logits(OneOf(10), torch.zeros(50, 10), labels)
    seen = measure(silent, full=False)
    assert seen.metrics["elementwise_accuracy_score"] == pytest.approx(0.9)
    assert seen.baselines["elementwise_accuracy_score"] == pytest.approx(0.9)
    assert seen.baselines["accuracy_score"] == pytest.approx(0.1)
    assert seen.baselines["nll_loss"] == pytest.approx(math.log(10))
