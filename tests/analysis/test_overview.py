from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import metadata, plugin_data_pb2
from tensorboard.util import tensor_util

from lossheads.analysis import event_files
from lossheads.analysis.event_files import (
    CONFUSION_COUNTS,
    DECISION_COUNTS,
    read_tensors,
    write_events,
)
from lossheads.analysis.overview import arms_shown, overview_lines, puzzle_tag, write_overview
from lossheads.errors import UserError
from lossheads.records import CorrectMask

from .making import ARGMAX, CELLS, puzzle, run


def events_of(folder):
    kinds = ("scalars", "images", "tensors")
    events = EventAccumulator(str(folder), size_guidance=dict.fromkeys(kinds, 0))
    events.Reload()
    return events


def points(folder, tag=None):
    events = events_of(folder)
    if tag is None:
        (tag,) = events.Tags()["scalars"]
    return [(event.step, pytest.approx(event.value, abs=1e-6)) for event in events.Scalars(tag)]


def charts(folder):
    """Section -> titles of its charts, as Custom Scalars draws them: in reverse."""
    tag = "custom_scalars__config__"
    runs = [events_of(path) for path in folder.iterdir()]
    (event,) = [event for run in runs if tag in run.Tags()["tensors"] for event in run.Tensors(tag)]
    drawn = layout_pb2.Layout.FromString(tensor_util.make_ndarray(event.tensor_proto).item())
    return {category.title: [c.title for c in category.chart][::-1] for category in drawn.category}


def with_classes(arms, columns=10):
    """The arms, their validation steps with scores of every class: arm j, class k, seed s."""
    found = {}
    for j, (arm, results) in enumerate(arms.items()):
        found[arm] = []
        for s, one in enumerate(results):
            rows = {
                "recall_score": [0.5 + 0.01 * k + 0.1 * j + 0.02 * s for k in range(columns)],
                "score_when_present": [0.4 + 0.1 * j] * columns,
                "score_when_absent": [0.1] * columns,
            }
            steps = [replace(at, val=replace(at.val, per_class=rows)) for at in one.history]
            found[arm].append(replace(one, history=steps))
    return found


def test_one_run_per_arm_and_metric_named_by_both(tmp_path):
    folders = write_overview(tmp_path, "toy", puzzle(), [ARGMAX, CELLS])
    assert [folder.name for folder in folders] == [
        "baseline of cells",
        "cce · argmax",
        "cce · cells",
        "bce · argmax",
        "bce · cells",
    ]
    assert all(folder.parent == tmp_path / "_overview" / "toy" / "puzzle" for folder in folders)
    # From the first validation step after the start, which would stretch the axis.
    assert points(folders[0]) == [(100, 0.9), (200, 0.9)]
    assert points(folders[1]) == [(100, 0.7), (200, 0.88)]
    assert points(folders[2]) == [(100, 0.94), (200, 0.976)]


def apart_by(step):
    """The puzzle's arms, the second a little worse, so that ranges are told."""
    cce = [run(0, [{ARGMAX: 0.1, CELLS: 0.9}, {ARGMAX: 0.88, CELLS: 0.976}])]
    bce = [run(0, [{ARGMAX: 0.1, CELLS: 0.9}, {ARGMAX: 0.86 - step, CELLS: 0.96 - step}])]
    return {"cce": cce, "bce": bce}


def test_the_title_of_the_chart_says_what_it_shows(tmp_path):
    tag = puzzle_tag(puzzle(), [ARGMAX, CELLS])
    assert "0.88 of examples right (argmax)" in tag
    assert "0.98 of yes-no answers (cells; a constant: 0.90)" in tag
    counted = puzzle_tag(with_classes(apart_by(0.001), 10), [ARGMAX, CELLS])
    assert "of their 10 yes-no answers" in counted
    assert len(counted) <= 120  # TensorBoard cuts what is longer
    apart = puzzle() | {"worse": [run(0, [{ARGMAX: 0.1, CELLS: 0.9}, {ARGMAX: 0.5, CELLS: 0.9}])]}
    tag_apart = puzzle_tag(apart, [ARGMAX, CELLS])
    assert "0.50–0.88 of examples" in tag_apart
    assert "0.90–0.98 of yes-no answers" in tag_apart
    (folder, *_) = write_overview(tmp_path, "toy", puzzle(), [ARGMAX, CELLS])
    assert events_of(folder).Tags()["scalars"] == [tag]


