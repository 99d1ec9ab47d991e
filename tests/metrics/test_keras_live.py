"""Keras itself, installed beside us: our framework metrics and losses give what it gives.

Skipped without the extra: `pip install -e '.[keras]'`. Keras runs in a process of its own, because
importing it settles a backend, and its settings, for good.
"""

import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lossheads.heads.base import Head
from lossheads.heads.functional import KERAS_EPSILON
from lossheads.heads.multiclass import SigmoidBCE, SoftmaxBCE, SoftmaxCCE
from lossheads.metrics import keras_2_3_accuracy, keras_3_accuracy
from lossheads.outcomes import OneOf

from .ask_clip import problem
from .ask_keras import BCE, CASES, CCE
from .keras_cases import HEADS, WITHOUT_A_HEAD, losses, predictions, train


def keras_major() -> int:
    try:
        return int(version("keras").split(".")[0])
    except PackageNotFoundError:
        return 0


# importorskip would import it here, and take Keras without its default backend for no Keras.
if keras_major() < 3:
    pytest.skip("needs Keras 3: pip install -e '.[keras]'", allow_module_level=True)

SLOW_JAX = pytest.param("jax", marks=pytest.mark.slow)  # it compiles each of the models


@dataclass(frozen=True)
class Said:
    cases: dict[str, dict[str, Any]]
    arrays: dict[str, np.ndarray]

    def logits(self, case: str) -> Tensor:
        return torch.as_tensor(self.arrays[case]).flatten(1)


def run(backend: str, folder: Path, script: str, *args: Path) -> str:
    """What a script prints that Keras runs in on this backend."""
    settings = {
        "KERAS_BACKEND": backend,
        "KERAS_HOME": str(folder),  # or it writes into the user's home
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",  # another device has other last bits
        "JAX_PLATFORMS": "cpu",
    }
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name(script), *args],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@cache
def ask(backend: str, folder: Path) -> Said:
    out = folder / f"{backend}.json"
    run(backend, folder, "ask_keras.py", out)
    said = json.loads(out.read_text())
    assert (said["backend"], said["version"]) == (backend, version("keras"))
    with np.load(out.with_suffix(".npz")) as arrays:
        return Said(said["cases"], dict(arrays))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("keras")


@pytest.fixture(scope="module", params=["torch", SLOW_JAX])
def said(request, folder):
    if find_spec(request.param) is None:
        pytest.skip(f"needs {request.param}")
    return ask(request.param, folder)


@pytest.mark.parametrize("case", list(CASES))
def test_keras_3_accuracy_is_what_keras_prints(said, case):
    ours = keras_3_accuracy(predictions(case, said.logits(case)))
    assert ours == pytest.approx(said.cases[case]["accuracy"], abs=1e-6)


@pytest.mark.parametrize("case", list(CASES))
def test_keras_2_3_accuracy_is_its_rule_on_the_functions_of_keras(said, case):
    units, _, loss, _, _ = CASES[case]
    functions = said.cases[case]["functions"]
    if units == 1 or loss == BCE:
        expected = functions["binary_accuracy"]
    elif loss == CCE:
        expected = functions["categorical_accuracy"]
    else:
        expected = functions["sparse_categorical_accuracy"]
    ours = keras_2_3_accuracy(predictions(case, said.logits(case)))
    assert ours == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "case", ["softmax, one-hot, bce", "sigmoid, one-hot, bce", "sigmoid, multi-hot"]
)
def test_the_two_rules_tell_these_cases_apart(said, case):
    p = predictions(case, said.logits(case))
    assert keras_2_3_accuracy(p) > keras_3_accuracy(p) + 0.04


