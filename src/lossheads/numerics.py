"""Softmax and sigmoid, row by row: a value does not depend on its place in the tensor.

torch's CPU kernels of `sigmoid`, `softplus`, `logaddexp` and the backward of
`binary_cross_entropy_with_logits` break that: their vector body and their scalar tail round
differently (measured with torch 2.14). `logsigmoid`, `exp`, `log`, `log1p` and everything softmax
over the last dimension keep it. Hence the formulas below, and hence `sigmoid` is written as
exp(logsigmoid).
"""

from torch import Tensor
from torch.nn import functional as F

# From this many classes on, torch's CPU kernels of softmax fill a vector; below, they go number
# by number and take three to eight times as long as the formula (measured with torch 2.14).
_FILLS_A_VECTOR = 16


def softmax(logits: Tensor) -> Tensor:
    """exp(z_k) / sum_j exp(z_j) over the last dimension; shape and type unchanged."""
    if _kernel_pays(logits):
        return F.softmax(logits, dim=-1)
    odds = _below_peak(logits).exp()
    return odds / odds.sum(dim=-1, keepdim=True)


def log_softmax(logits: Tensor) -> Tensor:
    """z_k - log sum_j exp(z_j) over the last dimension; shape and type unchanged."""
    if _kernel_pays(logits):
        return F.log_softmax(logits, dim=-1)
    below = _below_peak(logits)
    return below - below.exp().sum(dim=-1, keepdim=True).log()


def _kernel_pays(logits: Tensor) -> bool:
    return logits.shape[-1] >= _FILLS_A_VECTOR or logits.device.type != "cpu"


def _below_peak(logits: Tensor) -> Tensor:
    # The shift is a constant of the derivative: neither function depends on it.
    return logits - logits.detach().amax(dim=-1, keepdim=True)


def sigmoid(logits: Tensor) -> Tensor:
    """1 / (1 + exp(-z)), with bits that do not depend on an element's place in the tensor."""
    return F.logsigmoid(logits).exp()
