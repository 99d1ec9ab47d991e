"""A printed accuracy read back: which quantity it is, its baseline, and the argmax accuracy behind.

Notation: C classes, one-hot targets, b the share of right cells, W = C (1 - b) wrong cells per
example, a the share of examples whose argmax is right, e = 1 - a.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from lossheads.decoding.facts import Facts, Printed
from lossheads.dialects import DIALECTS, QUANTITIES, Dialect, Kind, Setting, dialects_of

LN2 = math.log(2)
_BCE, _CCE = "binary_crossentropy", "categorical_crossentropy"
# Above this many wrong cells per example nothing likely is said: see `likely_argmax`.
FEW_WRONG_CELLS = 0.4
_NOTHING = "nothing of the model is in this number, only the labels"


@dataclass(frozen=True)
class Reading:
    """One quantity that the printed accuracy may be.

    Attributes:
        quantity: A key of `dialects.QUANTITIES`.
        what: That quantity in a sentence.
        why: The rule by which it was printed, with versions; or the condition under which.
        baseline: What the best constant prediction prints; None where the facts do not tell.
        baseline_is: The constant prediction, and what was assumed of the labels.
        skill: (printed - baseline) / (1 - baseline).
        argmax: Lowest and highest argmax accuracy (one class) that prints this number.
        exact_match: The same for the share of rows that are right in every cell (labels).
        likely: The argmax accuracy under `assumption`.
        impossible: Why this quantity cannot have printed the number; empty where it can.
    """

    quantity: str
    what: str
    why: str
    baseline: float | None = None
    baseline_is: str = ""
    skill: float | None = None
    argmax: tuple[float, float] | None = None
    exact_match: tuple[float, float] | None = None
    likely: float | None = None
    assumption: str = ""
    impossible: str = ""
    notes: tuple[str, ...] = field(default=())


def cells_to_argmax(
    low: float, high: float, classes: int, last_layer: str | None = None
) -> tuple[float, float]:
    """Argmax accuracies that are feasible when the share of right cells lies in [low, high].

    Proof. Let w be the wrong cells of one example (cells [p > 1/2] against a one-hot row).
    w = 0 means that the true unit alone is above 1/2, so the argmax is right. The argmax can be
    wrong with w = 1 (no unit above 1/2, another one highest) and with every larger w. It can be
    right with every w up to C - 1 (the true unit highest, C - 1 others above 1/2 too), not with
    w = C (every other unit above 1/2, the true one not). An example is thus a point (w, right) of
    {(0, 1), ..., (C - 1, 1), (1, 0), ..., (C, 0)}, and the means over examples fill its convex
    hull: max(0, 1 - W) <= a <= min(1, C - W), both ends reached.

    A softmax puts at most one unit above 1/2: w is 0 (right), 1 (no unit above 1/2: right or
    wrong) or 2 (wrong), and the hull gives max(0, 1 - W) <= a <= min(1, 2 - W). Two softmax units
    leave w = 1 to exact ties alone, and without ties a = b.

    Raises:
        ValueError: Where no predictions print this: W > 2 under softmax.
    """
    most, least = classes * (1 - low), classes * (1 - high)
    if last_layer == "softmax" and least > 2 + 1e-12:
        raise ValueError(f"a softmax has at most 2 wrong cells per example, this is {least:.3g}")
    if last_layer == "softmax" and classes == 2:
        return max(low, 0.0), min(high, 1.0)
    ceiling = (2 if last_layer == "softmax" else classes) - least
    return _clip(1 - most), _clip(ceiling)


def argmax_to_cells(a: float, classes: int, last_layer: str | None = None) -> tuple[float, float]:
    """Shares of right cells that are feasible at an argmax accuracy: `cells_to_argmax` inverted.

    From its hull, 1 - a <= W <= C - a, or 2 - a under softmax; two softmax units: b = a.
    """
    if last_layer == "softmax" and classes == 2:
        return a, a
    most = (2 if last_layer == "softmax" else classes) - a
    return _clip(1 - most / classes), _clip(1 - (1 - a) / classes)


def likely_argmax(b: float, classes: int) -> float | None:
    """1 - W / 2: exact where wrong examples have two wrong cells and undecided ones split evenly.

    With shares q0, q1, q2 of examples with 0, 1, 2 wrong cells, W = q1 + 2 q2, and if half of
    those with one are right a = q0 + q1 / 2 = 1 - W / 2. An under-trained network has most
    examples at w = 1 and more than half of them right, so above `FEW_WRONG_CELLS` None is returned.
    """
    wrong = classes * (1 - b)
    return 1 - wrong / 2 if wrong <= FEW_WRONG_CELLS else None


def loss_bounds_argmax(loss: float, loss_name: str, classes: int) -> float:
    """The lowest argmax accuracy that a mean loss allows.

    A wrong argmax has p_true <= 1/2 under a softmax, hence costs at least ln 2 of categorical
    cross-entropy: L >= (1 - a) ln 2. Under binary cross-entropy p_true <= p_other, so the two
    cells cost -ln p_true - ln(1 - p_other) >= -ln p_true - ln(1 - p_true) >= 2 ln 2, a mean of
    2 ln 2 / C over the cells: L >= (1 - a) 2 ln 2 / C. Penalties on weights only add to L; class
    weights and losses averaged over other examples than the accuracy void both.
    """
    per_error = LN2 if loss_name == _CCE else 2 * LN2 / classes
    return 1 - loss / per_error


def readings(facts: Facts) -> list[Reading]:
    """Every quantity that the printed accuracy may be, those that cannot be last."""
    found = [_fill(reading, facts) for reading in _candidates(facts)]
    return sorted(found, key=lambda reading: bool(reading.impossible))


def _kind(facts: Facts) -> Kind:
    return "any_of" if facts.labels is not None else "one_of"


def _candidates(facts: Facts) -> list[Reading]:
    if facts.metric is not None:
        return [Reading(facts.metric, QUANTITIES[facts.metric], "the metric was named")]
    if facts.framework is not None:
        found = _of_framework(facts, facts.framework)
        if found:
            return found
    if facts.one_unit:
        choices = ["cells"]
    elif _kind(facts) == "any_of":
        choices = ["cells", "rows", "argmax"]
    else:
        choices = ["argmax", "cells", "macro_recall", "rows"]
        if facts.loss_name == _BCE:
            choices[:2] = ["cells", "argmax"]
    return [Reading(choice, QUANTITIES[choice], _printed_by(choice, facts)) for choice in choices]


def _settings(facts: Facts) -> list[tuple[Setting, str]]:
    """Every setting that the facts leave open, with the words that would settle it."""
    losses = [facts.loss_name] if facts.loss_name else [_BCE, _CCE]
    return [
        (
            Setting(_kind(facts), facts.one_unit, loss, _ends_in(facts)),
            "" if facts.loss_name else f"loss={loss}",
        )
        for loss in losses
    ]


def _ends_in(facts: Facts) -> Literal["probabilities", "logits"]:
    """Unless the last layer is named, as is usual with the library: fastai's losses take logits."""
    if facts.last_layer is None:
        return "logits" if facts.framework == "fastai" else "probabilities"
    return "logits" if facts.last_layer == "logits" else "probabilities"


