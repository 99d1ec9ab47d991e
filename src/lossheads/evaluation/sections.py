"""Further answers on one model: calibration, thresholds, prior shift, "none of these"."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lossheads.errors import UserError, near_matches
from lossheads.evaluation.intervals import wilson_of
from lossheads.evaluation.meaning import OwnPredictions
from lossheads.evaluation.record import Answer
from lossheads.metrics.base import Metric
from lossheads.metrics.classification import (
    balanced_accuracy_score,
    exact_match_score,
    macro_f1_score,
    micro_f1_score,
)
from lossheads.metrics.frameworks import mean_of_batches
from lossheads.metrics.probabilistic import (
    brier_sum_loss,
    expected_calibration_error,
    fitted_temperature,
    nll_loss,
)
from lossheads.metrics.thresholds import compare_thresholds, tuned_thresholds
from lossheads.numerics import log_softmax
from lossheads.outcomes import AnyOf, OneOf, base_rates
from lossheads.predictions import Predictions, predict

_MIN_RATE = 1e-6


@dataclass(frozen=True)
class Parts:
    """Examples that are measured, and those on which temperature and thresholds are tuned.

    Attributes:
        tuning: None where the file has no such part.
        none: Rows that belong to no class, or None.
    """

    measured: OwnPredictions
    tuning: OwnPredictions | None = None
    none: OwnPredictions | None = None


def parted(own: OwnPredictions, tune_on: str | None, measure_on: str | None, who: str) -> Parts:
    """Deal the examples out by their part.

    Raises:
        UserError: Without such parts, or where it is open which one is measured.
    """
    if tune_on is None and measure_on is None:
        return Parts(own)
    if own.parts is None:
        raise UserError(
            f"{who} got tune-on or measure-on and no part of the examples: name the column that "
            f"holds it, --part split"
        )
    words = own.parts.astype(np.str_)
    known = np.unique(words).tolist()
    for asked in (tune_on, measure_on):
        if asked is not None and asked not in known:
            raise UserError(f"{who} finds no part {asked!r}; {near_matches(asked, known)}")
    rest = [word for word in known if word != tune_on]
    if measure_on is None and len(rest) != 1:
        raise UserError(
            f"{who} finds {len(rest)} parts beside {tune_on!r} ({', '.join(rest[:5])}): name the "
            f"one that is measured, --measure-on {rest[0] if rest else 'test'}"
        )
    measure_on = measure_on or rest[0]
    if measure_on == tune_on:
        raise UserError(
            f"{who} got the part {tune_on!r} to tune and to measure on: examples that thresholds "
            f"were tuned on flatter them; name two parts"
        )
    measured = own.taken(np.flatnonzero(words == measure_on))
    tuning = None if tune_on is None else own.taken(np.flatnonzero(words == tune_on))
    return Parts(measured, tuning)


def read(own: OwnPredictions) -> Predictions:
    """Predictions of all rows."""
    return predict(own.head, own.logits(), own.labels)


# --- calibration -------------------------------------------------------------------------------


def calibration(predictions: Predictions, tuning: Predictions | None) -> Answer:
    """Likelihood and calibration as they are, and with a fitted temperature."""
    fitted_on = predictions if tuning is None else tuning
    temperature = fitted_temperature(fitted_on)
    rows = [_calibrated("as given", 1.0, predictions)]
    if not math.isnan(temperature):
        rows.append(_calibrated("temperature fitted", temperature, predictions))
    if temperature > 1.05:
        said = f"over-confident: dividing logits by {temperature:.3g} fits the labels best"
    elif temperature < 0.95:
        said = f"under-confident: dividing logits by {temperature:.3g} fits the labels best"
    elif math.isnan(temperature):
        said = "no temperature within 1/64 … 64 fits the labels"
    else:
        said = f"a temperature of {temperature:.3g} fits best: as confident as right"
    where = (
        f"fitted on the {len(predictions.labels)} examples that are measured, one number, so the "
        f"gain is slightly flattered"
        if tuning is None
        else f"fitted on {len(tuning.labels)} examples of the other part"
    )
    return Answer("Calibration", f"{said}; {where}. Decisions do not change.", tuple(rows))


def _calibrated(name: str, temperature: float, predictions: Predictions) -> Mapping[str, Any]:
    cooled = replace(predictions, log_probs=log_softmax(predictions.log_probs / temperature))
    return {
        "scores": name,
        "temperature": temperature,
        "nll_loss": nll_loss(cooled),
        "nll_baseline": nll_loss.baseline(predictions),
        "brier_sum_loss": brier_sum_loss(cooled),
        "expected_calibration_error": expected_calibration_error(cooled),
    }


# --- means of batches --------------------------------------------------------------------------


def means_of_batches(predictions: Predictions, batch_size: int, who: str) -> Answer | None:
    """What a loop logs that averages a metric of each batch, in the order of the rows.

    Raises:
        UserError: If the size is none.
    """
    if batch_size < 1:
        raise UserError(f"{who}: batch-size must be at least 1, got {batch_size}")
    n = len(predictions.labels)
    if batch_size >= n:
        return None
    rows = [
        {
            "metric": metric.name,
            "all_rows": metric(predictions),
            "mean_of_batches": mean_of_batches(metric, predictions, batch_size),
            "last_batch_like_the_others": mean_of_batches(
                metric, predictions, batch_size, weighted=False
            ),
        }
        for metric in (exact_match_score, macro_f1_score, nll_loss)
    ]
    text = (
        f"Batches of {batch_size}, the last of {(n - 1) % batch_size + 1}, in the order of the "
        f"rows; weighted by size as Lightning's self.log does, and unweighted. Shares of examples "
        f"and likelihoods add up when weighted; means over classes do not"
    )
    return Answer("Means of batches", f"{text}.", tuple(rows))


# --- thresholds --------------------------------------------------------------------------------


def as_labels(predictions: Predictions) -> Predictions | None:
    """Predictions as labels that are on or off: those of several labels, and of two classes.

    None for other outcomes, which have nothing to cut.
    """
    outcome = predictions.outcome
    if isinstance(outcome, AnyOf):
        return None if outcome.soft else predictions
    if outcome != OneOf(2):
        return None
    return replace(
        predictions,
        outcome=AnyOf(1),
        labels=predictions.labels.unsqueeze(1) == 1,
        scores=predictions.log_probs[:, 1:].exp(),
        log_probs=predictions.log_probs.unsqueeze(1),
        decisions=predictions.decisions.unsqueeze(1) == 1,
    )


def thresholds(predictions: Predictions, tuning: Predictions | None) -> Answer | None:
    """Decisions at 1/2, by the head's rule, and at thresholds tuned on the other part."""
    test = as_labels(predictions)
    if test is None:
        return None
    shown = ("micro_f1_score", "macro_f1_score", "hamming_loss", "exact_match_score")
    val = test if tuning is None else as_labels(tuning)
    assert val is not None
    compared = dict(compare_thresholds(val, test))
    if tuning is None:
        del compared["tuned"]
    rows = [
        {"decided": name.replace("_", " "), **{metric: values[metric] for metric in shown}}
        for name, values in compared.items()
    ]
    text = (
        "Thresholds are tuned only on examples that are not measured: name a part with --part "
        "COLUMN --tune-on VALUE"
    )
    if tuning is not None:
        cuts = tuned_thresholds(val).tolist()
        listed = ", ".join(f"{cut:.3g}" for cut in cuts[:12]) + (" …" if len(cuts) > 12 else "")
        text = f"Tuned for F1 of each label on {len(val.labels)} other examples: {listed}"
    return Answer("Decision thresholds", f"{text}.", tuple(rows))


