"""Modules of torch, Lightning and transformers: one batch through model and loss, seen by torch."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from lossheads.errors import UserError
from lossheads.heads.base import Head
from lossheads.linting.graph import last_layers
from lossheads.linting.isolation import Isolated
from lossheads.linting.observation import LossCall, Observation
from lossheads.linting.recording import Recorder, first_sentence

# Losses that their documentation says sum over the batch.
_SUMS_BY_DESIGN = {"AsymmetricLossMultiLabel"}
_LOGITS_OF = ("logits", "out")  # transformers and torchvision's classifiers; its segmentation


@dataclass
class _Ran:
    """A forward pass and its loss."""

    outputs: Tensor | None
    loss: Any
    calls: list[LossCall]
    apart: bool  # the loss is a function of outputs and labels that we can call again
    refused: str = ""


def plain_module(model: nn.Module) -> nn.Module:
    """What a compiled or data-parallel wrapper holds: the same computation, with its graph."""
    while True:
        inner = vars(model).get("_modules", {}).get("_orig_mod")
        if inner is None and isinstance(
            model, nn.DataParallel | nn.parallel.DistributedDataParallel
        ):
            inner = model.module
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def is_a(thing: object, package: str, name: str) -> bool:
    """Whether a class of that name and package is among its bases, without importing it."""
    return any(
        kind.__name__ == name and kind.__module__.split(".")[0] in package.split("|")
        for kind in type(thing).__mro__
    )


def observe(model: nn.Module, inputs: Any, labels: Any, loss: Any, seen: Isolated) -> Observation:
    """One batch through the model and its loss.

    Args:
        loss: None where the model has its own: Lightning's `training_step`, transformers' `labels`.

    Raises:
        UserError: If the forward pass or the loss fails for a reason that no rule knows.
    """
    inputs, labels = _copied(inputs), _copied(labels)
    notes: list[str] = []
    not_checked: list[str] = []
    ran = _ran(model, inputs, labels, loss, notes)
    value = _value(ran, not_checked)
    calls = _counted(ran, value, labels)
    gradients = _gradients(model, value, seen, not_checked)
    doubled = _doubled(ran, labels, loss) if ran.apart and value is not None else None
    name = _name(loss) if loss is not None else "its own loss"
    if not calls:
        not_checked.append(
            "how the loss reads the outputs: it calls no loss, softmax or sigmoid of torch"
        )
        if ran.outputs is not None:
            last = last_layers(ran.outputs)
            calls = [LossCall(name, "unknown", None, ran.outputs, None, last)]
    outputs = ran.outputs
    if outputs is None and calls:
        outputs = next((call for call in calls if call.whole), calls[0]).outputs
    if not isinstance(labels, Tensor):
        labels = calls[0].target if calls else None
    return Observation(
        subject=f"{type(model).__name__} with {name}",
        calls=tuple(calls),
        outputs=None if outputs is None else outputs.detach(),
        labels=labels if isinstance(labels, Tensor) else None,
        refused=ran.refused,
        loss=None if value is None else value.detach(),
        trainable=gradients.asked,
        reached=gradients.reached,
        unreached=tuple(gradients.unreached),
        has_graph=gradients.has_graph,
        doubled=doubled,
        doubling_by_design=type(loss).__name__ in _SUMS_BY_DESIGN,
        settings=_settings(model) if loss is None else {},
        not_checked=tuple(not_checked),
        notes=tuple(notes),
    )


def _ran(model: nn.Module, inputs: Any, labels: Any, loss: Any, notes: list[str]) -> _Ran:
    if isinstance(loss, str):
        raise UserError(
            f"check got loss={loss!r}: Keras models alone take a loss by its name; pass the loss "
            f"itself, such as torch.nn.CrossEntropyLoss()"
        )
    if loss is not None:
        return _apart(model, inputs, labels, loss, notes)
    if is_a(model, "lightning|pytorch_lightning", "LightningModule"):
        return _lightning_step(model, inputs, labels)
    if is_a(model, "transformers", "PreTrainedModel"):
        return _transformers_call(model, inputs, labels)
    raise UserError(
        f"check got no loss for {type(model).__name__}: pass loss=, a function of outputs and "
        f"labels; only Lightning, transformers and compiled Keras models hold their own"
    )


def _apart(model: nn.Module, inputs: Any, labels: Any, loss: Any, notes: list[str]) -> _Ran:
    try:
        given = model(*_positional(inputs), **_named(inputs))
    except Exception as error:
        raise _forward_failed(model, error) from error
    outputs = _tensor_of(given, notes)
    if not outputs.numel():
        raise UserError(f"check got outputs {tuple(outputs.shape)}: it needs at least one example")
    with Recorder() as recorder:
        try:
            value = loss(outputs, labels)
        except UserError:
            raise
        except Exception as error:
            refused = _loss_failed(loss, outputs, labels, error)
            if not any(call.error for call in recorder.calls):
                raise refused from error
            return _Ran(outputs, None, recorder.calls, apart=True, refused=str(refused))
    calls = recorder.calls
    if isinstance(loss, Head):  # its formulas are its own, whatever they call
        read = LossCall(type(loss).__name__, "logits", None, outputs, None, last_layers(outputs))
        calls = [read]
    return _Ran(outputs, value, calls, apart=True)


def _lightning_step(model: Any, inputs: Any, labels: Any) -> _Ran:
    batch = inputs if labels is None else (inputs, labels)
    asked = [
        parameter
        for parameter in inspect.signature(model.training_step).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    with Recorder() as recorder:
        try:
            value = model.training_step(*(batch, 0)[: len(asked)])
        except Exception as error:
            refused = _forward_failed(model, error, "training_step")
            if not any(call.error for call in recorder.calls):
                raise refused from error
            return _Ran(None, None, recorder.calls, apart=False, refused=str(refused))
    if isinstance(value, Mapping):
        value = value.get("loss")
    return _Ran(None, value, recorder.calls, apart=False)


def _transformers_call(model: Any, inputs: Any, labels: Any) -> _Ran:
    settings = dict(vars(model.config))  # the first call writes the problem_type that it guessed
    try:
        with Recorder() as recorder:
            try:
                result = model(*_positional(inputs), **_named(inputs), labels=labels)
            except Exception as error:
                refused = _forward_failed(model, error)
                if not any(call.error for call in recorder.calls):
                    raise refused from error
                return _Ran(None, None, recorder.calls, apart=False, refused=str(refused))
    finally:
        vars(model.config).clear()
        vars(model.config).update(settings)
    if isinstance(result, tuple):
        return _Ran(None, result[0], recorder.calls, apart=False)
    return _Ran(result.get("logits"), result.get("loss"), recorder.calls, apart=False)


def _settings(model: nn.Module) -> dict[str, Any]:
    if not is_a(model, "transformers", "PreTrainedModel"):
        return {}
    config: Any = model.config
    return {
        "transformers": True,
        "problem_type": getattr(config, "problem_type", None),
        "num_labels": getattr(config, "num_labels", None),
        "sequence": type(model).__name__.endswith("ForSequenceClassification")
        or type(model).__name__.endswith("ForImageClassification"),
    }


def _value(ran: _Ran, not_checked: list[str]) -> Tensor | None:
    if ran.refused:
        not_checked.append("gradients and size of the loss: it refused this batch")
        return None
    if not isinstance(ran.loss, Tensor):
        raise UserError(
            f"check got a loss of type {type(ran.loss).__name__}: it must be a tensor that "
            f"training "
            f"could call backward() on"
        )
    return ran.loss


def _counted(ran: _Ran, value: Tensor | None, labels: Any) -> list[LossCall]:
    """The calls that make up the loss; links inside it where nothing better was seen."""
    calls = ran.calls
    if ran.apart and any(call.outputs.requires_grad for call in calls):
        # A link of the labels, a teacher's softmax, says nothing of how the outputs are read.
        calls = [call for call in calls if call.whole or call.outputs.requires_grad]
    if value is not None and value.requires_grad and not ran.apart:
        used = [call for call in calls if call.outputs.requires_grad]
        if used:
            gradients = torch.autograd.grad(
                value.sum(), [call.outputs for call in used], allow_unused=True, retain_graph=True
            )
            unused = {id(c) for c, g in zip(used, gradients, strict=True) if g is None}
            calls = [call for call in calls if id(call) not in unused]
    whole = [call for call in calls if call.whole]
    if not ran.apart:
        # In one pass with the model, attention and gates are links too.
        calls = whole or [call for call in calls[-1:] if call.link]
    target = labels if isinstance(labels, Tensor) else None
    return [call if call.whole else replace(call, target=target) for call in calls]


@dataclass
class _Gradients:
    """How many parameters ask for a gradient, and which get one that is not zero everywhere."""

    asked: int | None = None
    reached: int = 0
    unreached: list[str] = field(default_factory=list)
    has_graph: bool | None = None


def _gradients(
    model: nn.Module, value: Tensor | None, seen: Isolated, not_checked: list[str]
) -> _Gradients:
    if value is None:
        return _Gradients()
    if not seen.trainable:
        not_checked.append("gradients: no parameter of the model asks for one")
        return _Gradients()
    if not value.requires_grad:
        return _Gradients(len(seen.trainable), has_graph=False)
    try:
        gradients = torch.autograd.grad(
            value.sum(), seen.trainable, allow_unused=True, retain_graph=True
        )
    except RuntimeError as error:
        not_checked.append(f"gradients: {first_sentence(error)}")
        return _Gradients()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    without = [
        names.get(id(parameter), "a parameter of the loss")
        for parameter, gradient in zip(seen.trainable, gradients, strict=True)
        if gradient is None or not gradient.count_nonzero()
    ]
    return _Gradients(
        asked=len(gradients),
        reached=len(gradients) - len(without),
        unreached=without,
        has_graph=any(gradient is not None for gradient in gradients),
    )


def _doubled(ran: _Ran, labels: Any, loss: Any) -> Tensor | None:
    """The loss of the batch taken twice: as large for a mean, twice as large for a sum."""
    outputs = ran.outputs
    if outputs is None or not isinstance(labels, Tensor) or not outputs.ndim or not labels.ndim:
        return None
    if len(outputs) != len(labels):
        return None
    try:
        twice = loss(torch.cat([outputs, outputs]).detach(), torch.cat([labels, labels]))
    except Exception:  # it may know its batch size; then nothing is said
        return None
    return twice.detach() if isinstance(twice, Tensor) else None


def _tensor_of(given: Any, notes: list[str]) -> Tensor:
    if isinstance(given, Tensor):
        return given
    for name in _LOGITS_OF:
        found = given.get(name) if isinstance(given, Mapping) else getattr(given, name, None)
        if isinstance(found, Tensor):
            notes.append(f"the model returns a {type(given).__name__}; its {name!r} were checked")
            return found
    if isinstance(given, list | tuple) and given and isinstance(given[0], Tensor):
        notes.append(f"the model returns {len(given)} outputs; the first was checked")
        return given[0]
    raise UserError(
        f"check got outputs of type {type(given).__name__} from the model: it must return a "
        f"tensor, "
        f"or something with logits; wrap it in a module that does"
    )


def _forward_failed(model: nn.Module, error: BaseException, where: str = "forward") -> UserError:
    return UserError(
        f"check cannot run {where} of {type(model).__name__} on these inputs "
        f"({first_sentence(error)}): pass one batch as the training loop does"
    )


def _loss_failed(loss: Any, outputs: Tensor, labels: Any, error: BaseException) -> UserError:
    if not isinstance(labels, Tensor) and labels is not None:
        return UserError(
            f"check cannot compute {_name(loss)} of labels of type {type(labels).__name__} "
            f"({first_sentence(error)}): pass them as the loss takes them, mostly a tensor"
        )
    shape = "None" if labels is None else tuple(labels.shape)
    return UserError(
        f"check cannot compute {_name(loss)} of outputs {tuple(outputs.shape)} and labels {shape} "
        f"({first_sentence(error)}): pass loss=, a function of (outputs, labels) and nothing else"
    )


def _name(loss: Any) -> str:
    inner: Any = getattr(loss, "func", loss)
    return getattr(inner, "__name__", type(inner).__name__).replace("<lambda>", "a lambda")


def _positional(inputs: Any) -> tuple[Any, ...]:
    if isinstance(inputs, Mapping) or hasattr(inputs, "keys"):
        return ()
    return tuple(inputs) if isinstance(inputs, list | tuple) else (inputs,)


def _named(inputs: Any) -> dict[str, Any]:
    return dict(inputs.items()) if hasattr(inputs, "keys") else {}


def _copied(value: Any) -> Any:
    """Copies of tensors, for layers that work in place; arrays of numpy become tensors."""
    if isinstance(value, Tensor):
        with torch.inference_mode(False):
            return value.clone() if value.is_leaf else value
    if type(value).__module__ == "numpy" and hasattr(value, "dtype"):
        return torch.from_numpy(value.copy())
    if hasattr(value, "keys"):
        return {key: _copied(each) for key, each in value.items()}
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return type(value)(_copied(each) for each in value)
    return value