def _of_framework(facts: Facts, library: str) -> list[Reading]:
    found: dict[str, list[tuple[Dialect, str]]] = {}
    for dialect in dialects_of(library, facts.version):
        for setting, condition in _settings(facts) if dialect.word else ():
            quantity = dialect.reads(setting)
            if quantity is not None:
                found.setdefault(quantity, []).append((dialect, condition))
    settled = len(found) == 1
    return [
        Reading(quantity, QUANTITIES[quantity], _why(rows, settled))
        for quantity, rows in found.items()
    ]


def _why(rows: Sequence[tuple[Dialect, str]], settled: bool) -> str:
    rules: dict[str, list[str]] = {}
    for dialect, condition in rows:
        rule = f"{dialect.library} {dialect.versions}, {dialect.call}: {dialect.rule}"
        rules.setdefault(rule, []).append(condition)
    if settled and len(rules) > 1:
        newest = rows[-1][0]
        return f"{newest.library}, every version, {newest.call}: {newest.rule}"
    parts = []
    for rule, conditions in rules.items():
        named = [condition for condition in conditions if condition]
        parts.append(rule if settled or not named else f"{rule} [if {' or '.join(named)}]")
    return " | ".join(parts)


def _printed_by(quantity: str, facts: Facts) -> str:
    """Without a framework: who prints this quantity, and in which versions if not in all."""
    settings = [setting for setting, _ in _settings(facts)]
    calls = dict.fromkeys((dialect.library, dialect.call) for dialect in DIALECTS)
    by = []
    for library, call in calls:
        rows = [d for d in DIALECTS if (d.library, d.call) == (library, call)]
        printing = [d for d in rows if quantity in map(d.reads, settings)]
        versions = "" if len(printing) == len(rows) else " or ".join(d.versions for d in printing)
        if printing:
            by.append(f"{library} {versions}{' ' * bool(versions)}{call}")
    return f"{'; '.join(by)}: add framework= to decide" if by else ""