# --- prior shift -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Prior:
    """What the model was trained for that its use is not.

    Attributes:
        pos_weight: As in BCEWithLogitsLoss: one number, or one per label.
        train: Share of each class or label in training.
        now: Share where the model is used; None takes it from labels.
    """

    pos_weight: Sequence[float] | None = None
    train: Sequence[float] | None = None
    now: Sequence[float] | None = None


def prior_shift(
    predictions: Predictions, tuning: Predictions | None, prior: Prior, who: str
) -> Answer | None:
    """The same scores with the training's weights or base rates undone.

    Source: Saerens, Latinne and Decaestecker (2002), "Adjusting the outputs of a classifier to
    new a priori probabilities"; a weight of w on positives multiplies the odds by w.

    Raises:
        UserError: If numbers do not fit the outcome.
    """
    if prior.pos_weight is None and prior.train is None:
        return None
    outcome = predictions.outcome
    if not isinstance(outcome, AnyOf | OneOf):
        raise UserError(f"{who}: prior shift is undone for one_of and any_of, got {outcome}")
    log_probs, said = predictions.log_probs, []
    if prior.pos_weight is not None:
        weight = _positive(prior.pos_weight, "pos-weight", who)
        if not isinstance(outcome, AnyOf) and outcome.n != 2:
            raise UserError(f"{who}: pos-weight belongs to labels or two classes, got {outcome}")
        width = outcome.n if isinstance(outcome, AnyOf) else 1
        if len(weight) not in (1, width):
            raise UserError(f"{who} got {len(weight)} values of pos-weight for {outcome}")
        log_probs = _moved(log_probs, outcome, -weight.log())
        said.append("odds divided by pos_weight")
    if prior.train is not None:
        source = tuning or predictions
        rates = base_rates(source.outcome, source.labels)
        now = rates if prior.now is None else _positive(prior.now, "prevalence", who)
        shift = _log_rates(now, outcome, who) - _log_rates(
            _positive(prior.train, "train-prevalence", who), outcome, who
        )
        log_probs = _moved(log_probs, outcome, shift)
        where = "given" if prior.now is not None else f"of {len(source.labels)} labels"
        said.append(
            f"moved from the training's base rates to those {where}"
            + (" that are measured, which flatters" * (prior.now is None and tuning is None))
        )
    undone = _from_log_probs(predictions, log_probs)
    kinds: tuple[Metric, ...] = (
        nll_loss,
        expected_calibration_error,
        exact_match_score,
        macro_f1_score,
    )
    kinds += (micro_f1_score,) if isinstance(outcome, AnyOf) else (balanced_accuracy_score,)
    rows = [
        {
            "scores": name,
            **{m.name: m(p) for m in kinds},
            "fitted_temperature": fitted_temperature(p),
        }
        for name, p in (("as given", predictions), ("undone", undone))
    ]
    return Answer("Prior shift undone", f"{'; '.join(said)}.", tuple(rows))


