"""Keras 3, compiled, on the backend that KERAS_BACKEND names: each case counts once per backend."""

import keras
import numpy as np
from keras import layers, losses, metrics

from .corpus import BINARY, CLASSES, MANY, ONE_HOT, RARE, C, L, X, right, wrong

INPUTS = X.numpy()
COLUMN = BINARY.numpy().astype("float32")[:, None]


def compiled(last: list[layers.Layer], loss: object, accuracy: object = None) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([layers.Input((8,)), layers.Dense(16, activation="relu"), *last])
    chosen = None if accuracy is None else [accuracy]
    model.compile(optimizer="sgd", loss=loss, metrics=chosen)
    return model


def dense(units: int, activation: str | None = None) -> list[layers.Layer]:
    return [layers.Dense(units, activation=activation)]


@right("keras")
def keras_softmax_and_sparse_loss():
    model = compiled(dense(C, "softmax"), "sparse_categorical_crossentropy", "accuracy")
    return model, INPUTS, CLASSES.numpy(), None


@right("keras")
def keras_logits_and_sparse_loss():
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    return compiled(dense(C), loss, "accuracy"), INPUTS, CLASSES.numpy(), None


@right("keras")
def keras_softmax_and_one_hot_rows():
    model = compiled(dense(C, "softmax"), "categorical_crossentropy", "accuracy")
    return model, INPUTS, ONE_HOT.numpy(), None


@right("keras")
def keras_softmax_as_a_layer():
    loss = losses.CategoricalCrossentropy(label_smoothing=0.1)
    return compiled([*dense(C), layers.Softmax()], loss, "acc"), INPUTS, ONE_HOT.numpy(), None


@right("keras")
def keras_one_sigmoid():
    return compiled(dense(1, "sigmoid"), "binary_crossentropy", "accuracy"), INPUTS, COLUMN, None


@right("keras")
def keras_one_logit():
    loss = losses.BinaryCrossentropy(from_logits=True)
    model = compiled(dense(1), loss, metrics.BinaryAccuracy(threshold=0.0))
    return model, INPUTS, COLUMN, None


@right("keras")
def keras_several_labels():
    model = compiled(dense(L, "sigmoid"), "binary_crossentropy", "binary_accuracy")
    return model, INPUTS, MANY.numpy(), None


@right("keras")
def keras_two_softmax_units_with_bce():
    rows = np.eye(2, dtype="float32")[BINARY.numpy()]
    return compiled(dense(2, "softmax"), "binary_crossentropy", "accuracy"), INPUTS, rows, None


@right("keras")
def keras_dropout_behind_hidden_units():
    last = [layers.BatchNormalization(), layers.Dropout(0.5), *dense(C, "softmax")]
    return compiled(last, "sparse_categorical_crossentropy"), INPUTS, CLASSES.numpy(), None


@right("keras")
def keras_regression():
    return compiled(dense(1), "mse", "mae"), INPUTS, X[:, :1].numpy(), None


@wrong("keras", "logits-into-probability-loss")
def keras_logits_into_sparse_loss():
    model = compiled(dense(C), "sparse_categorical_crossentropy", "accuracy")
    return model, INPUTS, CLASSES.numpy(), None


@wrong("keras", "logits-into-probability-loss")
def keras_logits_into_bce():
    return compiled(dense(1), "binary_crossentropy"), INPUTS, COLUMN, None


@wrong("keras", "softmax-before-logits-loss")
def keras_softmax_twice():
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    return compiled(dense(C, "softmax"), loss), INPUTS, CLASSES.numpy(), None


@wrong("keras", "sigmoid-before-logits-loss")
def keras_sigmoid_twice():
    loss = losses.BinaryCrossentropy(from_logits=True)
    return compiled(dense(1, "sigmoid"), loss), INPUTS, COLUMN, None


@wrong("keras", "one-unit-softmax")
def keras_one_unit_under_softmax():
    return compiled(dense(1, "softmax"), "binary_crossentropy"), INPUTS, COLUMN, None


@wrong("keras", "softmax-with-binary-loss")
def keras_softmax_with_bce():
    model = compiled(dense(C, "softmax"), "binary_crossentropy", "accuracy")
    return model, INPUTS, ONE_HOT.numpy(), None


@wrong("keras", "sigmoid-with-categorical-loss")
def keras_sigmoid_with_cce():
    model = compiled(dense(C, "sigmoid"), "categorical_crossentropy")
    return model, INPUTS, ONE_HOT.numpy(), None


@wrong("keras", "softmax-for-several-labels")
def keras_softmax_for_several_labels():
    model = compiled(dense(L, "softmax"), "categorical_crossentropy")
    return model, INPUTS, MANY.numpy(), None


@wrong("keras", "relu-before-loss")
def keras_relu_as_last_layer():
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    return compiled(dense(C, "relu"), loss), INPUTS, CLASSES.numpy(), None


@wrong("keras", "targets-outside-unit-interval")
def keras_plus_and_minus_one():
    model = compiled(dense(1, "sigmoid"), "binary_crossentropy")
    return model, INPUTS, 2 * COLUMN - 1, None


@wrong("keras", "target-shape")
def keras_indices_into_cce():
    model = compiled(dense(C, "softmax"), "categorical_crossentropy")
    return model, INPUTS, CLASSES.numpy(), None


@wrong("keras", "metric-argmax-for-several-labels")
def keras_accuracy_of_several_labels():
    model = compiled(dense(L, "sigmoid"), "binary_crossentropy", "accuracy")
    return model, INPUTS, MANY.numpy(), None


@wrong("keras", "metric-cuts-logits-at-half")
def keras_accuracy_of_one_logit():
    loss = losses.BinaryCrossentropy(from_logits=True)
    return compiled(dense(1), loss, "accuracy"), INPUTS, COLUMN, None


@wrong("keras", "metric-wants-equality")
def keras_accuracy_class():
    model = compiled(dense(1, "sigmoid"), "binary_crossentropy", metrics.Accuracy())
    return model, INPUTS, RARE.numpy().astype("float32")[:, None], None


@wrong("keras", "metric-elementwise-on-one-hot")
def keras_binary_accuracy_of_one_hot_rows():
    model = compiled(dense(C, "softmax"), "categorical_crossentropy", "binary_accuracy")
    return model, INPUTS, ONE_HOT.numpy(), None


@wrong("keras", "sum-over-batch")
def keras_summed_over_the_batch():
    loss = losses.SparseCategoricalCrossentropy(reduction="sum")
    return compiled(dense(C, "softmax"), loss), INPUTS, CLASSES.numpy(), None
