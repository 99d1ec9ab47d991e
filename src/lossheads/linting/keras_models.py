"""Compiled Keras 3 models: by torch's graph where Keras runs on torch, else by configuration."""

import inspect
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lossheads.errors import UserError
from lossheads.linting.graph import last_layers
from lossheads.linting.isolation import streams_kept
from lossheads.linting.observation import Activation, Kind, LastLayers, Link, LossCall, Observation
from lossheads.linting.recording import first_sentence

_LOSSES: dict[str, tuple[Link | None, bool]] = {
    "binary_crossentropy": ("sigmoid", False),
    "binary_focal_crossentropy": ("sigmoid", False),
    "categorical_crossentropy": ("softmax", False),
    "categorical_focal_crossentropy": ("softmax", False),
    "sparse_categorical_crossentropy": ("softmax", True),
    "kl_divergence": ("softmax", False),
    "mean_squared_error": (None, False),
    "mean_absolute_error": (None, False),
}
_ACTIVATIONS: dict[str, Kind] = {
    "softmax": "softmax",
    "log_softmax": "log_softmax",
    "sigmoid": "sigmoid",
    "relu": "relu",
    "tanh": "tanh",
    "linear": "logits",
}
_PASSED = ("Flatten", "Reshape", "Permute", "Dropout", "Identity")


def observe(model: Any, inputs: Any, labels: Any, loss: Any) -> Observation:
    """One batch through a compiled model, in inference mode, without a change to its variables.

    Raises:
        UserError: If it is not built or compiled, or the forward pass fails.
    """
    import keras

    if not model.built:
        raise UserError(
            "check got a Keras model that is not built: call it on one batch, or give it an Input"
        )
    chosen = loss if loss is not None else getattr(model, "loss", None)
    if chosen is None:
        raise UserError("check got a Keras model without a loss: compile it, or pass loss=")
    if isinstance(chosen, list | tuple | Mapping) or len(getattr(model, "outputs", None) or []) > 1:
        raise UserError(
            "check got a Keras model with several outputs or losses: check one output at a time, "
            "keras.Model(model.inputs, model.outputs[0]) with its own loss"
        )
    notes = [f"Keras {keras.__version__} on {keras.backend.backend()}, in inference mode"]
    not_checked = [
        "gradients and dead units: the check of a Keras model looks at outputs, loss and metrics",
        "class_weight and sample_weight: they are given to fit()",
    ]
    outputs = _outputs(model, inputs)
    function = keras.losses.get(chosen)
    call, value, doubled = _loss(function, outputs, labels, _last(model, outputs, keras))
    if not call:
        not_checked.append(f"how {_loss_name(function)} reads the outputs: it is not Keras's own")
    return Observation(
        subject=f"Keras {type(model).__name__} with {_loss_name(function)}",
        calls=(call,) if call else (),
        outputs=_tensor(outputs),
        labels=_tensor(labels),
        loss=value,
        doubled=doubled,
        refused=call.error and f"check cannot compute {call.name} ({call.error})" if call else "",
        not_checked=tuple(not_checked),
        notes=tuple(notes),
    )


def _outputs(model: Any, inputs: Any) -> Any:
    given: Any = inputs
    if isinstance(given, Tensor):
        given = given.detach().cpu().numpy()
    # A subclass of one's own need not know the argument.
    known = "training" in inspect.signature(model.call).parameters
    mode = {"training": False} if known else {}
    try:
        # Values in, values out: variables stay as they are.
        outputs, _ = model.stateless_call(
            [variable.value for variable in model.trainable_variables],
            [variable.value for variable in model.non_trainable_variables],
            given,
            **mode,
        )
    except Exception as error:
        raise UserError(
            f"check cannot run the Keras model on these inputs ({first_sentence(error)}): pass one "
            f"batch as fit() gets it"
        ) from error
    if isinstance(outputs, list | tuple | Mapping):
        raise UserError("check got several outputs from the Keras model: check one at a time")
    return outputs


