"""`lossheads check MODULE:FUNCTION`: what it runs, and its exit statuses."""

import json
from pathlib import Path

import pytest

from calling import lossheads, refusal

MODULE = """\
from pathlib import Path
import torch
from torch import nn
Path("ran").touch()
print("noise of the module")
X, Y = torch.randn(32, 8), torch.arange(32) % 4
def right():
    return nn.Linear(8, 4), X, Y, nn.CrossEntropyLoss()
def wrong():
    model = nn.Sequential(nn.Linear(8, 4), nn.Softmax(dim=1))
    return {"model": model, "inputs": X, "labels": Y, "loss": nn.CrossEntropyLoss()}
def broken():
    raise ValueError("no data here")
def leaves():
    raise SystemExit(0)
def pair():
    return nn.Linear(8, 4), X
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my_module.py").write_text(MODULE)
    return tmp_path


def test_findings_end_in_status_1_and_none_in_0(folder: Path) -> None:
    done = lossheads("check", "my_module:wrong", "--trust", "my_module", cwd=folder)
    assert done.returncode == 1, done.stderr
    assert "softmax-before-logits-loss" in done.stdout
    assert "double-softmax" in done.stdout
    assert "noise" not in done.stdout
    done = lossheads("check", "my_module:right", "--trust", "my_module", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["findings"] == []


def test_nothing_is_run_without_trust(folder: Path) -> None:
    said = refusal("check", "my_module:wrong", cwd=folder)
    assert "--trust my_module" in said
    assert not (folder / "ran").exists()
    assert "--trust" in refusal("check", "my_module:wrong", "--trust", "my", cwd=folder)


@pytest.mark.parametrize(
    ("target", "named"),
    [
        ("my_module.py:wrong", "without .py"),
        ("my_module", "MODULE:FUNCTION"),
        ("my_other:wrong", "no module my_other"),
    ],
)
def test_a_wrong_target_is_refused(folder: Path, target: str, named: str) -> None:
    assert named in refusal("check", target, "--trust", "my_module,my_other", cwd=folder)


@pytest.mark.parametrize(
    ("function", "named"),
    [
        ("brokn", "broken"),
        ("broken", "ValueError: no data here"),
        ("leaves", "SystemExit"),
        ("pair", "tuple"),
    ],
)
def test_a_function_that_gives_no_model_is_refused(folder: Path, function: str, named: str) -> None:
    done = lossheads("check", f"my_module:{function}", "--trust", "my_module", cwd=folder)
    assert done.returncode == 2
    assert done.stdout == ""
    assert named in done.stderr.splitlines()[-1]
    assert done.stderr.splitlines()[-1].startswith("lossheads: ")
