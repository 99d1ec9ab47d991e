"""The page over finished runs: complete, self-contained, safe."""

import io
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lossheads.analysis.arms_table import arms_table
from lossheads.analysis.classes import class_labels
from lossheads.analysis.drawing import coinciding, scale_of, spread, tick_text
from lossheads.analysis.forest import scale_over
from lossheads.analysis.format import percent
from lossheads.analysis.kept import KeptRun, KeptTest
from lossheads.analysis.runs_page import runs_page, write_runs_page
from lossheads.analysis.summary import comparisons
from lossheads.analysis.sweep import Asked, setting_text, sorted_arms, sweep_of
from lossheads.analysis.terminal import wide_console
from lossheads.cli.report import command as report_command
from lossheads.errors import UserError
from lossheads.records import MetricInfo, write_result

from .making import ARGMAX, CELLS, puzzle, run
from .pages import Page, words

HOSTILE = "<script>alert(1)</script>"
STANDING = "against the best"


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


def sweep(values, seeds=5):
    """Runs of head -> learning rate -> mean value; seed s adds s/1000 and a little of its own."""
    runs = []
    for place, (head, by_rate) in enumerate(values.items()):
        for rate, value in by_rate.items():
            for seed in range(seeds):
                own = value + seed / 1000 + 0.0002 * ((seed * (place + 2)) % 3)
                made = run(seed, [{ARGMAX: 0.1}, {ARGMAX: own}], head=head)
                config = {
                    "seed": seed,
                    "optimizer": {"lr": rate},
                    "head": {"_target_": head},
                    "choices": {"dataset": "toy", "head": head},
                }
                runs.append(replace(made, key=f"{head}{rate}{seed}", config=config))
    return runs


TUNED = {"a": {0.001: 0.80, 0.01: 0.90}, "b": {0.001: 0.90, 0.01: 0.85}, "c": {0.01: 0.7}}


def section_of(runs, asked=None, **more):
    return words(Page(runs_page(runs, asked, **more)).below["data-1"])


def test_every_arm_has_every_metric_with_interval_and_the_baseline_stands_once():
    page = Page(runs_page(recorded()))
    said = words(page.below["data-1"])
    # Seeds at 0.87, 0.88, 0.89: Wilson's interval, by hand in test_tables.
    assert said.count("0.8800 [0.8529, 0.9027]") >= 2
    assert "2 arms, 6 runs; test split, n = 1000 examples" in said
    # What Keras printed has another baseline in each arm, so it stands in the cells.
    assert "baseline 0.1000 0.9000 each its own" in said
    assert "[0.9705, 0.9805] baseline 0.9000" in said
    assert "[0.8529, 0.9027] baseline 0.1000" in said


def test_every_class_has_its_score_where_present_and_where_absent():
    said = section_of(recorded())
    assert "class cce, present cce, absent bce, present bce, absent" in said
    assert "cat 0.8000 0.2000 0.8000 0.2000" in said  # the mean of 0.7, 0.8 and 0.9
    assert "over n = 3 seeds" in said


def test_the_best_of_each_head_is_chosen_on_validation_and_others_are_held_against_it():
    said = section_of(sweep(TUNED))
    # a at 0.01 and b at 0.001 are alike to a ten-thousandth; c is 0.2 below.
    best, other = ("a lr=0.01", "b") if "a lr=0.01 is best" in said else ("b lr=0.001", "a")
    assert f"{best} is best on validation" in said
    assert f"{other} cannot be told from it; c worse" in said
    assert "worse than best, by 0.2 to 0.2" in said
    assert "n = 5 seeds" in said


def test_no_head_is_called_worse_on_one_seed():
    said = section_of(sweep(TUNED, seeds=1))
    assert "not compared" in said
    assert "worse than best" not in said
    assert "95 %" not in said.split("All arms")[0].split("Against")[0]


def test_paired_differences_are_to_the_reference_and_judged_by_the_margin():
    apart = {"a": {0.01: 0.90}, "b": {0.01: 0.903}, "c": {0.01: 0.7}}
    said = section_of(sweep(apart), Asked(reference="b", margin=0.02))
    assert "Against b" in said
    assert "a worse, by less than 0.02" in said
    assert "c worse, by more than 0.02" in said
    assert "undecided" not in said


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        (Asked(metric="acuracy_score"), ARGMAX),
        (Asked(by=("hed",)), "head"),
        (Asked(sort="width"), "lr"),
        (Asked(reference="d"), "--reference d"),
    ],
)
def test_what_no_run_has_is_refused_by_name(asked, named):
    with pytest.raises(UserError, match=named):
        runs_page(sweep(TUNED), asked)


