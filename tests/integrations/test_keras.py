"""The callback in Keras's own fit, on torch. Keras settles its backend when it is imported."""

import os
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pytest

import lossheads as lh
from lossheads.errors import UserError

from .making import Checked, blobs, needs_check

try:
    MAJOR = int(version("keras").split(".")[0])
except PackageNotFoundError:
    MAJOR = 0
if MAJOR < 3:
    pytest.skip("needs Keras 3: pip install -e '.[keras]'", allow_module_level=True)
os.environ.setdefault("KERAS_BACKEND", "torch")

import keras

from lossheads.integrations.keras import EvaluationCallback

# Keras's torch backend passes arrays in ways that numpy and torch mean to change.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

X, Y = blobs(96)
X_VAL, Y_VAL = blobs(60, seed=1)


def model(units: int, activation: str | None, loss: Any) -> Any:
    keras.utils.set_random_seed(0)
    made = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(units, activation)])
    made.compile(keras.optimizers.SGD(0.1), loss, metrics=["accuracy"])
    return made


CASES = [
    (3, "softmax", "sparse_categorical_crossentropy", lh.SoftmaxCCE(lh.OneOf(3)), "indices"),
    (3, "softmax", "sparse_categorical_crossentropy", "softmax_cce", "indices"),
    (3, "softmax", "categorical_crossentropy", lh.SoftmaxCCE(lh.OneOf(3)), "rows"),
    (3, "softmax", "binary_crossentropy", lh.SoftmaxBCE(lh.OneOf(3)), "rows"),
    (3, None, "from logits", lh.SoftmaxCCE(lh.OneOf(3)), "indices"),
    (1, "sigmoid", "binary_crossentropy", lh.SingleLogitBCE(lh.OneOf(2)), "column"),
    (3, "sigmoid", "binary_crossentropy", lh.SigmoidBCE(lh.AnyOf(3)), "rows"),
]


def target(kind: str, labels: np.ndarray) -> np.ndarray:
    if kind == "rows":
        return np.eye(3, dtype="float32")[labels]
    return (labels == 0)[:, None].astype("float32") if kind == "column" else labels


@pytest.mark.parametrize(("units", "activation", "loss", "head", "kind"), CASES, ids=str)
def test_it_prints_what_evaluate_says_of_the_same_outputs(
    units: int, activation: str | None, loss: str, head: Any, kind: str, checked: Checked
) -> None:
    lines: list[str] = []
    if loss == "from logits":
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net = model(units, activation, loss)
    callback = EvaluationCallback((X_VAL, target(kind, Y_VAL)), head, write=lines.append)
    net.fit(X, target(kind, Y), epochs=2, verbose=0, callbacks=[callback],
            validation_data=(X_VAL, target(kind, Y_VAL)))  # fmt: skip
    assert len(callback.history) == 2
    assert "epoch 2, n = 60" in lines[-1]
    assert "baseline" in lines[-1]
    (called,) = checked
    assert called[0] is net
    assert len(called[1]) == 32

    found = callback.history[-1]
    outputs = net.predict(X_VAL, verbose=0)
    printed = net.evaluate(X_VAL, target(kind, Y_VAL), verbose=0)[1]
    assert found["keras_3_accuracy"].value == pytest.approx(printed, abs=1e-6)
    logits = np.log(outputs) if activation == "softmax" else outputs
    if activation == "sigmoid":
        logits = np.log(outputs) - np.log1p(-outputs)
    labels = Y_VAL if kind != "column" else (Y_VAL == 0).astype(int)
    if isinstance(head, lh.SigmoidBCE):
        labels = np.eye(3, dtype=int)[Y_VAL]
    expected = lh.evaluate(logits.astype("float64"), labels, head=head)
    for name in ("accuracy_score", "elementwise_accuracy_score", "nll_loss"):
        if name in expected:
            assert found[name].value == pytest.approx(expected[name].value, abs=1e-5), name


def test_the_numbers_join_the_logs(checked: Checked) -> None:
    net = model(3, "softmax", "sparse_categorical_crossentropy")
    callback = EvaluationCallback((X_VAL, Y_VAL), "softmax_cce", write=lambda line: None)
    stop = keras.callbacks.EarlyStopping("val_lossheads_nll_loss", mode="min", patience=9)
    fitted = net.fit(X, Y, epochs=2, verbose=0, callbacks=[callback, stop])
    said = [found["nll_loss"].value for found in callback.history]
    assert fitted.history["val_lossheads_nll_loss"] == pytest.approx(said)
    assert "val_lossheads_accuracy_score_skill" in fitted.history


def test_training_is_the_same_with_and_without(checked: Checked) -> None:
    weights = []
    for callbacks in ([], [EvaluationCallback((X_VAL, Y_VAL), "softmax_cce", write=str)]):
        net = model(3, "softmax", "sparse_categorical_crossentropy")
        net.fit(X, Y, epochs=2, verbose=0, callbacks=callbacks)
        weights.append(net.get_weights()[0])
    assert np.array_equal(*weights)


def test_no_check_where_none_is_wanted(checked: Checked) -> None:
    callback = EvaluationCallback((X_VAL, Y_VAL), "softmax_cce", check=False, write=str)
    model(3, "softmax", "sparse_categorical_crossentropy").fit(
        X, Y, epochs=1, verbose=0, callbacks=[callback]
    )
    assert not checked
    with pytest.raises(UserError, match="validation_data"):
        EvaluationCallback(X_VAL, "softmax_cce")  # type: ignore[arg-type]


@needs_check
@pytest.mark.parametrize(("loss", "found"), [("from logits", True), ("as they are", False)])
def test_a_wrong_combination_is_found_before_the_first_epoch(loss: str, found: bool) -> None:
    lines: list[str] = []
    twice = keras.losses.SparseCategoricalCrossentropy(from_logits=loss == "from logits")
    callback = EvaluationCallback(
        (X_VAL, Y_VAL), "softmax_cce", "probabilities", write=lines.append
    )
    model(3, "softmax", twice).fit(X, Y, epochs=1, verbose=0, callbacks=[callback])
    assert bool(callback.report.findings) == found
    assert lines[0].startswith("lossheads check")
