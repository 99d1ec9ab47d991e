"""Computations on heads for several labels and for groups of classes, in float64.

Random scores and soft labels come from a generator with a fixed seed; soft labels are uneven on
purpose, for even ones hide what a loss does to rare classes.
"""

import math

import torch
from scipy import optimize, stats

from lossheads.claims.checks.support import grouped_head, minimised, seeded, soft_labels
from lossheads.heads import MultilabelCCE
from lossheads.outcomes import AnyOf


def grouped_multilabel_gap(head: str, scale: float, kind: str) -> float:
    """A grouped loss of pairs against the log-sum loss of scale times each pair's difference.

    Args:
        kind: `hard` or `soft` labels; 200 rows of 6 pairs.
    """
    if kind not in ("hard", "soft"):
        raise ValueError(f"{kind!r} is not hard or soft")
    generator = seeded()
    scores = 3 * torch.randn(200, 6, 2, generator=generator, dtype=torch.float64)
    on = torch.rand(200, 6, generator=generator, dtype=torch.float64)
    on = on if kind == "soft" else (on > 0.7).double()
    pairs = grouped_head(head, 6, 2).loss(scores.flatten(1), torch.stack([1 - on, on], dim=2))
    difference = scale * (scores[..., 1] - scores[..., 0])
    labels = MultilabelCCE(AnyOf(6, soft=True)).loss(difference, on)
    return float((pairs - labels).abs().max())


def grouped_loss(head: str, label: int, *scores: float) -> float:
    """Loss of a single set with these scores and this true class, in nats."""
    made = grouped_head(head, 1, len(scores))
    target = torch.zeros(1, 1, len(scores), dtype=torch.float64)
    target[0, 0, label] = 1
    return float(made.loss(torch.tensor([scores], dtype=torch.float64), target))


def grouped_margin(label: int, *scores: float) -> float:
    """By how much the true class leads the best other; negative when the decision is wrong."""
    return scores[label] - max(s for k, s in enumerate(scores) if k != label)


def grouped_hard_gap(head: str, other: str, groups: int, classes: int) -> float:
    """Largest difference of two losses on 200 rows of random scores and one-hot labels."""
    generator = seeded()
    scores = 3 * torch.randn(200, groups * classes, generator=generator, dtype=torch.float64)
    labels = torch.randint(classes, (200, groups), generator=generator)
    target = torch.nn.functional.one_hot(labels, classes).double()
    made, second = grouped_head(head, groups, classes), grouped_head(other, groups, classes)
    return float((made.loss(scores, target) - second.loss(scores, target)).abs().max())


def grouped_optimum_gap(head: str, groups: int, classes: int) -> float:
    """Largest difference between softmax(s) at the loss's minimiser and the soft labels.

    One row of uneven soft labels, minimised from three random starts; the worst of them counts.
    """
    made, target = grouped_head(head, groups, classes), soft_labels(groups, classes)
    gaps = []
    for start in range(3):
        generator = torch.Generator().manual_seed(start)
        scores = torch.randn(1, groups * classes, generator=generator, dtype=torch.float64)
        scores = minimised(made, scores, target).view(1, groups, classes)
        gaps.append(float((scores.softmax(dim=2) - target).abs().max()))
    return max(gaps)


def grouped_smallest_curvature(head: str, groups: int, classes: int) -> float:
    """Smallest eigenvalue of the loss's Hessian at 20 random scores, over its largest.

    Zero, up to rounding, for a convex loss: adding a constant to a set changes nothing.
    """
    made, target = grouped_head(head, groups, classes), soft_labels(groups, classes)
    generator, smallest = seeded(), math.inf
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