def test_rates_are_sorted_as_numbers():
    rates = {"a": {10.0: 0.5, 0.001: 0.6, 0.01: 0.7, 9.0: 0.8}}
    found = sweep_of(sweep(rates), [ARGMAX], Asked())
    assert found.by == ("head", "optimizer.lr")
    shown = sorted_arms(found, found.arms, "lr")
    assert [arm.across for arm in shown] == [0.001, 0.01, 9.0, 10.0]
    by_value = sorted_arms(found, found.arms, "")
    assert [arm.across for arm in by_value] == [9.0, 0.01, 0.001, 10.0]


def test_a_setting_may_be_the_colour_and_the_head_across():
    found = sweep_of(sweep(TUNED), [ARGMAX], Asked(by=("lr", "head")))
    assert {arm.series for arm in found.arms} == {"0.001", "0.01"}
    assert {arm.across for arm in found.arms} == {"a", "b", "c"}


def test_lines_that_cannot_be_told_apart_are_named():
    said = section_of(sweep({"a": {0.1: 0.5, 0.2: 0.9}, "b": {0.1: 0.5, 0.2: 0.9}}))
    assert "a and b coincide" in said
    said = section_of(sweep({"a": {0.1: 0.5, 0.2: 0.9}, "b": {0.1: 0.9, 0.2: 0.5}}))
    assert "coincide" not in said


def test_curves_coincide_only_where_all_of_their_points_are_near():
    nan = math.nan
    assert coinciding([[0, 1], [0.1, 1], [5, 1]], within=0.2) == [[0, 1]]
    assert coinciding([[nan, 1], [nan, 1.1], [0, 1]], within=0.2) == [[0, 1]]


def test_labels_keep_their_order_and_distance():
    assert spread([50, 50, 50], 10, 0, 100) == [50, 60, 70]
    assert spread([99, 98], 10, 0, 100) == [100, 90]


def test_classes_of_groups_have_their_group():
    assert class_labels(["shirt", "shoe"], 4) == ["0/shirt", "0/shoe", "1/shirt", "1/shoe"]
    assert class_labels(["shirt", "shoe"], 2) == ["shirt", "shoe"]
    assert class_labels(["shirt", "shoe"], 3) == ["shirt", "shoe", "2"]


def test_ten_thousand_classes_and_two_hundred_arms_give_a_page_of_bounded_size():
    many = [f"class {at}" for at in range(10_000)]
    runs = []
    for result in recorded():
        step = result.history[-1]
        scores = [at % 7 / 10 for at in range(10_000)]
        classes = {"score_when_present": scores, "score_when_absent": [0.1] * 10_000}
        test = replace(step.test, per_class=classes)
        runs.append(replace(result, class_names=many, history=[replace(step, test=test)]))
    text = runs_page(runs)
    assert "24 of 10000 classes" in text
    assert len(text) < 600_000
    arms = {f"head{at}": {0.01: 0.5 + at / 1000, 0.1: 0.4} for at in range(100)}
    page = Page(runs_page(sweep(arms, seeds=2)))
    said = page.below["data-1"]
    assert said.count("worse than best") + page.text.count("cannot be told from best") > 100
    assert "the best 24 of 100 arms are listed" in words(page.text)


def test_one_seed_is_called_so_everywhere():
    runs = [run for run in recorded() if run.config["seed"] == 0]
    text = Page(runs_page(runs)).text
    assert "one seed, no interval" in text
    assert "1 seeds" not in text


def test_nothing_is_loaded_and_anchors_resolve_and_names_are_only_shown():
    text = runs_page([*recorded(), *recorded(f"other{HOSTILE}")])
    page = Page(text)
    assert not page.all("link", "iframe")
    assert len(page.all("script")) == 1  # the page's own, allowed by its digest alone
    assert "script-src 'sha256-" in text
    assert HOSTILE not in text
    assert HOSTILE in page.text
    assert {a["href"][1:] for a in page.all("a")} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


def test_runs_without_a_metric_in_common_have_sections_of_their_own():
    other = [
        replace(
            run(0, [{CELLS: 0.1}, {CELLS: 0.5}]),
            key=f"other{at}",
            config={"seed": at, "choices": {"dataset": "other", "head": "cce"}},
        )
        for at in range(2)
    ]
    page = Page(runs_page([*sweep(TUNED), *other]))
    assert f"Compared on {ARGMAX}" in words(page.below["data-1"])
    assert f"Compared on {CELLS}" in words(page.below["data-2"])
    asked = Page(runs_page([*sweep(TUNED), *other], Asked(metric=CELLS)))
    assert "data-2" not in asked.below


