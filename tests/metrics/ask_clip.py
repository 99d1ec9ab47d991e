"""What Keras prints as loss for a confident softmax: on some backends its clip takes part.

    KERAS_BACKEND=jax python tests/metrics/ask_clip.py

Prints one line of JSON: the loss of a softmax layer, and that of its logits with from_logits=True.
It runs in a process of its own and imports nothing of lossheads.
"""

import json

import numpy as np

N, CLASSES = 200, 10


def problem():
    """Logits of a network that is right mostly, and now and then sure of a wrong class."""
    rng = np.random.RandomState(0)
    logits = (8 * rng.normal(size=(N, CLASSES))).astype("float32")
    labels = rng.randint(CLASSES, size=N)
    logits[np.arange(N), labels] += 12
    return logits, labels


if __name__ == "__main__":
    import keras

    logits, labels = problem()
    said = {"backend": keras.backend.backend(), "version": keras.__version__}
    for last, given in (("softmax", False), ("linear", True)):
        model = keras.Sequential([keras.layers.Input((CLASSES,)), keras.layers.Activation(last)])
        model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=given))
        said[last] = model.evaluate(logits, labels, batch_size=N, verbose=0)
    print(json.dumps(said))
