"""Test examples on which heads disagree, with each head's scores as bars."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from lossheads.analysis.classes import class_labels
from lossheads.analysis.drawing import icon, line, rect, svg
from lossheads.analysis.format import count_of
from lossheads.analysis.html import Picture, picture
from lossheads.analysis.kept import KeptRun, KeptTest
from lossheads.analysis.sweep import Arm, names_of

_CARDS = 24
_OPEN = 6  # of them that are seen at once; the others are folded
_HEADS = 4
_SHOWN = 4  # classes of a card, besides those that were decided
_PIXELS = 96
_GROUPS = 3  # told of each example
_NAME = 24  # letters of a class


@dataclass(frozen=True)
class ScoreRow:
    """One class: its name, whether it is the label's, and a bar of each head."""

    name: str
    is_label: bool
    bars: tuple[Markup, ...]


@dataclass(frozen=True)
class Card:
    """One test example."""

    title: str
    image: Picture | None
    says: tuple[tuple[Markup, str, str], ...]
    rows: tuple[ScoreRow, ...]


@dataclass(frozen=True)
class Disagreements:
    """The examples on which decisions differ most."""

    title: str
    caption: str
    heads: tuple[tuple[Markup, str], ...]
    cards: tuple[Card, ...]
    more: tuple[Card, ...]
    note: str


Runs = Mapping[Arm, Sequence[KeptRun]]


def disagreements(
    arms: Sequence[Arm], kept: KeptTest, class_names: Sequence[str]
) -> Disagreements | str:
    """The cards, or why there are none."""
    runs, digest = _on_one_test_set(arms, kept)
    if len(runs) < 2:
        return (
            "Examples of disagreement need two heads that kept their predictions of the same "
            "examples."
        )
    apart, pairs = _apart(runs)
    differing = int((apart > 0).sum())
    order = np.lexsort((-_gap(runs), -apart))[:_CARDS]
    chosen = [int(at) for at in order if apart[at] > 0]
    names = class_labels(class_names, next(iter(runs.values()))[0].scores.shape[1])
    shown = dict(list(runs.items())[:_HEADS])
    cards = tuple(_card(shown, kept, digest, at, names) for at in chosen)
    examples = len(kept.rows)
    if not cards:
        return (
            f"No disagreement: at every seed all heads decide all {examples} test examples alike."
        )
    seeds = count_of(pairs, "pair", "pairs")
    has_images = any(card.image for card in cards)
    note = (
        ""
        if has_images
        else ("No pictures: the test inputs are none, or are not on this disk as they were.")
    )
    left = f" {len(runs) - _HEADS} further heads are not drawn." if len(runs) > _HEADS else ""
    count = min(len(some) for some in runs.values())
    sums = {
        True: "Solid: probabilities, which sum to 1",
        False: "Solid: probability of each label",
    }[kept.per_group == len(names)]
    if 1 < kept.per_group < len(names):
        left += (
            f" Of each example the {_GROUPS} groups that heads decide most differently are told."
        )
        sums = "Solid: probabilities, which sum to 1 in each group"
    return Disagreements(
        title=(
            f"Heads disagree on {differing} of {examples} test examples "
            f"in at least one of {count_of(count, 'seed')}"
        ),
        caption=(
            f"The {len(cards)} examples that heads decide differently most often ({seeds} of heads "
            f"at one seed); one column of bars per head. {sums}; outlined: sigmoid of each logit. "
            f"Scale 0 to 1, {'one seed' if count == 1 else f'mean over n = {count} seeds'}; bold: "
            f"the label.{left}"
        ),
        heads=tuple((icon(arm.mark), arm.short) for arm in shown),
        cards=cards[:_OPEN],
        more=cards[_OPEN:],
        note=note,
    )


def _on_one_test_set(arms: Sequence[Arm], kept: KeptTest) -> tuple[Runs, str]:
    """The runs of each arm at the seeds that all arms kept, on the examples most of them share."""
    known = [run for arm in arms for run in arm.runs if run.key in kept.runs]
    if not known:
        return {}, ""
    digest = Counter(kept.runs[run.key].digest for run in known).most_common(1)[0][0]
    by_arm = {
        arm: {
            run.config["seed"]: kept.runs[run.key]
            for run in arm.runs
            if run.key in kept.runs and kept.runs[run.key].digest == digest
        }
        for arm in arms
    }
    by_arm = {arm: some for arm, some in by_arm.items() if some}
    shared = sorted(set.intersection(*map(set, by_arm.values()))) if by_arm else []
    if not shared:
        return {}, digest
    return {arm: [some[seed] for seed in shared] for arm, some in by_arm.items()}, digest


def _apart(runs: Runs) -> tuple[NDArray[np.int64], int]:
    """Pairs of heads, at one seed, that decide an example differently; and pairs there are."""
    all_runs = list(runs.values())
    total = np.zeros(len(all_runs[0][0].decided), dtype=np.int64)
    pairs = 0
    for first in range(len(all_runs)):
        for second in range(first):
            for one, other in zip(all_runs[first], all_runs[second], strict=True):
                total += (one.decided != other.decided).any(axis=1)
                pairs += 1
    return total, pairs


