"""A member's validation steps and last predictions as one TensorBoard event file.

One event per validation step holds all its scalars: one call per scalar costs 75 µs, and a
validation step of ten classes has fifty. torch.utils.tensorboard is imported here
alone, so that programs without a logger start without it.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import FileWriter, summary

from lossheads import metrics
from lossheads.analysis.event_files import (
    CONFUSION_COUNTS,
    DECISION_COUNTS,
    counts,
    hparams_of_note,
    session,
)
from lossheads.analysis.tags import CLASS_SECTIONS, CLASSES_SHOWN, charted_names
from lossheads.errors import UserError
from lossheads.loggers.pictures import (
    Png,
    accuracies_figure,
    compressed,
    confusion_figure,
)
from lossheads.outcomes import AnyOf, EachOneOf, Outcome
from lossheads.predictions import Predictions
from lossheads.records import NOT_IN_KEY, Measurement, Result, ValidationStep, skill

COUNTS_KEPT = 100  # classes whose confusions an overview draws; of 10,000 they would be 800 MB
# What tells most runs apart, and so stands first in HPARAMS.
TELLING = ("choices.head", "optimizer.lr", "seed")


class TensorBoardLogger:
    """Writes `events.out.tfevents.…` in a run folder; a `Logger`.

    Tags of every validation step, on the validation split: `accuracy/<metric>` (higher is
    better), `error/<metric>` (lower is better), `other/<metric>`, and for the first 20 classes
    `recall/<name>`, `score_when_present/<name>` and `score_when_absent/<name>`; `loss/train`, in
    the head's own nats per example and not comparable between heads; `training/learning_rate`. At
    the last one, on the test split: `test/<metric>` of the three that HPARAMS shows, `pr/<name>`,
    `scores_when_present/<name>` and `scores_when_absent/<name>`, `figure/…`, and texts under
    `about/`: every metric of the test split beside its baseline is in `about/run`. Values that are
    not finite are not written; `about/undefined` counts them.

    Args:
        folder: The run folder, without event files: a second one would be drawn as a zigzag.
        class_names: As the dataset gives them; made safe for tags here.
        outcome: Whose metrics are explained in `about/metrics`.
        measured: Which metrics the run measures.
    """

    def __init__(
        self,
        folder: Path,
        class_names: Sequence[str],
        outcome: Outcome,
        measured: metrics.MetricSet = metrics.SHIPPED,
    ) -> None:
        self._folder, self._writer = folder, FileWriter(str(folder))
        self._names = class_names
        self._unwritten: Counter[str] = Counter()
        self._reached: dict[str, int] = {}  # tag -> last step it has
        self._step = 0
        self._sections = {
            name: section(info.higher_is_better) for name, info in measured.info(outcome).items()
        }
        self._text("about/metrics", _explained(outcome, measured))

    def log_validation(self, validation: ValidationStep) -> None:
        """All scalars of a validation step, as one event; on disk when this returns.

        A validation step may come again (early stopping measures the state it keeps once more, on
        test too): a tag that has a value at this step or later gets no other, or its line would
        run backwards.
        """
        self._step = validation.step
        values = []
        for tag, value in self._scalars(validation):
            if self._reached.get(tag, -1) >= validation.step:
                continue
            self._reached[tag] = validation.step
            if math.isfinite(value):
                values.append(Summary.Value(tag=tag, simple_value=value))
            else:
                self._unwritten[tag] += 1
        self._write(Summary(value=values))
        self._writer.flush()

    def log_figures(
        self, last: ValidationStep, predictions: Predictions, class_names: tuple[str, ...]
    ) -> None:
        """Curves, histograms and two figures of the last validation step's predictions."""
        self._step = last.step
        self._curves(predictions, class_names)
        self._histograms(predictions, class_names)
        if last.test is not None:
            self._image("figure/accuracies", self._accuracies(last.test))
        numbers = _confusion_counts(predictions)
        self._image("figure/confusion_matrix", _confusion(predictions, numbers, class_names))
        if max(numbers.shape) <= COUNTS_KEPT:
            each_label = isinstance(predictions.outcome, AnyOf)
            tag = DECISION_COUNTS if each_label else CONFUSION_COUNTS
            self._write(Summary(value=[counts(tag, numbers.numpy())]))

    def close(self, result: Result) -> None:
        """Hyper-parameters, how the run ended, what was undefined; then the file is closed.

        Raises:
            UserError: If the file was deleted meanwhile.
        """
        self._text("about/run", about(result))
        self._text("about/undefined", undefined_summary(self._unwritten, result, CLASSES_SHOWN))
        end = result.kept.test if result.history else None
        shown = hparams_of_note(list(end.metrics)) if end else []
        tags = [f"test/{name}" for name in shown]
        self._write(Summary(value=session(flat(result.config), tags, TELLING)))
        self._writer.close()
        if not any(_is_whole(path) for path in self._folder.glob("events.out.tfevents.*")):
            raise UserError(
                f"the TensorBoard events in {self._folder} were deleted while the run was trained: "
                f"run the command again"
            )

    def _scalars(self, validation: ValidationStep) -> Iterator[tuple[str, float]]:
        if validation.step > 0:  # before the first step there is no training loss
            yield "loss/train", validation.train_loss
        yield "training/learning_rate", validation.learning_rate
        for name, value in validation.val.metrics.items():
            yield f"{self._sections[name]}/{name}", value
        for metric, named in CLASS_SECTIONS.items():
            row = validation.val.per_class.get(metric, [])
            names = charted_names(self._names, len(row)) if row else []
            for name, value in zip(names, row, strict=False):
                yield f"{named}/{name}", value
        if validation.test is not None:
            measured = validation.test.metrics
            for name in hparams_of_note(list(measured)):
                yield f"test/{name}", measured[name]

    def _curves(self, predictions: Predictions, class_names: Sequence[str]) -> None:
        curves = metrics.precision_recall_curves(predictions)
        for k, name in enumerate(charted_names(class_names, len(curves.recall))):
            if curves.recall[k].isnan().any():
                self._unwritten[f"pr/{name}"] += 1
                continue
            # Precision is undefined above the highest score; TensorBoard cuts that tail off.
            self._write(
                summary.pr_curve_raw(
                    f"pr/{name}",
                    curves.true_positives[k].numpy(),
                    curves.false_positives[k].numpy(),
                    curves.true_negatives[k].numpy(),
                    curves.false_negatives[k].numpy(),
                    curves.precision[k].nan_to_num(0.0).numpy(),
                    curves.recall[k].numpy(),
                    num_thresholds=len(curves.thresholds),
                )
            )

    def _histograms(self, predictions: Predictions, class_names: Sequence[str]) -> None:
        spread = metrics.score_histograms(predictions)
        names = charted_names(class_names, len(spread.present))
        middles = (spread.edges[1:] + spread.edges[:-1]) / 2
        for when, rows in (("present", spread.present), ("absent", spread.absent)):
            for name, binned in zip(names, rows, strict=False):
                tag, n = f"scores_when_{when}/{name}", int(binned.sum())
                if n == 0:
                    self._unwritten[tag] += 1
                    continue
                total, squares = (binned * middles).sum(), (binned * middles**2).sum()
                limits = spread.edges[1:].tolist()
                self._write(
                    summary.histogram_raw(
                        tag, 0.0, 1.0, n, float(total), float(squares), limits, binned.tolist()
                    )
                )

    def _accuracies(self, measured: Measurement) -> Png:
        drawn = [
            name
            for name, value in measured.metrics.items()
            # A name with a slash measures other decisions: tuned thresholds, outliers.
            if "/" not in name and self._sections[name] == "accuracy" and math.isfinite(value)
        ]
        return compressed(
            accuracies_figure(
                drawn,
                [measured.metrics[name] for name in drawn],
                [measured.baselines[name] for name in drawn],
                f"Accuracies of the same predictions (test, n = {measured.n})",
            )
        )

    def _image(self, tag: str, png: Png) -> None:
        image = Summary.Image(
            encoded_image_string=png.data, width=png.width, height=png.height, colorspace=3
        )
        self._write(Summary(value=[Summary.Value(tag=tag, image=image)]))

    def _text(self, tag: str, markdown: str) -> None:
        self._write(summary.text(tag, markdown))

    def _write(self, part: Any) -> None:
        self._writer.add_summary(part, self._step)


