"""Losses and links as torch functions, seen while they are called: by whom does not matter.

`nn.CrossEntropyLoss`, a training step of Lightning, a model of transformers and a function of one's
own all arrive at `torch.nn.functional`; a mode of torch sees each call with its arguments.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from lossheads.linting.graph import last_layers
from lossheads.linting.observation import Link, LossCall, Reads


@dataclass(frozen=True)
class _Known:
    """How a loss of torch reads its first argument."""

    reads: Reads
    link: Link | None = None
    indices: bool = False


_LOSSES = {
    "cross_entropy": _Known("logits", "softmax", indices=True),
    "nll_loss": _Known("log_probabilities", "softmax", indices=True),
    "kl_div": _Known("log_probabilities", "softmax"),
    "binary_cross_entropy_with_logits": _Known("logits", "sigmoid"),
    "multilabel_soft_margin_loss": _Known("logits", "sigmoid"),
    "binary_cross_entropy": _Known("probabilities", "sigmoid"),
    "soft_margin_loss": _Known("logits"),
    "multi_margin_loss": _Known("numbers", None, indices=True),
    "mse_loss": _Known("numbers"),
    "l1_loss": _Known("numbers"),
    "smooth_l1_loss": _Known("numbers"),
    "huber_loss": _Known("numbers"),
}
_LINKS: dict[str, Link] = {
    "softmax": "softmax",
    "log_softmax": "softmax",
    "sigmoid": "sigmoid",
    "sigmoid_": "sigmoid",
    "expit": "sigmoid",
    "special_expit": "sigmoid",
    "logsigmoid": "sigmoid",
    "log_sigmoid": "sigmoid",
}
_OPTIONS = ("weight", "pos_weight", "ignore_index", "label_smoothing", "reduction", "log_target")


class Recorder(TorchFunctionMode):
    """Within it, every loss and every link that torch computes is kept, refused ones included."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[LossCall] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = str(getattr(func, "__name__", ""))
        if name in _LOSSES and func is getattr(functional, name, None) and callable(func):
            return self._loss(name, func, args, kwargs)
        result = func(*args, **kwargs)
        if name in _LINKS and args and isinstance(args[0], Tensor):
            self.calls.append(
                LossCall(
                    name=name,
                    reads="logits",
                    link=_LINKS[name],
                    outputs=args[0],
                    target=None,
                    last=last_layers(args[0]),
                    class_dim=_dim(args, kwargs, args[0]) if _LINKS[name] == "softmax" else None,
                    whole=False,
                    value=result if isinstance(result, Tensor) else None,
                )
            )
        return result

    def _loss(self, name: str, func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        known = _LOSSES[name]
        bound = inspect.signature(func).bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        outputs, target = given["input"], given["target"]
        call: dict[str, Any] = {
            "name": name,
            "reads": known.reads,
            "link": known.link,
            "outputs": outputs,
            "target": target,
            "last": last_layers(outputs),
            "class_dim": min(1, outputs.ndim - 1) if known.indices and outputs.ndim else None,
            "takes_indices": known.indices,
            "options": {option: given.get(option) for option in _OPTIONS if option in given},
        }
        try:
            if known.indices and outputs.ndim:
                _refuse_out_of_range(outputs, target, given.get("ignore_index", -100))
            value = func(*args, **kwargs)
        except Exception as error:
            self.calls.append(LossCall(**call, error=str(error) or type(error).__name__))
            raise
        self.calls.append(LossCall(**call, value=value))
        return value


def _refuse_out_of_range(outputs: Tensor, target: Tensor, ignored: int) -> None:
    """Before torch sees it: on a GPU an index out of range ends every later call of the process."""
    if target.is_floating_point() or target.shape == outputs.shape:
        return
    counted = target[target != ignored]
    classes = outputs.shape[min(1, outputs.ndim - 1)]
    if counted.numel() and bool(((counted < 0) | (counted >= classes)).any()):
        raise IndexError(f"target out of bounds for {classes} classes")


def _dim(args: Any, kwargs: dict[str, Any], outputs: Tensor) -> int | None:
    dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
    if not isinstance(dim, int) or not -outputs.ndim <= dim < outputs.ndim:
        return None
    return dim % outputs.ndim


def first_sentence(error: BaseException) -> str:
    """What an error says, on one line."""
    text = " ".join(str(error).split())
    return (text[:200] + " …" if len(text) > 200 else text) or type(error).__name__
