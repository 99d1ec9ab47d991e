"""Where a run's numbers go while it trains: three methods, so the loop has no `if logging:`."""

from typing import Protocol

from lossheads.predictions import Predictions
from lossheads.records import Lap, Result


class Recorder(Protocol):
    """Receives one member's laps and its last predictions."""

    def lap(self, lap: Lap) -> None:
        """One measuring step: scalars, cheap (well under 5 ms)."""

    def pictures(self, last: Lap, predictions: Predictions, class_names: tuple[str, ...]) -> None:
        """The test predictions measured at the `last` lap: figures, curves, histograms (0.02 s)."""

    def close(self, result: Result) -> None:
        """The run is over, whatever its status; hyper-parameters and summary go here."""


class NullRecorder:
    """Records nothing."""

    def lap(self, lap: Lap) -> None: ...

    def pictures(
        self, last: Lap, predictions: Predictions, class_names: tuple[str, ...]
    ) -> None: ...

    def close(self, result: Result) -> None: ...
