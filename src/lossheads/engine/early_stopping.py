"""Early stopping of one member: which validation step is best, and when to stop."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass
class EarlyStopping:
    """The best validation step so far, its weights, and how long ago it was.

    Attributes:
        monitor: Name of the metric that is compared.
        higher_is_better: Of that metric.
        patience: Validation steps without a better value before the member stops.
        wait: Validation steps since the best one.
    """

    monitor: str
    higher_is_better: bool
    patience: int
    best_value: float = math.nan
    best_step: int = 0
    best_weights: dict[str, Tensor] | None = None
    wait: int = 0

    @property
    def should_stop(self) -> bool:
        """Whether patience is used up."""
        return self.wait >= self.patience

    def update(self, step: int, value: float, weights: Callable[[], dict[str, Tensor]]) -> None:
        """Compare the value of a validation step, and copy the weights if it is the best."""
        if self._improves(value):
            self.best_value, self.best_step, self.wait = value, step, 0
            self.best_weights = weights()
        else:
            self.wait += 1

    def _improves(self, value: float) -> bool:
        """A value that is NaN or the worst possible is no improvement, not even on none."""
        if self.best_weights is None:
            return value > -math.inf if self.higher_is_better else value < math.inf
        return value > self.best_value if self.higher_is_better else value < self.best_value
