"""One row per run and metric; what differs between runs has a column of its own."""

import builtins
import io
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lossheads.analysis.slim import slim
from lossheads.analysis.tables import csv
from lossheads.analysis.tidy import tidy, write_parquet
from lossheads.cli.report import command
from lossheads.errors import UserError
from lossheads.records import Result, write_result

from .making import ARGMAX, INFO, run

ALWAYS = ["split", "metric", "value", "baseline", "skill", "higher_is_better", "n"]


def swept(seed: int, lr: float | None, **changes: Any) -> Result:
    """A run of a sweep over the learning rate; None is an optimizer without one."""
    status = changes.pop("status", "finished")
    head, hidden = changes.pop("head", "softmax_cce"), changes.pop("hidden", [16])
    optimizer = {"_target_": "Adam", "eps": 1e-8} | ({} if lr is None else {"lr": lr})
    config = {
        "choices": {"dataset": "digits", "head": head, "optimizer": "adam"},
        "dataset": {"_target_": "Digits"},
        "head": {"_target_": f"heads.{head}"},
        "model": {"hidden": hidden},
        "optimizer": optimizer,
        "recording": {"tensorboard": bool(seed)},
        "output_dir": f"folder {seed}",
        "seed": seed,
        "data_seed": seed,
    }
    made = run(seed, [{ARGMAX: 0.1}, {ARGMAX: 0.25 + seed, "nll_loss": 0.5}], status=status)
    return replace(made, key=f"{config}", name=f"run-{lr}-{seed}", config=config, **changes)


def sweep() -> list[Result]:
    return [swept(seed, lr) for lr in (0.1, 0.01) for seed in (0, 1)]


def test_there_is_a_row_per_run_and_metric_and_a_column_per_setting_that_differs():
    data = tidy(sweep())
    assert list(data) == ["run", "dataset", "head", "seed", "optimizer.lr", "data_seed", *ALWAYS]
    assert data["run"].tolist() == [
        name for name in ("run-0.1-0", "run-0.1-1", "run-0.01-0", "run-0.01-1") for _ in range(2)
    ]
    assert data["metric"].tolist() == [ARGMAX, "nll_loss"] * 4
    assert data["optimizer.lr"].tolist() == [0.1] * 4 + [0.01] * 4
    assert data["value"].tolist() == [0.25, 0.5, 1.25, 0.5] * 2
    assert data["skill"][0] == pytest.approx(0.15 / 0.9)
    assert data["skill"][1] == pytest.approx(1 - 0.5 / math.log(10))
    assert data["higher_is_better"].tolist() == [True, False] * 4
    assert set(data["n"]) == {1000}
    assert set(data["split"]) == {"test"}


def test_heads_are_told_by_the_name_that_was_chosen_and_lists_are_json():
    data = tidy([swept(0, 0.1), swept(0, 0.1, head="sigmoid_bce", hidden=[8, 8])])
    assert list(data)[:5] == ["run", "dataset", "head", "seed", "model.hidden"]
    assert data["model.hidden"].tolist() == ["[16]"] * 2 + ["[8, 8]"] * 2
    assert "head._target_" not in data


def test_a_run_that_diverged_has_rows_without_values():
    data = tidy([swept(0, 0.1), swept(1, 0.1, status="diverged")])
    lost = data[data["seed"] == 1]
    assert lost["metric"].tolist() == [ARGMAX, "nll_loss"]
    assert lost["value"].isna().all()
    assert lost["n"].isna().all()


def test_the_csv_comes_back_as_it_was():
    data = tidy([*sweep(), swept(2, None), swept(3, 0.1, status="diverged")])
    back = pd.read_csv(io.StringIO(csv(data)))
    pd.testing.assert_frame_equal(back, data, check_dtype=False)


def test_results_without_details_give_the_same_rows():
    runs = [*sweep(), swept(3, 0.1, status="diverged")]
    assert csv(tidy(list(slim(runs)))) == csv(tidy(runs))
    (short,) = slim(sweep()[:1])
    assert len(short.history) == 1
    assert short.metric_info == INFO


def written(folder: Path) -> Path:
    for result in [*sweep(), swept(2, None)]:
        (folder / "runs" / result.name).mkdir(parents=True)
        write_result(folder / "runs" / result.name, result)
    return folder


def test_the_parquet_file_has_the_rows_of_the_csv(tmp_path):
    pytest.importorskip("pyarrow")
    target, outputs = tmp_path / "new" / "runs.parquet", str(written(tmp_path))
    with pytest.raises(UserError, match="no folder"):
        command([outputs, "--parquet", str(target)])
    assert not target.parent.exists()
    target.parent.mkdir()
    assert command([outputs, "--parquet", str(target)]) == 0
    by_folder = sorted([*sweep(), swept(2, None)], key=lambda run: run.name)
    pd.testing.assert_frame_equal(pd.read_parquet(target), tidy(by_folder), check_dtype=False)


def test_columns_of_mixed_types_can_be_written(tmp_path):
    pytest.importorskip("pyarrow")
    mixed = [swept(seed, 0.1, hidden=hidden) for seed, hidden in enumerate(([1], None, "x", True))]
    data = tidy([*mixed, swept(2**70, 0.1)])
    back = pd.read_parquet(write_parquet(data, tmp_path / "x.parquet"))
    assert back["model.hidden"].dropna().unique().tolist() == ["[1]", "x", "true", "[16]"]
    assert back["seed"].unique().tolist()[-1] == str(2**70)


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name == "pyarrow":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"pip install 'lossheads\[parquet\]'"):
        write_parquet(tidy(sweep()), tmp_path / "x.parquet")
    assert not list(tmp_path.iterdir())


def test_a_parquet_file_that_cannot_be_written_is_a_sentence(tmp_path):
    pytest.importorskip("pyarrow")
    with pytest.raises(UserError, match=r"cannot be written at .*: is a directory"):
        write_parquet(tidy(sweep()), tmp_path)


@pytest.mark.parametrize("more", [["--csv"], ["--html", "x.html"], ["--claims"]])
def test_parquet_and_another_form_are_refused(tmp_path, more):
    with pytest.raises(UserError, match=r"report got .*--parquet"):
        command([str(tmp_path), "--parquet", "x.parquet", *more])