def _gap(runs: Runs) -> NDArray[np.float64]:
    """The widest gap between heads' mean probabilities: what breaks ties."""
    means = np.array(
        [np.mean([run.probabilities for run in some], axis=0) for some in runs.values()]
    )
    found: NDArray[np.float64] = np.ptp(means, axis=0).max(axis=1).astype(float)
    return found


def _card(runs: Runs, kept: KeptTest, digest: str, at: int, names: Sequence[str]) -> Card:
    first = next(iter(runs.values()))[0]
    groups = _differing_groups(runs, at, kept.per_group)
    label = _named(first.present[at], names, groups)
    row, called = int(kept.rows[at]), names_of(runs)
    means = {
        arm: np.mean([run.probabilities[at] for run in some], axis=0) for arm, some in runs.items()
    }
    sigmoids = {
        arm: np.mean([run.sigmoids[at] for run in some if run.sigmoids is not None], axis=0)
        for arm, some in runs.items()
        if all(run.sigmoids is not None for run in some)
    }
    # Where heads differ, and what was decided or is the label: each of those is asked about.
    decided = np.any([run.decided[at] for some in runs.values() for run in some], axis=0)
    always = np.all([run.decided[at] for some in runs.values() for run in some], axis=0)
    differs = decided & ~always & groups
    most = np.max(list(means.values()), axis=0)
    present = first.present[at] & groups
    rank = np.lexsort((-most, ~groups, ~(differs | present)))
    needed = int((differs | present).sum())
    places = sorted(rank[: max(_SHOWN, min(needed, 2 * _SHOWN))].tolist())
    rows = tuple(
        ScoreRow(
            _cut(names[k]),
            bool(first.present[at][k]),
            tuple(
                _bars(arm, called[arm], float(means[arm][k]), sigmoids.get(arm), k, names[k])
                for arm in runs
            ),
        )
        for k in places
    )
    pixels = kept.image(digest, row)
    return Card(
        title=f"Test example {row}, label {label}",
        image=None if pixels is None else _png(pixels, f"test example {row}, label {label}"),
        says=tuple(
            (icon(arm.mark), called[arm], _decisions(some, at, names, groups))
            for arm, some in runs.items()
        ),
        rows=rows,
    )


def _bars(
    arm: Arm, head: str, probability: float, sigmoids: NDArray[np.float32] | None, k: int, name: str
) -> Markup:
    parts = [rect("bar", 0, 1, 100 * probability, 7)]
    told = f"{head}, {name}: probability {probability:.2f}"
    if sigmoids is not None:
        parts.append(rect("outline", 0, 10, 100 * float(sigmoids[k]), 5))
        told += f", sigmoid {float(sigmoids[k]):.2f}"
    parts.append(line("axis", 0, 0, 0, 17))
    return svg(f"score {arm.mark.css}", 17, told, parts)


def _differing_groups(runs: Runs, at: int, per_group: int) -> NDArray[np.bool_]:
    """Columns of the groups of classes that are told: up to three of those that heads decide apart.

    Everything where classes are one group, or labels that stand alone.
    """
    decided = np.array([run.decided[at] for some in runs.values() for run in some])
    if per_group in (1, decided.shape[1]):
        return np.ones(decided.shape[1], dtype=bool)
    means = np.array([np.mean([r.decided[at] for r in some], axis=0) for some in runs.values()])
    apart = np.ptp(means, axis=0).reshape(-1, per_group).max(axis=1)
    told = np.argsort(-apart, kind="stable")[:_GROUPS]
    found = np.zeros(len(apart), dtype=bool)
    found[told[apart[told] > 0]] = True
    return np.repeat(found if found.any() else ~found, per_group)


def _decisions(
    some: Sequence[KeptRun], at: int, names: Sequence[str], groups: NDArray[np.bool_]
) -> str:
    counted = Counter(_named(run.decided[at], names, groups) for run in some).most_common()
    right = sum(bool((run.decided[at] == run.present[at])[groups].all()) for run in some)
    if len(counted) == 1 or len(some) == 1:
        always = f" at each of {len(some)} seeds" if len(some) > 1 else ""
        return f"{counted[0][0]}, {'right' if right else 'wrong'}{always}"
    told = ", ".join(f"{what} ×{times}" for what, times in counted[:3])
    more = " …" if len(counted) > 3 else ""
    return f"{told}{more}; right in {right} of {len(some)}"


def _named(columns: NDArray[np.bool_], names: Sequence[str], groups: NDArray[np.bool_]) -> str:
    on = [names[int(k)] for k in np.flatnonzero(columns & groups)]
    shown = " + ".join(on[:9]) + (" …" if len(on) > 9 else "")
    return shown or "none"


def _cut(name: str) -> str:
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"


def _png(pixels: NDArray[np.uint8], alt: str) -> Picture:
    step = -(-max(pixels.shape[:2]) // _PIXELS)
    content = BytesIO()
    small = np.ascontiguousarray(pixels[::step, ::step])
    grey = small[..., 0] if (small == small[..., :1]).all() else small
    Image.fromarray(grey).save(content, "PNG", optimize=True)
    return picture(content.getvalue(), alt)
