"""`lossheads.decode`: what a printed accuracy or loss says, and what would print exactly that."""

import math
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from lossheads.decoding.accuracy import Reading, loss_bounds_argmax, readings
from lossheads.decoding.facts import Facts, read_facts
from lossheads.decoding.losses import (
    LN2,
    Match,
    by_chance,
    catalogue,
    matches,
    solved_classes,
)

SHOWN_MATCHES, SHOWN_NEAR = 8, 3


@dataclass(frozen=True)
class Decoding:
    """What is known of the printed numbers.

    Attributes:
        facts: What was read of the call.
        accuracy: Quantities that the accuracy may be; the first ones fit best.
        loss: Fingerprints that print the loss to its last digit: first those that print it
            rounded, then those that print it cut; of each, those that assume least.
        near: Fingerprints within 2 %, for a network that has moved a little from them.
        tried: How many fingerprints were compared with the loss.
        chance: How likely a loss drawn at random from [0, twice the printed one] would meet one.
        consistency: What accuracy and loss say together.
    """

    facts: Facts
    accuracy: tuple[Reading, ...] = ()
    loss: tuple[Match, ...] = ()
    near: tuple[Match, ...] = ()
    tried: int = 0
    chance: float = math.nan
    consistency: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries and lists, as `--json` prints them."""
        facts = {key: value for key, value in asdict(self.facts).items() if value not in (None, ())}
        return {
            "facts": facts,
            "accuracy": [asdict(reading) for reading in self.accuracy],
            "loss": [_plain(match) for match in self.loss],
            "near": [_plain(match) for match in self.near],
            "tried": self.tried,
            "chance": None if math.isnan(self.chance) else self.chance,
            "consistency": list(self.consistency),
        }

    def __str__(self) -> str:
        return "\n".join([*_accuracy_lines(self), *_loss_lines(self), *self._together()])

    def _together(self) -> Iterator[str]:
        if self.consistency:
            yield "\naccuracy and loss together"
            yield from (_wrapped("  ", sentence) for sentence in self.consistency)


def decode(**given: Any) -> Decoding:
    """Read a printed number back: `decode(accuracy="0.9728", classes=10, framework="keras-2.2")`.

    Numbers may be strings as they were printed, which keeps their trailing zeros, or floats. What
    is not said is listed as a case or assumed in words.

    Args:
        accuracy: Printed as accuracy, in [0, 1] or a percentage.
        loss: Printed as loss (nats), or the name of the loss; a list holds both.
        classes: C, exactly one is true; or
        labels: L, any number are true.
        units: Width of the last layer, where it is another (1 for a binary classifier).
        framework: A library, perhaps with a version: "keras-2.2", "tf.keras-2.4", "torchmetrics".
        metric: Another one than "accuracy": "binary_accuracy", "MulticlassAccuracy", …
        last_layer: "softmax", "sigmoid", or "logits" where the model returns them.
        prevalence: Share of ones, or one share per class.
        positives: True labels per example.
        examples: N behind the number.
        batch: Examples in a batch, for losses that are summed or divided twice.
        smoothing: Label smoothing, in (0, 1).
        pos_weight: Factor on the cost of ones.

    Raises:
        UserError: In one sentence, on anything that is not understood.
    """
    return decode_facts(read_facts(given))


def decode_facts(facts: Facts) -> Decoding:
    """`decode`, of facts that are read."""
    found = Decoding(facts)
    if facts.accuracy is not None:
        found = replace(found, accuracy=tuple(readings(facts)))
    if facts.loss is not None:
        candidates = catalogue(facts)
        if facts.classes is None and facts.labels is None and not facts.one_unit:
            candidates = [*candidates, *solved_classes(facts.loss, facts)]
        exact, near = matches(facts.loss, candidates)
        found = replace(
            found,
            loss=tuple(exact),
            near=tuple(near[:SHOWN_NEAR]),
            tried=len(candidates),
            chance=by_chance(facts.loss, candidates),
        )
    if facts.accuracy is not None and facts.loss is not None:
        bounded, sentences = _together(found)
        found = replace(found, accuracy=bounded, consistency=sentences)
    return found


def _together(found: Decoding) -> tuple[tuple[Reading, ...], tuple[str, ...]]:
    """Argmax intervals narrowed by the loss, and what contradicts it."""
    facts, loss = found.facts, found.facts.loss
    name = (facts.loss_name or "").removeprefix("sparse_")
    if name not in ("binary_crossentropy", "categorical_crossentropy"):
        if facts.one_unit:
            name = "binary_crossentropy"
        else:
            return found.accuracy, ("add the name of the loss, as in loss=binary_crossentropy, to "
                                    "compare the two",)  # fmt: skip
    assert loss is not None
    classes = facts.classes or (2 if facts.one_unit else None)
    if loss.high < 0:
        return found.accuracy, (f"{name} cannot be negative for labels in [0, 1]",)
    bounded, sentences = [], []
    for reading in found.accuracy:
        lowest = None if classes is None else loss_bounds_argmax(loss.high, name, classes)
        against = _too_low(reading, facts, loss.high, name)
        if against is None and reading.argmax and lowest is not None:
            low, high = max(reading.argmax[0], lowest), reading.argmax[1]
            if low > high + 1e-12:
                needs = f"an argmax accuracy of at least {lowest:.4f}"
                against = f"a mean {name} of {loss.text} needs {needs}"
            else:
                reading = replace(reading, argmax=(low, high), likely=_inside(reading, low, high))
        if against is not None and not reading.impossible:
            sentences.append(
                f"{reading.quantity}: contradicted: {against}; the two numbers are not of the same "
                f"predictions, or the loss is weighted or is another"
            )
            reading = replace(reading, impossible=against)
        elif not reading.impossible:
            sentences.append(f"{reading.quantity}: consistent with {name} {loss.text}")
        bounded.append(reading)
    return tuple(sorted(bounded, key=lambda r: bool(r.impossible))), tuple(sentences)


def _inside(reading: Reading, low: float, high: float) -> float | None:
    return None if reading.likely is None else min(max(reading.likely, low), high)


def _too_low(reading: Reading, facts: Facts, loss: float, name: str) -> str | None:
    """Every wrong cell costs at least ln 2 of binary cross-entropy: L >= (1 - b) ln 2."""
    assert facts.accuracy is not None
    if reading.quantity != "cells" or name != "binary_crossentropy":
        return None
    least = (1 - facts.accuracy.high) * LN2
    if loss >= least:
        return None
    return (
        f"{1 - facts.accuracy.value:.4g} of the cells are wrong and each costs at least ln 2, so a "
        f"mean binary_crossentropy is at least {least:.4g}"
    )


def _plain(match: Match) -> dict[str, Any]:
    return {**match.fingerprint._asdict(), "off": match.off, "how": match.how}


def _accuracy_lines(found: Decoding) -> Iterator[str]:
    number = found.facts.accuracy
    if number is None:
        return
    yield f"accuracy {number.text}, read as {number.value:.6g} ± {number.half:.1g}"
    possible = sum(not reading.impossible for reading in found.accuracy)
    if possible != 1:
        yield f"  {possible or 'none'} of {len(found.accuracy)} quantities may have been printed"
    for reading in found.accuracy:
        yield ""
        yield _wrapped("  ", f"{reading.quantity}: {reading.what}")
        for word, text in _reading_lines(reading, found.facts):
            yield _wrapped(f"    {word:12}", text)


def _reading_lines(reading: Reading, facts: Facts) -> Iterator[tuple[str, str]]:
    if reading.why:
        yield "because", reading.why
    if reading.impossible:
        yield "impossible", reading.impossible
        return
    if reading.baseline is not None:
        yield "baseline", f"{reading.baseline:.4f}: {reading.baseline_is}"
        if reading.skill is not None:
            yield "skill", f"{round(reading.skill, 3) + 0:.3f} (0 at the baseline, 1 at perfect)"
    elif reading.baseline_is:
        yield "baseline", reading.baseline_is
    if reading.argmax:
        low, high = reading.argmax
        yield "argmax", f"accuracy {low:.4f} to {high:.4f} is feasible{_layer(reading, facts)}"
    if reading.exact_match:
        low, high = reading.exact_match
        yield "exact match", f"{low:.4f} to {high:.4f} of the examples, all labels right"
    if reading.likely is not None:
        yield "likely", f"{reading.likely:.4f} if {reading.assumption}"
    yield from (("note", note) for note in reading.notes)


def _layer(reading: Reading, facts: Facts) -> str:
    open_ = reading.quantity == "cells" and facts.last_layer is None and facts.classes != 2
    return " (add last_layer=softmax or sigmoid to narrow it)" if open_ else ""


_NEGATIVE = (
    "a cross-entropy cannot be negative: a sign is lost, targets lie outside [0, 1], or NLLLoss "
    "was given logits (with probabilities it lies between -1 and 0)"
)


def _loss_lines(found: Decoding) -> Iterator[str]:
    number = found.facts.loss
    if number is None:
        return
    if found.facts.accuracy is not None:
        yield ""
    yield f"loss {number.text}, read as {number.value:.6g} ± {number.half:.1g}"
    if not found.loss:
        yield "  no fingerprint prints this number"
        if number.value < 0:
            yield _wrapped("  ", _NEGATIVE)
    for match in found.loss[:SHOWN_MATCHES]:
        yield ""
        yield from _match_lines(match)
    if len(found.loss) > SHOWN_MATCHES:
        yield f"\n  and {len(found.loss) - SHOWN_MATCHES} that assume more (--json lists them)"
    if found.near:
        yield "\n  near, for a network that has moved a little from it:"
        for match in found.near:
            near = match.fingerprint
            yield _wrapped("    ", f"{near.value:.6g} = {near.formula}: {near.name}")
    yield ""
    yield _wrapped(
        "  ",
        f"{found.tried} fingerprints tried; a loss drawn at random between 0 and "
        f"{2 * number.value:.4g} would meet one with chance {found.chance:.2g}",
    )


def _match_lines(match: Match) -> Iterator[str]:
    fingerprint = match.fingerprint
    cut = " (cut, not rounded)" if match.how == "cut" else ""
    yield _wrapped(
        "  ", f"{fingerprint.value:.6g} = {fingerprint.formula}: {fingerprint.name}{cut}"
    )
    yield _wrapped("    because     ", fingerprint.meaning)
    yield _wrapped("    tell apart  ", fingerprint.tell)


def _wrapped(start: str, text: str) -> str:
    return textwrap.fill(
        text, 100, initial_indent=start, subsequent_indent=" " * len(start),
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