def test_other_metrics_are_named_as_they_are():
    lines = overview_lines(puzzle(), ["keras_2_3_accuracy"])
    assert list(lines) == [
        "baseline of keras_2_3_accuracy",
        "cce · keras_2_3_accuracy",
        "bce · keras_2_3_accuracy",
    ]
    tag = puzzle_tag(puzzle(), ["keras_2_3_accuracy"])
    assert "0.88–0.98 keras_2_3_accuracy (a constant: 0.90)" in tag


def test_an_overview_written_again_leaves_no_old_line(tmp_path):
    write_overview(tmp_path, "toy", puzzle(), [ARGMAX, CELLS])
    folders = write_overview(tmp_path, "toy", {"cce": puzzle()["cce"]}, [ARGMAX])
    assert sorted((tmp_path / "_overview" / "toy" / "puzzle").iterdir()) == sorted(folders)
    assert [len(list(folder.iterdir())) for folder in folders] == [1, 1]


def test_overviews_of_other_names_stay(tmp_path):
    write_overview(tmp_path, "one", puzzle(), [ARGMAX])
    write_overview(tmp_path, "two", puzzle(), [ARGMAX])
    assert len(list((tmp_path / "_overview").iterdir())) == 2


def test_an_arms_name_cannot_leave_its_folder(tmp_path):
    folders = write_overview(tmp_path, "toy", {"../lr=1/2: a": puzzle()["cce"]}, [ARGMAX])
    assert folders[-1].name == "..-lr=1-2- a · argmax"
    root = tmp_path / "_overview" / "toy"
    assert {path.parent.parent for path in root.rglob("events.*")} <= set(root.iterdir())


def test_an_arm_without_validation_steps_has_no_line(tmp_path):
    arms = {"cce": puzzle()["cce"], "lost": [run(0, [], status="failed")]}
    assert len(overview_lines(arms, [ARGMAX])) == 2
    write_overview(tmp_path, "toy", arms, [ARGMAX])
    sessions = [path.name for path in (tmp_path / "_overview/toy/runs").iterdir()]
    assert "lost s0" in sessions


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", ".hidden", "/tmp"])
def test_a_name_that_is_no_folder_name_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="plain folder name"):
        write_overview(tmp_path, name, puzzle(), [ARGMAX])
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "_overview").write_text("a file, not a folder")
    with pytest.raises(UserError, match="the overview cannot be written"):
        write_overview(tmp_path, "toy", puzzle(), [ARGMAX])


def test_bands_are_means_over_seeds_with_their_interval(tmp_path):
    write_overview(tmp_path, "toy", puzzle(), [ARGMAX, CELLS])
    folder = tmp_path / "_overview/toy/bands"
    assert sorted(path.name for path in folder.iterdir()) == ["baseline", "bce", "cce"]
    assert points(folder / "cce", ARGMAX) == [(100, 0.7), (200, 0.88)]
    # Wilson's ends x lie t standard errors off: (mean - x)² = t² v x (1 - x) / (mean (1 - mean)),
    # v the variance of the mean of 3 seeds at -0.01, 0, 0.01 around it, t of 2 degrees of freedom.
    for end, name in enumerate(("lower", "upper")):
        wanted = []
        for step, mean in ((100, 0.7), (200, 0.88)):
            share = 4.302653**2 * 0.01**2 / 3 / (mean * (1 - mean))
            ends = sorted(np.roots([1 + share, -2 * mean - share, mean**2]))
            wanted.append((step, float(ends[end])))
        assert points(folder / "cce", f"{ARGMAX}/{name}") == wanted
    assert points(folder / "baseline", CELLS) == [(100, 0.9), (200, 0.9)]


