"""Train tiny models in whatever Keras is installed, and write down what it printed.

    KERAS_BACKEND=torch python tests/metrics/ask_keras.py recorded.json
    python tests/metrics/ask_keras.py recorded.json tensorflow.keras

The printed numbers go to recorded.json, the logits they came from to said.npz. It runs in a process
of its own and imports nothing of lossheads: a witness must not be coached. It keeps to arguments
that Keras has had in the same place or by the same name from 1.0 to 3, and to Python 3.6, so
that versions which chose their accuracy by other rules can be heard too.
"""

import importlib
import json
import sys

import numpy as np

ROWS, FEATURES = 37, 6
BATCH, EPOCHS, RATE = 8, 3, 0.5  # the last batch holds 5 rows: a mean of batch means is off

CCE, BCE = "categorical_crossentropy", "binary_crossentropy"
SPARSE = "sparse_" + CCE

# name -> units, activation of the last layer, loss, target, whether it is trained.
CASES = {
    "one sigmoid unit": (1, "sigmoid", BCE, "column", True),
    "one sigmoid unit, targets in a list": (1, "sigmoid", BCE, "list", True),
    "one sigmoid unit at one half": (1, "sigmoid", BCE, "column", False),
    "one sigmoid unit, soft targets": (1, "sigmoid", BCE, "soft column", True),
    "one softmax unit": (1, "softmax", CCE, "column", True),
    "one softmax unit, bce": (1, "softmax", BCE, "column", True),
    "two softmax units": (2, "softmax", CCE, "one-hot", True),
    "softmax, one-hot": (4, "softmax", CCE, "one-hot", True),
    "softmax, one-hot, bce": (4, "softmax", BCE, "one-hot", True),
    "softmax, one-hot, all equal": (4, "softmax", CCE, "one-hot", False),
    "softmax, soft rows": (4, "softmax", CCE, "soft rows", True),
    "softmax, soft rows, bce": (4, "softmax", BCE, "soft rows", True),
    "softmax, integers": (4, "softmax", SPARSE, "list", True),
    "softmax, integers in a column": (4, "softmax", SPARSE, "column", True),
    "sigmoid, one-hot, bce": (4, "sigmoid", BCE, "one-hot", True),
    "sigmoid, multi-hot": (4, "sigmoid", BCE, "multi-hot", True),
    "softmax in sets": ((2, 3), "softmax", CCE, "one-hot", True),
}


def problem(case):
    """Features, labels as data give them, the target Keras is passed, first kernel and bias."""
    units, _, _, kind, trained = CASES[case]
    shape = units if isinstance(units, tuple) else (units,)
    rng = np.random.RandomState(0)
    features = rng.normal(size=(ROWS, FEATURES)).astype("float32")
    truth = features.dot(rng.normal(size=(FEATURES, np.prod(shape))))
    truth = (truth + rng.normal(size=truth.shape)).reshape((ROWS, *shape))
    labels, target = label(truth, kind)
    # Zeros put every sigmoid at one half and make every softmax a tie.
    scale = 0.3 if trained else 0.0
    kernel = scale * rng.normal(size=(FEATURES, np.prod(shape)))
    return (
        features,
        labels,
        target.astype("float32"),
        kernel,
        scale * rng.normal(size=np.prod(shape)),
    )


def label(truth, kind):
    """Labels and target from noisy scores of the units."""
    if kind == "multi-hot":  # some rows are empty, and argmax meets ties in most
        labels = (truth > 0.5).astype(int)
        return labels, labels
    if truth.shape[1:] == (1,):
        truth = np.concatenate([0 * truth + 0.4, truth], axis=1)
    if kind.startswith("soft"):
        labels = np.exp(truth) / np.exp(truth).sum(axis=1, keepdims=True)
        return labels, labels[:, 1:] if kind == "soft column" else labels
    labels = truth.argmax(axis=-1)
    if kind == "one-hot":
        return labels, np.eye(truth.shape[-1])[labels]
    return labels, labels[:, None] if kind == "column" else labels


