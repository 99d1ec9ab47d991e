"""What newer verdicts record beside the evidence: models compared example by example, and places.

Older verdicts lack these keys; then there is nothing to show.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lossheads.report.claim_parts import Data
from lossheads.report.grids import Grid, code, figures, grid_of
from lossheads.report.numbers import number, real


@dataclass(frozen=True)
class Part:
    """A table under a heading of its own."""

    title: str
    says: str
    grid: Grid


def extras(data: Data) -> Iterable[Part]:
    """The parts that this verdict has."""
    models = data.get("models")
    if isinstance(models, Mapping) and models:
        yield _models(models)
    places = grid_of(data.get("environments"), "One row an environment, most runs first.")
    if places:
        several = "A difference between arms may in part be one between these environments."
        yield Part("Where it ran", several if len(places.rows) > 1 else "", places)


def _models(models: Mapping[str, Data]) -> Part:
    """McNemar's test of two trained models at each seed, as counts."""
    rows = []
    for names, test in _by_arms(models):
        pairs = test.get("by_seed") or []
        rows.append(
            (
                code(*names),
                code(*test.get("arms", ())),
                figures(", ".join(f"{pair['first']}:{pair['second']}" for pair in pairs)),
                figures(", ".join(f"{real(pair['p']):.2g}" for pair in pairs)),
                figures(number(test.get("median_p"))),
                figures(f"{test.get('told_apart', '–')} of {len(pairs)}"),
            )
        )
    head = (
        "predictions",
        "models",
        "only one right, by seed",
        "p, by seed",
        "median p",
        "seeds with p < 0.05",
    )
    said = (
        "Do two trained models differ on this test set? McNemar's exact test looks at the test "
        "examples that the first alone decides right and those that the second alone does "
        "(first:second), for the two models of each seed. Whether two ways of training differ is "
        "another question; the intervals above answer that one. These p are neither pooled nor "
        "corrected for their number, and no word follows from them."
    )
    caption = "Counts of test examples that one of the two models alone decides right."
    return Part("The same models, example by example", said, Grid(caption, head, tuple(rows)))


def _by_arms(models: Mapping[str, Data]) -> list[tuple[list[str], Data]]:
    """Names of the predictions that compare the same two arms, and their one test."""
    groups: dict[frozenset[str], list[str]] = {}
    for name, test in models.items():
        groups.setdefault(frozenset(test.get("arms") or [name]), []).append(name)
    return [(names, models[names[0]]) for names in groups.values()]


def data_text(data: Data) -> str:
    """What the intervals cover, where the verdict records which arms draw their data anew."""
    redrawn = data.get("redrawn")
    if redrawn is None or not data.get("arms"):
        return ""
    fixed = [name for name in data["arms"] if name not in redrawn]
    if not redrawn:
        return (
            "All seeds share one data set: the intervals cover the luck of training (start and "
            "order), not that of another sample of data."
        )
    both = "Each seed draws its own data: the intervals cover the luck of the draw and of training"
    if not fixed:
        return f"{both}."
    return (
        f"{both} for {', '.join(redrawn)}. All seeds of {', '.join(fixed)} share one data set: "
        f"there they cover the luck of training alone."
    )


def environment_text(environment: Mapping[str, Any]) -> str:
    """What the first run was made with, in a line."""
    said = {k: v for k, v in environment.items() if isinstance(v, str | int | float)}
    said |= dict(environment.get("packages") or {})
    git = environment.get("git") or {}
    if git.get("commit"):
        said["commit"] = str(git["commit"])[:10] + (" with changes" if git.get("changed") else "")
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in said.items())
