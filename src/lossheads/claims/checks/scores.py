"""Softmax, sigmoid and cross-entropy as formulas: no head, no training, float64 unless said.

Random logits come from a generator with a fixed seed. `link` is `softmax` or `sigmoid`.
"""

import heapq
import itertools
import math

import torch
from torch import Tensor
from torch.nn import functional

from lossheads.claims.checks.support import grid, normal


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


def sigmoid_log_slope(z: float) -> float:
    """Natural logarithm of the sigmoid's derivative, without rounding the sigmoid to 0 or 1."""
    return -abs(z) - 2 * math.log1p(math.exp(-abs(z)))


def closest_sigmoid(printed: float, *z: float) -> float:
    """Of the sigmoids of z, the one with the smallest ratio to the printed number, either way."""
    return min(map(sigmoid, z), key=lambda s: abs(math.log(s / printed)))


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


def surprisal_nats(p: float) -> float:
    """-ln p, what frameworks print."""
    return -math.log(p)


def cross_entropy_bits(*p_then_q: float) -> float:
    """-sum p log2 q of two distributions, the first half of the numbers and the second."""
    p, q = _halves(p_then_q)
    return math.fsum(-a * math.log2(b) for a, b in zip(p, q, strict=True) if a > 0)


def code_bits(*p_then_q: float) -> float:
    """Mean length of a message of p, in bits, in the Huffman code made for q."""
    p, q = _halves(p_then_q)
    # Each node of the tree: its weight, a number that breaks ties, and the leaves below it.
    nodes: list[tuple[float, int, list[int]]] = [(weight, k, [k]) for k, weight in enumerate(q)]
    heapq.heapify(nodes)
    depth = [0] * len(q)
    for number in range(len(q), 2 * len(q) - 1):
        (a, _, left), (b, _, right) = heapq.heappop(nodes), heapq.heappop(nodes)
        for leaf in left + right:
            depth[leaf] += 1
        heapq.heappush(nodes, (a + b, number, left + right))
    return math.fsum(a * bits for a, bits in zip(p, depth, strict=True))


def idle_part(y: int, p: float) -> float:
    """The half of -(y ln p + (1 - y) ln(1 - p)) that the other label would use."""
    return -(1 - y) * math.log(1 - p) if y else -y * math.log(p)


def one_term_rows_decided_correctly(classes: int) -> float:
    """Share of 200 random rows decided correctly, the one-hot loss of each having one term."""
    log_probs = (3 * normal(200, classes)).log_softmax(dim=1)
    labels = torch.arange(200) % classes
    terms = functional.one_hot(labels, classes) * log_probs
    one = (terms != 0).sum(dim=1) == 1
    return float((log_probs.argmax(dim=1) == labels)[one].double().mean())


def sigmoid_total(*z: float) -> float:
    """The sum of the sigmoids of z."""
    return math.fsum(map(sigmoid, z))


def sigmoid_forms_gap(reach: float) -> float:
    """exp(x) / (1 + exp(x)) against 1 / (1 + exp(-x)), x from -reach to reach."""
    x = grid(reach)
    return float((x.exp() / (1 + x.exp()) - 1 / (1 + (-x).exp())).abs().max())


def softmax_total_gap(classes: int) -> float:
    """Largest difference from 1 of the sum of a softmax, over 200 random rows."""
    return float((_linked("softmax", 10 * normal(200, classes)).sum(dim=1) - 1).abs().max())


def smallest_score(link: str, classes: int) -> float:
    """Over 200 random rows."""
    return float(_linked(link, 10 * normal(200, classes)).min())


def largest_score(link: str, classes: int) -> float:
    """Over 200 random rows."""
    return float(_linked(link, 10 * normal(200, classes)).max())


def largest_second_score(link: str, classes: int) -> float:
    """The largest that a row's second-highest score gets, over 2,000 random rows."""
    return float(_linked(link, 10 * normal(2_000, classes)).topk(2, dim=1).values[:, 1].max())


def largest_cross_slope(link: str, classes: int) -> float:
    """Largest change of a score per change of another class's logit, over 50 random rows."""
    return float(_cross_slopes(link, classes).max())


def largest_dependence(link: str, classes: int) -> float:
    """The same, signs aside."""
    return float(_cross_slopes(link, classes).abs().max())


