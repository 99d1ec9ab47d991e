"""Baselines by brute force: the best that all answers reach which never look at an input."""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations, product

import pytest
import torch
from torch import Tensor

from lossheads.metrics import (
    average_precision_score,
    excess_coverage_error,
    fitted_temperature,
    measure,
    metrics_for,
    per_class_metrics_for,
    ranking_loss,
    roc_auc_score,
    worst_recall_score,
)
from lossheads.outcomes import AnyOf, EachOneOf, OneOf, Outcome
from lossheads.predictions import Predictions

from .making import draw, draw_labels, from_logits, generator

OUTCOMES: list[Outcome] = [
    OneOf(2),
    OneOf(3),
    AnyOf(1),
    AnyOf(3),
    EachOneOf(1, 3),
    EachOneOf(2, 2),
    EachOneOf(2, 3),
]
SOFT: list[Outcome] = [replace(outcome, soft=True) for outcome in OUTCOMES]
# Baselines by convention rather than by optimality, each with a test of its own.
CONVENTIONS = (excess_coverage_error, fitted_temperature, worst_recall_score)


class Blind:
    """Answers to the same labels that never look at an input."""

    def __init__(self, outcome: Outcome, labels: Tensor) -> None:
        self.outcome = outcome
        self.labels = labels
        self.hard = replace(outcome, soft=False)
        self.width = math.prod(outcome.columns)
        rates = outcome.indicators(labels).double().mean(dim=0)
        binary = isinstance(outcome, AnyOf)
        self.rates = torch.stack([1 - rates, rates], dim=-1) if binary else rates
        self.wise = self.rates.argmax(dim=-1)
        self.wise = self.wise.bool() if binary else self.wise

    def all(self) -> Iterator[Predictions]:
        yield from map(self.always, self._decisions())
        yield from map(self.scored, torch.tensor(list(product([0.0, 1.0], repeat=self.width))))
        orders = permutations(range(self.width)) if self.width < 5 else [range(self.width)]
        yield from (self.scored(torch.tensor(order) / self.width) for order in orders)
        yield from map(self.likely, self._distributions())
        yield self.guessed(self.outcome.hard(self.labels))

    def always(self, decision: Tensor) -> Predictions:
        scores = self.hard.indicators(decision[None]).flatten()
        return self._say(self.labels, decision.expand(len(self.labels), *decision.shape), scores)

    def scored(self, scores: Tensor) -> Predictions:
        return self._say(self.labels, self.wise.expand(len(self.labels), *self.wise.shape), scores)

    def likely(self, events: Tensor) -> Predictions:
        said = self.scored(self.hard.indicators(self.wise[None]).flatten())
        return replace(said, log_probs=events.log().expand(said.log_probs.shape))

    def guessed(self, guesses: Tensor) -> Predictions:
        """Every guess beside every label: independent, exactly in these proportions."""
        labels = self.labels.repeat_interleave(len(guesses), dim=0)
        decisions = guesses.repeat(len(self.labels), *[1] * (guesses.ndim - 1))
        return self._say(labels, decisions, self.hard.indicators(self.wise[None]).flatten())

    def _decisions(self) -> Tensor:
        if isinstance(self.outcome, AnyOf):
            return torch.tensor(list(product([False, True], repeat=self.width)))
        variables = self.outcome.columns[:-1]
        every = product(range(self.outcome.n), repeat=math.prod(variables))
        return torch.tensor(list(every)).reshape(-1, *variables)

    def _distributions(self) -> list[Tensor]:
        g = generator(5)
        noise = [0.3 * torch.rand(self.rates.shape, generator=g).double() for _ in range(20)]
        return [(self.rates + n) / (self.rates + n).sum(-1, keepdim=True) for n in noise]

    def _say(self, labels: Tensor, decisions: Tensor, scores: Tensor) -> Predictions:
        n = len(labels)
        return Predictions(
            outcome=self.outcome,
            labels=labels,
            scores=scores.reshape(self.outcome.columns).expand(n, *self.outcome.columns),
            log_probs=self.rates.log().expand(n, *self.outcome.events),
            decisions=decisions,
            framework_outputs=scores.expand(n, -1),
            framework_target=self.outcome.indicators(labels).flatten(1),
            framework_loss="other",
            logits=(2 * scores - 1).expand(n, -1),
            true_posterior=self.outcome.indicators(labels).double(),
        )