def test_a_run_that_ended_early_counts_as_left_out():
    lost = run(3, [{ARGMAX: 0.1}], status="diverged")
    config = recorded()[0].config | {"seed": 3}
    said = words(runs_page([*recorded(), replace(lost, key="lost", config=config)]))
    assert "1 left out" in said
    assert "1 of them without a result on test" in said


def one_hot(classes, n=4):
    return np.eye(n, dtype=np.float32)[list(classes)]


def kept_run(decided, labels, digest="d"):
    scores = 0.7 * one_hot(decided) + 0.1 * (1 - one_hot(decided))
    hot = one_hot(decided) > 0.5
    return KeptRun(scores, scores, scores, hot, one_hot(labels) > 0.5, digest)


def kept_for(runs, image=lambda digest, row: None):
    """Head c decides every second example otherwise."""
    labels = [at % 4 for at in range(40)]
    wrong = [(at + at % 2) % 4 for at in range(40)]
    found = {
        one.key: kept_run(wrong if one.key.startswith("c") else labels, labels) for one in runs
    }
    return KeptTest(found, np.arange(40), 4, image)


def test_examples_on_which_heads_disagree_are_shown_with_scores_and_pictures():
    def image(digest, row):
        assert row % 2 == 1, "both heads decide the even examples alike"
        return np.full((4, 4, 3), row, dtype=np.uint8)

    runs = sweep(TUNED)
    page = Page(runs_page(runs, kept=lambda some: kept_for(some, image)))
    said = words(page.below["data-1"])
    assert "Heads disagree on 20 of 40 test examples" in said
    assert len(page.all("img")) == 20
    assert all(one["src"].startswith("data:image/png;base64,") for one in page.all("img"))
    assert "Test example 1, label class 1" in said
    assert "class 2, wrong at each of 5 seeds" in said
    assert "a and b coincide" in said  # their curves
    bars = [svg["aria-label"] for svg in page.all("svg") if "score" in svg.get("class", "")]
    assert "c, class 2: probability 0.70, sigmoid 0.70" in bars


def test_without_pictures_or_predictions_the_page_says_so():
    said = section_of(sweep(TUNED), kept=kept_for)
    assert "No pictures" in said

    def refuse(some):
        raise UserError("nobody kept any")

    said = section_of(sweep(TUNED), kept=refuse)
    assert "Nobody kept any." in said
    assert "recording.predictions=true" in said


def test_heads_that_decide_alike_have_no_examples_of_disagreement():
    same = {"a": {0.1: 0.9}, "b": {0.1: 0.8}}
    assert "No disagreement" in section_of(sweep(same), kept=kept_for)


def test_the_command_writes_the_page_from_folders(tmp_path, capsys):
    for result in sweep(TUNED):
        folder = tmp_path / "runs" / result.key
        folder.mkdir(parents=True)
        write_result(folder, result)
    torn = tmp_path / "runs" / "torn"
    torn.mkdir()
    (torn / "result.json").write_text('{"schema_version": 1, "che')
    (tmp_path / "runs" / "foreign").mkdir()
    target = tmp_path / "page.html"
    assert report_command([str(tmp_path), "--html", str(target)]) == 0
    assert "is best on validation" in target.read_text(encoding="utf-8")
    assert "1 run of" in capsys.readouterr().err
    assert report_command([str(tmp_path), "--by", "head,lr", "--sort", "lr"]) == 0
    shown = capsys.readouterr().out
    assert shown.index("0.001") < shown.index("0.01 ")
    with pytest.raises(UserError, match="--metric nll"):
        report_command([str(tmp_path), "--metric", "nll"])