def _is_whole(events: Path) -> bool:
    """Whether the file has its beginning: a deleted one is made anew by the next value written."""
    with events.open("rb") as file:
        return b"brain.Event:" in file.read(100)


def _confusion_counts(predictions: Predictions) -> torch.Tensor:
    """(R, K) on the CPU: true by predicted class, groups pooled; TP, FN, FP, TN of each label."""
    if isinstance(predictions.outcome, AnyOf):
        decided, true = predictions.decisions, predictions.outcome.hard(predictions.labels)
        pairs = ((true, decided), (true, ~decided), (~true, decided), (~true, ~decided))
        return torch.stack([(a & b).sum(dim=0) for a, b in pairs], dim=1).cpu()
    numbers = metrics.confusion_matrix(predictions).cpu()
    return numbers.sum(dim=0) if numbers.ndim > 2 else numbers


def _confusion(predictions: Predictions, numbers: torch.Tensor, class_names: Sequence[str]) -> Png:
    n, outcome = len(predictions.labels), predictions.outcome
    if isinstance(outcome, AnyOf):
        columns = ("TP", "FN", "FP", "TN")
        title = f"Decisions per label (test, n = {n})"
        return compressed(
            confusion_figure(numbers, class_names, columns, title, ("label", "decisions"))
        )
    pooled = f", {outcome.groups} groups pooled" if isinstance(outcome, EachOneOf) else ""
    title = f"Confusion matrix{pooled} (test, n = {n})"
    return compressed(confusion_figure(numbers, class_names, class_names, title))