def test_the_sections_of_custom_scalars(tmp_path):
    write_overview(tmp_path, "toy", with_classes(puzzle()), [ARGMAX, CELLS])
    bands = charts(tmp_path / "_overview/toy/bands")
    assert list(bands) == ["Puzzle", "Calibration"]
    assert bands["Puzzle"] == [f"{ARGMAX} (argmax), 3 seeds", f"{CELLS} (cells), 3 seeds"]
    classes = charts(tmp_path / "_overview/toy/classes")
    assert classes["Per class: recall"][:2] == ["class 0 · recall", "class 1 · recall"]
    assert len(classes["Per class: score when present"]) == 10


def test_every_run_of_a_page_has_every_line_of_its_charts(tmp_path):
    """Custom Scalars shows an error for a run that lacks one."""
    write_overview(tmp_path, "toy", with_classes(puzzle()), [ARGMAX, CELLS])
    for page in ("bands", "classes"):
        folders = list((tmp_path / "_overview/toy" / page).iterdir())
        tags = [set(events_of(folder).Tags()["scalars"]) for folder in folders]
        assert all(own == tags[0] for own in tags)


def test_one_seed_has_no_band(tmp_path):
    write_overview(tmp_path, "toy", {"cce": puzzle()["cce"][:1]}, [ARGMAX])
    folder = tmp_path / "_overview/toy/bands/cce"
    assert points(folder, f"{ARGMAX}/upper") == points(folder, ARGMAX)


def test_a_band_stays_where_a_score_can_be(tmp_path):
    arms = {"cce": [run(s, [{ARGMAX: 0.0}, {ARGMAX: v}]) for s, v in enumerate((0.02, 1.0))]}
    write_overview(tmp_path, "toy", arms, [ARGMAX])
    folder = tmp_path / "_overview/toy/bands/cce"
    (low,), (high,) = (
        [event.value for event in events_of(folder).Scalars(f"{ARGMAX}/{end}")]
        for end in ("lower", "upper")
    )
    assert 0 <= low < 0.02
    assert 0.98 < high <= 1


def test_an_arm_called_baseline_keeps_its_own_line(tmp_path):
    write_overview(tmp_path, "toy", {"baseline": puzzle()["cce"]}, [ARGMAX])
    assert points(tmp_path / "_overview/toy/bands/baseline", ARGMAX)[-1] == (200, 0.88)


def test_the_class_is_the_last_part_of_a_tag_and_of_many_only_twenty_have_charts(tmp_path):
    arms = {
        arm: [replace(one, class_names=["T-shirt/top", *map(str, range(1, 30))]) for one in runs]
        for arm, runs in with_classes(puzzle(), columns=30).items()
    }
    write_overview(tmp_path, "toy", arms, [ARGMAX])
    folder = tmp_path / "_overview/toy/classes/cce"
    tags = events_of(folder).Tags()["scalars"]
    assert len([tag for tag in tags if tag.startswith("recall/") and tag.count("/") == 1]) == 20
    # seeds 0, 1, 2 at 0.50, 0.52, 0.54
    assert points(folder, "recall/T-shirt-top") == [(100, 0.52), (200, 0.52)]


def sweep_of_rates(rates, heads=("cce", "bce")):
    """Head × rate; the best rate of a head is the last but one."""
    arms = {}
    for head in heads:
        for number, rate in enumerate(rates):
            value = 0.9 if number == len(rates) - 2 else 0.5
            results = [run(s, [{ARGMAX: 0.1}, {ARGMAX: value + 0.01 * s}]) for s in range(2)]
            config = {"choices": {"head": head}, "optimizer": {"lr": rate}}
            arms[f"{head}, lr={rate}"] = [
                replace(one, config=config | {"seed": s}, key=f"{head}{rate}{s}")
                for s, one in enumerate(results)
            ]
    return arms


def test_of_many_arms_each_head_is_shown_by_its_best(tmp_path):
    arms = sweep_of_rates([0.1, 0.01, 0.001, 0.0001])
    assert list(arms_shown(arms, ARGMAX)) == ["cce, lr=0.001", "bce, lr=0.001"]
    assert list(arms_shown(puzzle(), ARGMAX)) == ["cce", "bce"]
    folders = write_overview(tmp_path, "toy", arms, [ARGMAX])
    assert len(folders) == 3
    assert len(list((tmp_path / "_overview/toy/runs").iterdir())) == 16  # HPARAMS has them all


