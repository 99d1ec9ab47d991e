"""What a caller knows about a printed number: keys and words, checked."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal, InvalidOperation
from typing import Any

from lossheads.dialects import Version, parse_framework
from lossheads.errors import UserError, near_matches


@dataclass(frozen=True)
class Printed:
    """A number as it was printed.

    Attributes:
        half: Half a unit of its last digit: what rounding may have hidden.
    """

    text: str
    value: float
    half: float

    @property
    def low(self) -> float:
        """The lowest number that is printed so."""
        return self.value - self.half

    @property
    def high(self) -> float:
        """The highest."""
        return self.value + self.half


@dataclass(frozen=True)
class Facts:
    """Everything that was said; None where nothing was.

    Attributes:
        loss: The number that was printed as loss.
        loss_name: Keras's name of the loss, where it has one.
        classes: C, for exactly one true class per example.
        labels: L, for any number of true labels per example.
        units: Width of the last layer, where it is not `classes` or `labels`.
        last_layer: softmax, sigmoid, or logits where the model returns them.
        prevalence: Share of ones (binary, or mean over labels), or one share per class.
        positives: True labels per example, on average.
        examples: N, behind the printed number.
        batch: Examples in a batch.
    """

    accuracy: Printed | None = None
    loss: Printed | None = None
    loss_name: str | None = None
    classes: int | None = None
    labels: int | None = None
    units: int | None = None
    framework: str | None = None
    version: Version = ()
    metric: str | None = None
    last_layer: str | None = None
    prevalence: tuple[float, ...] | None = None
    positives: float | None = None
    examples: int | None = None
    batch: int | None = None
    smoothing: float | None = None
    pos_weight: float | None = None

    @property
    def one_unit(self) -> bool:
        """Whether the last layer is known to have a single unit."""
        return self.units == 1

    @property
    def share_of_ones(self) -> float | None:
        """The one prevalence: of class 1 of two, or the mean over labels."""
        if self.prevalence and len(self.prevalence) == 1:
            return self.prevalence[0]
        if self.prevalence and self.classes == 2 and len(self.prevalence) == 2:
            return self.prevalence[1]
        if self.prevalence and self.labels:
            return sum(self.prevalence) / len(self.prevalence)
        if self.positives and self.labels:
            return self.positives / self.labels
        return None


KEYS = (
    "accuracy", "loss", "classes", "labels", "units", "framework", "metric", "last_layer",
    "prevalence", "positives", "examples", "batch", "smoothing", "pos_weight",
)  # fmt: skip
# What logs and signatures call them.
_ALIASES = {
    "acc": "accuracy", "val_acc": "accuracy", "val_accuracy": "accuracy", "train_acc": "accuracy",
    "test_accuracy": "accuracy", "test_acc": "accuracy", "binary_accuracy": "accuracy",
    "val_binary_accuracy": "accuracy", "categorical_accuracy": "accuracy",
    "val_categorical_accuracy": "accuracy", "sparse_categorical_accuracy": "accuracy",
    "val_loss": "loss", "train_loss": "loss", "test_loss": "loss", "loss_name": "loss",
    "c": "classes", "num_classes": "classes", "n_classes": "classes",
    "l": "labels", "num_labels": "labels", "n_labels": "labels",
    "num_units": "units", "activation": "last_layer", "n": "examples", "samples": "examples",
    "batch_size": "batch", "label_smoothing": "smoothing", "library": "framework",
}  # fmt: skip
# Keys that name the metric as well.
_NAMED_METRICS = {
    "binary_accuracy": "cells", "val_binary_accuracy": "cells",
    "categorical_accuracy": "argmax", "val_categorical_accuracy": "argmax",
    "sparse_categorical_accuracy": "argmax",
}  # fmt: skip
_LOSS_NAMES = {
    "binarycrossentropy": "binary_crossentropy", "bce": "binary_crossentropy",
    "bceloss": "binary_crossentropy", "bcewithlogits": "binary_crossentropy",
    "bcewithlogitsloss": "binary_crossentropy", "sigmoidbce": "binary_crossentropy",
    "binarycrossentropywithlogits": "binary_crossentropy",
    "bcewithlogitslossflat": "binary_crossentropy", "logloss": "binary_crossentropy",
    "categoricalcrossentropy": "categorical_crossentropy", "cce": "categorical_crossentropy",
    "ce": "categorical_crossentropy", "crossentropy": "categorical_crossentropy",
    "crossentropyloss": "categorical_crossentropy", "softmaxcce": "categorical_crossentropy",
    "crossentropylossflat": "categorical_crossentropy",
    "sparsecategoricalcrossentropy": "sparse_categorical_crossentropy",
    "nll": "nll", "nllloss": "nll", "mse": "mse", "meansquarederror": "mse", "mseloss": "mse",
    "focal": "focal", "focalloss": "focal", "sigmoidfocalloss": "focal", "hinge": "hinge",
    "categoricalhinge": "categorical_hinge", "kullbackleiblerdivergence": "kld", "kld": "kld",
    "kldivergence": "kld", "poisson": "poisson", "other": "other",
}  # fmt: skip
_METRICS = {
    "accuracy": None, "acc": None,
    "binaryaccuracy": "cells", "binary": "cells", "cells": "cells", "elementwise": "cells",
    "accuracymulti": "logit_cells", "hamming": "cells",
    "categoricalaccuracy": "argmax", "sparsecategoricalaccuracy": "argmax", "argmax": "argmax",
    "top1": "argmax", "micro": "argmax",
    "accuracyscore": None, "exactmatch": "rows", "subset": "rows", "subsetaccuracy": "rows",
    "rows": "rows", "multilabelexactmatch": "rows",
    "multiclassaccuracy": "macro_recall", "macro": "macro_recall", "macrorecall": "macro_recall",
    "balancedaccuracyscore": "balanced", "balanced": "balanced",
    "balancedaccuracy": "balanced", "equal": "equal_cells",
}  # fmt: skip
_MOST = 10**9  # of anything that is counted
_LAST_LAYERS = ("softmax", "sigmoid", "logits")


def read_words(words: Iterable[str]) -> dict[str, list[str]]:
    """KEY=VALUE words of a command line; a key may come twice (a loss has a name and a number).

    Raises:
        UserError: For a word that is no KEY=VALUE.
    """
    found: dict[str, list[str]] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key.strip() or not value.strip():
            raise UserError(
                f"decode takes KEY=VALUE, as in accuracy=0.9728 or loss=2.303, got {word!r}; the "
                f"keys are {', '.join(KEYS)}"
            )
        found.setdefault(key.strip(), []).append(value.strip())
    return found


def read_facts(given: Mapping[str, Any]) -> Facts:
    """Facts from keys and values: strings as typed, numbers, or lists of either.

    Raises:
        UserError: Naming the key, what it got, the rule and the remedy.
    """
    known: dict[str, Any] = {}
    for raw, values in given.items():
        key = raw.lower().replace("-", "_").replace(" ", "_")
        key = _ALIASES.get(key, key)
        if key not in KEYS:
            raise UserError(
                f"decode knows no {raw!r}; {near_matches(raw.lower(), (*KEYS, *_ALIASES))}"
            )
        if raw.lower() in _NAMED_METRICS:
            _put(known, "metric", _NAMED_METRICS[raw.lower()])
        several = isinstance(values, list | tuple) and key != "prevalence"
        if key == "prevalence" and isinstance(values, list | tuple):
            values = ",".join(map(str, values))
        for value in values if several else [values]:
            _read(known, key, value)
    _check_together(known)
    return Facts(**known)


def _read(known: dict[str, Any], key: str, value: Any) -> None:
    """One value under its key; every reader refuses what is not of its kind."""
    if key == "loss" and not _is_number(value):
        _put(known, "loss_name", _loss_name(value))
    elif key == "loss":
        _put(known, "loss", printed(value, "loss"))
    elif key == "accuracy":
        _put(known, "accuracy", _accuracy(value))
    elif key in ("classes", "labels", "units", "examples", "batch"):
        _put(known, key, _whole(key, value, 2 if key == "classes" else 1))
    elif key == "framework":
        library, version = parse_framework(str(value))
        _put(known, "framework", library)
        _put(known, "version", version)
    elif key == "metric":
        _put_metric(known, str(value))
    elif key == "last_layer":
        name = str(value).lower()
        if name not in _LAST_LAYERS:
            raise UserError(
                f"last_layer must be {', '.join(_LAST_LAYERS)}, got {value!r}; "
                f"{near_matches(name, _LAST_LAYERS)}"
            )
        _put(known, "last_layer", name)
    elif key == "prevalence":
        _put(known, "prevalence", _prevalence(value))
    else:
        _put(known, key, _positive(key, value))


def _put(known: dict[str, Any], key: str, value: Any) -> None:
    if key in known and known[key] != value:
        two = [v.text if isinstance(v, Printed) else repr(v) for v in (known[key], value)]
        raise UserError(
            f"decode takes one {key} per call, got {two[0]} and {two[1]}: call it once for "
            f"each (training and validation numbers are two calls)"
        )
    known[key] = value


def printed(value: Any, key: str) -> Printed:
    """A number with the precision it was printed in: "2.303" is 2.303 within 0.0005.

    A Python float has lost its trailing zeros: pass "0.9000" as a string to keep them.
    """
    text = str(value).strip().replace(",", ".")
    try:
        number = Decimal(text.removesuffix("%"))
    except InvalidOperation:
        raise UserError(
            f"{key} must be a number as it was printed, such as 0.9728, got {value!r}"
        ) from None
    if not number.is_finite() or not math.isfinite(float(number)):
        why = ""
        if key == "loss":
            why = (
                ": a loss that is not a number has overflowed or met log(0), which no digits "
                "explain; look at the first step at which it happens"
            )
        raise UserError(f"{key} must be a finite number, got {value!r}{why}")
    exponent = int(number.as_tuple().exponent)
    scale = 0.01 if text.endswith("%") else 1.0
    half = float(Decimal((0, (5,), exponent - 1)))
    return Printed(text, float(number) * scale, half * scale)


def _accuracy(value: Any) -> Printed:
    number = printed(value, "accuracy")
    if not number.text.endswith("%") and 1 < number.value <= 100:
        number = Printed(f"{number.text}%", number.value / 100, number.half / 100)
    if not 0 <= number.value <= 1:
        raise UserError(
            f"accuracy must lie in [0, 1], or be a percentage such as 97.28%, got {value!r}"
        )
    return number


def _is_number(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    if not isinstance(value, str):
        return True
    return bool(re.fullmatch(r"\s*[-+]?(\d.*|\.\d.*|nan|inf(inity)?)", value.lower()))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower().split(".")[-1])


def _loss_name(value: Any) -> str:
    name = _plain(str(value))
    if name not in _LOSS_NAMES:
        names = {*_LOSS_NAMES.values()}
        raise UserError(
            f"loss must be a printed number or the name of a loss, got {value!r}; "
            f"{near_matches(str(value), names)}"
        )
    return _LOSS_NAMES[name]


def _put_metric(known: dict[str, Any], value: str) -> None:
    # The class of Keras compares values; the string chooses a rule.
    if re.fullmatch(r"(tf\.)?(keras\.metrics\.)?Accuracy(\(\))?", value):
        _put(known, "metric", "equal_cells")
        return
    name = _plain(re.sub(r"\(.*\)$", "", value))
    if name not in _METRICS:
        raise UserError(f"decode knows no metric {value!r}; {near_matches(name, _METRICS)}")
    if _METRICS[name] is not None:
        _put(known, "metric", _METRICS[name])


def _whole(key: str, value: Any, least: int) -> int:
    try:
        number = Decimal(str(value))
        whole = int(number)
    except (InvalidOperation, ValueError, OverflowError):
        number, whole = Decimal(-1), 0
    if number != whole or not least <= whole <= _MOST or isinstance(value, bool):
        remedy = "; one sigmoid or softmax unit is classes=2 units=1" if key == "classes" else ""
        raise UserError(f"{key} must be an integer from {least} to {_MOST}, got {value!r}{remedy}")
    return whole


def _positive(key: str, value: Any) -> float:
    number = printed(value, key).value
    highest = {"smoothing": 1.0}.get(key, math.inf)
    if not 0 < number < highest:
        rule = "lie between 0 and 1" if highest == 1 else "be above 0"
        raise UserError(f"{key} must {rule}, got {value!r}")
    return number


def _prevalence(value: Any) -> tuple[float, ...]:
    parts = re.split(r"[,\s]+", str(value).strip("[]() "))
    shares = tuple(printed(part, "prevalence").value for part in parts)
    if not shares or not all(0 < share < 1 for share in shares):
        raise UserError(
            f"prevalence must be the share of ones, or one share per class, each between 0 and 1, "
            f"got {value!r}"
        )
    return shares


def _check_together(known: dict[str, Any]) -> None:
    if "accuracy" not in known and "loss" not in known:
        raise UserError(
            f"decode needs a printed number, accuracy=0.9728 or loss=2.303, got "
            f"{', '.join(sorted(known)) or 'nothing'}"
        )
    if "classes" in known and "labels" in known:
        raise UserError(
            f"decode takes classes (exactly one is true) or labels (any may be), got classes="
            f"{known['classes']} and labels={known['labels']}"
        )
    classes, shares = known.get("classes"), known.get("prevalence", ())
    if len(shares) > 1 and classes is not None:
        if len(shares) != classes:
            raise UserError(
                f"prevalence must have one share for each of the {classes} classes, got "
                f"{len(shares)}"
            )
        if abs(sum(shares) - 1) > 0.01:
            raise UserError(
                f"prevalence of classes must sum to 1, got shares that sum to {sum(shares):.4g}"
            )
    if len(shares) == 1 and classes is not None and classes > 2:
        raise UserError(
            f"prevalence must have one share for each of the {classes} classes, got 1: leave it "
            f"out for balanced classes"
        )
    _check_units(known.get("units"), classes)
    labels, positives = known.get("labels"), known.get("positives")
    if labels is not None and positives is not None and positives > labels:
        raise UserError(
            f"positives, the true labels per example, must be at most labels={labels}, got "
            f"{positives:g}"
        )


def _check_units(units: int | None, classes: int | None) -> None:
    if units is None or classes is None or units == classes:
        return
    if units == 1 and classes > 2:
        raise UserError(
            f"units=1 tells two classes apart, got classes={classes}: use classes=2, or leave "
            f"units out"
        )
    if units != 1:
        either = "1 or 2" if classes == 2 else f"{classes}"
        raise UserError(
            f"units must be {either}, one for each of classes={classes}"
            f"{' or one for both' * (classes == 2)}, got {units}: leave units out"
        )


assert {*KEYS, "loss_name", "version"} == {field.name for field in fields(Facts)}
