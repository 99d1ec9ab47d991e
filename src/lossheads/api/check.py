"""A linter for loss heads: one batch through somebody's model, loss and metric."""

from collections.abc import Mapping
from typing import Any

from lossheads.errors import UserError
from lossheads.linting.checking import checked
from lossheads.linting.report import CheckReport


def check(
    model: Any, inputs: Any, labels: Any = None, *, loss: Any = None, metric: Any = None
) -> CheckReport:
    """What one batch shows to be wrong with last layer, loss, targets and metric.

    The model is left bit for bit as it was: parameters, gradients, buffers, mode, hooks and the
    streams of random numbers. It runs in the mode in which it is, on its device.

    Args:
        model: A module of torch (torchvision, timm, compiled), a Lightning module, a model of
            transformers, or a built and compiled Keras 3 model.
        inputs: One batch as the model takes it: a tensor, a tuple of arguments, or a dictionary of
            named ones.
        labels: As the loss takes them. None for a Lightning module whose batch is `inputs`.
        loss: A function of (outputs, labels): a module, function or head. Left out where the model
            holds its own.
        metric: A function of (outputs, labels), a metric of torchmetrics or Keras, or several in a
            list or dictionary.

    Returns:
        `.findings` is empty where nothing was found; `.hints`, `.not_checked` and `.notes` say
        what is often meant, what could not be looked at, and what was seen.

    Raises:
        UserError: In one sentence, where the batch cannot be computed at all.
    """
    for what, given in (("model", model), ("loss", loss)):
        if isinstance(given, type):
            raise UserError(
                f"check got the class {given.__name__} as {what}: pass an object of it, "
                f"{given.__name__}(…)"
            )
    if loss is not None and not callable(loss) and not isinstance(loss, str):
        raise UserError(
            f"check got loss={loss!r}: it must be a function of (outputs, labels), such as "
            f"torch.nn.CrossEntropyLoss()"
        )
    return checked(model, inputs, labels, loss, metric)


def unpacked(made: Any, where: str) -> dict[str, Any]:
    """What somebody's `make()` returned, as arguments of `check`.

    Raises:
        UserError: If it is neither a tuple of 3 to 5 nor a dictionary of those names.
    """
    names = ("model", "inputs", "labels", "loss", "metric")
    if isinstance(made, Mapping) and set(made) <= set(names) and {"model", "inputs"} <= set(made):
        return dict(made)
    if isinstance(made, tuple) and 3 <= len(made) <= len(names):
        return dict(zip(names, made, strict=False))
    got = f"a dictionary of {sorted(made)}" if isinstance(made, Mapping) else type(made).__name__
    raise UserError(
        f"{where} returned {got}: it must return (model, inputs, labels, loss) or (model, inputs, "
        f"labels, loss, metric), or a dictionary of these names"
    )