# Fifteen steps in single precision, summed in another order: seen 1e-6, allowed ten times that.
@pytest.mark.parametrize("case", list(CASES))
def test_our_heads_train_to_the_logits_of_keras(said, case):
    torch.testing.assert_close(train(case), said.logits(case), rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", [case for case in HEADS if case != WITHOUT_A_HEAD])
def test_our_heads_cost_what_keras_prints(said, case):
    ours = losses(case, said.logits(case)).mean().item()
    assert ours == pytest.approx(said.cases[case]["loss"], abs=1e-6)


@pytest.mark.parametrize("backend", ["torch", SLOW_JAX])
def test_a_confident_softmax_is_clipped(backend, folder):
    if find_spec(backend) is None:
        pytest.skip(f"needs {backend}")
    said = json.loads(run(backend, folder, "ask_clip.py"))
    logits, labels = map(torch.as_tensor, problem())
    truth = logits.double().softmax(dim=1).gather(1, labels[:, None])
    clipped = -truth.clamp(KERAS_EPSILON, 1 - KERAS_EPSILON).log().mean().item()
    assert said["softmax"] == pytest.approx(clipped, abs=1e-5)
    exact = F.cross_entropy(logits.double(), labels).item()
    assert said["linear"] == pytest.approx(exact, abs=1e-5)
    assert exact - clipped > 0.2


def test_one_softmax_unit_stands_still(said):
    assert said.cases["one softmax unit"]["logits_moved"] == 0


def ours_and_theirs(head: Head, asked: str, folder: Path) -> list[Tensor]:
    """Our losses and gradients and those of Keras on torch, at logits of all sizes."""
    arrays = {name: torch.as_tensor(array) for name, array in ask("torch", folder).arrays.items()}
    logits = arrays["loss logits"].clone().requires_grad_()
    values = head.loss(logits, head.encode(arrays["loss labels"]))
    values.sum().backward()
    return [values.detach(), logits.grad, arrays[asked], arrays[f"{asked}, gradient"]]


# Both sides round in single precision, in losses of up to 16 and gradients of up to 1.
CLOSE = {"rtol": 1e-6, "atol": 1e-6}


def test_categorical_crossentropy_is_softmax_cce_up_to_the_clip(folder):
    values, gradients, k_values, k_gradients = ours_and_theirs(
        SoftmaxCCE(OneOf(5)), "softmax cce", folder
    )
    ceiling = -math.log(KERAS_EPSILON)
    beyond = values > ceiling
    assert beyond.sum() >= 10
    assert (~beyond).sum() >= 20
    torch.testing.assert_close(k_values, values.clamp(max=ceiling), **CLOSE)
    torch.testing.assert_close(k_gradients[~beyond], gradients[~beyond], **CLOSE)
    # Where Keras is clipped it learns nothing, and we push as hard as anywhere.
    assert k_gradients[beyond].abs().max() == 0
    assert gradients[beyond].norm(dim=1).min() > 1


def test_binary_crossentropy_of_a_softmax_is_softmax_bce_clip_and_all(folder):
    values, gradients, k_values, k_gradients = ours_and_theirs(
        SoftmaxBCE(OneOf(5)), "softmax bce", folder
    )
    torch.testing.assert_close(k_values, values, **CLOSE)
    torch.testing.assert_close(k_gradients, gradients, **CLOSE)
    assert k_values.max() > 6  # two cells of five at the clip
    assert (k_gradients == 0).all(dim=1).sum() >= 10


def test_binary_crossentropy_of_logits_is_sigmoid_bce_meaned(folder):
    values, gradients, k_values, k_gradients = ours_and_theirs(
        SigmoidBCE(OneOf(5), class_reduction="mean"), "bce of logits", folder
    )
    torch.testing.assert_close(k_values, values, **CLOSE)
    torch.testing.assert_close(k_gradients, gradients, **CLOSE)


def test_first_gradients_of_keras_have_the_norms_theory_gives(folder):
    arrays = ask("torch", folder).arrays
    at_zero = (arrays["loss logits"] == 0).all(axis=1)
    norms = {
        asked: np.linalg.norm(arrays[f"{asked}, gradient"][at_zero], axis=1)
        for asked in ("softmax cce", "softmax bce", "bce of logits")
    }
    # softmax - one-hot; 1/(C - 1) of it; (1/2, ..., -1/2) / C.
    np.testing.assert_allclose(norms["softmax cce"], math.sqrt(4 / 5), rtol=1e-6)
    np.testing.assert_allclose(norms["softmax bce"], math.sqrt(4 / 5) / 4, rtol=1e-6)
    np.testing.assert_allclose(norms["bce of logits"], math.sqrt(5 / 4) / 5, rtol=1e-6)
