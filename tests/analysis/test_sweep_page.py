"""The page that a sweep leaves behind: cheap, of that sweep alone, never in the way."""

from dataclasses import replace
from pathlib import Path

import pytest

from lossheads.cli import sweep_page
from lossheads.cli.sweep_page import data_folders_of, how_to_see, write_sweep_page

from .test_runs_page import TUNED, sweep


def test_a_sweep_leaves_its_page_and_says_where(tmp_path):
    write_sweep_page(sweep(TUNED), tmp_path)
    assert "cannot be told from it" in (tmp_path / "sweep.html").read_text(encoding="utf-8")
    assert how_to_see(tmp_path) == f"as a page: {tmp_path / 'sweep.html'}"


@pytest.mark.parametrize(("heads", "most"), [({"a": {0.1: 0.9}}, 500), (TUNED, 10)])
def test_one_run_or_too_many_leave_none_and_the_command_is_named(
    tmp_path, monkeypatch, heads, most
):
    monkeypatch.setattr(sweep_page, "MOST", most)
    runs = sweep(heads)[: 1 if most == 500 else None]
    write_sweep_page(runs, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert "lossheads report" in how_to_see(tmp_path)


def test_the_page_of_a_sweep_before_does_not_stay_for_another(tmp_path):
    (tmp_path / "sweep.html").write_text("old")
    write_sweep_page([replace(run, status="diverged") for run in sweep(TUNED)], tmp_path)
    assert not (tmp_path / "sweep.html").exists()


def test_the_page_of_a_sweep_before_does_not_stay_for_one_of_too_many_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep_page, "MOST", 10)
    (tmp_path / "sweep.html").write_text("old")
    write_sweep_page(sweep(TUNED), tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert "lossheads report" in how_to_see(tmp_path)


def test_the_data_of_a_users_own_call_may_be_read_where_they_lie(tmp_path):
    file = tmp_path / "own" / "x.npz"
    jobs = [
        {"data_dir": "/data", "dataset": {"path": str(file)}},
        {"data_dir": None, "dataset": {"path": str(file), "labels": 3}},
        {"data_dir": None, "dataset": {"_target_": "lossheads.datasets.Digits"}},
    ]
    assert data_folders_of(jobs) == [Path("/data"), file.parent]


def test_a_folder_in_the_way_takes_no_results_away(tmp_path):
    (tmp_path / "sweep.html").mkdir()
    write_sweep_page(sweep(TUNED), tmp_path)
    assert "lossheads report" in how_to_see(tmp_path)
