"""scikit-learn: any metric, its baseline or its skill as a scorer.

from lossheads.integrations.sklearn import scorers
cross_validate(model, x, y, scoring=scorers("accuracy_score", "nll_loss"))
"""

from typing import Any, Literal

import numpy as np
import torch

from lossheads.api.evaluation import Evaluation, evaluate
from lossheads.errors import UserError, near_matches
from lossheads.metrics.evaluate import ALL_METRICS

_CLIP = 1e-300  # a forest's probability of exactly 0: nll_loss is 690.8 nats there, not infinite


def evaluate_estimator(estimator: Any, inputs: Any, labels: Any) -> Evaluation:
    """Every metric of a fitted classifier with `predict_proba`, by its own classes.

    One of C classes (labels as `classes_` has them), or several labels (0/1 rows). Baselines are
    those of these labels.

    Raises:
        UserError: If it gives no probabilities, or meets a class that it was not fitted on.
    """
    if not hasattr(estimator, "predict_proba"):
        raise UserError(
            f"{type(estimator).__name__} has no predict_proba: calibrate it "
            f"(CalibratedClassifierCV), or use a classifier that gives probabilities"
        )
    found, truth = estimator.predict_proba(inputs), np.asarray(labels)
    if isinstance(found, list):  # one array (N, 2) for each label, as forests return
        found = np.stack([_present(p, k) for k, p in enumerate(found)], axis=1)
    p = np.clip(np.asarray(found, dtype=np.float64), _CLIP, 1.0)
    if truth.ndim == 2:
        rest = np.clip(1.0 - p, 1e-16, 1.0)
        odds = torch.from_numpy(np.log(p) - np.log(rest))
        return evaluate(odds, truth.astype(int), head="sigmoid_bce")
    return evaluate(torch.from_numpy(np.log(p)), _indices(estimator, truth), head="softmax_cce")


def _present(probabilities: Any, label: int) -> Any:
    if probabilities.shape[1] != 2:
        raise UserError(
            f"label {label} has {probabilities.shape[1]} value(s) in what the classifier was "
            f"fitted on: every label must be both present and absent there"
        )
    return probabilities[:, 1]


def _indices(estimator: Any, truth: Any) -> Any:
    classes = np.asarray(estimator.classes_)
    position = {value: k for k, value in enumerate(classes.tolist())}
    unknown = sorted({str(value) for value in truth.tolist() if value not in position})
    if unknown:
        raise UserError(
            f"{type(estimator).__name__} was fitted on classes {classes.tolist()}, and the labels "
            f"hold {', '.join(unknown)}: stratify the split, or leave those rows out"
        )
    return np.array([position[value] for value in truth.tolist()])


class Scorer:
    """A scorer of scikit-learn: higher is better, so losses are negated, as its `neg_` scorers are.

    Args:
        metric: Name of a metric (`lossheads metrics` lists them).
        what: The metric itself, its baseline on the same labels, or its skill (0 at the baseline, 1
            at perfect).
    """

    def __init__(self, metric: str, what: Literal["value", "baseline", "skill"] = "value") -> None:
        if what not in ("value", "baseline", "skill"):
            raise UserError(f"what must be 'value', 'baseline' or 'skill', got {what!r}")
        known = [each.name for each in ALL_METRICS]
        if metric not in known:  # scikit-learn turns errors of a scorer into NaN
            raise UserError(f"no metric {metric!r}; {near_matches(metric, known)}")
        self.metric, self.what = metric, what

    def __call__(self, estimator: Any, inputs: Any, labels: Any) -> float:
        """The number for a fitted estimator."""
        try:
            found = evaluate_estimator(estimator, inputs, labels)[self.metric]
        except KeyError as error:
            raise UserError(str(error.args[0])) from None
        number: float = getattr(found, self.what)
        return -number if self.what != "skill" and found.higher_is_better is False else number

    def __repr__(self) -> str:
        return f"Scorer({self.metric!r}, {self.what!r})"


def scorers(*metrics: str) -> dict[str, Scorer]:
    """Value, baseline and skill of each metric, for `cross_validate(scoring=…)`."""
    return {
        name if what == "value" else f"{name}_{what}": Scorer(name, what)
        for name in metrics or ("accuracy_score", "nll_loss")
        for what in ("value", "baseline", "skill")
    }
