"""Computations on heads for several labels and for groups of classes, in float64.

Random scores and soft labels come from a generator with a fixed seed; soft labels are uneven on
purpose, for even ones hide what a loss does to rare classes.
"""

import math
from collections.abc import Callable

import torch
from scipy import optimize, stats
from torch import Tensor

from lossheads.heads import (
    GroupedBalancedCCE,
    GroupedCCE,
    GroupedCentredCCE,
    GroupedKLExcess,
    GroupedLogSumCCE,
    GroupedPairwiseCCE,
    MultilabelCCE,
)
from lossheads.heads.base import Head
from lossheads.outcomes import AnyOf, EachOneOf

_HEADS: dict[str, Callable[[EachOneOf], Head]] = {
    "grouped_cce": GroupedCCE,
    "grouped_logsum_cce": GroupedLogSumCCE,
    "grouped_centred_cce": GroupedCentredCCE,
    "grouped_balanced_cce": GroupedBalancedCCE,
    "grouped_kl_excess": GroupedKLExcess,
    "grouped_pairwise_cce": GroupedPairwiseCCE,
}


def grouped_multilabel_gap(head: str, scale: float, kind: str) -> float:
    """A grouped loss of pairs against the log-sum loss of scale times each pair's difference.

    Args:
        kind: `hard` or `soft` labels; 200 rows of 6 pairs.
    """
    if kind not in ("hard", "soft"):
        raise ValueError(f"{kind!r} is not hard or soft")
    generator = _seeded()
    scores = 3 * torch.randn(200, 6, 2, generator=generator, dtype=torch.float64)
    on = torch.rand(200, 6, generator=generator, dtype=torch.float64)
    on = on if kind == "soft" else (on > 0.7).double()
    pairs = _made(head, 6, 2).loss(scores.flatten(1), torch.stack([1 - on, on], dim=2))
    difference = scale * (scores[..., 1] - scores[..., 0])
    labels = MultilabelCCE(AnyOf(6, soft=True)).loss(difference, on)
    return float((pairs - labels).abs().max())


def grouped_loss(head: str, label: int, *scores: float) -> float:
    """Loss of a single set with these scores and this true class, in nats."""
    made = _made(head, 1, len(scores))
    target = torch.zeros(1, 1, len(scores), dtype=torch.float64)
    target[0, 0, label] = 1
    return float(made.loss(torch.tensor([scores], dtype=torch.float64), target))


def grouped_margin(label: int, *scores: float) -> float:
    """By how much the true class leads the best other; negative when the decision is wrong."""
    return scores[label] - max(s for k, s in enumerate(scores) if k != label)


def grouped_hard_gap(head: str, other: str, groups: int, classes: int) -> float:
    """Largest difference of two losses on 200 rows of random scores and one-hot labels."""
    generator = _seeded()
    scores = 3 * torch.randn(200, groups * classes, generator=generator, dtype=torch.float64)
    labels = torch.randint(classes, (200, groups), generator=generator)
    target = torch.nn.functional.one_hot(labels, classes).double()
    made, second = _made(head, groups, classes), _made(other, groups, classes)
    return float((made.loss(scores, target) - second.loss(scores, target)).abs().max())


def grouped_optimum_gap(head: str, groups: int, classes: int) -> float:
    """Largest difference between softmax(s) at the loss's minimiser and the soft labels.

    One row of uneven soft labels, minimised from three random starts; the worst of them counts.
    """
    made, target = _made(head, groups, classes), _soft(groups, classes)
    gaps = []
    for start in range(3):
        generator = torch.Generator().manual_seed(start)
        scores = torch.randn(1, groups * classes, generator=generator, dtype=torch.float64)
        scores = _minimised(made, scores, target).view(1, groups, classes)
        gaps.append(float((scores.softmax(dim=2) - target).abs().max()))
    return max(gaps)


def grouped_smallest_curvature(head: str, groups: int, classes: int) -> float:
    """Smallest eigenvalue of the loss's Hessian at 20 random scores, over its largest.

    Zero, up to rounding, for a convex loss: adding a constant to a set changes nothing.
    """
    made, target = _made(head, groups, classes), _soft(groups, classes)
    generator, smallest = _seeded(), math.inf
    for _ in range(20):
        scores = 3 * torch.randn(groups * classes, generator=generator, dtype=torch.float64)
        hessian = torch.autograd.functional.hessian(
            lambda s: made.loss(s.unsqueeze(0), target).sum(), scores
        )
        values = torch.linalg.eigvalsh(hessian)
        smallest = min(smallest, float(values[0] / values[-1]))
    return smallest