def _explained(outcome: Outcome, measured: metrics.MetricSet) -> str:
    rows = [(f"`{r.name}`", r.description, r.perfect) for r in measured.scalar_for(outcome)]
    rows += [
        (f"`{r.name}` (per class)", r.description, r.perfect)
        for r in measured.per_class_for(outcome)
    ]
    lines = [
        "All metrics use the same predictions. `baseline/…` is the value of the best constant "
        "prediction on the same labels. `loss/train` is this head's training loss in nats per "
        "example; it is not comparable between heads.",
        "",
        table(("metric", "description", "perfect"), rows),
    ]
    return "\n".join(lines)


def section(higher_is_better: bool | None) -> str:
    """The dashboard section of a metric: `accuracy` if higher is better, `error` if lower is."""
    if higher_is_better is None:
        return "other"
    return "accuracy" if higher_is_better else "error"


def flat(config: Mapping[str, Any], above: str = "") -> dict[str, float | str]:
    """A nested configuration as hyper-parameters: dotted names, numbers and words.

    What does not change a run's outcome (`NOT_IN_KEY`), Hydra's `_partial_` and unset values are
    left out; lists, truth values and numbers that are not finite become words. The names of the
    chosen group files stay: they say the same as `_target_` in one word.
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
    rows: list[tuple[object, ...]] = [
        ("run", result.name),
        ("key", result.key),
        ("status", result.status),
        ("seconds", f"{result.seconds:.1f}"),
        ("validation steps", len(result.history)),
    ]
    rows += [(f"first step: {name}", f"{value:.4g}") for name, value in result.first_step.items()]
    rows += [(f"diverged at: {k}", f"{v:.4g}") for k, v in (result.diverged_at or {}).items()]
    rows += [("note", text) for text in result.notes]
    parts = [table(("", ""), rows)]
    end = result.kept.test if result.history else None
    if end is not None:
        rows = [(f"`{name}`", *_measured(result, end, name)) for name in end.metrics]
        parts += ["", f"Test split, n = {end.n}:", ""]
        parts.append(table(("metric", "value", "baseline", "skill"), rows))
    return "\n".join(parts)


def _measured(result: Result, end: Measurement, name: str) -> tuple[str, ...]:
    """A metric's value, its baseline, and its skill; a dash for what is undefined."""
    value, baseline = end.metrics[name], end.baselines.get(name, math.nan)
    found = (value, baseline, skill(value, baseline, result.info(name).perfect))
    return tuple(f"{number:.4f}" if math.isfinite(number) else "–" for number in found)


def undefined_summary(unwritten: Mapping[str, int], result: Result, shown: int) -> str:
    """Counts of values that are not drawn because they are not finite or not defined.

    Args:
        shown: How many classes have charts of their own, at most.
    """
    parts = _uncharted(result, shown)
    if not unwritten:
        return "\n".join([*parts, "All values of all validation steps are finite and drawn."])
    parts += [
        "A value that is undefined or not finite is not drawn. Counted over all validation steps:",
        "",
        table(("tag", "values left out"), sorted(unwritten.items())),
    ]
    ends = result.kept if result.history else None
    for split, measured in (("validation", ends and ends.val), ("test", ends and ends.test)):
        if measured and measured.undefined:
            parts += [
                "",
                f"Undefined at the kept validation step, {split} split (n = {measured.n}):",
                "",
            ]
            parts.append(table(("metric", "undefined parts"), sorted(measured.undefined.items())))
    return "\n".join(parts)


def _uncharted(result: Result, shown: int) -> list[str]:
    rows = result.history[0].val.per_class.values() if result.history else ()
    classes = max(map(len, rows), default=0)
    if classes <= shown:
        return []
    return [f"Of {classes} classes the first {shown} have charts; result.json holds all.", ""]
