"""What is compared: each part of a table is a data set with its arms. Values are in configs/."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import yaml

from lossheads.runs.config import config_folder


@dataclass(frozen=True)
class Part:
    """One data set and the arms trained on it.

    Attributes:
        name: As the table shows it.
        experiment: File in configs/experiment: data set, model, optimizer, length.
        settings: Overrides of this part.
        heads: Arms by the name of their head; None takes the heads that the file sweeps over.
        more: Further arms, name -> overrides.
    """

    name: str
    experiment: str
    settings: tuple[str, ...] = ()
    heads: tuple[str, ...] | None = None
    more: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def arms(self) -> dict[str, list[str]]:
        """Arm -> its overrides."""
        shared = [f"experiment={self.experiment}", *self.settings]
        heads = swept(self.experiment, "head") if self.heads is None else self.heads
        named = {head: [*shared, f"head={head}"] for head in heads}
        return named | {name: [*shared, *overrides] for name, overrides in self.more.items()}


def swept(experiment: str, key: str) -> tuple[str, ...]:
    """The values of `key` that `lossheads train -m experiment=…` goes through."""
    path = config_folder() / "experiment" / f"{experiment}.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))["hydra"]["sweeper"]["params"]
    return tuple(value.strip() for value in str(params[key]).split(","))


def grouped() -> list[Part]:
    """Losses for groups of classes: known posteriors, then pictures."""
    groups = [
        Part(
            f"30 groups, {shares}, {labels} labels",
            "grouped",
            (*overrides, f"dataset.labels={labels}"),
        )
        for shares, overrides in (("equal classes", ("dataset.shares=null",)), ("rare classes", ()))
        for labels in ("hard", "smoothed", "soft")
    ]
    # The centred loss goes on moving on hard labels when the others have arrived.
    longer = Part(
        "30 groups, rare classes, hard labels, five times as long",
        "grouped",
        ("training.epochs=20",),
        heads=("grouped_cce", "grouped_logsum_cce", "grouped_centred_cce"),
    )
    return [
        *groups,
        longer,
        Part("9 positions in a picture, equal garments", "quadrants", ("dataset.imbalance=1.0",)),
        Part("9 positions in a picture, rare garments", "quadrants"),
    ]


def labels() -> list[Part]:
    """Heads for any subset of labels."""
    weighted = {"sigmoid_bce, pos_weight=5": ("head=sigmoid_bce", "head.pos_weight=5.0")}
    return [
        Part("drawn labels, 1 to 30 % present", "several_labels", more=weighted),
        Part("garments on a canvas", "canvas", more=weighted),
    ]


def temperature() -> dict[tuple[int, str], Part]:
    """One part for each number of labels and kind of training labels."""
    scaled = {"multilabel_cce, score_scale=2": ("head=multilabel_cce", "head.score_scale=2.0")}
    return {
        (int(count), kind): Part(
            f"{count} {'label' if count == '1' else 'labels'}, {kind}",
            "temperature",
            (f"dataset.labels={count}", f"dataset.training_labels={kind}"),
            more=scaled if kind == "soft" else {},
        )
        for kind in swept("temperature", "dataset.training_labels")
        for count in swept("temperature", "dataset.labels")
    }