def build(keras, units, activation, start):
    """The model, and the same model without its activation."""
    dense = keras.layers.Dense(len(start[1]))
    features = keras.layers.Input(shape=(FEATURES,))
    logits = dense(features)
    if isinstance(units, tuple):
        logits = keras.layers.Reshape(units)(logits)
    outputs = keras.layers.Activation(activation)(logits)
    dense.set_weights(start)
    return keras.models.Model(features, outputs), keras.models.Model(features, logits)


def hear(keras, case):
    """Train and evaluate: the printed numbers, and the logits they came from."""
    units, activation, loss, _, trained = CASES[case]
    features, _, target, kernel, bias = problem(case)
    model, bare = build(keras, units, activation, [kernel, bias])
    before = bare.predict(features, ROWS)
    model.compile(optimizer=keras.optimizers.SGD(RATE), loss=loss, metrics=["accuracy"])
    try:
        if trained:
            model.fit(features, target, BATCH, EPOCHS, 0, shuffle=False)
        printed = model.evaluate(features, target, BATCH, 0)
    except Exception as error:  # Keras 1 raises no narrower one
        if "You are passing a target array" not in str(error):
            raise
        return {"refused": str(error).split(". ")[0]}, before
    logits = bare.predict(features, ROWS)
    said = {
        "accuracy": float(printed[1]),
        "loss": float(printed[0]),
        "logits_moved": float(np.abs(logits - before).max()),
    }
    if keras.__version__.startswith("3"):  # before, they build graphs
        said["functions"] = apply_functions(keras, target, model.predict(features, ROWS))
    return said, logits


def apply_functions(keras, target, outputs):
    """Keras's accuracy functions on the same rows, each called by its own name."""
    if target.ndim == 1:
        target = target[:, None]  # as Keras 2 did to every list of targets
    names = ["binary_accuracy"] if target.shape == outputs.shape else []
    if outputs.shape[-1] > 1:
        names.append("categorical_accuracy" if names else "sparse_categorical_accuracy")
    rules = {name: getattr(keras.metrics, name) for name in names}
    to_numpy = keras.ops.convert_to_numpy
    return {name: float(to_numpy(rule(target, outputs)).mean()) for name, rule in rules.items()}


def differentiate(keras):
    """Losses per row and their gradients by the logits, at logits of all sizes; torch only."""
    import torch

    rng = np.random.RandomState(1)
    sizes = np.repeat([0, 1, 4, 12, 60, 300], 8)[:, None]
    logits = (sizes * rng.normal(size=(len(sizes), 5))).astype("float32")
    labels = rng.randint(5, size=len(sizes))
    target = np.eye(5, dtype="float32")[labels]
    said = {"loss logits": logits, "loss labels": labels}
    softmax = keras.activations.softmax
    asked = {
        "softmax cce": lambda z: keras.losses.categorical_crossentropy(target, softmax(z)),
        "softmax bce": lambda z: keras.losses.binary_crossentropy(target, softmax(z)),
        "bce of logits": lambda z: keras.losses.binary_crossentropy(target, z, from_logits=True),
    }
    for name, loss in asked.items():
        z = torch.tensor(logits, requires_grad=True)
        values = loss(z)
        values.sum().backward()
        said[name] = values.detach().numpy()
        said[name + ", gradient"] = z.grad.numpy()
    return said


def main():
    name = sys.argv[2] if len(sys.argv) > 2 else "keras"
    keras = importlib.import_module(name)
    backend = getattr(keras.backend, "backend", lambda: keras.backend._BACKEND)()
    heard = {case: hear(keras, case) for case in CASES}
    said = {
        "module": name,
        "version": importlib.import_module(name.split(".")[0]).__version__,
        "backend": backend,
        "cases": {case: printed for case, (printed, _) in heard.items()},
    }
    with open(sys.argv[1], "w") as file:
        json.dump(said, file, indent=1)
    arrays = {case: logits for case, (_, logits) in heard.items()}
    arrays.update(differentiate(keras) if backend == "torch" else {})
    np.savez(sys.argv[1].replace(".json", ".npz"), **arrays)


if __name__ == "__main__":
    main()
