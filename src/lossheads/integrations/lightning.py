"""Lightning: metrics with baselines after every validation, `check` before the first step.

from lossheads.integrations.lightning import EvaluationCallback
Trainer(callbacks=[EvaluationCallback(head="softmax_cce")])
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from lossheads.api.evaluation import Evaluation
from lossheads.errors import UserError
from lossheads.evaluation.inputs import HeadLike
from lossheads.integrations.reporting import (
    Given,
    Reporter,
    check_once,
    finite,
    first_examples,
)

try:
    import lightning
except ImportError as missing:
    raise UserError(
        f"lossheads.integrations.lightning needs Lightning 2 ({missing}): "
        f"pip install 'lossheads[lightning]'"
    ) from missing

Predict = Callable[[Any, Any], tuple[Tensor, Tensor]]


def call_module(module: Any, batch: Any) -> tuple[Tensor, Tensor]:
    """(module(inputs), labels) of a batch (inputs, labels)."""
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        raise UserError(
            f"EvaluationCallback got a batch of type {type(batch).__name__}: pass "
            f"predict=lambda module, batch: (logits, labels) for batches that are not (inputs, "
            f"labels)"
        )
    return module(batch[0]), batch[1]


class EvaluationCallback(lightning.Callback):  # type: ignore[misc]
    """Prints metrics with baselines of all validation rows, not a mean of batches.

    The forward pass is done a second time, for `validation_step` need not return logits. Numbers
    are logged as `lossheads/<name>`, where EarlyStopping and ModelCheckpoint find them.

    Args:
        head: How outputs are read; see `lossheads.evaluate`.
        given: What the module returns.
        predict: (module, batch) -> (outputs, labels); by default `module(batch[0]), batch[1]`.
        metrics: Names to print; None chooses by the outcome.
        check: Whether `lossheads.check` looks at the first training examples before the first step.
        write: Where lines go.
    """

    def __init__(
        self,
        head: HeadLike,
        given: Given = "logits",
        predict: Predict = call_module,
        metrics: Sequence[str] | None = None,
        check: bool = True,
        write: Callable[[str], None] = print,
    ) -> None:
        self._reporter = Reporter(head, given, metrics, write)
        self._predict, self._check = predict, check
        self.report: Any = None

    @property
    def history(self) -> list[Evaluation]:
        """Every evaluation so far, one per validation."""
        return self._reporter.history

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Check the first training examples, once."""
        if trainer.world_size > 1:
            raise UserError(
                f"EvaluationCallback sees the rows of one process, and this Trainer has "
                f"{trainer.world_size}: evaluate saved predictions instead"
            )
        loader = trainer.train_dataloader
        if not self._check or self.report is not None or not hasattr(loader, "dataset"):
            return
        batch = first_examples(loader.dataset, loader.collate_fn)
        if batch is not None:
            batch = pl_module.transfer_batch_to_device(batch, pl_module.device, 0)
            self.report = check_once(self._reporter.write, pl_module, batch)

    def on_validation_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Forget the rows of an interrupted validation."""
        self._reporter.reset()

    def on_validation_batch_end(
        self,
        trainer: Any,
        pl_module: Any,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Predict the batch again and keep its rows."""
        if not trainer.sanity_checking:
            with torch.no_grad():
                self._reporter.update(*self._predict(pl_module, batch))

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Print and log the metrics of all rows."""
        if len(self._reporter):
            title = f"lossheads, validation after epoch {trainer.current_epoch + 1}"
            found = self._reporter.finish(title)
            numbers = finite(self._reporter.numbers(found))
            logged = {f"lossheads/{name}": value for name, value in numbers.items()}
            pl_module.log_dict(logged, batch_size=found.n)