def _positive(values: Sequence[float], what: str, who: str) -> Tensor:
    if not values or not all(math.isfinite(v) and v > 0 for v in values):
        raise UserError(f"{who}: {what} must be numbers above 0, got {list(values)}")
    return torch.tensor(list(values), dtype=torch.float64)


def _log_rates(rates: Tensor, outcome: AnyOf | OneOf, who: str) -> Tensor:
    if len(rates) != outcome.n or bool((rates > 1).any()):
        raise UserError(
            f"{who}: prevalences must be {outcome.n} shares in (0, 1], one for each column of "
            f"{outcome}, got {rates.tolist()}"
        )
    if isinstance(outcome, AnyOf):
        return torch.logit(rates.clamp(_MIN_RATE, 1 - _MIN_RATE))
    if abs(float(rates.sum()) - 1) > 0.01:
        raise UserError(f"{who}: prevalences of classes must sum to 1, got {float(rates.sum()):g}")
    return rates.clamp(min=_MIN_RATE).log()


def _moved(log_probs: Tensor, outcome: AnyOf | OneOf, shift: Tensor) -> Tensor:
    """Log-odds of labels, or of class 1 of two, or log-probabilities of classes, shifted."""
    if isinstance(outcome, AnyOf):
        odds = log_probs[..., 1] - log_probs[..., 0] + shift
        return F.logsigmoid(torch.stack([-odds, odds], dim=-1))
    if len(shift) == 1:
        shift = torch.cat([torch.zeros(1, dtype=torch.float64), shift])
    return log_softmax(log_probs + shift)


def _from_log_probs(predictions: Predictions, log_probs: Tensor) -> Predictions:
    """Scores and decisions that follow from the probabilities of events."""
    if isinstance(predictions.outcome, AnyOf):
        return replace(
            predictions,
            log_probs=log_probs,
            scores=log_probs[..., 1].exp(),
            decisions=log_probs[..., 1] > log_probs[..., 0],
        )
    return replace(
        predictions, log_probs=log_probs, scores=log_probs.exp(), decisions=log_probs.argmax(-1)
    )


# --- none of these -----------------------------------------------------------------------------


def rejection(
    parts: Parts, predictions: Predictions, recall: float | None, who: str
) -> Answer | None:
    """A threshold on the highest score below which an example is "none of these".

    Args:
        recall: Share of known examples that the threshold has to keep.

    Raises:
        UserError: If the share is none, or there is no one class to decide.
    """
    if recall is None:
        return None
    if not 0 < recall < 1:
        raise UserError(f"{who}: reject-recall must be above 0 and below 1, got {recall:g}")
    if not isinstance(predictions.outcome, OneOf):
        raise UserError(f"{who}: reject-recall is defined for one_of, got {predictions.outcome}")
    score = predictions.log_probs.amax(dim=1).exp()
    source = score
    if parts.tuning is not None:
        source = read(parts.tuning).log_probs.amax(dim=1).exp()
    # The highest threshold that keeps at least that share: scores at the threshold are kept.
    place = len(source) - math.ceil(recall * len(source))
    threshold = float(source.sort().values[place])
    kept = score >= threshold
    correct = predictions.decisions == predictions.outcome.hard(predictions.labels)
    n, count = len(score), int(kept.sum())
    rows = [
        _share("known examples kept", count, n),
        _share("accuracy of the kept", int((kept & correct).sum()), count),
        _share("accuracy of the rejected", int((~kept & correct).sum()), n - count),
        _share("accuracy of all", int(correct.sum()), n),
    ]
    if parts.none is not None:
        other = predict(parts.none.head, parts.none.logits(), parts.none.labels)
        rejected = other.log_probs.amax(dim=1).exp() < threshold
        rows.append(_share("none of these rejected", int(rejected.sum()), len(rejected)))
    where = "measured examples" if parts.tuning is None else "examples of the other part"
    text = (
        f"An example whose highest probability is below {threshold:.4g} is decided as none of "
        f"these; {len(source)} {where} set the threshold so that {recall:g} of them are kept"
    )
    if parts.none is None:
        text += "; no example of none was given (--none-label), so what it catches is not known"
    return Answer("None of these", f"{text}.", tuple(rows))


def _share(name: str, count: int, n: int) -> Mapping[str, Any]:
    value = count / n if n else math.nan
    low, high = wilson_of(value, n) if n else (math.nan, math.nan)
    return {"quantity": name, "value": value, "low": low, "high": high, "n": n}
