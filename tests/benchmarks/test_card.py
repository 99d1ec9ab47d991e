"""benchmarks/card.sh where there is no card: what it refuses, and its dry run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "card.sh"


def run(out: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    own = {"PYTHON": sys.executable, "OUT": str(out), **variables}
    kept = {key: value for key, value in os.environ.items() if key != "LOSSHEADS_CARD"}
    return subprocess.run([SCRIPT], env=kept | own, capture_output=True, text=True, timeout=900)


@pytest.mark.skipif(torch.cuda.is_available(), reason="would measure the card for minutes")
@pytest.mark.parametrize(
    ("variables", "named"), [({}, "no CUDA card"), ({"LOSSHEADS_CARD": "gpu"}, "'gpu'")]
)
def test_without_a_card_nothing_is_measured(variables, named, tmp_path):
    outcome = run(tmp_path / "out", **variables)
    assert outcome.returncode == 2
    assert named in outcome.stderr
    assert outcome.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_dry_run_writes_every_part(tmp_path):
    outcome = run(tmp_path, LOSSHEADS_CARD="cpu")
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert "passed" in (text := (tmp_path / "test_cuda.txt").read_text()) or "skipped" in text
    for precision in ("float32", "bfloat16"):
        written = json.loads((tmp_path / f"{precision}.json").read_text())
        assert written["conditions"]["precision"] == precision
        measured = {(row["peer"], row["members"]) for row in written["rows"]}
        assert measured == {("plain", 1), ("lossheads", 1), ("lossheads", 2)}
        assert written["skipped"] == []