def _loss(
    function: Any, outputs: Any, labels: Any, last: LastLayers
) -> tuple[LossCall | None, Tensor | None, Tensor | None]:
    value = doubled = None
    error = ""
    try:
        value = _reduced(function, np.asarray(labels), outputs)
        doubled = _reduced(function, np.concatenate([labels, labels]), _twice(outputs))
    except Exception as failure:
        error = first_sentence(failure)
    name = _loss_name(function)
    known = _LOSSES.get(_snake(name))
    if known is None:
        if error:
            raise UserError(f"check cannot compute {name} of outputs and labels ({error})")
        return None, value, doubled
    link, indices = known
    settings = function.get_config() if hasattr(function, "get_config") else {}
    logits = bool(settings.get("from_logits"))
    values, target = _tensor(outputs), _tensor(labels)
    target = _as_keras_does(target, values, indices)
    call = LossCall(
        name=name + ("(from_logits=True)" if logits else ""),
        reads="numbers" if link is None else "logits" if logits else "probabilities",
        link=link,
        outputs=values,
        target=target,
        last=last,
        class_dim=values.ndim - 1 if link == "softmax" else None,
        takes_indices=indices,
        options={"label_smoothing": settings.get("label_smoothing")},
        error=error,
    )
    return call, value, doubled


def _reduced(function: Any, labels: Any, outputs: Any) -> Tensor:
    """Keras takes the mean of what a loss by name returns; an object reduces as it is told."""
    value = _tensor(function(labels, outputs))
    return value if hasattr(function, "reduction") else value.double().mean()


def _as_keras_does(target: Tensor, outputs: Tensor, indices: bool) -> Tensor:
    """Keras drops or adds a last dimension of one, and takes indices as floats too."""
    if indices:
        if target.ndim == outputs.ndim and target.shape[-1] == 1:
            target = target.squeeze(-1)
        return target.long()
    if target.ndim == outputs.ndim - 1 and outputs.shape[-1] == 1:
        return target.unsqueeze(-1)
    if target.ndim == outputs.ndim + 1 and target.shape[-1] == 1:
        return target.squeeze(-1)
    return target


def _last(model: Any, outputs: Any, keras: Any) -> LastLayers:
    if isinstance(outputs, Tensor) and outputs.grad_fn is not None:
        seen = last_layers(outputs)
        if seen.activations or seen.linear:
            return seen
    layers = list(getattr(model, "layers", []))
    # Only a chain has a last layer; a subclass may call its layers in any order.
    if not layers or not getattr(model, "outputs", None):
        return LastLayers()
    layer: Any = model.outputs[0]._keras_history.operation
    kinds: list[Activation] = []
    while layer is not None:
        name = type(layer).__name__
        if hasattr(layer, "layers") and getattr(layer, "outputs", None):
            layer = layer.outputs[0]._keras_history.operation  # a model as a layer
            continue
        kind = _kind(layer, keras)
        if kind == "unknown" and name not in _PASSED:
            break
        if kind not in ("unknown", "logits"):
            kinds.append(Activation(kind, _size(layer, kind)))
        if kind == "logits" or name not in (*_PASSED, "Softmax", "ReLU", "Activation"):
            return LastLayers(tuple(kinds), not kinds, seen_by="layer configuration")
        layer = _below(layer)
    return LastLayers(tuple(kinds), seen_by="layer configuration")


def _kind(layer: Any, keras: Any) -> Kind:
    name = type(layer).__name__
    if name in ("Softmax", "ReLU"):
        return "softmax" if name == "Softmax" else "relu"
    activation = getattr(layer, "activation", None)
    if activation is None:
        return "unknown"
    return _ACTIVATIONS.get(getattr(activation, "__name__", ""), "unknown")


