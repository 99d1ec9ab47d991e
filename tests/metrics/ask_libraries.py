"""Ask the libraries of the table what they print for random and tie-heavy predictions.

    KERAS_BACKEND=torch python tests/metrics/ask_libraries.py recorded.json [LIBRARY ...]

It runs in a process of its own and imports nothing of lossheads: a witness must not be coached.
Libraries that are not installed are left out. One number per case and call; the calls have the
keys of `lossheads.dialects.DIALECTS`.
"""

import importlib.metadata
import json
import os
import sys
import tempfile
import warnings

import numpy as np

N = 41
SEEDS = range(6)
CASES = ("classes", "classes with ties", "labels", "labels with ties", "one unit",
         "one unit with ties", "few classes occur")  # fmt: skip


def problem(case, seed):
    """Outputs (N, U) float32, logits, labels as data give them, target rows (N, U) of 0 and 1.

    Ties: outputs lie on a coarse grid of quarters, so that many are exactly 1/2 and many rows have
    several highest cells.
    """
    rng = np.random.RandomState(100 * seed + CASES.index(case))
    units = 1 if case.startswith("one unit") else 5
    logits = 2 * rng.normal(size=(N, units))
    chosen = rng.randint(units, size=N)
    if case == "few classes occur":  # classes 3 and 4 may be predicted, and never occur
        chosen = rng.choice(3, size=N, p=[0.7, 0.2, 0.1])
    if units == 1:
        labels = rng.randint(2, size=N)
        target = labels[:, None]
    elif case.startswith("labels"):
        target = labels = (rng.uniform(size=(N, units)) < 0.3).astype(int)
    else:
        labels, target = chosen, np.eye(units, dtype=int)[chosen]
    logits = logits + 2 * target
    outputs = 1 / (1 + np.exp(-logits))
    if units > 1 and not case.startswith("labels"):
        outputs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if case.endswith("ties"):
        outputs, logits = np.round(4 * outputs) / 4, np.round(2 * logits) / 2
    return outputs.astype("float32"), logits.astype("float32"), labels, target.astype("float32")


def many(case):
    return case.startswith(("classes", "few"))


def ask_keras():
    import keras

    def printed(metric, given, target, loss):
        layers = [keras.layers.Input(shape=given.shape[1:]), keras.layers.Activation("linear")]
        model = keras.models.Sequential(layers)
        model.compile(loss=loss, metrics=[metric])
        return model.evaluate(given, target, verbose=0)[1]

    def accuracy(case, outputs, logits, labels, target):
        loss = "categorical_crossentropy" if many(case) else "binary_crossentropy"
        return {
            "keras-2.4": printed("accuracy", outputs, target, loss),
            "keras-2.4, bce": printed("accuracy", outputs, target, "binary_crossentropy"),
            "keras-2.4, logits": printed("accuracy", logits, target, "binary_crossentropy"),
            "keras-Accuracy": printed(keras.metrics.Accuracy(), outputs, target, loss),
            "keras-BinaryAccuracy": printed(keras.metrics.BinaryAccuracy(), outputs, target, loss),
            "keras-BinaryAccuracy, logits": printed(
                keras.metrics.BinaryAccuracy(), logits, target, loss
            ),
        }

    return accuracy


def ask_torchmetrics():
    import torch
    import torchmetrics
    from torchmetrics import classification as c

    def accuracy(case, outputs, logits, labels, target):
        p, z, y = map(torch.as_tensor, (outputs, logits, labels))
        rows, n = torch.as_tensor(target).long(), outputs.shape[1]
        if many(case):
            jaccard = {"task": "multiclass", "num_classes": n}
            return {
                "torchmetrics-Accuracy": torchmetrics.Accuracy("multiclass", num_classes=n)(p, y),
                "torchmetrics-MulticlassAccuracy": c.MulticlassAccuracy(n)(p, y),
                "torchmetrics-MultilabelExactMatch": c.MultilabelExactMatch(n)(p, rows),
                "torchmetrics-Jaccard": torchmetrics.JaccardIndex(**jaccard)(p, y),
                "torchmetrics-Jaccard-ignore": torchmetrics.JaccardIndex(**jaccard, ignore_index=0)(
                    p, y
                ),
            }
        if n == 1:
            binary = torchmetrics.Accuracy("binary")
            return {
                "torchmetrics-Accuracy": binary(p, rows),
                "torchmetrics-Accuracy, logits": torchmetrics.Accuracy("binary")(z, rows),
            }
        return {
            "torchmetrics-Accuracy": torchmetrics.Accuracy("multilabel", num_labels=n)(p, rows),
            "torchmetrics-Accuracy, logits": torchmetrics.Accuracy("multilabel", num_labels=n)(
                z, rows
            ),
            "torchmetrics-MultilabelExactMatch": c.MultilabelExactMatch(n)(p, rows),
        }

    return accuracy


