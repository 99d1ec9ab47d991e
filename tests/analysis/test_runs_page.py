"""The page over finished runs: complete, self-contained, safe."""

from dataclasses import replace

import pytest

from lossheads.analysis.runs_page import runs_page, write_runs_page
from lossheads.cli.report import command as report_command
from lossheads.errors import UserError
from lossheads.records import write_result

from .making import ARGMAX, CELLS, puzzle, run
from .pages import Page, words

HOSTILE = "<script>alert(1)</script>"


def recorded(name="toy"):
    """The puzzle's six runs as a sweep leaves them, with two classes recorded."""
    runs = []
    for head, results in puzzle().items():
        for seed, result in enumerate(results):
            validation = result.history[-1]
            classes = {
                "score_when_present": [0.7 + 0.1 * seed, 0.5],
                "score_when_absent": [0.2, 0.25],
            }
            test = replace(validation.test, per_class=classes)
            choices = {"dataset": name, "head": head}
            runs.append(
                replace(
                    result,
                    key=f"{head}{seed}",
                    config={"seed": seed, "head": {"_target_": head}, "choices": choices},
                    class_names=["cat", HOSTILE],
                    history=[*result.history[:-1], replace(validation, test=test)],
                )
            )
    return runs


def test_every_arm_has_every_metric_with_interval_and_baseline():
    said = words(Page(runs_page(recorded())).below["data-1"])
    # Seeds at 0.87, 0.88, 0.89: t(0.975, 2) · 0.01 / √3 = 0.0248.
    row = "0.8800 ± 0.0248, n = 3 baseline 0.1000"
    assert f"{ARGMAX} {row} {row}" in said
    assert f"{CELLS} 0.9760 ± 0.0050, n = 3 baseline 0.9000" in said
    assert "n = 1000 examples; 2 arms" in said
    assert "metric cce bce" in said


def test_every_class_has_its_score_where_present_and_where_absent():
    said = words(Page(runs_page(recorded())).below["data-1"])
    assert "class cce, present cce, absent bce, present bce, absent" in said
    assert "cat 0.8000 0.2000 0.8000 0.2000" in said  # the mean of 0.7, 0.8 and 0.9
    assert "averaged over n = 3 seeds" in said


def test_one_seed_is_called_so_everywhere():
    runs = [run for run in recorded() if run.config["seed"] == 0]
    page = Page(runs_page(runs))
    said = words(page.below["data-1"])
    assert "lack it (absent), one seed." in said
    assert [image["alt"].split(" Arms")[0] for image in page.all("img")] == [
        "Test split, one seed, no interval, with baselines.",
        "Validation split by epoch, one seed, no band.",
    ]
    assert "95 %" not in page.text
    assert "1 seeds" not in page.text


def test_nothing_is_loaded_and_anchors_resolve_and_names_are_only_shown():
    page = Page(runs_page([*recorded(), *recorded(f"other{HOSTILE}")]))
    assert not page.all("script", "link", "iframe")
    assert HOSTILE in page.text
    assert len(page.all("img")) == 4
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.all("img"))
    assert {a["href"][1:] for a in page.all("a")} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


def test_what_cannot_be_drawn_or_was_not_recorded_is_said():
    runs = [
        replace(
            run(0, [{ARGMAX: 0.1}, {ARGMAX: 0.5}]),
            key=str(arm),
            config={"seed": 0, "width": arm, "choices": {"dataset": "toy", "head": "cce"}},
        )
        for arm in range(8)
    ]
    page = Page(runs_page(runs))
    said = words(page.below["data-1"])
    assert not page.all("img")
    assert "No figures: more arms than" in said
    assert "The arms have no classes in common, or none was recorded." in said
    assert "0.5000 one seed, no interval, n = 1" in said


def test_a_run_that_ended_early_counts_as_left_out():
    lost = run(3, [{ARGMAX: 0.1}], status="diverged")
    config = recorded()[0].config | {"seed": 3}
    said = words(runs_page([*recorded(), replace(lost, key="lost", config=config)]))
    assert "seeds left out, no value: 1 of cce" in said


def test_the_command_writes_the_page_from_folders(tmp_path):
    for result in recorded():
        folder = tmp_path / "runs" / result.key
        folder.mkdir(parents=True)
        write_result(folder, result)
    target = tmp_path / "page.html"
    assert report_command([str(tmp_path), "--html", str(target)]) == 0
    assert "Results: arms × metrics" in target.read_text(encoding="utf-8")


def test_a_folder_without_finished_runs_and_two_forms_at_once_are_refused(tmp_path):
    with pytest.raises(UserError, match="finds no finished run"):
        write_runs_page(tmp_path, tmp_path / "page.html")
    for more in (["--html", "x.html"], ["--claims"]):
        with pytest.raises(UserError, match="report got --csv and"):
            report_command([str(tmp_path), "--csv", *more])