def test_a_page_makes_no_folders(tmp_path):
    page = tmp_path / "no" / "such" / "x.html"
    with pytest.raises(UserError, match="no folder"):
        write_runs_page(Path(folder_of(sweep(TUNED, seeds=1), tmp_path)), page)
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("columns", "width"), [("80", 80), ("", 120), ("wide", 120), ("0", 120), ("200", 200)]
)
def test_a_pipe_is_as_wide_as_columns_says(columns, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    assert wide_console().width == width
    monkeypatch.delenv("COLUMNS")
    assert wide_console().width == 120


@pytest.mark.parametrize("margin", ["nan", "inf", "-0.01"])
def test_a_margin_that_is_none_is_refused_and_writes_no_page(margin, tmp_path):
    outputs, page = folder_of(sweep(TUNED, seeds=1), tmp_path), tmp_path / "page.html"
    with pytest.raises(UserError, match=f"--margin must be at least 0 and finite, got {margin}"):
        report_command([str(outputs), "--html", str(page), f"--margin={margin}"])
    assert not page.exists()


@pytest.mark.parametrize("by", [",", "head,,optimizer.lr", "head,"])
def test_settings_to_compare_by_have_names(by, tmp_path):
    with pytest.raises(UserError, match=f"report got --by {by}: a setting has no name"):
        report_command([str(folder_of(sweep(TUNED, seeds=1), tmp_path)), "--by", by])


def test_a_folder_without_finished_runs_and_two_forms_at_once_are_refused(tmp_path):
    with pytest.raises(UserError, match="finds no finished run"):
        write_runs_page(tmp_path, tmp_path / "page.html")
    for more in (["--html", "x.html"], ["--claims"]):
        with pytest.raises(UserError, match="report got --csv and"):
            report_command([str(tmp_path), "--csv", *more])


def folder_of(runs, tmp_path):
    for result in runs:
        folder = tmp_path / "runs" / result.key
        folder.mkdir(parents=True)
        write_result(folder, result)
    return str(tmp_path)


def test_the_rows_of_one_metric_are_written_where_it_is_named(tmp_path, capsys):
    outputs = folder_of(recorded(), tmp_path)
    assert report_command([outputs, "--csv", "--metric", CELLS]) == 0
    rows = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert len(rows) == len(recorded())
    assert set(rows["metric"]) == {CELLS}
    with pytest.raises(UserError, match=f"--metric keras: .*{CELLS}"):
        report_command([outputs, "--csv", "--metric", "keras"])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--csv", "--by", "head"], "--by and --csv"),
        (["--csv", "--sort"], "--sort and --csv"),
        (["--parquet", "x.parquet", "--reference", "a"], "--reference and --parquet"),
        (["--claims", "--metric", ARGMAX], "--metric and --claims"),
        (["--margin", "0"], "--margin: .*--html"),
        (["--by", "head", "--reference", "a"], "--reference: .*--html"),
    ],
)
def test_a_flag_that_the_chosen_form_does_not_use_is_refused(flags, named, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"report got {named}"):
        report_command([folder_of(recorded(), tmp_path), *flags])
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_a_list_of_numbers_asked_for_stands_in_its_column_alone():
    runs = [
        replace(
            one,
            key=f"{one.key}{place}",
            config=one.config | {"optimizer": {"lr": 1, "betas": some}},
        )
        for place, some in enumerate(([0.9, 0.999], [0.5, 0.9]))
        for one in sweep({"a": {1: 0.9}, "b": {1: 0.8}})
    ]
    found = sweep_of(runs, [ARGMAX], Asked(by=("head", "lr", "betas")))
    table = arms_table(found, [ARGMAX])
    assert [name for name, _, _ in table.head] == ["head", "lr", "betas", "n", ARGMAX, STANDING]
    assert {row[2].text for row in table.rows} == {"[0.9, 0.999]", "[0.5, 0.9]"}
    assert all(panel.startswith("betas=[") for panel in (arm.panel for arm in found.arms))


def test_a_condition_of_which_every_run_diverged_stands_beside_a_good_one():
    lost = [
        replace(
            run(seed, [{ARGMAX: 0.1}], head="a", status="diverged"),
            key=f"lost{seed}",
            config=sweep({"a": {0.01: 0.9}})[0].config | {"seed": seed, "model": {"width": 7}},
        )
        for seed in range(2)
    ]
    good = [replace(one, config=one.config | {"model": {"width": 3}}) for one in sweep(TUNED)]
    said = section_of([*good, *lost])
    assert "no seed has a value" in said
    assert "worse than best" in said


def test_where_neither_direction_is_better_nothing_is_chosen():
    runs = [
        replace(
            one,
            metric_info=one.metric_info
            | {ARGMAX: replace(one.metric_info[ARGMAX], higher_is_better=None)},
        )
        for one in sweep(TUNED)
    ]
    found = sweep_of(runs, [ARGMAX], Asked())
    assert [condition.optima for condition in found.conditions] == [{}]
    assert not found.conditions[0].compared
    assert "best on validation" not in section_of(runs)


def test_a_level_below_one_never_reads_as_all():
    assert [percent(level) for level in (0.95, 0.9875, 0.99975, 0.9998, 0.999999, 1.0)] == [
        "95 %",
        "98.8 %",
        "99.98 %",
        "99.98 %",
        "99.9999 %",
        "100 %",
    ]


def many_heads(count, rates=(0.01, 0.1)):
    return {f"head{at:02}": {rate: 0.5 + at / 100 + rate for rate in rates} for at in range(count)}


