"""Where a run's numbers go while it trains: three methods, so the loop has no `if logging:`."""

from typing import Protocol

from lossheads.predictions import Predictions
from lossheads.records import Result, ValidationStep


class Logger(Protocol):
    """Receives one member's validation steps and its last predictions."""

    def log_validation(self, validation: ValidationStep) -> None:
        """One validation step: scalars, cheap (well under 5 ms)."""

    def log_figures(
        self, last: ValidationStep, predictions: Predictions, class_names: tuple[str, ...]
    ) -> None:
        """Test predictions of the `last` validation step: figures, curves, histograms (20 ms)."""

    def close(self, result: Result) -> None:
        """The run is over, whatever its status; hyper-parameters and summary go here."""


class NullLogger:
    """Records nothing."""

    def log_validation(self, validation: ValidationStep) -> None: ...

    def log_figures(
        self, last: ValidationStep, predictions: Predictions, class_names: tuple[str, ...]
    ) -> None: ...

    def close(self, result: Result) -> None: ...