def check_baselines(outcome: Outcome, labels: Tensor) -> None:
    tables = [measure(p, full=True) for p in Blind(outcome, labels).all()]
    for metric in metrics_for(outcome):
        if metric in CONVENTIONS:
            continue
        reached = [table.metrics[metric.name] for table in tables]
        reached = [score for score in reached if not math.isnan(score)]
        best = (max if metric.perfect == 1 else min)(reached, default=math.nan)
        # 1e-6: soft labels are float32 and their rows sum to 1 in the seventh digit.
        close = pytest.approx(best, abs=1e-6, nan_ok=True)
        assert tables[0].baselines[metric.name] == close, metric.name


@pytest.mark.parametrize("outcome", OUTCOMES + SOFT, ids=str)
def test_each_baseline_is_the_best_score_of_all_answers_that_never_look(outcome):
    check_baselines(outcome, draw_labels(outcome, 40, generator(2)))


@pytest.mark.parametrize("outcome", [OneOf(4), AnyOf(3), EachOneOf(2, 3)], ids=str)
def test_baselines_hold_when_a_class_never_occurs(outcome):
    labels = draw_labels(outcome, 40, generator(3))
    if isinstance(outcome, AnyOf):
        labels[:, 0] = False
    else:
        labels = labels.clamp(min=1)
    check_baselines(outcome, labels)


@pytest.mark.parametrize("outcome", [OneOf(3), AnyOf(2), EachOneOf(2, 3)], ids=str)
def test_baselines_hold_when_nothing_else_ever_occurs(outcome):
    check_baselines(outcome, torch.ones_like(draw_labels(outcome, 10, generator(3))))


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
    guess = Blind(outcome, labels).guessed(every)
    assert worst_recall_score(guess) == pytest.approx(1 / 4)
    assert worst_recall_score.baseline(guess) == pytest.approx(1 / 4)


def test_reading_labels_by_base_rate_has_the_coverage_that_its_baseline_states():
    labels = draw_labels(AnyOf(5), 200, generator(6))[:, [2, 0, 3, 4, 1]]
    rates = labels.double().mean(dim=0)
    assert len(rates.unique()) == 5
    blind = Blind(AnyOf(5), labels).scored(rates)
    baseline = excess_coverage_error.baseline(blind)
    assert excess_coverage_error(blind) == baseline
    every = [
        excess_coverage_error(replace(blind, scores=torch.tensor(order).double().expand(200, 5)))
        for order in permutations(range(5))
    ]
    assert min(every) <= baseline < sum(every) / len(every)


@pytest.mark.parametrize("seed", range(8))
def test_no_fixed_order_of_labels_ranks_better_than_the_baseline_states(seed):
    # Few examples of unequal sizes: the commonest label is often not the one to put first.
    g = generator(seed)
    labels = torch.rand(7, 4, generator=g) < torch.rand(7, 1, generator=g)
    blind = Blind(AnyOf(4), labels)
    every = [blind.scored(torch.tensor(order) / 4) for order in permutations(range(4))]
    best = min(ranking_loss(p) for p in every)
    assert ranking_loss.baseline(every[0]) == pytest.approx(best, abs=1e-12)
    coverages = {excess_coverage_error(p) for p in every}
    assert min(coverages) <= excess_coverage_error.baseline(every[0]) < max(coverages)


@pytest.mark.parametrize("outcome", [OneOf(4), AnyOf(3), EachOneOf(2, 3)], ids=str)
def test_equal_scores_for_all_examples_have_the_baseline_of_order_metrics(outcome):
    p = draw(outcome)
    flat = replace(p, scores=torch.full_like(p.scores, 0.25))
    assert average_precision_score(flat) == pytest.approx(average_precision_score.baseline(p))
    assert roc_auc_score(flat) == roc_auc_score.baseline(p)


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