def test_more_heads_than_lines_can_tell_apart_are_a_table_of_tints_with_each_optimum_framed():
    values = many_heads(9) | {"twin": many_heads(9)["head08"]}
    page = Page(runs_page(sweep(values)))
    cells = [one for one in page.all("td") if "--heat" in one.get("style", "")]
    assert len(cells) == 20
    heats = [float(one["style"].partition(":")[2]) for one in cells]
    assert (min(heats), max(heats)) == (0, 1)
    kinds = [one["class"] for one in cells]
    assert kinds.count("best") == 1
    assert kinds.count("optimum") == 9
    assert heats[kinds.index("best")] > 0.99
    assert "best of head03 on validation" in words(page.text)
    assert not [one for one in page.all("svg") if one.get("class") == "plane"]
    few = Page(runs_page(sweep(many_heads(8))))
    assert [one for one in few.all("svg") if one.get("class") == "plane"]
    assert not [one for one in few.all("td") if "--heat" in one.get("style", "")]


@pytest.mark.parametrize(("kinds", "asked"), [(2, Asked()), (3, Asked()), (2, Asked(by=("head",)))])
def test_settings_that_are_no_numbers_tell_arms_of_one_head_apart(kinds, asked):
    runs = []
    for one in sweep({"cce": {0.1: 0.8}}):
        for at, kind in enumerate(("cosine", "constant", "step")[:kinds]):
            value = 0.8 + at / 10 + one.config["seed"] / 1000
            last = replace(one.test, metrics={ARGMAX: value})
            config = one.config | {"schedule": {"_target_": kind}}
            config["choices"] = config["choices"] | {"schedule": kind}
            history = [*one.history[:-1], replace(one.history[-1], val=last, test=last)]
            runs.append(replace(one, key=f"{one.key}{kind}", config=config, history=history))
    page = Page(runs_page(runs, asked))
    first = "cce, schedule=step" if kinds == 3 else "cce, schedule=constant"
    said = words(page.text)
    assert f"{first} is best on validation" in said
    assert "cce minus cce" not in said
    assert "cce, cce" not in said
    names = [arm.short for arm in sweep_of(runs, [ARGMAX], asked).arms]
    assert len(set(names)) == kinds


def test_a_group_that_is_a_column_is_no_panel_too():
    runs = []
    for one in sweep({"a": {0.1: 0.8}, "b": {0.1: 0.7}}):
        for kind in ("sgd", "adam"):
            optimizer = one.config["optimizer"] | {"_target_": kind}
            config = one.config | {"optimizer": optimizer}
            config["choices"] = config["choices"] | {"optimizer": kind}
            runs.append(replace(one, key=f"{one.key}{kind}", config=config))
    arms = sweep_of(runs, [ARGMAX], Asked(by=("head", "optimizer"))).arms
    assert {arm.panel for arm in arms} == {""}
    assert {arm.short for arm in arms} == {
        f"{head} optimizer={kind}" for head in "ab" for kind in ("sgd", "adam")
    }


def test_an_interval_that_is_cut_off_says_so():
    runs = []
    for one in sweep({"a": {0.01: 0.8, 0.1: 0.81}, "b": {0.01: 0.8, 0.1: 0.81}}, seeds=2):
        apart = 0.4 if one.config["optimizer"]["lr"] == 0.1 else 0.001
        last = replace(one.test, metrics={ARGMAX: 0.5 + apart * one.config["seed"]})
        history = [*one.history[:-1], replace(one.history[-1], val=last, test=last)]
        runs.append(replace(one, history=history))
    cut, whole = runs_page(runs), runs_page(sweep(TUNED))
    assert (cut.count(">▾<"), cut.count(">▴<")) == (2, 2)
    assert (whole.count(">▾<"), whole.count(">▴<")) == (0, 0)


def test_the_best_among_settings_is_not_called_the_best_of_all():
    runs = []
    for one in sweep(TUNED):
        for hidden in (16, 32):
            config = one.config | {"model": {"hidden": hidden}}
            runs.append(replace(one, key=f"{one.key}{hidden}", config=config))
    alone = replace(runs[0], key="alone", config=runs[0].config | {"model": {"hidden": 8}})
    of_all = sweep_of([*runs, alone], [ARGMAX], Asked())
    last = [row[-1].text for row in arms_table(of_all, [ARGMAX]).rows]
    assert last.count("best on validation among its settings") == 2
    assert last.count("alone in its settings") == 1
    assert "best on validation" not in last


