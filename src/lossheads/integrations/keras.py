"""Keras 3: metrics with baselines after every epoch, `check` before the first.

from lossheads.integrations.keras import EvaluationCallback
model.fit(x, y, callbacks=[EvaluationCallback((x_val, y_val), head=SoftmaxCCE(OneOf(10)))])
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lossheads.api.evaluation import Evaluation
from lossheads.errors import UserError
from lossheads.evaluation.inputs import HeadLike
from lossheads.integrations.reporting import (
    CHECKED_ROWS,
    Given,
    Reporter,
    check_once,
    kept_random_state,
)

try:
    import keras
except ImportError as missing:
    raise UserError(
        f"lossheads.integrations.keras needs Keras 3 and a backend, torch or jax ({missing}): "
        f"pip install 'lossheads[keras]'"
    ) from missing


class EvaluationCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Prints metrics with baselines on the validation data after every epoch.

    The model's own `accuracy` stays what it is in its version of Keras; these are computed from its
    outputs by `lossheads.evaluate`. The numbers also join the epoch's logs as
    `val_lossheads_<name>`, where other callbacks find them.

    Args:
        validation_data: (inputs, labels), arrays: labels as the loss takes them.
        head: How outputs are read; see `lossheads.evaluate`.
        given: What the model returns. None asks the compiled loss: probabilities, unless it has
            from_logits=True.
        metrics: Names to print; None chooses by the outcome.
        check: Whether `lossheads.check` looks at the first rows when training begins.
        batch_size: Of the predictions.
        write: Where lines go.
    """

    def __init__(
        self,
        validation_data: tuple[Any, Any],
        head: HeadLike,
        given: Given | None = None,
        metrics: Sequence[str] | None = None,
        check: bool = True,
        batch_size: int | None = None,
        write: Callable[[str], None] = print,
    ) -> None:
        super().__init__()
        if not isinstance(validation_data, tuple | list) or len(validation_data) != 2:
            raise UserError(
                f"validation_data must be (inputs, labels), got {type(validation_data).__name__}"
            )
        self._inputs, self._labels = validation_data
        self._given, self._check, self._batch_size = given, check, batch_size
        self._reporter = Reporter(head, given or "probabilities", metrics, write)
        self.report: Any = None

    @property
    def history(self) -> list[Evaluation]:
        """Every evaluation so far, one per epoch."""
        return self._reporter.history

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Ask the loss what it takes, and check the first rows, once."""
        if self._given is None:
            self._reporter.given = "logits" if _takes_logits(self.model) else "probabilities"
        if self._check and self.report is None:
            rows = slice(CHECKED_ROWS)
            inputs, labels = self._inputs[rows], self._labels[rows]
            self.report = check_once(self._reporter.write, self.model, inputs, labels)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Predict the validation data, print, and add the numbers to the logs."""
        with (
            kept_random_state()
        ):  # on torch a loader of Keras draws a seed, and training would move
            outputs = self.model.predict(self._inputs, batch_size=self._batch_size, verbose=0)
        self._reporter.update(np.asarray(outputs), np.asarray(self._labels))
        found = self._reporter.finish(f"\nlossheads, validation after epoch {epoch + 1}")
        if logs is not None:
            numbers = self._reporter.numbers(found)
            logs |= {f"val_lossheads_{name}": value for name, value in numbers.items()}


def _takes_logits(model: Any) -> bool:
    loss = getattr(model, "loss", None)
    if isinstance(loss, keras.losses.Loss):
        return bool(loss.get_config().get("from_logits", False))
    return False  # a name such as "categorical_crossentropy": from_logits=False
