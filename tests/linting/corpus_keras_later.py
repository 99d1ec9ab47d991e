"""Keras cases that came up after both sets were counted."""

import keras
from keras import layers, losses

from .corpus import CLASSES, C, wrong
from .corpus_keras import INPUTS


@wrong("keras", "softmax-before-logits-loss")
def keras_subclass_without_a_training_argument():
    """No layer is the last one here: seen by torch's graph, or by values."""

    class Plain(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = layers.Dense(C, activation="softmax")

        def call(self, x: object) -> object:
            return self.hidden(x)

    model = Plain()
    model.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True))
    model(INPUTS)
    return model, INPUTS, CLASSES.numpy(), None