def test_the_best_by_a_loss_is_the_lowest():
    arms = {
        f"cce, lr={n}": [
            replace(run(0, [{"nll_loss": 2.0}, {"nll_loss": n}]), config={"choices": {"head": "c"}})
        ]
        for n in (0.5, 0.3, 0.9, 0.4, 0.8, 0.7, 0.6)
    }
    assert list(arms_shown(arms, "nll_loss")) == ["cce, lr=0.3"]


def session_of(folder):
    content = events_of(folder).PluginTagToContent("hparams")
    parsed = {tag: plugin_data_pb2.HParamsPluginData.FromString(c) for tag, c in content.items()}
    start = parsed[metadata.SESSION_START_INFO_TAG].session_start_info.hparams
    values = {name: value.number_value or value.string_value for name, value in start.items()}
    experiment = parsed[metadata.EXPERIMENT_TAG].experiment
    return values, [metric.name.tag for metric in experiment.metric_infos]


def test_a_session_has_what_varies_with_rate_and_seed_and_three_metrics(tmp_path):
    arms = sweep_of_rates([0.1, 0.01])
    write_overview(tmp_path, "toy", arms, [ARGMAX])
    folder = tmp_path / "_overview/toy/runs/cce, lr=0.01 s1"
    values, metrics = session_of(folder)
    assert values == {"head": "cce", "lr": 0.01, "seed": 1.0}
    assert metrics == [f"test/{ARGMAX}"]
    assert points(folder, f"test/{ARGMAX}") == [(100, 0.51)]
    _, metrics = session_of(write_three(tmp_path))
    assert metrics == [f"test/{ARGMAX}", f"test/{CELLS}", "test/keras_2_3_accuracy"]


def write_three(tmp_path):
    write_overview(tmp_path, "three", puzzle(), [ARGMAX, CELLS])
    return tmp_path / "_overview/three/runs/cce s0"


def test_a_setting_that_is_the_same_everywhere_is_not_shown_but_the_rate_is(tmp_path):
    config = {"choices": {"head": "cce", "model": "mlp"}, "optimizer": {"lr": 0.1, "beta": 0.9}}
    arms = {"cce": [replace(run(s, [{ARGMAX: 0.1}]), config=config | {"seed": s}) for s in (1, 2)]}
    write_overview(tmp_path, "toy", arms, [ARGMAX])
    values, _ = session_of(tmp_path / "_overview/toy/runs/cce s2")
    assert values == {"head": "cce", "lr": 0.1, "seed": 2.0}


def test_an_option_that_follows_from_the_head_is_no_setting_of_its_own(tmp_path):
    rate = {"optimizer": {"lr": 0.1}}
    options = {"cce": {"_target_": "CCE"}, "focal": {"_target_": "Focal", "gamma": 2.0}}
    arms = {
        head: [
            replace(
                run(s, [{ARGMAX: 0.1}]),
                config={"choices": {"head": head}, "head": own, "seed": s} | rate,
                key=f"{head}{s}",
            )
            for s in range(2)
        ]
        for head, own in options.items()
    }
    write_overview(tmp_path, "toy", arms, [ARGMAX])
    values, _ = session_of(tmp_path / "_overview/toy/runs/focal s1")
    assert values == {"head": "focal", "lr": 0.1, "seed": 1.0}


def curve_of(counts):
    return event_files.pr_curve("pr/class 0", np.vstack([counts, np.zeros((2, 3))]))


def test_curves_are_pooled_over_seeds(tmp_path):
    first = np.array([[4, 2, 0], [6, 1, 0], [0, 5, 6], [0, 2, 4]], dtype=float)
    second = np.array([[4, 4, 1], [6, 3, 0], [0, 3, 6], [0, 0, 3]], dtype=float)
    for seed, numbers in enumerate((first, second)):
        write_events(tmp_path / "runs" / f"toy-softmax_cce-s{seed}", [(200, curve_of(numbers))])
    write_overview(tmp_path, "toy", {"cce": puzzle()["cce"]}, [ARGMAX])
    rows = read_tensors(tmp_path / "_overview/toy/classes/cce")["pr/class 0"]
    np.testing.assert_array_equal(rows[:4], first + second)
    np.testing.assert_allclose(rows[4], [8 / 20, 6 / 10, 1.0])  # precision: TP / (TP + FP)
    np.testing.assert_allclose(rows[5], [1.0, 6 / 8, 1 / 8])  # recall: TP / (TP + FN)


