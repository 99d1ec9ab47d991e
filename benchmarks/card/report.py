"""The tables of a card as Markdown, from the content of card.json alone."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Content = Mapping[str, Any]


def markdown(content: Content) -> str:
    """All parts that were measured so far."""
    about = content["conditions"]
    parts = [
        "# What a card says",
        ", ".join(f"{key} {value}" for key, value in about.items()) + ".",
    ]
    if content.get("waiting"):
        parts += ["## What a step waits for", _waiting(content)]
    for net in dict.fromkeys(row["net"] for row in content["rows"]):
        rows = [row for row in content["rows"] if row["net"] == net]
        parts += [f"## {net}, batch {about['batch']}", _curve(rows)]
        if found := content["disagreements"].get(net):
            parts.append(_disagreements(found))
    if content.get("jax"):
        parts.append(f"No row of JAX: {content['jax']}.")
    if content.get("choice"):
        chosen = "; ".join(f"K = {members}: {way}" for members, way in content["choice"].items())
        parts.append(f"Fastest way for convolutions among those that agree: {chosen}.")
    if content.get("accuracies"):
        parts += ["## Precision and accuracy", _accuracies(content["accuracies"])]
    parts.append(f"All of it took {content['seconds']:.0f} s.")
    return "\n\n".join(parts) + "\n"


def _curve(rows: Sequence[Content]) -> str:
    plain = next((row["ms"] for row in rows if row["way"] == "plain" and row["ms"]), None)
    lines = []
    for row in rows:
        name = [str(row["members"]), row["way"] + ", graph" * row["graph"], row["precision"]]
        if row["ms"] is None:
            lines.append([*name, row["note"], "", "", "", "", ""])
            continue
        runs = f"{row['ms'] / plain:.3g}" if plain else ""
        times = f"{row['members'] * plain / row['ms']:.3g}" if plain else ""
        peak = "" if row["peak_mb"] is None else f"{row['peak_mb']:,.0f}"
        first = f"{row['first_s']:.1f}"
        lines.append([*name, f"{row['ms']:.3g}", f"{row['epoch_s']:.3g}", runs, times, peak, first])
    head = [
        *("K", "way", "precision", "ms a step", "s / member-epoch", "K members, in plain runs"),
        *("× plain loop", "peak MB", "first steps, s"),
    ]
    return _table(head, lines)


def _waiting(content: Content) -> str:
    well = "for nothing" if content["watched"] else "not watched: there is no card"
    lines = [[name, what or well] for name, what in content["waiting"].items()]
    return _table(["", "waits"], lines)


def _disagreements(found: Mapping[str, float | str]) -> str:
    said = [
        f"{name} {value:.1g}" if isinstance(value, float) else f"{name}: {value}"
        for name, value in found.items()
    ]
    return f"Largest difference of the first losses from one by one, nats: {'; '.join(said)}."


def _accuracies(rows: Sequence[Content]) -> str:
    lines = []
    for row in rows:
        name = row["precision"] + ", graph" * row["graph"]
        if "note" in row:
            lines.append([name, row["note"], ""])
            continue
        mean = sum(row["scores"]) / len(row["scores"])
        half = "" if row["half_interval"] is None else f" ± {row['half_interval']:.4f}"
        lines.append([name, f"{mean:.4f}", f"{row['difference']:+.4f}{half}"])
    table = _table(["", "accuracy", "difference from the first, paired, 95 %"], lines)
    return f"{table}\n\nWhole runs on scikit-learn's digits, test, n = {rows[0]['seeds']} seeds."


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rule = ["---"] * len(head)
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *lines])