@pytest.mark.parametrize("by", [("head", "head"), ("lr", "optimizer.lr")])
def test_a_setting_is_asked_for_once(by):
    with pytest.raises(UserError, match=r"--by .*twice"):
        runs_page(sweep(TUNED), Asked(by=by))


def test_settings_read_as_the_command_line_writes_them():
    values = [None, True, 1, 1.0, 1e-05, 0.001, "adam", [0.1, None]]
    told = ["null", "true", "1", "1.0", "1e-05", "0.001", "adam", "[0.1, null]"]
    assert [setting_text(value) for value in values] == told


def test_the_environment_names_the_run_it_is_of():
    runs = [replace(one, environment={"torch": "2.14.1"}) for one in sweep(TUNED)]
    last = max(runs, key=lambda one: one.history[-1].val.metrics[ARGMAX])
    said = section_of([replace(one, name=f"run-{one.key}") for one in runs])
    assert f"run-{last.key[:-1]}0 was made with torch 2.14.1" in said


def test_of_a_metric_without_a_better_side_the_highest_are_listed_and_many_are_a_table():
    info = {ARGMAX: MetricInfo(None, 1.0)}
    runs = [replace(one, metric_info=info) for one in sweep(many_heads(30))]
    page = Page(runs_page(runs))
    assert "the highest 24 of 60 arms are listed" in words(page.text)
    assert [one for one in page.all("td") if "--heat" in one.get("style", "")]
    assert not [one for one in page.all("svg") if one.get("class") == "plane"]


@pytest.mark.parametrize("spread_of", [1e80, 3e200])
def test_a_page_is_made_of_numbers_near_the_end_of_all_floats(spread_of):
    runs = []
    for at, one in enumerate(sweep({"a": {0.1: 0.8}, "b": {0.1: 0.7}}, seeds=3)):
        last = replace(one.test, metrics={ARGMAX: spread_of * (1 + at)})
        history = [*one.history[:-1], replace(one.history[-1], val=last, test=last)]
        loss = {ARGMAX: MetricInfo(False, 0.0, low=0.0)}
        runs.append(replace(one, history=history, metric_info=loss))
    assert f"{spread_of * 2:.3e}" in words(Page(runs_page(runs)).text)
    assert comparisons(runs)[0].differences[0].direction in ("higher", "undecided")


@pytest.mark.parametrize(
    ("low", "high", "some"),
    [(0.69314718, 0.69314728, "0.69314720"), (2302585.1, 2302585.4, "2302585.2")],
)
def test_ticks_close_together_are_told_apart(low, high, some):
    scale = scale_of([low, high])
    texts = [tick_text(tick, scale) for tick in scale.ticks]
    assert some in texts
    assert len(set(texts)) == len(texts) > 1


def test_numbers_that_differ_by_rounding_alone_have_a_scale():
    scale = scale_of([1.0, 1.0 + 2**-52])
    assert [tick_text(tick, scale) for tick in scale.ticks] == [
        "0.96",
        "0.98",
        "1.00",
        "1.02",
        "1.04",
    ]


def test_two_settings_across_are_a_table_too_with_a_row_for_each_of_the_second():
    runs = []
    for one in sweep(TUNED):
        for decay in (0.0, 0.1, 0.2):
            optimizer = one.config["optimizer"] | {"weight_decay": decay}
            config = one.config | {"optimizer": optimizer}
            runs.append(replace(one, key=f"{one.key}{decay}", config=config))
    said = section_of(runs)
    assert "a, weight_decay=0.1" in said
    assert "b, weight_decay=0.2" in said


def drawn_lines(page_text, label):
    """The paths of curves, and of bands, of the picture that is called so: lists of points."""
    (svg,) = re.findall(rf'<svg class="square" role="img" aria-label="{label}.*?</svg>', page_text)
    found = {}
    for kind in ("curve", "band"):
        paths = re.findall(rf'<path class="{kind}" d="M([^"]*?)z?"', svg)
        found[kind] = [
            np.array([[float(n) for n in point.split()] for point in path.split("L")])
            for path in paths
        ]
    return found


def by_hand(scores, present, threshold):
    """True and false positive rates and precision of one class, by counting."""
    picked = scores >= threshold
    true, false = (picked & present).sum(), (picked & ~present).sum()
    return true / present.sum(), false / (~present).sum(), true / max(1, true + false)