def others_loss_gap(classes: int) -> float:
    """What a class gains with its own logit against what all others together lose by it."""
    slopes = _slopes("softmax", classes)
    own = slopes.diagonal(dim1=1, dim2=2)
    others = (slopes * ~torch.eye(classes, dtype=torch.bool)).sum(dim=1)
    return float((own + others).abs().max())


def disordered_pairs(classes: int) -> float:
    """Share of pairs of a row whose larger logit has no larger softmax, over 50 random rows."""
    z = 3 * normal(50, classes)
    p = _linked("softmax", z)
    larger = z.unsqueeze(1) > z.unsqueeze(2)
    return float((p.unsqueeze(1) <= p.unsqueeze(2))[larger].double().mean())


def sign_disagreements(reach: float) -> float:
    """Share of logits at which "sigmoid above one half" and "logit above zero" differ."""
    z = grid(reach)
    return float(((torch.sigmoid(z) > 0.5) != (z > 0)).double().mean())


def sign_loss_slope(reach: float) -> float:
    """Largest slope of the 0-1 loss of a one, by differences over 1e-6, away from logit 0."""
    z = grid(reach)
    z = z[z.abs() > 1e-3]
    return float((((z + 5e-7) <= 0).double() - ((z - 5e-7) <= 0).double()).abs().max() / 1e-6)


def least_pull_when_wrong(reach: float) -> float:
    """Smallest slope, signs aside, of the sigmoid loss at logits on the wrong side of zero."""
    z = grid(reach)
    z = z[z < 0].requires_grad_()
    (slope,) = torch.autograd.grad(-functional.logsigmoid(z).sum(), z)
    return float(slope.abs().min())


def least_surrogate_excess(reach: float) -> float:
    """Smallest difference of the sigmoid loss of a one, in bits, and its 0-1 loss."""
    z = grid(reach)
    bits = -functional.logsigmoid(z) / math.log(2)
    return float((bits - (z <= 0).double()).min())


def least_gradient_when_right(classes: int) -> float:
    """Smallest norm of the cross-entropy's gradient on the logits of rows decided correctly."""
    z = 3 * normal(200, classes)
    residual = _linked("softmax", z) - functional.one_hot(z.argmax(dim=1), classes)
    return float(residual.norm(dim=1).min())


def indicator_covariance(link: str, *z: float) -> float:
    """Covariance of "class 0 is on" and "class 1 is on" as the link's own model has it.

    Patterns of classes are enumerated: under a softmax exactly one is on, under sigmoids each
    is on or off by itself.
    """
    scores = _linked(link, torch.tensor(z, dtype=torch.float64))
    first = second = both = 0.0
    for pattern in itertools.product((0, 1), repeat=len(z)):
        on = torch.tensor(pattern, dtype=torch.bool)
        if link == "softmax":
            weight = float(scores[on].sum()) if sum(pattern) == 1 else 0.0
        else:
            weight = float(torch.where(on, scores, 1 - scores).prod())
        first += weight * pattern[0]
        second += weight * pattern[1]
        both += weight * pattern[0] * pattern[1]
    return both - first * second


def _halves(numbers: tuple[float, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if len(numbers) % 2 or not numbers:
        raise ValueError(
            f"two distributions of equal length are needed, got {len(numbers)} numbers"
        )
    half = len(numbers) // 2
    return numbers[:half], numbers[half:]


def _linked(link: str, z: Tensor) -> Tensor:
    if link not in ("softmax", "sigmoid"):
        raise ValueError(f"{link!r} is not softmax or sigmoid")
    return z.softmax(dim=-1) if link == "softmax" else torch.sigmoid(z)


def _slopes(link: str, classes: int) -> Tensor:
    """(50, k, j): how score k changes with logit j."""
    rows = [
        torch.autograd.functional.jacobian(lambda row: _linked(link, row), z)
        for z in 3 * normal(50, classes)
    ]
    return torch.stack(rows)


def _cross_slopes(link: str, classes: int) -> Tensor:
    return _slopes(link, classes)[:, ~torch.eye(classes, dtype=torch.bool)]


def _kind(name: str) -> torch.dtype:
    kinds = {"float32": torch.float32, "float64": torch.float64}
    if name not in kinds:
        raise ValueError(f"{name!r} is not one of {', '.join(kinds)}")
    return kinds[name]