@pytest.mark.parametrize("content", [b"", b"torn", b"\x00" * 12, b"\xff" * 400])
def test_an_event_file_that_is_none_is_passed_over(tmp_path, content):
    (tmp_path / "events.out.tfevents.1.torn").write_bytes(content)
    assert read_tensors(tmp_path) == {}


def test_an_event_file_is_read_to_where_it_is_torn(tmp_path):
    values = [(0, event_files.counts("a", np.eye(2, dtype=np.int64)))]
    write_events(tmp_path, values)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes() + b"\x10\x00")
    assert read_tensors(tmp_path)["a"].tolist() == [[1.0, 0.0], [0.0, 1.0]]


def masked(one, bits):
    test = replace(one.test, correct=CorrectMask(bits, "digest"), n=8)
    return replace(one, history=[*one.history[:-1], replace(one.history[-1], test=test)])


def test_who_is_right_where_two_arms_part(monkeypatch):
    from lossheads.analysis import overview_picture

    # 0b11110000 and 0b11001100: both 2, the first alone 2, the second alone 2, none 2 of 8
    arms = {
        "cce": [masked(puzzle()["cce"][0], "8A==")],
        "bce": [masked(puzzle()["bce"][0], "zA==")],
    }
    (pair,) = overview_picture._disagreements(arms)
    assert (pair.both, pair.first, pair.second, pair.none, pair.seeds) == (25, 25, 25, 25, 1)


def test_one_picture_shows_all_heads(tmp_path):
    for head, shift in (("softmax_cce", 0), ("softmax_bce", 1)):
        counted = event_files.counts(CONFUSION_COUNTS, np.roll(np.eye(10, dtype=np.int64), shift))
        write_events(tmp_path / "runs" / f"toy-{head}-s0", [(200, counted)])
    write_overview(tmp_path, "toy", puzzle(), [ARGMAX, CELLS])
    picture = tmp_path / "_overview/toy/overview.png"
    (event,) = events_of(tmp_path / "_overview/toy/confusions/all heads").Images(
        "confusions/all heads"
    )
    assert event.encoded_image_string == picture.read_bytes()
    with Image.open(picture) as drawn:
        assert drawn.size == (event.width, event.height)
        assert drawn.width <= 1300  # a laptop shows it whole
        pixels = np.asarray(drawn.convert("RGB"))
    dark = np.abs(pixels.astype(int) - (8, 48, 107)).sum(axis=2) < 10  # the map's colour of 100 %
    assert dark.sum() > 2 * 10 * 500  # ten full cells in each of two confusions


def test_decisions_of_four_labels_are_no_classes(tmp_path, monkeypatch):
    from lossheads.analysis import overview_picture

    drawn = []
    monkeypatch.setattr(
        overview_picture, "overview_png", lambda title, arms, tables: drawn.extend(tables)
    )
    decided = event_files.counts(DECISION_COUNTS, np.full((4, 4), 5, dtype=np.int64))
    write_events(tmp_path / "runs" / "toy-softmax_cce-s0", [(200, decided)])
    write_overview(tmp_path, "toy", puzzle(), [ARGMAX])
    (table,) = drawn
    assert (table.arm, table.columns) == ("cce", ("TP", "FN", "FP", "TN"))


def test_heads_without_a_measurement_on_test_have_no_picture(tmp_path):
    arms = {"cce": [run(0, [{ARGMAX: 0.1}, {ARGMAX: 0.5}], status="diverged")]}
    write_overview(tmp_path, "toy", arms, [ARGMAX])
    assert not (tmp_path / "_overview/toy/overview.png").exists()
    assert (tmp_path / "_overview/toy/puzzle").is_dir()
