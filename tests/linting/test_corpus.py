"""Right combinations give no finding, wrong ones the code that was written down for them."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from .corpus import Case
from .run_corpus import cases_of, checked

# Read after the linter was written, and not caught: the mixture of a loss written by hand has no
# dimension that must hold the classes; part of a model gets a gradient, which is a hint.
MISSED = {"world_models_10", "torch_1339"}


def unexpected(case: Case, said: dict[str, Any]) -> str:
    """What is wrong with the answer to a case; empty where nothing is."""
    found = set(said["findings"])
    if said["touched"]:
        return "the model was touched"
    if not case.expected:
        return f"found {found} in a right one" if found else ""
    if case.name in MISSED:
        return "it is caught now: take it from MISSED" if set(case.expected) <= found else ""
    return "" if set(case.expected) <= found else f"{case.expected} expected, found {found}"


@pytest.mark.parametrize(
    ("corpus", "needs"),
    [
        ("torch", "torch"),
        ("torchvision", "torchvision"),
        ("torchmetrics", "torchmetrics"),
        ("timm", "timm"),
        ("transformers", "transformers"),
        ("lightning", "lightning"),
        ("threads", "lightning"),
    ],
)
@pytest.mark.filterwarnings("ignore")  # what the libraries say of their own
def test_combinations(corpus: str, needs: str) -> None:
    pytest.importorskip(needs)
    cases = cases_of(corpus)
    problems = {case.name: unexpected(case, checked(case)) for case in cases}
    assert not {name: problem for name, problem in problems.items() if problem}
    assert any(case.expected for case in cases) or corpus == "torchmetrics"


@pytest.mark.parametrize("backend", ["torch", pytest.param("jax", marks=pytest.mark.slow)])
def test_combinations_of_keras(backend: str, tmp_path: Path) -> None:
    for library in ("keras", backend):
        if find_spec(library) is None:  # importing keras here would settle its backend
            pytest.skip(f"needs {library}")
    settings = {
        "KERAS_BACKEND": backend,
        "KERAS_HOME": str(tmp_path),  # or it writes into the user's home
        "JAX_PLATFORMS": "cpu",
        "CUDA_VISIBLE_DEVICES": "",
    }
    code = "from linting.run_corpus import cases_of, checked; import json\n" + (
        "print(json.dumps([[c.name, list(c.expected), checked(c)] for n in "
        "('keras', 'keras_threads', 'keras_later') for c in cases_of(n)]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[1],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout.strip().splitlines()[-1])
    problems = {
        name: unexpected(Case(name, "keras", dict, tuple(expected)), answer)
        for name, expected, answer in said
    }
    assert len(problems) >= 30
    assert not {name: problem for name, problem in problems.items() if problem}
