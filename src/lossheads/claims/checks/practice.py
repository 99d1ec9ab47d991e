"""Computations about common practice: a temperature fitted, weighted batches, ten sigmoid units.

Float64, on drawn logits and data; nothing of a network is trained.
"""

import torch
from torch import Tensor
from torch.nn import functional

from lossheads.claims.checks.support import normal, seeded
from lossheads.heads import SigmoidBCE
from lossheads.metrics.probabilistic import binned_calibration_error
from lossheads.outcomes import OneOf

_CLASSES = 10


def fitted_temperature_of(true: float, rate: float, iterations: int) -> float:
    """The temperature at which L-BFGS, started at 1.5, stops.

    5,000 rows of ten drawn logits; labels are drawn from the softmax of logits / `true`, which
    is therefore the temperature to be found, up to the draw.

    Args:
        rate: Step length of torch's L-BFGS, without line search.
        iterations: Its limit.
    """
    logits, labels = _calibration_set(true)
    return _fit(logits, labels, rate, iterations)


def likelihood_change(true: float, rate: float, iterations: int) -> float:
    """Negative log-likelihood after scaling minus before, in nats, on the rows it was fitted on."""
    logits, labels = _calibration_set(true)
    temperature = _fit(logits, labels, rate, iterations)
    after = functional.cross_entropy(logits / temperature, labels)
    return float(after - functional.cross_entropy(logits, labels))


def calibration_error_change(true: float, rate: float, iterations: int) -> float:
    """Expected calibration error after scaling minus before, on the rows it was fitted on."""
    logits, labels = _calibration_set(true)
    temperature = _fit(logits, labels, rate, iterations)
    return _calibration_error(logits / temperature, labels) - _calibration_error(logits, labels)


def accumulation_gap(heaviest: float) -> float:
    """Gradient of a batch of 64 against the mean over eight parts of 8, as a relative distance.

    torch's cross_entropy with reduction="mean" and class weights from 1 to `heaviest`.
    """
    logits, labels = normal(64, 4), torch.arange(64) % 3
    weight = torch.linspace(1, heaviest, 4, dtype=torch.float64)

    def gradient(parts: int) -> Tensor:
        leaf = logits.clone().requires_grad_()
        for z, y in zip(leaf.chunk(parts), labels.chunk(parts), strict=True):
            (functional.cross_entropy(z, y, weight=weight) / parts).backward()
        assert leaf.grad is not None
        return leaf.grad

    whole = gradient(1)
    return float((gradient(8) - whole).norm() / whole.norm())


def weighted_mean_loss(*weights: float) -> float:
    """torch's mean of losses 1, 2, 3, … nats whose classes have these weights."""
    losses = torch.arange(1, len(weights) + 1, dtype=torch.float64)
    log_probs = torch.zeros(len(weights), len(weights), dtype=torch.float64)
    log_probs.diagonal().copy_(-losses)
    weight = torch.tensor(weights, dtype=torch.float64)
    return float(functional.nll_loss(log_probs, torch.arange(len(weights)), weight=weight))


def unit_losses_gap(classes: int) -> float:
    """The sigmoid loss of C units against the sum of C losses of one unit each, 50 random rows."""
    z = 3 * normal(50, classes)
    head = SigmoidBCE(OneOf(classes))
    target = head.encode(torch.arange(50) % classes).double()
    alone = [
        functional.binary_cross_entropy(torch.sigmoid(z[:, k]), target[:, k], reduction="none")
        for k in range(classes)
    ]
    return float((head.loss(z, target) - torch.stack(alone).sum(dim=0)).abs().max())


def classes_told_apart(classes: int) -> float:
    """How many of C classes, one point each, a linear model with sigmoid BCE learns to decide."""
    x, labels = torch.eye(classes, dtype=torch.float64), torch.arange(classes)
    head = SigmoidBCE(OneOf(classes))
    weights = torch.zeros(classes, classes, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([weights], lr=1.0)
    for _ in range(100):
        optimizer.zero_grad()
        head.loss(x @ weights, head.encode(labels).double()).mean().backward()
        optimizer.step()
    return float((head.decide(x @ weights) == labels).sum())


def _calibration_set(true: float) -> tuple[Tensor, Tensor]:
    generator = seeded()
    right = 2 * torch.randn(5_000, _CLASSES, generator=generator, dtype=torch.float64)
    labels = torch.multinomial(right.softmax(dim=1), 1, generator=generator).squeeze(1)
    return true * right, labels


def _fit(logits: Tensor, labels: Tensor, rate: float, iterations: int) -> float:
    temperature = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([temperature], lr=rate, max_iter=iterations)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(logits / temperature, labels)
        loss.backward()
        return loss

    optimizer.step(closure)
    return float(temperature.detach())


def _calibration_error(logits: Tensor, labels: Tensor) -> float:
    confidence, decided = logits.softmax(dim=1).max(dim=1)
    right = (decided == labels).double()
    return float(binned_calibration_error(confidence.unsqueeze(1), right.unsqueeze(1)))
