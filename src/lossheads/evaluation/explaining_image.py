"""What each trained head says about one example of the test split, from kept predictions."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from lossheads.analysis.arms import arm_names
from lossheads.analysis.bars import Bars, as_pixels, resized
from lossheads.analysis.format import count_of, number
from lossheads.analysis.html import Picture, picture, render
from lossheads.analysis.page_tables import Cell, PageTable, code_cell, number_cell, text_cell
from lossheads.datasets.dataset import Dataset
from lossheads.errors import UserError
from lossheads.heads.base import Head
from lossheads.heads.criterion import with_softness
from lossheads.outcomes import AnyOf, EachOneOf, Outcome
from lossheads.predictions_file import NAME, SavedPredictions, read_predictions
from lossheads.records import Result, read_result
from lossheads.runs.build import build, build_head

WHO = "explain"
_PIXELS = 32  # a side, at most, on a terminal
_SHOWN = 8  # classes of each head, on a terminal and a page; JSON has all


@dataclass(frozen=True)
class Answer:
    """What one trained head says.

    Attributes:
        scores: Per class, label, or group and class one after the other.
        decision: As words.
        right: Whether it is the label, all of it.
        log_loss: -ln of the probability of the label, in nats.
    """

    run: str
    seed: int
    scores: list[float]
    decision: str
    right: bool
    log_loss: float


@dataclass(frozen=True)
class ArmAnswers:
    """One head's answers over its seeds."""

    arm: str
    answers: list[Answer]

    @property
    def sentence(self) -> str:
        """How many seeds decide what, and how many of them are right."""
        decided = Counter(answer.decision for answer in self.answers).most_common()
        seeds = count_of(len(self.answers), "seed")
        right = sum(answer.right for answer in self.answers)
        if len(self.answers) == 1:
            told = decided[0][0] + (", right" if right else ", wrong")
        else:
            told = ", ".join(f"{what} in {times}" for what, times in decided[:3])
            told += f"; right in {right} of {seeds}"
        return f"{self.arm}: {told}"

    @property
    def means(self) -> NDArray[np.float64]:
        """Scores, mean over seeds."""
        found: NDArray[np.float64] = np.mean([answer.scores for answer in self.answers], axis=0)
        return found


@dataclass(frozen=True)
class ImageExplanation:
    """One test example under every trained head.

    Attributes:
        title: Which example, and its label.
        class_names: One for each score.
        true: Places of the label's classes among them.
        pixels: (height, width, 3) for a terminal; None where there is no picture.
        whole: The same, every pixel.
        notes: Why something is missing.
    """

    title: str
    label: str
    class_names: list[str]
    true: list[int]
    arms: list[ArmAnswers]
    pixels: NDArray[np.uint8] | None
    whole: NDArray[np.uint8] | None
    notes: list[str]

    def bars(self, arm: ArmAnswers) -> Bars:
        """A head's mean scores: for every head the same classes, in the same order.

        Those to which some head gives most, and those of the label.
        """
        highest = np.max([each.means for each in self.arms], axis=0)
        ranked = list(map(int, np.argsort(-highest, kind="stable")))
        kept = [at for at in ranked if at in self.true or at in ranked[:_SHOWN]]
        names = [self.class_names[at] + " (label)" * (at in self.true) for at in kept]
        title = f"score, mean over {count_of(len(arm.answers), 'seed')}"
        return Bars(title, names, [float(arm.means[at]) for at in kept])

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, the picture left out."""
        return {
            "title": self.title,
            "label": self.label,
            "class_names": self.class_names,
            "notes": self.notes,
            "heads": [
                {"head": arm.arm, "answers": [vars(answer) for answer in arm.answers]}
                for arm in self.arms
            ],
        }

    def html(self) -> str:
        """One self-contained page."""
        rows: list[tuple[Cell, ...]] = [
            (
                code_cell(arm.arm),
                number_cell(str(answer.seed)),
                text_cell(answer.decision, "right" if answer.right else "wrong"),
                number_cell(number(answer.log_loss)),
            )
            for arm in self.arms
            for answer in arm.answers
        ]
        head = ("head", "seed", "decision", "log loss, nats")
        return render(
            "explain.html",
            title=self.title,
            lead="What each trained head says about this example of the test split.",
            notes=[*(arm.sentence for arm in self.arms), *self.notes],
            image=self._picture(),
            drawings=[(arm.arm, [self.bars(arm)]) for arm in self.arms],
            table=PageTable(
                "Every run; log loss is -ln of the label's probability.", head, tuple(rows)
            ),
        )

    def _picture(self) -> Picture | None:
        if self.whole is None:
            return None
        content = BytesIO()
        Image.fromarray(self.whole).save(content, "PNG")
        return picture("example", content.getvalue(), self.title)


def explain_image(
    paths: Sequence[Path], number: int, trust: Sequence[str] = ()
) -> ImageExplanation:
    """What the runs below `paths` say about row `number` of their test split.

    Args:
        paths: Run folders, or folders of them such as outputs or outputs/runs.
        trust: Packages whose heads and data sets these runs may name.

    Raises:
        UserError: If none of the runs kept its predictions, they are about different examples, or
            there is no such row.
    """
    kept = _kept(paths)
    runs = [result for result, _, _ in kept]
    _refuse_different(kept)
    heads = [build_head({**run.config, "trust": list(trust)}) for run in runs]
    arms: dict[str, list[Answer]] = {}
    for name, head, (result, saved, _) in zip(
        arm_names([run.config for run in runs]), heads, kept, strict=True
    ):
        arms.setdefault(name, []).append(_answer(head, result, saved, number))
    outcome, names = heads[0].outcome, list(runs[0].class_names)
    hard = _label(heads[0], kept[0][1], number)[1]
    label = _words(outcome, hard[0], names)
    present = replace(outcome, soft=False).indicators(hard)[0].flatten()
    whole, notes = _pixels(kept[0], outcome, number, trust)
    dataset = runs[0].config["choices"]["dataset"]
    return ImageExplanation(
        title=f"{dataset}, test example {number}: {label}",
        label=label,
        class_names=_columns(outcome, names),
        true=present.nonzero().flatten().tolist(),
        arms=[ArmAnswers(name, answers) for name, answers in arms.items()],
        pixels=None if whole is None else resized(whole, _PIXELS),
        whole=whole,
        notes=notes,
    )


Kept = tuple[Result, SavedPredictions, Path]


def _kept(paths: Sequence[Path]) -> list[Kept]:
    """Results, predictions and folders of all finished runs that kept their predictions."""
    found, without = [], 0
    for folder in dict.fromkeys(folder for path in paths for folder in _run_folders(path)):
        if not (folder / NAME).is_file():
            without += (folder / "result.json").is_file()
            continue
        result = read_result(folder)
        if result is not None and result.status == "finished":
            found.append((result, read_predictions(folder), folder))
    if not found:
        where = ", ".join(map(str, paths))
        raise UserError(
            f"{WHO} finds no kept predictions in {where} ({count_of(without, 'run')} without): "
            f"train with recording.predictions=true, and with force=true where a run is finished"
        )
    return found


def _run_folders(path: Path) -> Iterator[Path]:
    if (path / "result.json").is_file():
        yield path
        return
    below = path / "runs" if (path / "runs").is_dir() else path
    if not below.is_dir():
        raise UserError(
            f"{WHO} finds no folder {path}: name a run's folder, or one that holds runs"
        )
    yield from sorted(folder for folder in below.iterdir() if folder.is_dir())


def _refuse_different(kept: Sequence[Kept]) -> None:
    first = kept[0]
    for other in kept[1:]:
        if other[1].examples_digest != first[1].examples_digest:
            raise UserError(
                f"{WHO} got runs on different test examples ({first[0].name} and "
                f"{other[0].name}): name the folders of runs on one data set"
            )


def _label(head: Head, saved: SavedPredictions, number: int) -> tuple[Tensor, Tensor]:
    """The example's logits and its hard label, one row each."""
    at = np.flatnonzero(saved.example_ids == number)
    if not len(at):
        raise UserError(
            f"{WHO}: image must be a row of the test split, 0 … {len(saved.logits) - 1}, "
            f"got {number}"
        )
    logits = torch.from_numpy(saved.logits[at[:1]]).double()
    labels = torch.from_numpy(saved.labels[at[:1]])
    if logits.shape[1] != head.num_logits:
        raise UserError(
            f"{WHO}: {NAME} holds {logits.shape[1]} logits a row, but its head has "
            f"{head.num_logits}: train the run again with force=true"
        )
    return logits, head.outcome.hard(labels)


