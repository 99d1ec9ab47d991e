"""Keras 3: compile and fit on arrays. The backend comes with the process (KERAS_BACKEND)."""

from time import perf_counter
from typing import Any

import keras
import numpy as np

from benchmarks.training_speed.peers import Run
from benchmarks.training_speed.setting import (
    CLASSES,
    LEARNING_RATE,
    MODELS,
    SIDE,
    Setting,
    load_rows,
)


class Clock(keras.callbacks.Callback):
    """Epoch hooks alone: a hook on every batch would make the backend wait for its results."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.started = perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seconds = perf_counter() - self.started


def build(setting: Setting) -> Run:
    if MODELS[setting.model].blocks:
        raise ValueError("residual nets are compared in torch alone")
    images, labels = load_rows(setting)
    inputs = (images.astype(np.float32) / 255)[..., None]
    net = keras.Sequential([keras.Input((SIDE, SIDE, 1)), *_layers(setting)])
    net.compile(
        optimizer=keras.optimizers.Adam(LEARNING_RATE),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )

    def run(members: int, steps: int) -> float:
        """Two short epochs; the second is the one that counts. `steps` fit into one pass."""
        rows, clock = steps * setting.batch, Clock()
        net.fit(inputs[:rows], labels[:rows], setting.batch, epochs=2, callbacks=[clock])
        return float(clock.seconds)

    return run


def _layers(setting: Setting) -> list[keras.layers.Layer]:
    model, layers = MODELS[setting.model], keras.layers
    made = []
    for wide in model.channels:
        made += [layers.Conv2D(wide, 3, padding="same", activation="relu"), layers.MaxPooling2D()]
    made.append(layers.Flatten())
    made += [layers.Dense(wide, activation="relu") for wide in model.hidden]
    return [*made, layers.Dense(CLASSES)]
