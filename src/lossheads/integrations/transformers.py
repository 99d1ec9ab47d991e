"""transformers: metrics with baselines at every evaluation of a Trainer, `check` before training.

from lossheads.integrations.transformers import for_trainer
Trainer(model, args, train_dataset=..., eval_dataset=..., **for_trainer("softmax_cce"))
"""

from collections.abc import Callable, Sequence
from typing import Any

from lossheads.errors import UserError
from lossheads.evaluation.inputs import HeadLike
from lossheads.integrations.reporting import Reporter, check_once, finite, first_examples

try:
    import transformers
except ImportError as missing:
    raise UserError(
        f"lossheads.integrations.transformers needs transformers ({missing}): "
        f"pip install 'lossheads[transformers]'"
    ) from missing


class ComputeMetrics:
    """For `Trainer(compute_metrics=…)`: prints metrics with baselines, returns them as numbers.

    The Trainer adds `eval_` to their names; NaN is left out.

    Args:
        head: How the model's logits are read: "softmax_cce" for single_label_classification,
            "sigmoid_bce" for multi_label_classification; see `lossheads.evaluate`.
        metrics: Names to print and return; None chooses by the outcome.
        write: Where lines go.
    """

    def __init__(
        self,
        head: HeadLike,
        metrics: Sequence[str] | None = None,
        write: Callable[[str], None] = print,
    ) -> None:
        self._reporter = Reporter(head, "logits", metrics, write)
        self.history = self._reporter.history

    def __call__(self, prediction: Any) -> dict[str, float]:
        """`EvalPrediction` -> metrics, baselines and skills by name."""
        logits, labels = prediction.predictions, prediction.label_ids
        if isinstance(logits, tuple):  # hidden states and attentions stand behind the logits
            logits = logits[0]
        self._reporter.reset()
        self._reporter.update(logits, _whole_labels(labels))
        found = self._reporter.finish("\nlossheads, evaluation")
        return finite(self._reporter.numbers(found))


def _whole_labels(labels: Any) -> Any:
    """problem_type="multi_label_classification" wants floats of 0 and 1, which are labels here."""
    return labels.astype(int) if labels.dtype.kind == "f" and set(labels.flat) <= {0, 1} else labels


class CheckCallback(transformers.TrainerCallback):  # type: ignore[misc]
    """Runs `lossheads.check` on the first training examples before the first step."""

    def __init__(self, write: Callable[[str], None] = print) -> None:
        self._write = write
        self.report: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Collate the first examples as the Trainer does, and check them once."""
        loader, model = kwargs.get("train_dataloader"), kwargs.get("model")
        dataset = getattr(loader, "dataset", None)
        if self.report is not None or dataset is None or model is None:
            return
        batch = first_examples(dataset, loader.collate_fn)  # type: ignore[union-attr]
        if batch is None or "labels" not in batch:
            return
        inputs = {name: value.to(model.device) for name, value in batch.items()}
        labels = inputs.pop("labels")
        self.report = check_once(self._write, model, inputs, labels)


def for_trainer(
    head: HeadLike,
    metrics: Sequence[str] | None = None,
    check: bool = True,
    write: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Both as keyword arguments of a Trainer: `Trainer(..., **for_trainer("softmax_cce"))`.

    Args:
        head: See `ComputeMetrics`.
        metrics: Names to print and return; None chooses by the outcome.
        check: Whether to check the first training examples.
        write: Where lines go.
    """
    return {
        "compute_metrics": ComputeMetrics(head, metrics, write),
        "callbacks": [CheckCallback(write)] if check else [],
    }
