"""The scorer in scikit-learn's own loops."""

import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC

from lossheads.errors import UserError
from lossheads.integrations.sklearn import Scorer, evaluate_estimator, scorers

from .making import blobs

X, NUMBERS = blobs(240)
Y = np.array(["cat", "dog", "bird"])[NUMBERS]  # classes_ are in another order
MANY = np.stack([X[:, 0] > 0, X[:, 1] > 1], axis=1).astype(int)


@pytest.mark.parametrize(
    "model", [LogisticRegression(), RandomForestClassifier(10, random_state=0)]
)
def test_the_numbers_are_those_of_scikit_learn(model):
    model.fit(X[:120], Y[:120])
    x, y = X[120:], Y[120:]
    found = evaluate_estimator(model, x, y)
    assert found["accuracy_score"].value == pytest.approx(sk.accuracy_score(y, model.predict(x)))
    macro = sk.recall_score(y, model.predict(x), average="macro")
    assert found["balanced_accuracy_score"].value == pytest.approx(macro)
    p = model.predict_proba(x)
    assert found["nll_loss"].value == pytest.approx(sk.log_loss(y, p))
    dummy = DummyClassifier(strategy="most_frequent").fit(x, y)
    assert found["accuracy_score"].baseline == pytest.approx(dummy.score(x, y))


@pytest.mark.parametrize(
    "model", [OneVsRestClassifier(LogisticRegression()), RandomForestClassifier(10, random_state=0)]
)
def test_several_labels_are_read_from_either_form(model):
    model.fit(X[:120], MANY[:120])
    found = evaluate_estimator(model, X[120:], MANY[120:])
    expected = sk.accuracy_score(MANY[120:], model.predict(X[120:]))
    assert found["exact_match_score"].value == pytest.approx(expected)


def test_scorers_join_cross_validation_and_search():
    found = cross_validate(
        LogisticRegression(), X, Y, cv=3, scoring=scorers("accuracy_score", "nll_loss")
    )
    assert (found["test_accuracy_score"] > found["test_accuracy_score_baseline"]).all()
    gained = found["test_accuracy_score"] - found["test_accuracy_score_baseline"]
    skill = gained / (1 - found["test_accuracy_score_baseline"])
    assert found["test_accuracy_score_skill"] == pytest.approx(skill)
    assert (found["test_nll_loss"] < 0).all()  # a loss, negated
    plain = cross_validate(LogisticRegression(), X, Y, cv=3, scoring="neg_log_loss")
    assert found["test_nll_loss"] == pytest.approx(plain["test_score"])
    search = GridSearchCV(
        LogisticRegression(), {"C": [1e-6, 1.0]}, scoring=Scorer("nll_loss"), cv=3
    )
    assert search.fit(X, Y).best_params_ == {"C": 1.0}


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(UserError, match="predict_proba"):
        Scorer("nll_loss")(LinearSVC().fit(X, Y), X, Y)
    with pytest.raises(UserError, match="accuracy_score"):
        Scorer("acuracy_score")(LogisticRegression().fit(X, Y), X, Y)
    two = LogisticRegression().fit(X[Y != "bird"], Y[Y != "bird"])
    with pytest.raises(UserError, match="bird"):
        Scorer("nll_loss")(two, X, Y)
    with pytest.raises(UserError, match="skil"):
        Scorer("nll_loss", "skil")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="accuracy_score"):  # not NaN after all fits are done
        scorers("acuracy_score")


def test_a_certain_wrong_answer_costs_a_finite_number():
    certain = DummyClassifier(strategy="constant", constant="cat").fit(X, Y)
    found = evaluate_estimator(certain, X[:1], np.array(["dog"]))
    assert found["nll_loss"].value == pytest.approx(300 * np.log(10))
