"""Saves a member's test predictions, and hands on what it gets to another logger."""

from pathlib import Path

import numpy as np

from lossheads.loggers.base import Logger
from lossheads.predictions import Predictions
from lossheads.predictions_file import SavedPredictions, write_predictions
from lossheads.records import Result, ValidationStep


class PredictionsLogger:
    """Writes `predictions.npz` into a run folder; `inner` gets everything, too."""

    def __init__(self, folder: Path, inner: Logger) -> None:
        self._folder, self._inner = folder, inner

    def log_validation(self, validation: ValidationStep) -> None:
        self._inner.log_validation(validation)

    def log_figures(
        self, last: ValidationStep, predictions: Predictions, class_names: tuple[str, ...]
    ) -> None:
        digest = last.test.correct.examples_digest if last.test and last.test.correct else ""
        saved = SavedPredictions(
            logits=predictions.logits.float().cpu().numpy(),
            labels=predictions.labels.cpu().numpy(),
            example_ids=np.arange(len(predictions.logits), dtype=np.int64),
            examples_digest=digest,
        )
        write_predictions(self._folder, saved)
        self._inner.log_figures(last, predictions, class_names)

    def close(self, result: Result) -> None:
        self._inner.close(result)