@pytest.mark.parametrize(
    ("gaps", "word"),
    [
        ([0.01, -0.009, 0.002], None),
        ([-0.01, 0.009, -0.002], None),
        ([0.1, 0.11, 0.1], "over-confident"),
        ([-0.1, -0.11, -0.1], "under-confident"),
    ],
)
def test_a_head_is_called_over_confident_only_where_the_seeds_agree(gaps, word):
    """Of 1,000 decisions 700 are right; the top probability is as much higher."""
    runs = sweep({"a": {0.1: 0.9}}, seeds=3)
    right = np.arange(1000) < 700
    present = np.column_stack([right, ~right])
    decided = np.column_stack([right | True, right & False])
    found = {}
    for one, gap in zip(runs, gaps, strict=True):
        shares = np.tile(np.float32([0.7 + gap, 0.3 - gap]), (1000, 1))
        found[one.key] = KeptRun(shares, shares, None, decided, present, "d")
    text = runs_page(runs, kept=lambda _: KeptTest(found, np.arange(1000), 2, lambda d, row: None))
    told = {w for w in ("over-confident", "under-confident") if w in text}
    assert told == ({word} if word else set())


@pytest.mark.parametrize("changed", [{"data_seed": [1]}, {"training": None}])
def test_a_page_is_made_whatever_a_strangers_settings_say(changed):
    runs = sweep(TUNED)
    runs[0] = replace(runs[0], config=runs[0].config | changed)
    assert "<h1>" in runs_page(runs)


def test_scales_have_room_for_all_numbers():
    for values in ([-1.7e308, 1.7e308], [1e-320, 2e-320], [math.inf, math.nan]):
        for scale in (scale_of(values), scale_over(values)):
            assert all(math.isfinite(tick) for tick in scale.ticks)
            assert all(0 <= scale.at(value) <= 100 for value in values if math.isfinite(value))


def test_rates_that_differ_do_not_read_alike():
    runs = sweep({"a": {0.1000001: 0.9, 0.1000002: 0.8}, "b": {0.1000001: 0.7, 0.1000002: 0.6}})
    said = section_of(runs)
    assert "0.1000001" in said
    assert "0.1000002" in said


def test_the_drawn_roc_pr_and_reliability_are_those_counted_by_hand():
    rng = np.random.default_rng(5)
    n, k, seeds = 300, 3, 4
    found, labels = {}, rng.integers(0, k, n)
    present = np.eye(k, dtype=bool)[labels]
    runs = sweep({"a": {0.1: 0.9}, "b": {0.1: 0.8}}, seeds=seeds)
    for run_ in runs:
        logits = rng.normal(size=(n, k)) + 1.2 * present
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        # Ties, which are one threshold; none at the edge of a bin.
        shares = (shares.round(2) + 0.004).astype(np.float32)
        decided = np.eye(k, dtype=bool)[shares.argmax(axis=1)]
        found[run_.key] = KeptRun(shares, shares, None, decided, present, "d")
    text = runs_page(runs, kept=lambda _: KeptTest(found, np.arange(n), k, lambda d, row: None))

    def mean_and_band(per_seed):
        values = np.array(per_seed)
        mean, half = values.mean(axis=0), 3.1824463 * values.std(axis=0, ddof=1) / 2  # t, 3 degrees
        ends = [wilson_ends(m, h) for m, h in zip(mean, half, strict=True)]
        return mean, *np.array(ends).T

    def wilson_ends(m, h):
        """The roots x of (m - x)^2 = x (1 - x) h^2 / (m (1 - m))."""
        if np.isnan(m) or h == 0:
            return m, m
        k = h**2 / (m * (1 - m))
        return np.sort(np.roots([1 + k, -(2 * m + k), m**2]))

    def of(kind, one):
        rows = []
        for c in range(k):
            scores = one.scores[:, c]
            at = [by_hand(scores, present[:, c], t) for t in np.unique(scores)[::-1]]
            tpr, fpr, precision = (np.array(column) for column in zip(*at, strict=True))
            if kind == "ROC":
                rows.append(np.interp(np.linspace(0, 1, 51), [0, *fpr], [0, *tpr]))
            else:  # the first threshold whose recall is as high
                first = [np.flatnonzero(tpr >= r - 1e-9)[0] for r in np.linspace(0, 1, 51)]
                rows.append(precision[first])
        return np.mean(rows, axis=0)

    def bins(one):
        top, right = one.probabilities.max(axis=1), one.decided[present]
        tenths = np.minimum((top * 10).astype(int), 9)
        return [
            right[tenths == b].mean() if (tenths == b).sum() >= 5 else np.nan for b in range(10)
        ]

    grid = np.linspace(0, 1, 51)
    centres = (np.arange(10) + 0.5) / 10
    for name, xs, compute in (
        ("ROC", grid, lambda one: of("ROC", one)),
        ("Precision and recall", grid, lambda one: of("PR", one)),
        ("Reliability", centres, bins),
    ):
        drawn = drawn_lines(text, name)
        for at, head in enumerate("ab"):
            mean, low, high = mean_and_band(
                [compute(found[r.key]) for r in runs if r.key[0] == head]
            )
            known = ~np.isnan(mean)
            bottom = 0.0 if name != "Precision and recall" else lowest_of(drawn_axis(text, name))
            line = drawn["curve"][at]
            np.testing.assert_allclose((line[:, 0] - 40) / 260, xs[known], atol=5e-4)
            heights = bottom + (1 - bottom) * (1 - (line[:, 1] - 6) / 260)
            np.testing.assert_allclose(heights, mean[known], atol=5e-4)
            band = drawn["band"][at]
            heights = bottom + (1 - bottom) * (1 - (band[:, 1] - 6) / 260)
            upper, under = heights[: known.sum()], heights[known.sum() :][::-1]
            np.testing.assert_allclose(upper, np.clip(high[known], bottom, 1), atol=5e-4)
            np.testing.assert_allclose(under, np.clip(low[known], bottom, 1), atol=5e-4)