def _fill(reading: Reading, facts: Facts) -> Reading:
    """The numbers of a reading: baseline and skill, and what is feasible behind it."""
    printed = facts.accuracy
    assert printed is not None
    baseline, baseline_is = _baseline(reading.quantity, facts)
    skill = (
        None if baseline is None or baseline >= 1 else (printed.value - baseline) / (1 - baseline)
    )
    filled = replace(reading, baseline=baseline, baseline_is=baseline_is, skill=skill)
    behind = _labels_behind if facts.labels is not None else _classes_behind
    filled = behind(filled, facts, printed)
    cells = (
        (facts.units or facts.classes or facts.labels or 1) if "cells" in reading.quantity else 1
    )
    return _counted(filled, facts, printed, cells)


def _baseline(quantity: str, facts: Facts) -> tuple[float | None, str]:
    if facts.labels is not None:
        return _baseline_of_labels(quantity, facts)
    if facts.classes is None:
        return None, "add classes= or labels="
    shares, assumed = facts.prevalence, ""
    if shares is None:
        shares, assumed = (1 / facts.classes,), ", classes balanced (assumed)"
        if facts.classes == 2:
            assumed = ", classes balanced (assumed: add prevalence=)"
    elif len(shares) == 1:
        shares = (1 - shares[0], shares[0])
    if quantity in ("macro_recall", "balanced"):
        return 1 / facts.classes, "always one class"
    if quantity in ("mean_iou", "mean_iou_without_first"):
        return None, ""
    if "cells" in quantity and not (facts.classes == 2 and facts.units in (None, 1)):
        value = sum(max(p, 1 - p) for p in shares) / len(shares)
        return value, f"every cell below 1/2{assumed}"
    return max(shares), f"always the most frequent class{assumed}"


def _baseline_of_labels(quantity: str, facts: Facts) -> tuple[float | None, str]:
    share = facts.share_of_ones
    if "cells" not in quantity:
        return None, "depends on how often label sets occur: see lossheads evaluate"
    if share is None:
        return None, "add prevalence= (the share of ones) or positives= (true labels per example)"
    shares = facts.prevalence if facts.prevalence and len(facts.prevalence) > 1 else (share,)
    value = sum(max(p, 1 - p) for p in shares) / len(shares)
    note = "" if len(shares) > 1 else ", labels equally frequent (assumed)"
    return value, f"each label always absent, or always present where it mostly is{note}"


def _classes_behind(reading: Reading, facts: Facts, printed: Printed) -> Reading:
    classes, quantity = facts.classes, reading.quantity
    low, high = _clip(printed.low), _clip(printed.high)
    if facts.one_unit and facts.last_layer == "softmax":
        note = (
            "one softmax unit returns 1 for every input: the number is the share of ones in the "
            "labels, from the first step to the last"
        )
        return replace(reading, argmax=(low, high), likely=printed.value, assumption=note)
    if classes is None and not facts.one_unit:
        return replace(reading, notes=("add classes= for what is feasible behind it",))
    binary = facts.one_unit or (classes == 2 and facts.units is None)
    if quantity == "argmax" or ("cells" in quantity and binary and quantity != "equal_cells"):
        return _as_it_is(reading, facts, (low, high), binary)
    assert classes is not None
    if quantity in ("cells", "logit_cells", "raw_logit_cells"):
        return _from_cells(reading, facts, printed, classes)
    if quantity == "rows":
        return _from_rows(reading, facts, printed, classes)
    if quantity == "twice_sigmoid_cells":
        return replace(reading, notes=(_NOTHING,))
    if quantity in ("macro_recall", "balanced"):
        return _from_recalls(reading, facts, (low, high), classes)
    return reading


def _as_it_is(
    reading: Reading, facts: Facts, interval: tuple[float, float], binary: bool
) -> Reading:
    """Argmax accuracy itself; beside it what element-wise accuracy would have printed."""
    notes: tuple[str, ...] = ()
    if reading.quantity == "raw_logit_cells":
        notes = ("a cut at a logit of 1/2 is not the decision at 0: the accuracy at 0 may differ",)
        return replace(reading, notes=notes)
    classes, value = facts.classes, sum(interval) / 2
    if not binary and classes is not None and classes > 2:
        low, high = argmax_to_cells(value, classes, facts.last_layer)
        usual = 1 - 2 * (1 - value) / classes
        notes = (
            f"element-wise (Keras 1.0.6 to 2.3.1 with binary_crossentropy) the same predictions "
            f"print {low:.4f} to {high:.4f}, {usual:.4f} where every prediction is confident",
        )
    return replace(reading, argmax=interval, likely=value, assumption="it is that", notes=notes)


