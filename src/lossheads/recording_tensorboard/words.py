"""Names and sentences of a dashboard: tags, Markdown, flattened configurations."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lossheads.results import NOT_IN_KEY, Result, direction


def safe_names(names: Sequence[str]) -> list[str]:
    """Names that can stand inside a tag, all different, in the same order.

    TensorBoard splits a tag at its slashes, so "T-shirt/top" becomes "T-shirt-top"; control
    characters become spaces, an empty name its number, and a name met before gets its number.
    """
    safe: list[str] = []
    for index, name in enumerate(names):
        clean = re.sub(r"[\x00-\x1f\x7f]+", " ", re.sub(r"[/\\]+", "-", name)).strip()
        while not clean or clean in safe:
            clean = f"{clean} {index}".strip()
        safe.append(clean)
    return safe


def column_names(class_names: Sequence[str], columns: int) -> list[str]:
    """One name per score column: class names, repeated under a set's number for several sets."""
    if columns == len(class_names):
        return list(class_names)
    return [
        f"set {column // len(class_names)} {class_names[column % len(class_names)]}"
        for column in range(columns)
    ]


def group(ruler: str) -> str:
    """The dashboard section of a ruler, by its name: `accuracy` up, `error` down, or `other`."""
    return {1: "accuracy", -1: "error", 0: "other"}[direction(ruler)]


def flat(config: Mapping[str, Any], above: str = "") -> dict[str, float | str]:
    """A nested configuration as hyper-parameters: dotted names, numbers and words.

    What does not change a run's outcome (`NOT_IN_KEY`), Hydra's `_partial_` and unset values are
    left out; lists, truth values and numbers that are not finite become words. The names of the
    chosen group files stay: they say the same as `_target_` in one word, and TensorBoard shows
    the first five names of the alphabet, which they happen to be.
    """
    found: dict[str, float | str] = {}
    for key, value in config.items():
        idle = not above and key in NOT_IN_KEY and key != "choices"
        if idle or key == "_partial_" or value is None:
            continue
        if isinstance(value, Mapping):
            found |= flat(value, f"{above}{key}.")
        elif (
            isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        ):
            found[f"{above}{key}"] = value
        else:
            found[f"{above}{key}"] = str(value)
    return found


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def about(result: Result) -> str:
    """How a run ended, in Markdown."""
    rows: list[tuple[str, object]] = [
        ("run", result.name),
        ("key", result.key),
        ("status", result.status),
        ("seconds", f"{result.seconds:.1f}"),
        ("laps", len(result.laps)),
    ]
    rows += [(f"first step: {name}", f"{value:.4g}") for name, value in result.first_step.items()]
    rows += [(f"diverged at: {k}", f"{v:.4g}") for k, v in (result.diverged_at or {}).items()]
    rows += [("note", text) for text in result.notes]
    return table(("", ""), rows)


def silences(unwritten: Mapping[str, int], result: Result, shown: int) -> str:
    """What the charts leave out, counted: values that are not finite, and why rulers had none.

    Args:
        shown: How many classes have charts of their own, at most.
    """
    parts = _uncharted(result, shown)
    if not unwritten:
        return "\n".join([*parts, "Every value of every lap is finite and drawn."])
    parts += [
        "A value that is undefined or not finite is not drawn. Counted over all laps:",
        "",
        table(("tag", "values left out"), sorted(unwritten.items())),
    ]
    ends = result.kept if result.laps else None
    for split, measured in (("validation", ends and ends.val), ("test", ends and ends.test)):
        if measured and measured.undefined:
            parts += ["", f"Undefined at the kept lap, {split} split (n = {measured.n}):", ""]
            parts.append(table(("ruler", "undefined parts"), sorted(measured.undefined.items())))
    return "\n".join(parts)


def _uncharted(result: Result, shown: int) -> list[str]:
    rows = result.laps[0].val.classes.values() if result.laps else ()
    classes = max(map(len, rows), default=0)
    if classes <= shown:
        return []
    return [f"Of {classes} classes the first {shown} have charts; result.json holds all.", ""]