def drawn_axis(page_text, label):
    """(y, number) of the labels beside the grid."""
    (svg,) = re.findall(rf'<svg class="square" role="img" aria-label="{label}.*?</svg>', page_text)
    found = re.findall(r'<text class="" x="35" y="([\d.]+)" text-anchor="end">([\d.-]+)<', svg)
    return [(float(y) - 4, float(number)) for y, number in found]


def lowest_of(labels):
    """The number at the foot of a plane, from two of its labels."""
    (y1, v1), (y2, v2) = labels[0], labels[-1]
    return v1 + (v2 - v1) * (266 - y1) / (y2 - y1)


def trained(values, epochs=4):
    """Runs whose validation accuracy rises in steps of its own towards the value."""
    runs = []
    for one in sweep(values):
        end = one.history[-1].val.metrics[ARGMAX]
        history = [{ARGMAX: end * share} for share in np.linspace(0.1, 1, epochs + 1)]
        made = run(one.config["seed"], history, head=one.config["choices"]["head"])
        runs.append(replace(made, key=one.key, config=one.config))
    return runs


def test_the_drawn_training_curves_are_the_means_and_bands_of_the_histories():
    runs = trained({"a": {0.1: 0.9}, "b": {0.1: 0.7}})
    text = runs_page(runs)
    drawn = drawn_lines(text, f"{ARGMAX} while training")
    labels = drawn_axis(text, f"{ARGMAX} while training")
    (y1, v1), (y2, v2) = labels[0], labels[-1]
    for at, head in enumerate("ab"):
        values = np.array(
            [
                [step.val.metrics[ARGMAX] for step in one.history[1:]]
                for one in runs
                if one.key[0] == head
            ]
        )
        mean = values.mean(axis=0)
        half = 2.7764451 * values.std(axis=0, ddof=1) / np.sqrt(5)  # t, 4 degrees of freedom
        scale = abs((v2 - v1) / (y2 - y1))
        heights = v1 + (drawn["curve"][at][:, 1] - y1) * (v2 - v1) / (y2 - y1)
        np.testing.assert_allclose(heights, mean, atol=0.2 * scale)
        heights = v1 + (drawn["band"][at][:, 1] - y1) * (v2 - v1) / (y2 - y1)
        np.testing.assert_allclose(heights[:4], mean + half, atol=0.2 * scale)
        np.testing.assert_allclose(heights[4:][::-1], mean - half, atol=0.2 * scale)
    page = Page(text)
    assert page.below["data-1-1-training"].count(ARGMAX) == 1
    assert "mean and 95 % band over n = 5 seeds" in words(page.below["data-1-1-training"])


def with_cells(measured):
    """The same value under a second metric."""
    if measured is None:
        return None
    value = measured.metrics[ARGMAX]
    metrics, baselines = {ARGMAX: value, CELLS: value}, {ARGMAX: 0.1, CELLS: 0.9}
    return replace(measured, metrics=metrics, baselines=baselines)


def test_metrics_that_are_equal_all_along_share_a_plane_and_lines_that_coincide_are_named():
    runs = []
    for one in trained({"a": {0.1: 0.9}, "b": {0.1: 0.9}}):
        history = [
            replace(step, val=with_cells(step.val), test=with_cells(step.test))
            for step in one.history
        ]
        runs.append(replace(one, history=history))
    text = runs_page(runs)
    assert text.count(f"{ARGMAX}, {CELLS} while training") == 1
    assert text.count("while training") == 1
    assert "a and b coincide" in words(Page(text).below["data-1-1-training"])
