"""The formulas of the heads, in words of numbers: what `lossheads explain` shows beside them.

A formula belongs to the class that defines a method, so that heads which share a link share its
formulas. A head of one's own says its own in a class attribute,
`formulas: ClassVar[Mapping[str, str]] = {"loss": "L = …"}`; where nothing is said, the method is
named. z are logits, t the target, s scores, L the loss of one example.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from lossheads.heads.base import Head
from lossheads.numerics import log_softmax, sigmoid, softmax
from lossheads.outcomes import AnyOf, EachOneOf

Part = Literal["encode", "scores", "loss", "gradient", "log_probs", "decide"]
Formula = str | Callable[[Any], str]

_SOFTMAX = "s_k = exp(z_k) / sum_j exp(z_j)"
_SIGMOID = "s_k = 1 / (1 + exp(-z_k))"
_CROSS_ENTROPY = "L = -sum_k t_k ln s_k"
_LARGEST = "the largest z_k; a tie goes to the lower class"
_BINARY = "[-t_k ln s_k - (1 - t_k) ln(1 - s_k)]"


def formula(head: Head, part: Part) -> str:
    """The formula of one part of a head; of one that says none, the method that computes it."""
    method = "loss" if part == "gradient" else part
    owner = next((kind for kind in type(head).__mro__ if method in vars(kind)), type(head))
    own = vars(owner).get("formulas")
    if isinstance(own, Mapping) and part in own:
        return str(own[part])
    found: Formula | None = None
    if owner.__module__.split(".")[0] == "lossheads":
        found = _FORMULAS.get(f"{owner.__name__}.{part}")
    if found is None:
        usual = "by automatic differentiation" if part == "gradient" else ""
        return usual or f"{owner.__name__}.{method}"
    return found if isinstance(found, str) else found(head)


def terms(head: Head, logits: Tensor, target: Tensor) -> Tensor | None:
    """The summands of the loss, in the order of its formula; None where none are known.

    Args:
        logits: (1, U) float64.
        target: Of one example, as `encode` gives it.

    Returns:
        Numbers whose sum is the loss of that example.
    """
    owner = next((kind for kind in type(head).__mro__ if "loss" in vars(kind)), type(head))
    known = owner.__module__.split(".")[0] == "lossheads"
    found = _TERMS.get(owner.__name__) if known else None
    return None if found is None else found(head, logits, target)[0]


def _over_classes(head: Any) -> str:
    """How a loss joins its classes."""
    return "mean_k" if head.class_reduction == "mean" else "sum_k"


def _sigmoid_bce(head: Any) -> str:
    if head.pos_weight == 1:
        return f"L = {_over_classes(head)} {_BINARY}"
    return f"L = {_over_classes(head)} [-{head.pos_weight:g} t_k ln s_k - (1 - t_k) ln(1 - s_k)]"


def _sigmoid_gradient(head: Any) -> str:
    if head.pos_weight != 1:
        return "by automatic differentiation"
    return "dL/dz_k = " + ("(s_k - t_k) / U" if head.class_reduction == "mean" else "s_k - t_k")


def _focal(head: Any) -> str:
    present, absent = _focal_weights(head)
    first, second = _factor(present), _factor(absent)
    power = f"^{head.gamma:g}"
    return (
        f"L = {_over_classes(head)} [-{first}t_k (1 - s_k){power} ln s_k "
        f"- {second}(1 - t_k) s_k{power} ln(1 - s_k)]"
    )


def _factor(weight: float) -> str:
    return "" if weight == 1 else f"{weight:g} "


def _focal_weights(head: Any) -> tuple[float, float]:
    if hasattr(head, "_weights"):
        present, absent = head._weights()
        return float(present), float(absent)
    return (1.0, 1.0) if head.alpha is None else (head.alpha, 1 - head.alpha)


def _asymmetric(head: Any) -> str:
    return (
        f"L = sum_k [-t_k (1 - s_k)^{head.gamma_on:g} ln s_k "
        f"- (1 - t_k) q_k^{head.gamma_off:g} ln(1 - q_k)], q_k = max(s_k - {head.margin:g}, 0)"
    )


def _of_unit_length(head: Any) -> str:
    return f"softmax(z / |z| / {head.temperature:g})"


def _one_of(head: Any) -> bool:
    return not isinstance(head.outcome, AnyOf | EachOneOf)


_FORMULAS: Mapping[str, Formula] = {
    "Link.encode": lambda h: (
        "as given" if h.outcome.soft else "1 for what is true, 0 for the others"
    ),
    "_SingleLogit.encode": "how present class 1 is",
    "PerLabelCCE.encode": "for each label how absent, how present",
    "SoftmaxMultihot.encode": "1 for what is true, 0 for the others, over their sum",
    "SoftmaxCCE.encode": lambda h: (
        f"smoothed by {h.label_smoothing:g}" if h.label_smoothing else "1 for what is true, else 0"
    ),
    "SigmoidBCE.encode": lambda h: (
        f"smoothed by {h.label_smoothing:g}" if h.label_smoothing else "1 for what is true, else 0"
    ),
    # --- scores
    "SoftmaxLink.scores": _SOFTMAX,
    "SigmoidLink.scores": _SIGMOID,
    "GroupedLink.scores": "s_ik = exp(z_ik) / sum_j exp(z_ij) in each group i",
    "SingleLogitBCE.scores": "s_1 = 1 / (1 + exp(-z)), s_0 = 1 - s_1",
    "SingleLogitSoftmaxCCE.scores": "s_1 = exp(z) / exp(z) = 1, s_0 = 1 - s_1",
    "MultilabelCCE.scores": lambda h: (
        _SIGMOID if h.score_scale == 1 else f"s_k = 1 / (1 + exp(-{h.score_scale:g} z_k))"
    ),
    "PerLabelCCE.scores": "s_k = 1 / (1 + exp(off_k - on_k))",
    "SoftmaxMultihot.scores": f"{_SOFTMAX}, over labels",
    "SigmoidOffsetBCE.scores": "s_k = 1 / (1 + exp(-(z_k - ln C)))",
    "SoftmaxLogitNormCCE.scores": lambda h: (
        _SOFTMAX if h.reading == "bare" else f"s = {_of_unit_length(h)}, |z| the length of z"
    ),
    "LinearSquaredError.scores": lambda h: (
        f"the distribution nearest to z{'' if h.target == 1 else f' / {h.target:g}'}"
    ),
    # --- losses
    "SoftmaxCCE.loss": _CROSS_ENTROPY,
    "SoftmaxCCE.gradient": "dL/dz_k = s_k - t_k",
    "SoftmaxBCE.loss": lambda h: f"L = {_over_classes(h)} {_BINARY}, s_k at least 1e-7 off 0 and 1",
    "SigmoidBCE.loss": _sigmoid_bce,
    "SigmoidBCE.gradient": _sigmoid_gradient,
    "SingleLogitBCE.loss": "L = -t ln s_1 - (1 - t) ln s_0",
    "SingleLogitBCE.gradient": "dL/dz = s_1 - t",
    "SingleLogitSoftmaxCCE.loss": "L = -t ln s_1 = 0, whatever z is",
    "SingleLogitSoftmaxCCE.gradient": "dL/dz = 0, so nothing is learned",
    "MultilabelCCE.loss": "L = ln(1 + sum_k t_k exp(-z_k)) + ln(1 + sum_k (1 - t_k) exp(z_k))",
    "Focal.loss": _focal,
    "Asymmetric.loss": _asymmetric,
    "PerLabelCCE.loss": "L = sum_k [-t_k ln s_k - (1 - t_k) ln(1 - s_k)]",
    "SoftmaxMultihot.loss": _CROSS_ENTROPY,
    "GroupedCCE.loss": "L = sum_i [-sum_k t_ik ln s_ik]",
    "GroupedCCE.gradient": "dL/dz_ik = s_ik - t_ik",
    "GroupedLogitAdjustedCCE.loss": "L = sum_i [-sum_k t_ik ln softmax(z_i + ln base rates)_k]",
    "GroupedLogSumCCE.loss": "L = sum_k ln(1 + sum_i t_ik (1 / s_ik - 1))",
    "GroupedCentredCCE.loss": "L = sum_k ln(1 + sum_i t_ik exp(mean_j z_ij - z_ik))",
    "GroupedBalancedCCE.loss": "L = sum_k w_k ln(1 + sum_i t_ik^2 (1 / s_ik - 1)), "
    "w_k = g_k / mean g, g_k = 1 + sum_i t_ik (1 - t_ik)",
    "GroupedKLExcess.loss": "L = sum_k ln(1 + sum_i t_ik (exp(KL(t_i, s_i)) - 1))",
    "GroupedPairwiseCCE.loss": "L = sum over j != k of ln(1 + sum_i t_ij exp((z_ik - z_ij) / 2))",
    "SigmoidOffsetBCE.loss": f"L = sum_k {_BINARY}",
    "SigmoidOffsetBCE.gradient": "dL/dz_k = s_k - t_k",
    "SoftmaxWeightedCCE.loss": "L = -sum_k (w_k / mean w) t_k ln s_k, mean over training labels",
    "SoftmaxFocal.loss": lambda h: (
        f"L = -{'' if h.alpha is None else f'{h.alpha:g} '}sum_k t_k (1 - s_k)^{h.gamma:g} ln s_k"
    ),
    "SoftmaxPoly1CCE.loss": lambda h: f"L = -sum_k t_k ln s_k + {h.epsilon:g} sum_k t_k (1 - s_k)",
    "SoftmaxLogitPenaltyCCE.loss": lambda h: f"L = -sum_k t_k ln s_k + {h.beta:g} / 2 sum_k z_k^2",
    "SoftmaxLogitNormCCE.loss": lambda h: (
        f"L = -sum_k t_k ln {_of_unit_length(h)}_k, |z| the length of z"
        if h.reading == "bare"
        else _CROSS_ENTROPY
    ),
    "LinearSquaredError.loss": lambda h: (
        f"L = {_factor(h.scale)}{_over_classes(h)} [{_factor(h.kappa)}t_k (z_k - {h.target:g})^2 "
        f"+ (1 - t_k) z_k^2]"
    ),
    # --- probabilities
    "SoftmaxLink.log_probs": "p = s",
    "SigmoidLink.log_probs": lambda h: (
        "p_k = exp(z_k) / sum_j exp(z_j): the sigmoids, given that exactly one is true"
        if _one_of(h)
        else "p_k = s_k"
    ),
    "GroupedLink.log_probs": "p = s",
    "GroupedLogitAdjustedCCE.log_probs": "p_i = softmax(z_i + ln base rates)",
    "LinearSquaredError.log_probs": "p = s, kept above 1e-7",
    # --- decisions
    "SoftmaxLink.decide": _LARGEST,
    "SigmoidLink.decide": lambda h: _LARGEST if _one_of(h) else "on where z_k > 0, s_k > 1/2",
    "GroupedLink.decide": "the largest z_ik of each group; a tie goes to the lower class",
    "SingleLogitBCE.decide": "class 1 where z > 0",
    "SingleLogitSoftmaxCCE.decide": "always class 1",
    "PerLabelCCE.decide": "on where on_k > off_k",
    "SoftmaxMultihot.decide": "on where s_k > 1/2, so at most one",
    "LinearSquaredError.decide": _LARGEST,
}


def _cross_entropies(head: Any, z: Tensor, t: Tensor) -> Tensor:
    return -t * log_softmax(z)


def _binaries(z: Tensor, t: Tensor, on: float = 1.0) -> Tensor:
    return -on * t * F.logsigmoid(z) - (1 - t) * F.logsigmoid(-z)


def _reduced(head: Any, per_unit: Tensor) -> Tensor:
    return per_unit / per_unit.shape[-1] if head.class_reduction == "mean" else per_unit


def _softmax_binaries(head: Any, z: Tensor, t: Tensor) -> Tensor:
    s = softmax(z).clamp(1e-7, 1 - 1e-7)
    return _reduced(head, -t * s.log() - (1 - t) * (1 - s).log())


def _focal_terms(head: Any, z: Tensor, t: Tensor) -> Tensor:
    s, (present, absent) = sigmoid(z), _focal_weights(head)
    gamma = float(head.gamma)
    on = -present * t * (1 - s) ** gamma * F.logsigmoid(z)
    return _reduced(head, on - absent * (1 - t) * s**gamma * F.logsigmoid(-z))


def _asymmetric_terms(head: Any, z: Tensor, t: Tensor) -> Tensor:
    s = sigmoid(z)
    q: Tensor = (s - float(head.margin)).clamp(min=0)
    on: Tensor = -t * (1 - s) ** float(head.gamma_on) * F.logsigmoid(z)
    return on - (1 - t) * q ** float(head.gamma_off) * torch.log1p(-q)


def _present_and_absent(head: Any, z: Tensor, t: Tensor) -> Tensor:
    present, absent = (t * (-z).exp()).sum(-1), ((1 - t) * z.exp()).sum(-1)
    return torch.stack([present, absent], dim=-1).log1p()


def _pairs(head: Any, z: Tensor, t: Tensor) -> Tensor:
    return -(t * log_softmax(z.reshape(1, -1, 2))).sum(-1)


def _groups(head: Any, z: Tensor, t: Tensor) -> Tensor:
    return -(t * log_softmax(head.in_groups(z))).sum(-1)


def _odds_per_class(head: Any, z: Tensor, t: Tensor) -> Tensor:
    against: Tensor = 1 / softmax(head.in_groups(z)) - 1
    return (t * against).sum(1).log1p()


def _centred_per_class(head: Any, z: Tensor, t: Tensor) -> Tensor:
    grouped: Tensor = head.in_groups(z)
    return (t * (grouped.mean(-1, keepdim=True) - grouped).exp()).sum(1).log1p()


def _poly(head: Any, z: Tensor, t: Tensor) -> Tensor:
    missed = t * (1 - softmax(z))
    return -t * log_softmax(z) + float(head.epsilon) * missed


def _squares(head: Any, z: Tensor, t: Tensor) -> Tensor:
    squares = float(head.kappa) * t * (z - head.target) ** 2 + (1 - t) * z**2
    return float(head.scale) * _reduced(head, squares)


# Class that defines the loss -> its summands, (1, …). Written as the formulas are, for numbers of
# usual size; the losses themselves are exact in the tails as well.
_TERMS: Mapping[str, Callable[[Any, Tensor, Tensor], Tensor]] = {
    "SoftmaxCCE": _cross_entropies,
    "SoftmaxMultihot": _cross_entropies,
    "SoftmaxBCE": _softmax_binaries,
    "SigmoidBCE": lambda h, z, t: _reduced(h, _binaries(z, t, h.pos_weight)),
    "SigmoidOffsetBCE": lambda h, z, t: _binaries(z - math.log(h.outcome.n), t),
    "SingleLogitBCE": lambda h, z, t: _binaries(z, t),
    "MultilabelCCE": _present_and_absent,
    "Focal": _focal_terms,
    "Asymmetric": _asymmetric_terms,
    "PerLabelCCE": _pairs,
    "GroupedCCE": _groups,
    "GroupedLogSumCCE": _odds_per_class,
    "GroupedCentredCCE": _centred_per_class,
    "SoftmaxPoly1CCE": _poly,
    "LinearSquaredError": _squares,
}