def ask_sklearn():
    from sklearn.metrics import accuracy_score, balanced_accuracy_score

    def accuracy(case, outputs, logits, labels, target):
        said = {"sklearn-subset": accuracy_score(target, outputs > 0.5)}
        if many(case):
            decided = outputs.argmax(axis=1)
            said["sklearn-accuracy"] = accuracy_score(labels, decided)
            said["sklearn-balanced"] = balanced_accuracy_score(labels, decided)
        return said

    return accuracy


def ask_fastai():
    import torch
    from fastai.metrics import accuracy as fastai_accuracy
    from fastai.metrics import accuracy_multi

    def accuracy(case, outputs, logits, labels, target):
        p, z, y = map(torch.as_tensor, (outputs, logits, target))
        said = {
            "fastai-accuracy_multi": accuracy_multi(p, y),
            "fastai-accuracy_multi, logits": accuracy_multi(z, y),
        }
        if many(case):
            said["fastai-accuracy"] = fastai_accuracy(p, torch.as_tensor(labels))
        return said

    return accuracy


def ask_ignite():
    import torch
    from ignite.metrics import Accuracy

    def computed(metric, predicted, target):
        metric.update((predicted, target))
        return metric.compute()

    def accuracy(case, outputs, logits, labels, target):
        p, y, rows = map(torch.as_tensor, (outputs, labels, target))
        rounded, rows = (p > 0.5).long(), rows.long()
        if many(case):
            return {"ignite-Accuracy": computed(Accuracy(), p, y)}
        if rows.shape[1] == 1:
            return {"ignite-Accuracy": computed(Accuracy(), rounded, rows)}
        return {
            "ignite-Accuracy": computed(Accuracy(), rounded, rows),
            "ignite-multilabel": computed(Accuracy(is_multilabel=True), rounded, rows),
        }

    return accuracy


def ask_lightning():
    import lightning
    import torch
    from torchmetrics.functional.classification import multiclass_accuracy

    class Logs(lightning.LightningModule):
        """Logs the number of each batch, and lets Lightning take the mean."""

        def validation_step(self, batch, _):
            p, y = batch
            micro = multiclass_accuracy(p, y, p.shape[1], average="micro")
            macro = multiclass_accuracy(p, y, p.shape[1], average="macro")
            self.log_dict({"micro": micro, "macro": macro}, on_epoch=True)

    def accuracy(case, outputs, logits, labels, target):
        if not many(case):
            return {}
        data = torch.utils.data.TensorDataset(*map(torch.as_tensor, (outputs, labels)))
        trainer = lightning.Trainer(
            logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, accelerator="cpu", devices=1,
            default_root_dir=tempfile.gettempdir(),
        )  # fmt: skip
        loader = torch.utils.data.DataLoader(data, batch_size=8)
        (said,) = trainer.validate(Logs(), loader, verbose=False)
        return {"lightning-log": said["micro"], "lightning-log, macro in batches": said["macro"]}

    return accuracy


LIBRARIES = {
    "keras": ask_keras,
    "torchmetrics": ask_torchmetrics,
    "scikit-learn": ask_sklearn,
    "fastai": ask_fastai,
    "pytorch-ignite": ask_ignite,
    "lightning": ask_lightning,
}


def ask(library):
    """What one library prints: {case: [{call: number} of each seed]}, and its version."""
    accuracy = LIBRARIES[library]()
    said = {
        case: [
            {key: float(value) for key, value in accuracy(case, *problem(case, seed)).items()}
            for seed in SEEDS
        ]
        for case in CASES
    }
    version = importlib.metadata.version(library)
    backend = f", {os.environ['KERAS_BACKEND']} backend" if library == "keras" else ""
    return {"version": version + backend, "said": said}


def main():
    warnings.simplefilter("ignore")
    found = {}
    for library in sys.argv[2:] or LIBRARIES:
        try:
            importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
        found[library] = ask(library)
    with open(sys.argv[1], "w") as file:
        json.dump(found, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
