"""recording.predictions keeps what the metrics were computed from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lossheads.errors import UserError
from lossheads.metrics import measure
from lossheads.predictions import predict
from lossheads.predictions_file import NAME, bytes_needed, read_predictions
from lossheads.runs import execute as execution
from lossheads.runs.execute import execute
from lossheads.runs.plan import plan_run

Composer = Callable[..., dict[str, Any]]
KEEP = "recording.predictions=true"


@pytest.mark.parametrize("words", [[], ["head=sigmoid_bce", "training.patience=1"]])
def test_metrics_of_the_saved_predictions_are_the_recorded_ones(
    tiny: Composer, words: list[str]
) -> None:
    configs = [tiny(KEEP, f"seed={seed}", *words) for seed in range(3)]
    for config, result in zip(configs, execute(configs), strict=True):
        run = plan_run(config)
        saved = read_predictions(run.folder.path)
        head = run.parts.head
        labels = torch.from_numpy(saved.labels)
        again = measure(predict(head, torch.from_numpy(saved.logits), labels), full=True)
        recorded = result.test
        assert len(again.metrics) > 10
        assert repr(again.metrics) == repr({k: recorded.metrics[k] for k in again.metrics})
        assert repr(again.per_class) == repr({k: recorded.per_class[k] for k in again.per_class})
        assert saved.example_ids.tolist() == list(range(recorded.n))
        assert recorded.correct is not None
        assert saved.examples_digest == recorded.correct.examples_digest


def test_they_are_not_saved_unless_asked_for_and_make_no_other_run(
    tiny: Composer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (without,) = execute([tiny()])
    (folder,) = (tmp_path / "outputs" / "runs").iterdir()
    assert not (folder / NAME).exists()
    assert "recording.predictions" not in capfd.readouterr().err
    (same,) = execute([tiny(KEEP)])
    assert repr(same) == repr(without)
    assert "predictions were not saved; force=true trains it again" in capfd.readouterr().err
    execute([tiny(KEEP, "force=true")])
    size = (folder / NAME).stat().st_size
    assert 0 <= size - bytes_needed(without.test.n, 10, 8) < 2_000
    assert "MB" not in capfd.readouterr().err


def test_it_says_how_large_large_files_are(
    tiny: Composer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(execution, "WORTH_SAYING", 10_000)
    (run,) = execute([tiny(KEEP)])
    size = bytes_needed(run.test.n, 10, 8)
    assert f"writes {size / 1e6:.2f} MB for each of 1 run(s)" in capfd.readouterr().err


def test_a_file_too_large_is_refused_before_anything_is_written(
    tiny: Composer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "MAX_BYTES", 1_000)
    with pytest.raises(UserError, match=r"recording\.predictions would write .* at most"):
        execute([tiny(KEEP)])
    assert not (tmp_path / "outputs" / "runs").exists()


def test_a_run_that_diverged_has_none_and_promises_none(
    tiny: Composer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ("optimizer.lr=1e38", "training.steps=200", KEEP)
    (lost,) = execute([tiny(*words)])
    assert lost.status == "diverged"
    assert not list((tmp_path / "outputs" / "runs").glob(f"*/{NAME}"))
    execute([tiny(*words)])
    assert "not saved" not in capfd.readouterr().err


def test_a_sweep_names_and_skips_a_damaged_result_and_trains_the_others(
    tiny: Composer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    execute([tiny("seed=1")])
    (folder,) = (tmp_path / "outputs" / "runs").iterdir()
    (folder / "result.json").write_text("[]")
    with pytest.raises(UserError, match=r"result\.json is damaged"):
        execute([tiny(f"seed={seed}") for seed in range(3)])
    printed = capfd.readouterr().err
    assert "1 of 3 runs skipped" in printed
    assert (folder / "result.json").read_text() == "[]"
    assert len(list((tmp_path / "outputs" / "runs").glob("*/result.json"))) == 3
