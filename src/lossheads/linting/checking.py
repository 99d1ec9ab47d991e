"""The check itself: observe with the framework that the model belongs to, then ask every rule."""

import warnings
from typing import Any

import torch
from torch import nn

from lossheads.errors import UserError
from lossheads.linting import keras_models, metrics, torch_models
from lossheads.linting.isolation import isolated
from lossheads.linting.metric_probes import metric_findings
from lossheads.linting.observation import Kind, Observation
from lossheads.linting.report import CheckReport, Finding, finding, report
from lossheads.linting.rules import call_findings, whole_findings


def checked(model: Any, inputs: Any, labels: Any, loss: Any, metric: Any) -> CheckReport:
    """See `lossheads.check`."""
    if torch_models.is_a(model, "keras|tf_keras|tensorflow", "Model"):
        return _keras(model, inputs, labels, loss, metric)
    if not isinstance(model, nn.Module):
        raise UserError(
            f"check got a model of type {type(model).__name__}: it must be a torch module or a "
            f"Keras 3 model"
        )
    plain = torch_models.plain_module(model)
    reasons: list[str] = []
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        warnings.catch_warnings(),
        isolated(plain, loss) as state,
    ):
        warnings.simplefilter("ignore")
        seen = torch_models.observe(plain, inputs, labels, loss, state)
        chosen = metrics.named(metric) or metrics.on_module(plain)
        found = _found(seen, metrics.asked(chosen, reasons), reasons)
    notes = list(seen.notes)
    if plain is not model:
        notes.append(f"{type(model).__name__} was looked at without its wrapper")
    notes.append(f"the model ran in {'training' if plain.training else 'evaluation'} mode")
    if state.drew_random:
        notes.append("model or loss draws random numbers: the figures are those of one draw")
    if state.changed:
        names = ", ".join(dict.fromkeys(state.changed))
        notes.append(f"the forward pass changes {names}; all were put back")
    return report(seen.subject, found, [*seen.not_checked, *reasons], notes)


def _keras(model: Any, inputs: Any, labels: Any, loss: Any, metric: Any) -> CheckReport:
    if not torch_models.is_a(model, "keras", "Model"):
        raise UserError(
            "check reads Keras 3 models only, and this one is of another Keras: import keras, not "
            "tensorflow.keras of an old version"
        )
    reasons: list[str] = []
    with keras_models.kept(model):
        seen = keras_models.observe(model, inputs, labels, loss)
        asked = keras_models.metric_functions(model, metric, reasons)
        found = _found(seen, asked, reasons)
    return report(seen.subject, found, [*seen.not_checked, *reasons], seen.notes)


def _found(seen: Observation, asked: dict[str, Any], reasons: list[str]) -> list[Finding]:
    found = [each for call in seen.calls for each in call_findings(call)]
    found = [_ignored_in_rows(each, seen) for each in found]
    if seen.refused and not found:
        raise UserError(seen.refused)
    found += whole_findings(seen)
    kinds: list[Kind] = [call.kind for call in seen.calls if call.outputs is not None]
    kind: Kind = next((kind for kind in kinds if kind != "unknown"), "unknown")
    found += metric_findings(seen.outputs, seen.labels, kind, asked, reasons)
    return found


def _ignored_in_rows(found: Finding, seen: Observation) -> Finding:
    """In sequences and pictures an ignored class is mostly padding; flattened, they look alike."""
    if found.code == "ignored-class" and (seen.labels is None or seen.labels.ndim != 1):
        return finding("ignored-class-in-sequence", found.evidence)
    return found