def _from_cells(reading: Reading, facts: Facts, printed: Printed, classes: int) -> Reading:
    # Sigmoids of trained logits, or logits cut elsewhere, need not follow a softmax.
    last_layer = facts.last_layer if reading.quantity == "cells" else None
    try:
        interval = cells_to_argmax(_clip(printed.low), _clip(printed.high), classes, last_layer)
    except ValueError as error:
        return replace(reading, impossible=str(error))
    # The assumption is about cells cut at 1/2, where p = 1 - p.
    cut_at_half = reading.quantity != "raw_logit_cells"
    likely = likely_argmax(printed.value, classes) if cut_at_half else None
    notes = []
    if reading.baseline is not None and printed.low <= reading.baseline <= printed.high:
        notes.append("this is the baseline: no unit need be above 1/2 for it")
    if likely is None and cut_at_half:
        notes.append(
            f"{classes * (1 - printed.value):.2f} wrong cells per example: too many to say where "
            f"the argmax accuracy lies; an under-trained network has most units below 1/2"
        )
    assumption = (
        "examples with one wrong cell are right half of the time, others with none or two (in the "
        "reference runs of this project: largest error 1.4 points up to 0.2 wrong cells per "
        "example, 8.7 up to 0.4)"
    )
    if likely is not None:
        likely = min(max(likely, interval[0]), interval[1])
    return replace(
        reading,
        argmax=interval,
        likely=likely,
        assumption=assumption if likely is not None else "",
        notes=tuple(notes),
    )


def _from_rows(reading: Reading, facts: Facts, printed: Printed, classes: int) -> Reading:
    low, high = _clip(printed.low), _clip(printed.high)
    if classes == 2 and facts.last_layer == "softmax":
        return replace(reading, argmax=(low, high), likely=printed.value, assumption="no ties")
    note = "a row that is right in every cell has the right argmax; a wrong row may have it too"
    return replace(reading, argmax=(low, 1.0), notes=(note,))


def _from_recalls(
    reading: Reading, facts: Facts, interval: tuple[float, float], classes: int
) -> Reading:
    """Mean recall r over classes with shares p: the mean of p r over r with the same sum.

    A linear program: the largest shares get recall 1 first (highest), or the smallest (lowest).
    """
    shares = facts.prevalence or ()
    if len(shares) == 1:
        shares = (1 - shares[0], shares[0])
    if not shares:
        note = "equal to the argmax accuracy on balanced classes; add prevalence= for others"
        return replace(reading, argmax=None, notes=(note,))
    low = _greedy(sorted(shares), interval[0] * classes)
    high = _greedy(sorted(shares, reverse=True), interval[1] * classes)
    return replace(reading, argmax=(low, high))


def _greedy(shares: Sequence[float], total: float) -> float:
    found = 0.0
    for share in shares:
        found += share * min(1.0, max(0.0, total))
        total -= 1
    return _clip(found)


def _labels_behind(reading: Reading, facts: Facts, printed: Printed) -> Reading:
    labels = facts.labels
    assert labels is not None
    low, high = _clip(printed.low), _clip(printed.high)
    if reading.quantity == "argmax":
        note = (
            "the highest unit is compared with the first true label of each row: no measure of "
            "several labels, and lower than the element-wise number that Keras 1.0.6 to 2.3.1 and "
            "tf.keras before 2.2 print for the same model"
        )
        return replace(reading, notes=(note,))
    if reading.quantity == "rows":
        return replace(reading, exact_match=(low, high))
    if reading.quantity == "twice_sigmoid_cells":
        return replace(reading, notes=(_NOTHING,))
    if "cells" in reading.quantity and reading.quantity != "equal_cells":
        # A wrong row has between 1 and L wrong cells.
        return replace(reading, exact_match=(_clip(1 - labels * (1 - low)), high))
    return reading


def _counted(reading: Reading, facts: Facts, printed: Printed, cells: int) -> Reading:
    """With N known a share is a whole number of N (or of cells): some printed numbers are none."""
    n = facts.examples
    if n is None or reading.quantity in ("macro_recall", "balanced", "mean_iou"):
        return reading
    total = n * cells
    first = math.ceil(total * printed.low - 1e-9)
    if first > total * printed.high + 1e-9:
        of = f"{n} examples" if cells == 1 else f"{total} cells ({n} examples times {cells})"
        return replace(reading, impossible=f"{printed.text} is no share of {of}")
    if reading.argmax is None:
        return reading
    low, high = reading.argmax
    inner = (math.ceil(n * low - 1e-9) / n, math.floor(n * high + 1e-9) / n)
    return replace(reading, argmax=inner) if inner[0] <= inner[1] else reading


def _clip(share: float) -> float:
    return min(1.0, max(0.0, share))