def _size(layer: Any, kind: Kind) -> int | None:
    shape = getattr(getattr(layer, "output", None), "shape", None)
    axis = getattr(layer, "axis", -1)
    if "softmax" not in kind or shape is None or not isinstance(axis, int):
        return None
    return int(shape[axis])


def _below(layer: Any) -> Any:
    given = layer.input
    if isinstance(given, list | tuple | dict):
        return None
    return given._keras_history.operation


def metric_functions(model: Any, metric: Any, reasons: list[str]) -> dict[str, Any]:
    """The metrics that the model was compiled with, and those passed, as functions of arrays."""
    import keras

    given: list[Any] = []
    if metric is not None:
        given = list(metric) if isinstance(metric, list | tuple) else [metric]
    else:
        try:
            compiled = (model.get_compile_config() or {}).get("metrics") or []
        except Exception as error:
            reasons.append(f"compiled metrics: they cannot be read ({first_sentence(error)})")
            compiled = []
        given = list(compiled) if isinstance(compiled, list | tuple) else [compiled]
    functions: dict[str, Any] = {}
    for each in given:
        if isinstance(each, list | tuple) and len(each) == 1:
            each = each[0]
        try:
            name, ask = _metric(each, keras)
        except Exception as error:
            reasons.append(f"metric {each!r}: Keras cannot make it ({first_sentence(error)})")
            continue
        functions[name] = ask
    return functions


def _metric(given: Any, keras: Any) -> tuple[str, Any]:
    if isinstance(given, str):
        name = given
    else:
        config = getattr(given, "get_config", None)
        kind = type(given).__name__
        if isinstance(given, Mapping):
            given = keras.saving.deserialize_keras_object(dict(given))
            config, kind = getattr(given, "get_config", None), type(given).__name__
        name = kind if config else getattr(given, "__name__", kind)

    def ask(outputs: Tensor, labels: Tensor) -> float:
        truth, scores = labels.numpy(), outputs.numpy()
        if isinstance(given, str):
            metric = keras.metrics.get(_resolved(given, truth, scores))
        elif config:
            metric = type(given).from_config(given.get_config())  # the user's keeps its count
        else:
            metric = given
        if hasattr(metric, "update_state"):
            metric.update_state(truth, scores)
            value = metric.result()
        else:
            value = metric(truth, scores)
        return float(np.mean(keras.ops.convert_to_numpy(value)))

    return name, ask


def _resolved(name: str, labels: Any, outputs: Any) -> str:
    """What "accuracy" means since tf.keras 2.2: shapes decide (docs/keras-accuracy.md)."""
    if name not in ("accuracy", "acc"):
        return name
    if outputs.shape[-1] == 1 or outputs.ndim == 1:
        return "binary_accuracy"
    column = labels.ndim == outputs.ndim and labels.shape[-1] == 1
    if labels.ndim < outputs.ndim or column:
        return "sparse_categorical_accuracy"
    return "categorical_accuracy"


@contextmanager
def kept(model: Any) -> Iterator[None]:
    """Variables and streams of random numbers are as before."""
    before = [np.array(value, copy=True) for value in model.get_weights()]
    with streams_kept(), warnings.catch_warnings(), torch.enable_grad():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            after = model.get_weights()
            if not all(map(np.array_equal, before, after)):
                model.set_weights(before)


def _tensor(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach().cpu()
    array = np.array(value)
    if array.dtype.kind not in "biuf":
        raise UserError(f"check got labels of type {array.dtype}: a loss takes numbers, not words")
    return torch.from_numpy(array)


def _twice(outputs: Any) -> Any:
    import keras

    return keras.ops.concatenate([outputs, outputs], axis=0)


def _loss_name(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _snake(name: str) -> str:
    """`SparseCategoricalCrossentropy` -> `sparse_categorical_crossentropy`."""
    text = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    text = text.strip("_").replace("_k_l_", "kl_").replace("k_l_divergence", "kl_divergence")
    return {"mse": "mean_squared_error", "mae": "mean_absolute_error"}.get(text, text)
