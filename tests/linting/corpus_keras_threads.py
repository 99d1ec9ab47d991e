"""The second set's threads about Keras; see `corpus_threads`."""

import keras
import numpy as np
from keras import layers, losses

from .corpus import BINARY, CLASSES, MANY, C, L, right, wrong
from .corpus_keras import COLUMN, INPUTS, compiled, dense


@wrong("thread keras", "relu-before-loss")
def geeksmental_accuracy_remains():
    """geeksmental.com/question/why-does-accuracy-remain-the-same: Dense(1, relu) and BCE."""
    inputs = np.random.default_rng(0).integers(0, 100_000, (48, 8)).astype("float32")
    return compiled(dense(1, "relu"), "binary_crossentropy", "accuracy"), inputs, COLUMN, None


@wrong("thread keras", "logits-into-probability-loss")
def keras_hub_1008():
    """github.com/keras-team/keras-hub/pull/1008: logits, and the loss by its name."""
    model = compiled(dense(C), "sparse_categorical_crossentropy")
    return model, INPUTS, CLASSES.numpy(), None


@wrong("thread keras", "softmax-before-logits-loss")
def dana_1():
    """github.com/mmalekzadeh/dana/issues/1: an LSTM with softmax, from_logits=True."""
    keras.utils.set_random_seed(0)
    given = layers.Input((8, 1))
    hidden = layers.Dropout(0.5)(layers.LSTM(4)(given))
    model = keras.Model(given, layers.Dense(C, activation="softmax")(hidden))
    model.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True))
    return model, INPUTS[:, :, None], CLASSES.numpy(), None


@wrong("thread keras", "sigmoid-before-logits-loss")
def keras_15271():
    """github.com/keras-team/keras/issues/15271: sigmoid and from_logits=True."""
    loss = losses.BinaryCrossentropy(from_logits=True)
    return compiled([*dense(1), layers.Activation("sigmoid")], loss), INPUTS, COLUMN, None


@wrong("thread keras", "one-unit-softmax")
def geek_tips_557592():
    """geek-tips.imtqy.com/articles/557592: one softmax node and binary cross-entropy."""
    return compiled(dense(1, "softmax"), "binary_crossentropy", "accuracy"), INPUTS, COLUMN, None


@wrong("thread keras", "metric-argmax-for-several-labels")
def tensorflow_41114():
    """github.com/tensorflow/tensorflow/issues/41114: accuracy fell after an upgrade."""
    model = compiled(dense(L, "sigmoid"), "binary_crossentropy", "accuracy")
    return model, INPUTS, MANY.numpy(), None


@right("thread keras")
def boohere_80265():
    """boohere.com/tr/detail/80265.html: two units, softmax, categorical cross-entropy."""
    rows = np.eye(2, dtype="float32")[BINARY.numpy()]
    return compiled(dense(2, "softmax"), "categorical_crossentropy", "accuracy"), INPUTS, rows, None
