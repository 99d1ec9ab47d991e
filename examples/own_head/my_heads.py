"""A head of one's own: softmax + cross-entropy with smoothed labels."""

from dataclasses import dataclass

from torch import Tensor

import lossheads as lh


@dataclass(frozen=True)
class SmoothedCCE(lh.SoftmaxCCE):
    """Cross-entropy against (1 - epsilon) of the label plus epsilon spread over all classes."""

    epsilon: float = 0.0

    def encode(self, labels: Tensor) -> Tensor:
        return (1 - self.epsilon) * super().encode(labels) + self.epsilon / self.num_logits