def multilabel_temperature(labels: int, prevalence: float) -> float:
    """The temperature that makes the log-sum loss's best score s right: sigmoid(s / T) = p.

    For `labels` independent labels of equal prevalence p and no inputs, all scores are equal at
    the minimum of the expected loss, a sum over the binomial number of present labels.
    """
    counts = range(labels + 1)
    weights = [float(stats.binom.pmf(k, labels, prevalence)) for k in counts]

    def slope(s: float) -> float:
        up, down = math.exp(s), math.exp(-s)
        return math.fsum(
            w * ((labels - k) * up / (1 + (labels - k) * up) - k * down / (1 + k * down))
            for w, k in zip(weights, counts, strict=True)
        )

    best = float(optimize.brentq(slope, -50, 50, xtol=1e-14))
    return best / math.log(prevalence / (1 - prevalence))


def _made(head: str, groups: int, classes: int) -> Head:
    if head not in _HEADS:
        raise ValueError(f"{head!r} is not one of {', '.join(_HEADS)}")
    return _HEADS[head](EachOneOf(groups, classes, soft=True))


def _soft(groups: int, classes: int) -> Tensor:
    # A steep tilt over the classes, so that the first are common in every set and the last rare.
    noise = torch.randn(1, groups, classes, generator=_seeded(), dtype=torch.float64)
    tilt = -0.7 * torch.arange(classes, dtype=torch.float64)
    return (noise + tilt).softmax(dim=2)


def _minimised(head: Head, scores: Tensor, target: Tensor) -> Tensor:
    scores = scores.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [scores],
        max_iter=2_000,
        tolerance_grad=1e-13,
        tolerance_change=1e-16,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = head.loss(scores, target).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return scores.detach()


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def total(*values: float) -> float:
    """Their sum."""
    return math.fsum(values)


def sigmoid(z: float) -> float:
    """1 / (1 + exp(-z)), accurate in both tails."""
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


def sigmoid_slope(z: float, kind: str = "float64") -> float:
    """The derivative of the sigmoid as autograd computes it in this floating-point type."""
    leaf = torch.tensor(z, dtype=_kind(kind), requires_grad=True)
    (slope,) = torch.autograd.grad(torch.sigmoid(leaf), leaf)
    return float(slope)


def softmax(k: int, *z: float) -> float:
    """The k-th probability, counted from 0, of the softmax of z."""
    return float(torch.tensor(z, dtype=torch.float64).softmax(dim=0)[k])


def softmax_shift_gap(by: float, *z: float) -> float:
    """Largest difference between the softmax of z and of z + by."""
    logits = torch.tensor(z, dtype=torch.float64)
    return float((logits.softmax(0) - (logits + by).softmax(0)).abs().max())


def surprisal_bits(p: float) -> float:
    """-log2 p."""
    return -math.log2(p)


def softmax_least_loss(classes: int, logit: float) -> float:
    """Cross-entropy of the right class when its logit is `logit` and all others are 0, in nats.

    With logit 1 this is the least that a softmax fed into a softmax can reach.
    """
    return math.log(math.exp(logit) + classes - 1) - logit


def smoothed_gap(epsilon: float, classes: int) -> float:
    """Gap between the right logit and the others where smoothed cross-entropy is least.

    The target is 1 - epsilon + epsilon / C for the right class, epsilon / C for each other.
    """
    off = epsilon / classes
    return math.log((1 - epsilon + off) / off)


def smoothed_least_loss(epsilon: float, classes: int) -> float:
    """The least smoothed cross-entropy, in nats: the entropy of the smoothed target."""
    off = epsilon / classes
    on = 1 - epsilon + off
    return -on * math.log(on) - (classes - 1) * off * math.log(off)


def _kind(name: str) -> torch.dtype:
    kinds = {"float32": torch.float32, "float64": torch.float64}
    if name not in kinds:
        raise ValueError(f"{name!r} is not one of {', '.join(kinds)}")
    return kinds[name]
