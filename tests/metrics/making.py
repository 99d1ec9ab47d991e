"""Predictions made by hand, so that metrics are tested apart from the heads."""

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from lossheads.outcomes import AnyOf, OneOf, Outcome
from lossheads.predictions import Predictions


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def from_logits(outcome: Outcome, logits: Tensor, labels: Tensor) -> Predictions:
    """Predictions of a head with one logit per column: softmax of classes, sigmoid of labels."""
    z = logits.double()
    columns = (len(logits), *outcome.columns)
    indicators = outcome.indicators(labels).flatten(1)
    if isinstance(outcome, AnyOf):
        scores, decisions = logits.sigmoid(), logits > 0
        log_probs = F.logsigmoid(torch.stack([-z, z], dim=-1))
        loss = "binary_crossentropy"
    else:
        scores = logits.reshape(columns).softmax(dim=-1)
        log_probs = z.reshape(columns).log_softmax(dim=-1)
        decisions = log_probs.argmax(dim=-1)
        loss = "categorical_crossentropy" if isinstance(outcome, OneOf) else "other"
    return Predictions(
        outcome=outcome,
        labels=labels,
        scores=scores,
        log_probs=log_probs,
        decisions=decisions,
        framework_outputs=scores.flatten(1),
        framework_target=indicators,
        framework_loss=loss,
        logits=logits,
    )


def from_scores(outcome: Outcome, scores: Tensor, labels: Tensor) -> Predictions:
    """Predictions whose scores are exactly these; outputs and decisions follow from them."""
    made = from_logits(outcome, scores.double().logit(eps=1e-9).flatten(1), labels)
    decisions = scores > 0.5 if isinstance(outcome, AnyOf) else scores.argmax(dim=-1)
    return replace(made, scores=scores, framework_outputs=scores.flatten(1), decisions=decisions)


def one_unit(logits: Tensor, labels: Tensor) -> Predictions:
    """Two classes from a single sigmoid unit: logits (N,)."""
    z = logits.double()
    scores = torch.stack([(-logits).sigmoid(), logits.sigmoid()], dim=1)
    return Predictions(
        outcome=OneOf(2),
        labels=labels,
        scores=scores,
        log_probs=F.logsigmoid(torch.stack([-z, z], dim=1)),
        decisions=(logits > 0).long(),
        framework_outputs=scores[:, 1:],
        framework_target=labels.float().unsqueeze(1),
        framework_loss="binary_crossentropy",
        logits=logits.unsqueeze(1),
    )


def draw_labels(outcome: Outcome, n: int, g: torch.Generator) -> Tensor:
    """Hard or soft labels with unequal base rates."""
    tilt = torch.linspace(0.0, 1.5, outcome.n)
    if isinstance(outcome, AnyOf):
        rates = torch.linspace(0.1, 0.7, outcome.n)
        cells = torch.rand(n, outcome.n, generator=g)
        return cells if outcome.soft else cells < rates
    groups = outcome.columns[:-1]
    shares = (tilt + torch.randn(n, *groups, outcome.n, generator=g)).softmax(dim=-1)
    if outcome.soft:
        return shares
    flat = torch.multinomial(shares.reshape(-1, outcome.n), 1, generator=g)
    return flat.reshape(n, *groups)


def draw(outcome: Outcome, n: int = 200, seed: int = 0, step: float = 0.0) -> Predictions:
    """Predictions that know something of their labels.

    Args:
        step: Round logits to multiples of it, so that many scores are tied; 0 rounds nothing.
    """
    g = generator(seed)
    labels = draw_labels(outcome, n, g)
    indicators = outcome.indicators(labels).flatten(1)
    logits = 2 * indicators - 1 + torch.randn(*indicators.shape, generator=g)
    if step:
        logits = (logits / step).round() * step
    return from_logits(outcome, logits, labels)


def rows(*values: Sequence[float]) -> Tensor:
    return torch.tensor(values)
