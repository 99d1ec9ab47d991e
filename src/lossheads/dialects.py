"""What each library means by "accuracy": the table, without the arithmetic.

A *dialect* is one way in which a library turns predictions into a number called accuracy. Which
quantity it prints depends on shapes, on the name of the loss and on the version.
`metrics.frameworks` computes the quantities, `decode` reads printed numbers back through this
table, and the pages in docs/dialects are made from it.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from lossheads.errors import UserError, near_matches

# The names are the last part of the metric that computes them: `printed_<quantity>`.
QUANTITIES = {
    "argmax": "the share of examples whose highest output is the labelled class",
    "cells": "the share of cells (examples times units) in which [output > 1/2] is the target",
    "logit_cells": "the share of cells in which [sigmoid(logit) > 1/2] is the target",
    "raw_logit_cells": "the share of cells in which [logit > 1/2] is the target: a logit is cut "
    "where a probability should be, at sigmoid(1/2) = 0.62",
    "twice_sigmoid_cells": "the share of cells in which [sigmoid(output) > 1/2] is the target; the "
    "sigmoid of a positive number is above 1/2, so it is the share of ones in the target",
    "rows": "the share of examples in which [output > 1/2] is the target in every cell",
    "macro_recall": "the mean over classes of recall at the argmax; a class that is predicted "
    "but never occurs counts as 0",
    "balanced": "the mean of recall at the argmax over the classes that occur",
    "equal_cells": "the share of cells in which the output equals the target exactly",
    "mean_iou": "the mean over classes of intersection over union at the argmax",
    "mean_iou_without_first": "the mean of intersection over union at the argmax, examples of "
    "class 0 left out and class 0 not averaged",
}
# What the best constant prediction prints, in words.
_MAJORITY_CELLS = (
    "every cell at its more frequent value: 1 - 1/C for one of C balanced classes, 1 - (true "
    "labels per example)/L for labels, the larger share for one unit"
)
BASELINES = {
    "argmax": "the most frequent class: 1/C when classes are balanced",
    "cells": _MAJORITY_CELLS,
    "logit_cells": _MAJORITY_CELLS,
    "raw_logit_cells": _MAJORITY_CELLS,
    "twice_sigmoid_cells": _MAJORITY_CELLS,
    "rows": "the most frequent row: 1/C for one of C balanced classes",
    "macro_recall": "one class: 1/(classes that occur)",
    "balanced": "one class: 1/(classes that occur)",
    "equal_cells": "every cell at its most frequent value",
    "mean_iou": "a guess of each class by its odds: 1/(2C - 1) for C balanced classes",
    "mean_iou_without_first": "a guess of each class but 0 by its odds among the others: "
    "1/(2(C - 1) - 1) when these are balanced",
}
assert list(BASELINES) == list(QUANTITIES)
Kind = Literal["one_of", "any_of", "each_one_of"]
Version = tuple[int, ...]


@dataclass(frozen=True)
class Setting:
    """What decides which quantity is printed.

    Attributes:
        kind: What a label can be: one of C classes, any of L labels, or one class in each group.
        one_unit: Whether the last layer has a single unit.
        loss: Keras's name of the loss.
        ends_in: What the model returns: probabilities or logits.
    """

    kind: Kind = "one_of"
    one_unit: bool = False
    loss: str = "categorical_crossentropy"
    ends_in: Literal["probabilities", "logits"] = "probabilities"


@dataclass(frozen=True)
class Dialect:
    """One library, a range of versions, one call.

    Attributes:
        key: The key of its numbers in the recorded outputs.
        since: First version, inclusive.
        before: First version it does not hold for; None: to the newest that was asked.
        call: What the user writes.
        reads: The quantity that is printed; None where the call is refused, or means no accuracy.
        rule: Why, in a clause.
        source: Where the library says so.
        word: Whether it is what people call "accuracy" without a further word: `decode` reads
            a printed accuracy through these.
    """

    key: str
    library: str
    since: Version
    before: Version | None
    call: str
    reads: Callable[[Setting], str | None]
    rule: str
    source: str
    word: bool = True

    @property
    def versions(self) -> str:
        """In words: "from 1.0.6 to before 2.4"."""
        if self.before is None:
            return f"from {_dotted(self.since)}" if self.since else "every version asked"
        return f"from {_dotted(self.since)} to before {_dotted(self.before)}"

    def holds_for(self, version: Version) -> bool:
        """Whether a version, perhaps given to fewer places than the limits, may be in the range."""
        if not version:
            return True
        n = len(version)
        low, high = self.since[:n], self.before
        return version >= low and (
            high is None or version < high[:n] or (n < len(high) and version == high[:n])
        )


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))


def _shapes(s: Setting) -> str:
    if s.one_unit:
        return "cells" if s.ends_in == "probabilities" else "raw_logit_cells"
    return "argmax"


def _shapes_and_loss(s: Setting) -> str:
    if s.one_unit or s.loss == "binary_crossentropy":
        return "cells" if s.ends_in == "probabilities" else "raw_logit_cells"
    return "argmax"


def _cells(s: Setting) -> str:
    return "cells" if s.ends_in == "probabilities" else "raw_logit_cells"


def _argmax(s: Setting) -> str | None:
    return "argmax" if s.kind == "one_of" and not s.one_unit else None


def _rows(s: Setting) -> str | None:
    return "rows" if s.ends_in == "probabilities" and s.kind != "each_one_of" else None


def _torchmetrics_accuracy(s: Setting) -> str | None:
    if s.kind == "any_of" or s.one_unit:
        return "cells" if s.ends_in == "probabilities" else "logit_cells"
    return _argmax(s)


def _torchmetrics_multiclass(s: Setting) -> str | None:
    return "macro_recall" if _argmax(s) else None


def _accuracy_multi(s: Setting) -> str | None:
    if s.kind == "each_one_of":
        return None
    return "logit_cells" if s.ends_in == "logits" else "twice_sigmoid_cells"


def _ignite(s: Setting) -> str | None:
    if s.kind == "any_of" or s.one_unit:
        return "cells" if s.ends_in == "probabilities" else None
    return _argmax(s)


def _only_many(quantity: str) -> Callable[[Setting], str | None]:
    return lambda s: quantity if _argmax(s) else None


_KERAS_LOSS = (
    "one unit, or the loss is binary_crossentropy: element-wise at 1/2; otherwise argmax of "
    "outputs against argmax of target rows"
)
_KERAS_SHAPES = (
    "one unit: element-wise at 1/2; otherwise argmax of outputs against argmax of target rows (or "
    "against indices), whatever the loss"
)
_ACCURACY = 'metrics=["accuracy"]'
_KERAS_3 = "keras/src/trainers/compile_utils.py, get_metric"
_TM = "torchmetrics/classification/accuracy.py"

DIALECTS: tuple[Dialect, ...] = (
    Dialect("keras-1.0.0", "Keras", (1, 0), (1, 0, 6), _ACCURACY, _shapes, _KERAS_SHAPES,
            "keras/engine/training.py, Model.compile"),
    Dialect("keras-1.0.6", "Keras", (1, 0, 6), (2, 4), _ACCURACY, _shapes_and_loss, _KERAS_LOSS,
            "keras/engine/training.py, Model.compile (keras-team/keras#3098)"),
    Dialect("keras-2.4", "Keras", (2, 4), None, _ACCURACY, _shapes, _KERAS_SHAPES, _KERAS_3),
    Dialect("keras-Accuracy", "Keras", (2, 3), None, "metrics=[keras.metrics.Accuracy()]",
            lambda s: "equal_cells",
            "the class compares values, not decisions: a probability equals 0 or 1 hardly ever",
            "keras/src/metrics/accuracy_metrics.py, Accuracy", word=False),
    Dialect("keras-BinaryAccuracy", "Keras", (2, 3), None,
            "metrics=[keras.metrics.BinaryAccuracy()]", _cells,
            "element-wise at 1/2 for any number of units; logits are cut at 1/2 too, unless "
            "threshold=0.0 is passed",
            "keras/src/metrics/accuracy_metrics.py, BinaryAccuracy", word=False),
    Dialect("tf.keras-1", "tf.keras", (1,), (2, 2), _ACCURACY, _shapes_and_loss, _KERAS_LOSS,
            "tensorflow/python/keras/engine/training_utils.py, get_metric_function"),
    Dialect("tf.keras-2.2", "tf.keras", (2, 2), None, _ACCURACY, _shapes, _KERAS_SHAPES,
            "tensorflow/python/keras/engine/compile_utils.py, MetricsContainer"),
    Dialect("torchmetrics-Accuracy", "torchmetrics", (0, 11), None,
            'Accuracy(task="multiclass", num_classes=C), task="multilabel", task="binary"',
            _torchmetrics_accuracy,
            'average="micro" by default; binary and multilabel cut at threshold=0.5, after a '
            "sigmoid of their own if any value of the batch lies outside [0, 1]",
            f"{_TM}, Accuracy"),
    Dialect("torchmetrics-MulticlassAccuracy", "torchmetrics", (0, 11), None,
            "MulticlassAccuracy(num_classes=C)", _torchmetrics_multiclass,
            'the class has average="macro" by default where Accuracy(task=...) has "micro"',
            f"{_TM}, MulticlassAccuracy"),
    Dialect("torchmetrics-MultilabelExactMatch", "torchmetrics", (0, 11), None,
            "MultilabelExactMatch(num_labels=L)", _rows,
            "all labels of an example must be right",
            "torchmetrics/classification/exact_match.py", word=False),
    Dialect("torchmetrics-Jaccard", "torchmetrics", (0, 11), None,
            'JaccardIndex(task="multiclass", num_classes=C)', _only_many("mean_iou"),
            'average="macro" by default, over the classes that occur or are predicted',
            "torchmetrics/classification/jaccard.py", word=False),
    Dialect("torchmetrics-Jaccard-ignore", "torchmetrics", (0, 11), None,
            'JaccardIndex(task="multiclass", num_classes=C, ignore_index=0)',
            _only_many("mean_iou_without_first"),
            "examples labelled 0 are dropped, and class 0 is left out of the mean",
            "torchmetrics/classification/jaccard.py", word=False),
    Dialect("sklearn-accuracy", "scikit-learn", (), None,
            "accuracy_score(labels, outputs.argmax(axis=1))", _argmax,
            "indices are compared as they are", "sklearn/metrics/_classification.py"),
    Dialect("sklearn-subset", "scikit-learn", (), None,
            "accuracy_score(target, outputs > 0.5)", _rows,
            "rows of zeros and ones are multi-label: the whole row must match (subset accuracy)",
            "sklearn/metrics/_classification.py, accuracy_score"),
    Dialect("sklearn-balanced", "scikit-learn", (), None,
            "balanced_accuracy_score(labels, outputs.argmax(axis=1))", _only_many("balanced"),
            "a mean over the classes that occur in the labels, each weighing the same",
            "sklearn/metrics/_classification.py, balanced_accuracy_score", word=False),
    Dialect("fastai-accuracy", "fastai", (2,), None, "metrics=accuracy", _argmax,
            "argmax against indices", "fastai/metrics.py, accuracy"),
    Dialect("fastai-accuracy_multi", "fastai", (2,), None, "metrics=accuracy_multi",
            _accuracy_multi,
            "thresh=0.5 after a sigmoid of its own (sigmoid=True), which a model that ends in a "
            "sigmoid gets twice", "fastai/metrics.py, accuracy_multi"),
    Dialect("evaluate-accuracy", "HF evaluate", (), None,
            'evaluate.load("accuracy").compute(predictions=outputs.argmax(-1), references=labels)',
            _argmax, "a call of scikit-learn's accuracy_score",
            "huggingface/evaluate, metrics/accuracy/accuracy.py"),
    Dialect("evaluate-accuracy-multilabel", "HF evaluate", (), None,
            'evaluate.load("accuracy", "multilabel").compute(predictions=outputs > 0.5, '
            "references=target)", _rows,
            "a call of scikit-learn's accuracy_score: the whole row must match",
            "huggingface/evaluate, metrics/accuracy/accuracy.py"),
    Dialect("lightning-log", "Lightning", (1, 3), None,
            'self.log("acc", accuracy_of_batch, on_epoch=True)', _argmax,
            "a mean of batches, each weighed by the batch size that Lightning reads from the "
            "batch: exact for the share of correct examples",
            "lightning/pytorch/trainer/connectors/logger_connector/result.py"),
    Dialect("ignite-Accuracy", "ignite", (0, 4), None, "ignite.metrics.Accuracy()", _ignite,
            "one score per class against indices: argmax; outputs rounded to 0 and 1 of the "
            "target's shape: element-wise", "ignite/metrics/accuracy.py"),
    Dialect("ignite-multilabel", "ignite", (0, 4), None,
            "ignite.metrics.Accuracy(is_multilabel=True)", _rows,
            "all labels of an example must be right", "ignite/metrics/accuracy.py"),
)  # fmt: skip

_ALIASES = {
    "keras": "Keras",
    "tf.keras": "tf.keras",
    "tf-keras": "tf.keras",
    "tf": "tf.keras",
    "tensorflow": "tf.keras",
    "torchmetrics": "torchmetrics",
    "sklearn": "scikit-learn",
    "scikit-learn": "scikit-learn",
    "fastai": "fastai",
    "evaluate": "HF evaluate",
    "huggingface": "HF evaluate",
    "hf": "HF evaluate",
    "lightning": "Lightning",
    "pytorch-lightning": "Lightning",
    "ignite": "ignite",
    "pytorch-ignite": "ignite",
}
# The newest version of each library when the table was last looked at, 2026-11-29. Later minor
# versions are read by the newest row; of a major version that did not exist nothing is known.
_NEWEST: dict[str, Version] = {
    "Keras": (3, 15),
    "tf.keras": (2, 21),
    "torchmetrics": (1, 9),
    "scikit-learn": (1, 9),
    "fastai": (2, 8),
    "HF evaluate": (0, 4),
    "Lightning": (2, 6),
    "ignite": (0, 5),
}
_WITHOUT_ACCURACY = ("torch", "pytorch", "jax", "flax", "numpy", "theano", "timm", "transformers")


def parse_framework(text: str) -> tuple[str, Version]:
    """ "keras-2.2.4", "tf.keras 2.1", "torchmetrics" -> library and version, () where none is said.

    Raises:
        UserError: For a library that the table does not hold, with near matches, and for a version
            that it says nothing of, with those it knows.
    """
    pattern = r"\s*([a-z][a-z.\-]*?)(?:[\s\-_=@v]*(\d+(?:\.\d+)*)[\w.+]*)?\s*"
    found = re.fullmatch(pattern, text.lower())
    name = found[1].strip(".-") if found else text
    if name in _WITHOUT_ACCURACY:
        raise UserError(
            f"framework {name} has no accuracy of its own: name the library that computed the "
            f"number ({', '.join(sorted(set(_ALIASES.values())))}), or leave framework out"
        )
    if name not in _ALIASES:
        raise UserError(
            f"framework must be a library of the table, perhaps with a version as in keras-2.2, "
            f"got {text!r}; {near_matches(name, _ALIASES)}"
        )
    assert found is not None
    library, version = _ALIASES[name], tuple(map(int, found[2].split("."))) if found[2] else ()
    newest = _NEWEST[library]
    rows = list(dialects_of(library))
    if version[:1] > newest[:1] or not any(row.holds_for(version) for row in rows):
        oldest = _dotted(min(row.since for row in rows))
        raise UserError(
            f"framework must name a version of {library} that exists and the table knows, from "
            f"{oldest or '0'} to {_dotted(newest)} and later {newest[0]}.x, got {text!r}; leave "
            f"the version out if you do not know it"
        )
    return library, version


def dialects_of(library: str, version: Version = ()) -> Iterator[Dialect]:
    """The rows of a library that may hold for a version."""
    return (d for d in DIALECTS if d.library == library and d.holds_for(version))
