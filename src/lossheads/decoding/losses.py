"""Values of a loss that betray what was computed: fingerprints, each with its derivation.

Every value is in nats as the loss would be printed: a mean over examples, and over classes where
the name says so. Every formula here is repeated in tests/decoding/test_fingerprints.py by the
heads of this project or the real function of a library.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from lossheads.decoding.facts import Facts, Printed

LN2 = math.log(2)
E = math.e
# -ln of the clip of Keras, for a true cell at 0; and for a false cell at 1, where float32 turns
# 1 - 1e-7 into 1 - 2**-23.
CLIP_LOW = -math.log(1e-7)
CLIP_HIGH = -math.log(2.0**-23)
# tf.keras 2 added the 1e-7 a second time inside the logarithm.
TF_CLIP_LOW = -math.log(2e-7)
TF_CLIP_HIGH = -math.log(2.0**-23 + 1e-7)
TORCH_CLAMP = 100.0
# What a probability of 0 for the true class costs elsewhere.
CERTAIN_ERRORS = {
    "Caffe (smallest float32)": -math.log(2.0**-126),
    "scikit-learn (float64 epsilon)": -math.log(2.0**-52),
    "log(p + 1e-8)": -math.log(1e-8),
    "log(p + 1e-10)": -math.log(1e-10),
    "log(p + 1e-12)": -math.log(1e-12),
    "log(p + 1e-15)": -math.log(1e-15),
}
BATCHES = (8, 10, 16, 20, 32, 50, 64, 100, 128, 200, 256, 512, 1000, 1024)
SMOOTHINGS = (0.1, 0.05, 0.2)


class Fingerprint(NamedTuple):
    """A value that one particular computation prints.

    Attributes:
        name: Of the formula; unique for given facts.
        value: In nats.
        formula: With its numbers.
        meaning: What prints it, and why.
        tell: What would tell it from the others.
        assumed: How many things were assumed that the caller did not say: fewer come first.
        slack: What the printed digits of another number (the accuracy) leave open of the value.
    """

    name: str
    value: float
    formula: str
    meaning: str
    tell: str
    assumed: int = 0
    slack: float = 0.0


@dataclass(frozen=True)
class Match:
    """A fingerprint beside the printed number.

    Attributes:
        off: Fingerprint minus printed number.
        how: "rounded" (it prints exactly so), "cut" (so without rounding), or "near".
    """

    fingerprint: Fingerprint
    off: float
    how: str


_EQUAL = "print the outputs of one batch: are they the same for every input?"
_LAYERS = "look at the last layer and the loss: which of the two applies the activation?"
_SATURATED = "print the outputs: are they all 0 or 1? Use the loss that takes logits"


def softplus(z: float) -> float:
    """log(1 + e^z)."""
    return max(z, 0.0) + math.log1p(math.exp(-abs(z)))


def entropy(shares: tuple[float, ...]) -> float:
    """-sum p ln p, in nats."""
    return -math.fsum(p * math.log(p) for p in shares if p > 0)


def binary_entropy(p: float) -> float:
    """-p ln p - (1 - p) ln(1 - p), in nats."""
    return entropy((p, 1 - p))


def catalogue(facts: Facts) -> list[Fingerprint]:
    """Every fingerprint that fits what is known of labels, last layer and loss.

    Without `classes` and `labels`: those that need neither.
    """
    found: list[Fingerprint] = list(_any_number())
    if facts.labels is not None:
        found += _labels(facts, facts.labels)
    elif facts.classes is not None and not facts.one_unit:
        found += _classes(facts, facts.classes)
        if facts.classes == 2:
            found += _binary(facts)
    elif facts.share_of_ones is not None or facts.one_unit:
        found += _binary(facts)
    else:
        found += _double_sigmoid_ends()
    found += [*_smoothed(facts), *_certain_errors(facts)]
    found = [f for f in found if _fits_loss(f, facts.loss_name)]
    return [*found, *_other_units(found, facts)]


def _certain_errors(facts: Facts) -> Iterator[Fingerprint]:
    """Every wrong answer at the clip, every right one for free: (1 - accuracy) times the clip."""
    yield from (
        Fingerprint(
            f"all wrong, {where}", cost, f"{cost:.6g}",
            "every true class has probability 0: saturated outputs and wrong or shifted labels, or "
            "logits in a loss of probabilities", _SATURATED, 1,
        )
        for where, cost in CERTAIN_ERRORS.items()
    )  # fmt: skip
    if facts.accuracy is None:
        return
    wrong, half = 1 - facts.accuracy.value, facts.accuracy.half
    clips = {
        "cce keras": CLIP_LOW, "bce keras, zeros for ones": CLIP_LOW,
        "bce keras, ones for zeros": CLIP_HIGH, "bce tf.keras 2, zeros for ones": TF_CLIP_LOW,
        "bce tf.keras 2, ones for zeros": TF_CLIP_HIGH, "bce torch": TORCH_CLAMP, **CERTAIN_ERRORS,
    }  # fmt: skip
    for where, cost in clips.items():
        if where.startswith("bce") and facts.classes not in (None, 2):
            continue  # a wrong answer has several wrong cells there
        yield Fingerprint(
            f"certain errors, {where}", wrong * cost,
            f"(1 - {facts.accuracy.value:.6g}) {cost:.6g}",
            "with the accuracy printed beside it: each wrong answer is certain and costs the clip, "
            "right ones cost nothing. Outputs are saturated or dead (all the same)",
            _SATURATED, 1, half * cost,
        )  # fmt: skip


# Words in a fingerprint's name that say which loss it is of; the loss the caller names leaves the
# others out. A name with none of these fits every loss.
_FAMILIES = {
    "categorical_crossentropy": ("cce", "double softmax"),
    "sparse_categorical_crossentropy": ("cce", "double softmax"),
    "binary_crossentropy": ("bce", "double sigmoid"),
    "nll": ("nll", "cce"),
    "mse": ("mse",),
    "focal": ("focal",),
}


_DOUBLE = ("double softmax", "double sigmoid")


def _fits_loss(fingerprint: Fingerprint, loss: str | None) -> bool:
    words = _FAMILIES.get(loss or "")
    named = any(
        word in fingerprint.name for word in ("cce", "bce", "nll", "mse", "focal", *_DOUBLE)
    )
    return words is None or not named or any(word in fingerprint.name for word in words)


def _any_number() -> Iterator[Fingerprint]:
    yield Fingerprint(
        "half, bce mean", LN2, "ln 2",
        "binary cross-entropy with every output at 1/2: untrained or dead (logits 0), for any "
        "number of classes where the loss is a mean over them",
        _EQUAL,
    )  # fmt: skip
    yield Fingerprint(
        "all wrong at the clip, cce", CLIP_LOW, "-ln 1e-7",
        "Keras clips probabilities at 1e-7: every true class has probability 0, so labels are "
        "shifted or the classes are in another order, or logits went into a loss of probabilities",
        _SATURATED, 1,
    )  # fmt: skip
    yield Fingerprint(
        "all wrong at the clamp, bce torch", TORCH_CLAMP, "-max(ln 0, -100)",
        "torch's BCELoss clamps each logarithm at -100: every cell is saturated and wrong",
        _SATURATED, 1,
    )  # fmt: skip
    yield Fingerprint(
        "certain of the truth, cce keras float32", -math.log1p(-(2.0**-23)), "-ln(1 - 2^-23)",
        "the least that Keras's clip leaves in float32: every true class at probability 1. One "
        "softmax unit prints this times the share of ones, whatever it learned",
        "is the last layer a single softmax unit? Then the accuracy is the share of ones", 1,
    )  # fmt: skip
    yield Fingerprint(
        "nothing to lose, cce", 0.0, "-ln 1",
        "softmax of one unit is 1 for every input: loss 0, gradient 0; or every prediction is "
        "right and certain",
        "is the last layer a single softmax unit? Then the accuracy is the share of ones", 1,
    )  # fmt: skip
    yield Fingerprint(
        "half, mse sigmoid", 0.25, "1/4",
        "squared error with every sigmoid at 1/2", _EQUAL, 1,
    )  # fmt: skip
    yield Fingerprint(
        "perfect probabilities, nll", -1.0, "-1",
        "nll_loss takes log-probabilities; given probabilities it prints minus the mean "
        "probability of the true class, here 1", "a loss below 0: put log_softmax before it", 1,
    )  # fmt: skip


def _classes(facts: Facts, c: int) -> Iterator[Fingerprint]:
    shares = facts.prevalence or ()
    if len(shares) == 1:
        shares = (1 - shares[0], shares[0])
    shares = shares or (1 / c,)  # one stands for all
    balanced = 0 if facts.prevalence else 1
    yield Fingerprint(
        "uniform, cce", math.log(c), f"ln {c}",
        f"softmax over {c} equal logits: an untrained or dead network, or one that learned no more "
        f"than that balanced classes are balanced",
        f"is it the first step? {_EQUAL}",
    )  # fmt: skip
    if facts.prevalence:
        yield Fingerprint(
            "base rates, cce", entropy(shares), "-sum_k p_k ln p_k of the shares given",
            "the entropy of the labels: the network knows the base rates and nothing of the input",
            _EQUAL,
        )  # fmt: skip
    yield Fingerprint(
        "half, bce sum", c * LN2, f"{c} ln 2",
        "binary cross-entropy summed over classes, every output at 1/2", _EQUAL,
    )  # fmt: skip
    per_cell = math.fsum(map(binary_entropy, shares)) / len(shares)
    formula = f"h(1/{c})" if balanced else "mean of h(p_k)"
    rates = (
        "the entropy of single cells: sigmoids at the base rates, or a softmax over equal logits "
        "under binary cross-entropy; nothing of the input is known"
    )
    yield Fingerprint("base rates, bce mean", per_cell, formula, rates, _EQUAL, balanced)
    yield Fingerprint(
        "base rates, bce sum", c * per_cell, f"{c} {formula}", rates + " (summed over classes)",
        _EQUAL, balanced,
    )  # fmt: skip
    yield from _double_softmax(c, max(shares), balanced)
    yield from _sigmoid_of_outputs(c)
    yield from _saturated_classes(c, max(shares), balanced)
    yield Fingerprint(
        "uniform probabilities, nll", -1 / c, f"-1/{c}",
        "nll_loss takes log-probabilities; given probabilities it prints minus the mean "
        "probability of the true class", "a loss below 0: put log_softmax before it",
    )  # fmt: skip
    yield Fingerprint(
        "start, multilabel cce", LN2 + math.log(c), f"ln 2 + ln {c}",
        "the log-sum multi-label loss at logits 0: ln(1 + 1) + ln(1 + C - 1)", _LAYERS, 1,
    )  # fmt: skip
    yield Fingerprint(
        "uniform, mse softmax", (1 - 1 / c) / c, f"(1 - 1/{c})/{c}",
        "squared error of a softmax over equal logits, mean over classes", _EQUAL, 1,
    )  # fmt: skip
    yield Fingerprint(
        "start, focal mean", (_FOCAL_ONE + (c - 1) * _FOCAL_ZERO) / c,
        f"(ln 2 / 16 + {c - 1} * 3 ln 2 / 16)/{c}",
        "torchvision's sigmoid_focal_loss (alpha 0.25, gamma 2) at logits 0, mean over classes",
        _LAYERS, 1,
    )  # fmt: skip


_FOCAL_ONE, _FOCAL_ZERO = 0.25 * 0.25 * LN2, 0.75 * 0.25 * LN2


def _double_softmax(c: int, largest: float, balanced: int) -> Iterator[Fingerprint]:
    floor = math.log(E + c - 1) - 1
    cause = "a loss that applies softmax itself was given probabilities: p lies in [0, 1], so "
    yield Fingerprint(
        "double softmax, cce floor", floor, f"ln(e + {c - 1}) - 1",
        f"{cause}the true class cannot rise above e/(e + {c - 1}); the lowest loss there is. "
        f"Sigmoid before CrossEntropyLoss has the same floor",
        _LAYERS,
    )  # fmt: skip
    yield Fingerprint(
        "double softmax, cce ceiling", floor + 1, f"ln(e + {c - 1})",
        f"{cause}a certain wrong answer costs no more than this: every example is wrong for sure",
        _LAYERS, 1,
    )  # fmt: skip
    yield Fingerprint(
        "double softmax, cce collapsed", floor + 1 - largest,
        f"ln(e + {c - 1}) - {largest:.4g}",
        f"{cause}one class is predicted for sure for every input", _LAYERS, 1 + balanced,
    )  # fmt: skip
    yield Fingerprint(
        "sigmoid before softmax, cce ceiling", math.log(1 + (c - 1) * E), f"ln(1 + {c - 1} e)",
        "sigmoid outputs in CrossEntropyLoss, the true one at 0 and all others at 1", _LAYERS, 2,
    )  # fmt: skip


def _sigmoid_of_outputs(c: int) -> Iterator[Fingerprint]:
    """BCE-with-logits of C units that are probabilities already, against one-hot rows."""
    floor = (softplus(-1.0) + (c - 1) * LN2) / c
    cause = "a loss that applies the sigmoid itself was given probabilities: "
    yield Fingerprint(
        "double sigmoid, bce mean floor", floor, f"(ln(1 + 1/e) + {c - 1} ln 2)/{c}",
        f"{cause}a true cell costs at least .3133, a false one at least ln 2; the lowest loss "
        f"there is, reached by perfect outputs", _LAYERS,
    )  # fmt: skip
    yield Fingerprint(
        "double sigmoid, bce sum floor", c * floor, f"ln(1 + 1/e) + {c - 1} ln 2",
        f"{cause}the lowest loss there is, summed over classes", _LAYERS, 1,
    )  # fmt: skip
    yield Fingerprint(
        "double sigmoid, bce mean start",
        (softplus(-0.5) + (c - 1) * softplus(0.5)) / c,
        f"(ln(1 + e^-1/2) + {c - 1} ln(1 + e^1/2))/{c}",
        f"{cause}every sigmoid at 1/2, an untrained network", _LAYERS,
    )  # fmt: skip
    yield Fingerprint(
        "softmax before sigmoid, bce mean start",
        (softplus(-1 / c) + (c - 1) * softplus(1 / c)) / c,
        f"(ln(1 + e^-1/{c}) + {c - 1} ln(1 + e^1/{c}))/{c}",
        f"{cause}a softmax over equal logits, an untrained network", _LAYERS, 1,
    )  # fmt: skip


def _saturated_classes(c: int, largest: float, balanced: int) -> Iterator[Fingerprint]:
    """One class for sure, or no class at all, at the clip of each library."""
    wrong = 1 - largest
    one = "one class is predicted for sure for every input: saturated outputs, "
    none = "no class is predicted for any input: outputs are all 0, "
    yield Fingerprint(
        "one class at the clip, cce", wrong * CLIP_LOW, f"{wrong:.4g} * 16.1181",
        f"{one}clipped by Keras at 1e-7", _SATURATED, balanced,
    )  # fmt: skip
    clips = (
        ("keras", CLIP_LOW, CLIP_HIGH, "clipped by Keras at 1e-7"),
        ("tf.keras 2", TF_CLIP_LOW, TF_CLIP_HIGH, "clipped by tf.keras 2, which adds 1e-7 twice"),
        ("torch", TORCH_CLAMP, TORCH_CLAMP, "clamped by torch's BCELoss at 100"),
    )
    for library, low, high, clipped in clips:
        yield Fingerprint(
            f"none at the clip, bce mean {library}", low / c, f"{low:.6g}/{c}", none + clipped,
            _SATURATED, 1,
        )  # fmt: skip
        yield Fingerprint(
            f"one class at the clip, bce mean {library}", wrong * (low + high) / c,
            f"{wrong:.4g} * ({low:.6g} + {high:.6g})/{c}", one + clipped, _SATURATED, 1 + balanced,
        )  # fmt: skip


def _binary(facts: Facts) -> Iterator[Fingerprint]:
    """One unit, zeros and ones; p is the share of ones."""
    given = facts.share_of_ones
    p, balanced = (0.5, 1) if given is None else (given, 0)
    share = f"{p:.4g}"
    if given is not None:
        yield Fingerprint(
            "base rates, bce", binary_entropy(p), f"h({share})",
            "the entropy of the labels: the unit knows the share of ones and nothing of the input",
            _EQUAL,
        )  # fmt: skip
    yield from _double_sigmoid_ends()
    yield from _double_sigmoid_mean(p, balanced, "bce")
    yield Fingerprint(
        "relu before sigmoid, bce floor", (1 - p) * LN2, f"{1 - p:.4g} ln 2",
        "no output below 1/2 is possible, so each zero costs ln 2 and each one nothing: ReLU as "
        "the last activation before the sigmoid", "print the smallest output: exactly 1/2?",
        1 + balanced,
    )  # fmt: skip
    yield from _saturated_unit(p, share, balanced)
    yield Fingerprint(
        "one softmax unit, cce keras float32", -p * math.log1p(-(2.0**-23)),
        f"{share} * 1.1921e-07",
        "softmax of one unit is 1 for every input; Keras's clip leaves 1.19e-7 for each one and "
        "the gradient is 0: nothing can be learned",
        "the accuracy is the share of ones, at every step", 1 + balanced,
    )  # fmt: skip
    if facts.pos_weight is not None:
        yield from _pos_weight(p, facts.pos_weight, balanced)


def _double_sigmoid_ends() -> Iterator[Fingerprint]:
    yield Fingerprint(
        "double sigmoid, bce floor of ones", softplus(-1.0), "ln(1 + 1/e)",
        "the sigmoid was applied twice, all labels are 1 and every output is 1: sigmoid(1) = .731",
        _LAYERS, 1,
    )  # fmt: skip
    yield Fingerprint(
        "double sigmoid, bce floor of zeros", LN2, "ln(1 + e^0)",
        "the sigmoid was applied twice and every output is 0: sigmoid(0) = 1/2, so that a zero "
        "cannot cost less than ln 2",
        "print min and max of what the loss is given: in [0, 1]?", 1,
    )  # fmt: skip


def _double_sigmoid_mean(p: float, balanced: int, loss: str) -> Iterator[Fingerprint]:
    """Both cells mixed at their share; `loss` is what the printed loss is called."""
    twice = "the sigmoid was applied twice: "
    yield Fingerprint(
        f"double sigmoid, {loss} floor", p * softplus(-1.0) + (1 - p) * LN2,
        f"{p:.4g} * .3133 + {1 - p:.4g} ln 2",
        f"{twice}the lowest loss there is, at perfect outputs", _LAYERS, balanced,
    )  # fmt: skip
    yield Fingerprint(
        f"double sigmoid, {loss} start", p * softplus(-0.5) + (1 - p) * softplus(0.5),
        f"{p:.4g} * .4741 + {1 - p:.4g} * .9741",
        f"{twice}every first sigmoid at 1/2, an untrained network", _LAYERS, balanced,
    )  # fmt: skip


def _saturated_unit(p: float, share: str, balanced: int) -> Iterator[Fingerprint]:
    clips = (
        ("keras", CLIP_LOW, CLIP_HIGH, "Keras clips at 1e-7"),
        ("tf.keras 2", TF_CLIP_LOW, TF_CLIP_HIGH, "tf.keras 2 clips at 1e-7 and adds 1e-7 again"),
        ("torch", TORCH_CLAMP, TORCH_CLAMP, "torch's BCELoss clamps at 100"),
    )
    for library, low, high, clip in clips:
        yield Fingerprint(
            f"all zeros at the clip, bce {library}", p * low, f"{share} * {low:.6g}",
            f"every output is 0 and {clip}: dead or saturated, the accuracy is the share of zeros",
            _SATURATED, 1 + balanced,
        )  # fmt: skip
        yield Fingerprint(
            f"all ones at the clip, bce {library}", (1 - p) * high, f"{1 - p:.4g} * {high:.6g}",
            f"every output is 1 and {clip}: one softmax unit, or saturated; the accuracy is the "
            f"share of ones",
            f"is the last layer a single softmax unit? {_SATURATED}", 1 + balanced,
        )  # fmt: skip


def _pos_weight(p: float, weight: float, balanced: int) -> Iterator[Fingerprint]:
    factor = weight * p + 1 - p
    yield Fingerprint(
        "half, bce pos_weight", factor * LN2, f"({weight:g} * {p:.4g} + {1 - p:.4g}) ln 2",
        "every output at 1/2 with pos_weight", _EQUAL, balanced,
    )  # fmt: skip
    yield Fingerprint(
        "base rates, bce pos_weight", factor * binary_entropy(weight * p / factor),
        f"{factor:.4g} h({weight * p / factor:.4g})",
        "the best constant output under pos_weight: nothing of the input is known", _EQUAL,
        balanced,
    )  # fmt: skip


def _labels(facts: Facts, n: int) -> Iterator[Fingerprint]:
    yield Fingerprint(
        "half, bce sum", n * LN2, f"{n} ln 2",
        "binary cross-entropy summed over labels, every output at 1/2", _EQUAL,
    )  # fmt: skip
    p = facts.share_of_ones
    if p is None:
        yield from _double_sigmoid_ends()
        return
    shares = facts.prevalence if facts.prevalence and len(facts.prevalence) > 1 else (p,)
    per_cell = math.fsum(map(binary_entropy, shares)) / len(shares)
    equal = 1 if len(shares) == 1 else 0
    rates = "the entropy of single cells: outputs at the base rates, nothing of the input is known"
    yield Fingerprint(
        "base rates, bce mean", per_cell, f"h({p:.4g})" if equal else "mean of h(p_k)", rates,
        _EQUAL, equal,
    )  # fmt: skip
    yield Fingerprint(
        "base rates, bce sum", n * per_cell, f"{n} times the mean of h(p_k)", rates + " (summed)",
        _EQUAL, equal,
    )  # fmt: skip
    yield from _double_sigmoid_mean(p, 0, "bce mean")
    for library, low in (("keras", CLIP_LOW), ("tf.keras 2", TF_CLIP_LOW), ("torch", TORCH_CLAMP)):
        yield Fingerprint(
            f"none at the clip, bce mean {library}", p * low, f"{p:.4g} * {low:.6g}",
            "every output is 0, at the clip of the library", _SATURATED, 1,
        )  # fmt: skip
    yield Fingerprint(
        "start, focal mean", p * _FOCAL_ONE + (1 - p) * _FOCAL_ZERO,
        f"{p:.4g} ln 2 / 16 + {1 - p:.4g} * 3 ln 2 / 16",
        "torchvision's sigmoid_focal_loss (alpha 0.25, gamma 2) at logits 0, mean over labels",
        _LAYERS, 1,
    )  # fmt: skip
    yield from _multihot(p * n, n)
    if facts.pos_weight is not None:
        yield from _pos_weight(p, facts.pos_weight, 0)


def _multihot(k: float, n: int) -> Iterator[Fingerprint]:
    same = "the same number of true labels in every example (assumed)"
    yield Fingerprint(
        "uniform, multi-hot cce", k * math.log(n), f"{k:.4g} ln {n}",
        "multi-hot rows in a softmax cross-entropy: each true label costs ln L at equal logits",
        _LAYERS, 1,
    )  # fmt: skip
    if k > 1:
        yield Fingerprint(
            "floor, multi-hot cce", k * math.log(k), f"{k:.4g} ln {k:.4g}",
            f"multi-hot rows in a softmax cross-entropy: k labels cannot share more than all of "
            f"the probability; {same}", _LAYERS, 1,
        )  # fmt: skip
    yield Fingerprint(
        "start, multilabel cce", math.log1p(k) + math.log1p(n - k),
        f"ln(1 + {k:.4g}) + ln(1 + {n - k:.4g})",
        f"the log-sum multi-label loss at logits 0; {same}", _LAYERS, 1,
    )  # fmt: skip


def _smoothed(facts: Facts) -> Iterator[Fingerprint]:
    """Floors under label smoothing: the entropy of the smoothed target."""
    c = None if facts.one_unit else facts.classes
    for epsilon in (facts.smoothing,) if facts.smoothing else SMOOTHINGS:
        assumed = 0 if facts.smoothing else 2
        floor = f"the least that label_smoothing={epsilon:g} leaves: the entropy of the target. "
        if c is not None:
            off = epsilon / c
            top = 1 - epsilon + off
            yield Fingerprint(
                f"smoothing {epsilon:g}, cce floor", entropy((top,)) + (c - 1) * entropy((off,)),
                f"H({top:.4g}, {off:.4g} * {c - 1})",
                f"{floor}Predictions fit the smoothed labels perfectly", "which label_smoothing?",
                assumed,
            )  # fmt: skip
        yield Fingerprint(
            f"smoothing {epsilon:g}, bce floor", binary_entropy(epsilon / 2), f"h({epsilon / 2:g})",
            f"{floor}Keras's BinaryCrossentropy smooths towards 1/2", "which label_smoothing?",
            assumed,
        )  # fmt: skip


# Fingerprints that people also meet summed over a batch, divided by it, or in bits.
_PLAIN = ("uniform, cce", "half, bce mean", "base rates, bce mean", "base rates, cce")


def _other_units(found: list[Fingerprint], facts: Facts) -> Iterator[Fingerprint]:
    plain = [fingerprint for fingerprint in found if fingerprint.name in _PLAIN]
    for each in plain:
        yield each._replace(
            name=f"{each.name}, in bits", value=each.value / LN2, formula=f"{each.formula} / ln 2",
            meaning=f"in bits (logarithms to base 2): {each.meaning}", assumed=each.assumed + 2,
        )  # fmt: skip
        for batch in (facts.batch,) if facts.batch else BATCHES:
            more = each.assumed + (1 if facts.batch else 3)
            yield each._replace(
                name=f"{each.name}, sum of {batch}", value=batch * each.value,
                formula=f"{batch} * {each.formula}", assumed=more,
                meaning=f"summed over a batch of {batch}: {each.meaning}",
            )  # fmt: skip
            yield each._replace(
                name=f"{each.name}, over {batch}", value=each.value / batch,
                formula=f"{each.formula} / {batch}", assumed=more,
                meaning=f"a mean divided by the batch size {batch} once more: {each.meaning}",
            )  # fmt: skip


def matches(printed: Printed, candidates: list[Fingerprint]) -> tuple[list[Match], list[Match]]:
    """Those that print exactly this number, simplest first, and the nearest others within 2 %.

    A number that was cut instead of rounded may be up to a unit of its last digit too low.
    """
    exact, near = [], []
    slack = 1e-9 * max(1.0, abs(printed.value))
    for fingerprint in candidates:
        off = fingerprint.value - printed.value
        magnitude = off if printed.value >= 0 else -off
        spread = printed.half + fingerprint.slack
        if abs(off) <= spread + slack:
            exact.append(Match(fingerprint, off, "rounded"))
        elif spread < magnitude <= printed.half + spread + slack:
            exact.append(Match(fingerprint, off, "cut"))
        elif abs(off) <= 0.02 * abs(printed.value) and fingerprint.assumed <= 1:
            near.append(Match(fingerprint, off, "near"))
    exact.sort(key=lambda m: (m.how != "rounded", m.fingerprint.assumed, abs(m.off)))
    near.sort(key=lambda m: abs(m.off))
    return exact, near


def by_chance(printed: Printed, candidates: list[Fingerprint]) -> float:
    """The share of [0, 2 |printed|] that lies as near to some candidate as rounding allows."""
    top = 2 * abs(printed.value) or 1.0
    sign = -1 if printed.value < 0 else 1
    spans = sorted(
        (max(0.0, sign * f.value - spread), min(top, sign * f.value + spread))
        for f in candidates
        for spread in [printed.half + f.slack]
    )
    covered, end = 0.0, 0.0
    for low, high in spans:
        if high > max(low, end):
            covered += high - max(low, end)
            end = high
    return covered / top


def solved_classes(printed: Printed, facts: Facts, most: int = 10_000) -> list[Fingerprint]:
    """Without `classes`: for which numbers of classes would each formula print this?

    Formulas that several numbers fit (more than 3) say nothing and are left out.
    """
    found: dict[str, list[Fingerprint]] = {}
    for name, function in _OF_CLASSES.items():
        for c in range(2, most + 1):
            value = function(c)
            if abs(value - printed.value) <= 2 * printed.half:
                found.setdefault(name, []).append(_named(name, c))
            elif value > printed.value + 1 and name != "base rates, bce mean":
                break
    few = [fingerprint for each in found.values() if len(each) <= 3 for fingerprint in each]
    return [f for f in few if _fits_loss(f, facts.loss_name)]


_OF_CLASSES: dict[str, Callable[[int], float]] = {
    "uniform, cce": math.log,
    "half, bce sum": lambda c: c * LN2,
    "base rates, bce mean": lambda c: binary_entropy(1 / c),
    "base rates, bce sum": lambda c: c * binary_entropy(1 / c),
    "double softmax, cce floor": lambda c: math.log(E + c - 1) - 1,
}


def _named(name: str, c: int) -> Fingerprint:
    every = {f.name: f for f in _classes(replace(Facts(), classes=c), c)}
    found = every[name]
    return found._replace(
        name=f"{name}, C = {c}", meaning=f"with {c} classes: {found.meaning}", assumed=1
    )