def _answer(head: Head, result: Result, saved: SavedPredictions, number: int) -> Answer:
    logits, label = _label(head, saved, number)
    hard = with_softness(head, False) if head.outcome.soft else head
    decision = hard.decide(logits)
    log_probs = hard.log_probs(logits)
    index = label.long().unsqueeze(-1)
    return Answer(
        run=result.name,
        seed=result.config["seed"],
        scores=hard.scores(logits)[0].flatten().tolist(),
        decision=_words(head.outcome, decision[0], result.class_names),
        right=bool((decision == label).all()),
        log_loss=-float(log_probs.gather(-1, index).sum()),
    )


def _words(outcome: Outcome, label: Tensor, names: Sequence[str]) -> str:
    if isinstance(outcome, AnyOf):
        on = [name for name, is_on in zip(names, label.tolist(), strict=True) if is_on]
        return " + ".join(on) or "none"
    if isinstance(outcome, EachOneOf):
        return " | ".join(names[at] for at in label.tolist())
    return names[int(label)]


def _columns(outcome: Outcome, names: Sequence[str]) -> list[str]:
    """One name per score."""
    if isinstance(outcome, EachOneOf):
        return [f"{group}/{name}" for group in range(outcome.groups) for name in names]
    return list(names)


def _pixels(
    kept: Kept, outcome: Outcome, number: int, trust: Sequence[str]
) -> tuple[NDArray[np.uint8] | None, list[str]]:
    """The example's picture, if the data are at hand and have not changed since."""
    result, saved, folder = kept
    try:
        dataset = _dataset(result, folder, trust)
    except UserError as error:
        return None, [f"No picture: {error}."]
    if dataset.test.digest(outcome) != saved.examples_digest:
        return None, ["No picture: the data have changed since these runs were trained."]
    try:
        return as_pixels(dataset.test.inputs[number].numpy()), []
    except ValueError:
        shape = tuple(dataset.test.inputs.shape[1:])
        return None, [f"No picture: its inputs, {shape}, are none."]


def _dataset(result: Result, folder: Path, trust: Sequence[str]) -> Dataset:
    source = build("dataset", result.config["dataset"], trust)
    data_dir = result.config["data_dir"]
    found: Dataset = source.load(Path(data_dir) if data_dir else None, folder.parents[1] / "cache")
    return found
