"""What each trained head says about one example of the test split, from kept predictions."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from lossheads.analysis.arms import arm_names
from lossheads.analysis.bars import Bars, resized
from lossheads.analysis.classes import class_labels
from lossheads.analysis.format import count_of, number
from lossheads.analysis.html import Picture, picture, render
from lossheads.analysis.page_tables import Cell, PageTable, code_cell, number_cell, text_cell
from lossheads.errors import UserError
from lossheads.evaluation.run_parts import RunParts, left_out
from lossheads.heads.base import Head
from lossheads.outcomes import AnyOf, EachOneOf, Outcome
from lossheads.predictions_file import NAME, SavedPredictions, read_predictions
from lossheads.records import Result, plain, read_result

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

    @property
    def places(self) -> list[int]:
        """Of the classes that are drawn, in one order for all heads.

        Those to which some head gives most, the largest first, and those of the label.
        """
        highest = np.max([each.means for each in self.arms], axis=0)
        ranked = list(map(int, np.argsort(-highest, kind="stable")))
        return [at for at in ranked if at in self.true or at in ranked[:_SHOWN]]

    @property
    def not_drawn(self) -> str:
        """How many classes are not; empty where all are."""
        n = len(self.class_names)
        hidden = n - len(self.places)
        return f"Not shown: {hidden} of {n} classes; --json has all." if hidden else ""

    def bars(self, arm: ArmAnswers) -> Bars:
        """A head's mean scores of the classes in `places`."""
        kept = self.places
        names = [self.class_names[at] + " (label)" * (at in self.true) for at in kept]
        title = f"score, mean over {count_of(len(arm.answers), 'seed')}"
        return Bars(title, names, [float(arm.means[at]) for at in kept])

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, the picture left out; infinities and NaN are null."""
        found: dict[str, Any] = plain(
            {
                "title": self.title,
                "label": self.label,
                "class_names": self.class_names,
                "notes": self.notes,
                "heads": [
                    {"head": arm.arm, "answers": [vars(answer) for answer in arm.answers]}
                    for arm in self.arms
                ],
            }
        )
        return found

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
        head = ("head", "seed", "decision", "log loss")
        return render(
            "explain.html",
            title=self.title,
            lead="What each trained head says about this example of the test split.",
            notes=list(
                filter(None, [*(arm.sentence for arm in self.arms), *self.notes, self.not_drawn])
            ),
            image=self._picture(),
            drawings=[(arm.arm, [self.bars(arm)]) for arm in self.arms],
            table=PageTable(
                "Every run; log loss is -ln of the label's probability, in nats.", head, tuple(rows)
            ),
        )

    def _picture(self) -> Picture | None:
        if self.whole is None:
            return None
        content = BytesIO()
        Image.fromarray(self.whole).save(content, "PNG")
        return picture(content.getvalue(), self.title)


def explain_image(
    paths: Sequence[Path], number: int, trust: Sequence[str] = (), data: Sequence[Path] = ()
) -> ImageExplanation:
    """What the runs below `paths` say about row `number` of their test split.

    Args:
        paths: Run folders, or folders of them such as outputs or outputs/runs.
        trust: Packages whose heads and data sets these runs may name.
        data: Folders, beside the current one, in which files that these runs name are read.

    Raises:
        UserError: If none of the runs kept its predictions, they are about different examples, or
            there is no such row.
    """
    (kept, without, torn), parts = _kept(paths), RunParts(trust, data)
    _refuse_different(kept)
    kept, read, unread = _readable(kept, parts, torn)
    runs = [result for result, _, _ in kept]
    outcome, names = read[0][0].outcome, runs[0].class_names
    arms: dict[str, list[Answer]] = {}
    for name, (head, labels), (run, saved, folder) in zip(
        arm_names([run.config for run in runs]), read, kept, strict=True
    ):
        if head.outcome != outcome:
            raise UserError(f"{WHO} got runs for {outcome} and for {head.outcome}: name one kind")
        at = _place(saved, number)
        logits = torch.from_numpy(saved.logits[at]).double()
        answer = _answer(head, logits, labels[at], run, folder.absolute().name)
        arms.setdefault(name, []).append(answer)
    hard = read[0][1][_place(kept[0][1], number)]
    label = _words(outcome, hard[0], names)
    whole, why_not = parts.picture(kept[0][1].examples_digest, number)
    present = outcome.indicators(hard)[0].flatten()
    return ImageExplanation(
        title=f"{runs[0].config['choices']['dataset']}, test example {number}: {label}",
        label=label,
        class_names=class_labels(names, len(present)),
        true=present.nonzero().flatten().tolist(),
        arms=[ArmAnswers(name, answers) for name, answers in arms.items()],
        pixels=None if whole is None else resized(whole, _PIXELS),
        whole=whole,
        notes=[
            *([f"No picture: {why_not}."] if why_not else []),
            *unread,
            *([f"Left out: {count_of(without, 'run')} without predictions."] if without else []),
        ],
    )


Kept = tuple[Result, SavedPredictions, Path]


def _kept(paths: Sequence[Path]) -> tuple[list[Kept], int, list[UserError]]:
    """Results, predictions and folders of all finished runs that kept their predictions.

    And how many runs did not keep theirs, and what is wrong with those that cannot be read.
    """
    found, without, refused = [], 0, list[UserError]()
    for folder in dict.fromkeys(folder for path in paths for folder in _run_folders(path)):
        if not (folder / NAME).is_file():
            without += (folder / "result.json").is_file()
            continue
        try:
            result = read_result(folder)
            if result is not None and result.status == "finished":
                found.append((result, read_predictions(folder), folder))
        except UserError as error:
            refused.append(error)
    if not found and refused:
        raise refused[0]
    if not found:
        where = ", ".join(map(str, paths))
        raise UserError(
            f"{WHO} finds no kept predictions in {where} ({count_of(without, 'run')} without): "
            f"train with recording.predictions=true, and with force=true where a run is finished"
        )
    return found, without, refused


def _readable(
    kept: Sequence[Kept], parts: RunParts, unread: Sequence[UserError]
) -> tuple[list[Kept], list[tuple[Head, Tensor]], list[str]]:
    """Those with a head of this user, with that and their labels; and a note on the others.

    Raises:
        UserError: If there is none, as the first of them.
    """
    usable, read, refused = list[Kept](), list[tuple[Head, Tensor]](), [*unread]
    for run, saved, folder in kept:
        try:
            read.append(parts.read(run, saved, folder.absolute().parent.parent))
            usable.append((run, saved, folder))
        except UserError as error:
            refused.append(error)
    if not usable:
        raise refused[len(unread)]
    return usable, read, left_out(refused)


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


def _place(saved: SavedPredictions, number: int) -> slice:
    """Where the example stands among those that were kept."""
    at = np.flatnonzero(saved.example_ids == number)
    if not len(at):
        raise UserError(
            f"{WHO}: image must be a row of the test split, 0 … {len(saved.logits) - 1}, "
            f"got {number}"
        )
    return slice(int(at[0]), int(at[0]) + 1)


def _answer(head: Head, logits: Tensor, label: Tensor, run: Result, name: str) -> Answer:
    decision = head.decide(logits)
    log_probs = head.log_probs(logits)
    index = label.long().unsqueeze(-1)
    return Answer(
        run=name,
        seed=run.config["seed"],
        scores=head.scores(logits)[0].flatten().tolist(),
        decision=_words(head.outcome, decision[0], run.class_names),
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
