import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from matplotlib import colors

from lossheads.analysis.arms import marks_of
from lossheads.analysis.figures import (
    BASELINE_OFF_AXIS,
    CUT_LABEL,
    DASHES,
    KEPT_LABEL,
    epochs_figure,
    puzzle_figure,
    save,
)
from lossheads.analysis.palette import COLOURS, MARKERS
from lossheads.errors import UserError

from .making import ARGMAX, CELLS, KERAS, puzzle, run

BASELINE = "baseline: best constant prediction"


def texts(axes):
    return [text.get_text() for text in axes.texts]


def rows(axes):
    return [label.get_text() for label in axes.get_yticklabels()]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def marks(axes):
    """(x, y) of the data marks, without rings and cap ends."""
    return [
        tuple(float(part[0]) for part in line.get_data())
        for line in axes.lines
        if line.get_marker() in MARKERS and line.get_markerfacecolor() != "none"
    ]


def test_each_mark_stands_at_its_mean_in_the_row_of_its_metric():
    (axes,) = puzzle_figure(puzzle(), [ARGMAX, CELLS, KERAS]).axes
    assert [name.splitlines()[0] for name in rows(axes)] == [ARGMAX, CELLS, KERAS]
    found = [(x, round(y)) for x, y in marks(axes)]
    assert found == [
        (pytest.approx(0.88), 0),
        (pytest.approx(0.88), 0),
        (pytest.approx(0.976), 1),
        (pytest.approx(0.976), 1),
        (pytest.approx(0.88), 2),
        (pytest.approx(0.976), 2),
    ]
    assert axes.yaxis_inverted()
    assert texts(axes).count("0.976") == 3


def test_intervals_are_those_of_the_table():
    (axes,) = puzzle_figure({"cce": puzzle()["cce"]}, [ARGMAX]).axes
    (bar,) = [
        segment
        for collection in axes.collections
        for segment in collection.get_segments()
        if segment[0][1] == segment[1][1]
    ]
    # Wilson's, by hand in test_tables.
    np.testing.assert_allclose(bar[:, 0], [0.852925, 0.902660], atol=1e-6)


def test_no_baseline_crosses_the_row_of_another_metric():
    (axes,) = puzzle_figure(puzzle(), [ARGMAX, CELLS]).axes
    assert all(len(line.get_xdata()) < 2 for line in axes.lines)
    assert {round(y) for _, y in ticks(axes)} == {1}


def ticks(axes):
    """(x, y) of the baseline ticks."""
    segments = [segment for part in axes.collections for segment in part.get_segments()]
    return [(s[0][0], (s[0][1] + s[1][1]) / 2) for s in segments if s[0][0] == s[1][0]]


def test_baselines_stand_beside_their_marks_and_in_the_rows_name():
    (axes,) = puzzle_figure(puzzle(), [ARGMAX, CELLS]).axes
    assert axes.get_xlim()[0] == pytest.approx(0.85)
    assert rows(axes) == [f"{ARGMAX}\nbaseline 0.100", f"{CELLS}\nbaseline 0.900 = 1 − 1/10"]
    assert ticks(axes) == [(0.9, pytest.approx(y)) for x, y in marks(axes) if y > 0.5]
    arrows = [text.xy for text in axes.texts if text.get_text() == "◂"]
    assert arrows == [(0.85, pytest.approx(y)) for x, y in marks(axes) if y < 0.5]


def test_arms_with_different_baselines_name_each():
    (axes,) = puzzle_figure(puzzle(), [KERAS]).axes
    assert rows(axes) == [f"{KERAS}\nbaseline 0.100 or 0.900 = 1 − 1/10"]
    assert ticks(axes) == [(0.9, pytest.approx(marks(axes)[1][1]))]


def test_highlighted_numbers_are_ringed():
    figure = puzzle_figure(puzzle(), [ARGMAX, KERAS], highlighted=[("cce", KERAS), ("bce", KERAS)])
    rings = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "none"]
    assert [ring.get_xdata()[0] for ring in rings] == pytest.approx([0.88, 0.976])
    left, highlighted = BASELINE_OFF_AXIS, "the numbers that were compared"
    assert legend(figure) == ["cce", "bce", BASELINE, left, highlighted]


def test_a_title_that_is_a_sentence_is_broken_and_the_figure_grows():
    sentence = " ".join(["binary cross-entropy leads"] * 7)
    short, long = (puzzle_figure(puzzle(), [ARGMAX], title=text) for text in ("a claim", sentence))
    assert short.get_suptitle() == "a claim"
    assert long.get_suptitle().split() == sentence.split()
    assert max(map(len, long.get_suptitle().split("\n"))) <= 88
    assert long.get_size_inches()[1] > short.get_size_inches()[1]


def test_the_axis_says_split_and_n():
    (axes,) = puzzle_figure(puzzle(), [ARGMAX]).axes
    assert axes.get_xlabel() == "test split, mean and 95 % interval over n = 3 seeds alone"
    short = {"cce": puzzle()["cce"], "bce": puzzle()["bce"][:2]}
    (axes,) = puzzle_figure(short, [ARGMAX], split="val").axes
    assert (
        axes.get_xlabel() == "validation split, mean and 95 % interval over n = 2 to 3 seeds alone"
    )


def test_an_arm_without_a_value_leaves_its_place_empty():
    lost = {"cce": puzzle()["cce"], "bce": [run(0, [{ARGMAX: 0.1}], status="diverged")]}
    (axes,) = puzzle_figure(lost, [ARGMAX]).axes
    assert [x for x, _ in marks(axes)] == pytest.approx([0.88])


def test_curves_are_means_coloured_by_arm_and_dashed_by_metric():
    figure = epochs_figure(puzzle(), [ARGMAX, CELLS])
    (axes,) = figure.axes
    drawn = [line for line in axes.lines if len(line.get_xdata()) == 3]
    assert [list(line.get_xdata()) for line in drawn] == [[0, 1, 2]] * 4
    np.testing.assert_allclose(drawn[0].get_ydata(), [0.1, 0.7, 0.88])
    np.testing.assert_allclose(drawn[1].get_ydata(), [0.82, 0.94, 0.976])
    looks = marks_of(puzzle())
    assert [colors.to_hex(line.get_color()).upper() for line in drawn] == [
        *[looks["cce"].colour] * 2,
        *[looks["bce"].colour] * 2,
    ]
    assert looks["cce"].colour != looks["bce"].colour
    assert [line.is_dashed() for line in drawn] == [False, True, False, True]
    named = [f"{ARGMAX}, baseline 0.100", f"{CELLS}, baseline 0.900 = 1 − 1/10"]
    assert legend(figure) == ["cce", "bce", *named, BASELINE]


def test_bands_are_the_intervals_around_the_curves():
    (axes,) = epochs_figure({"cce": puzzle()["cce"]}, [ARGMAX]).axes
    (band,) = axes.collections
    ends = band.get_paths()[0].vertices
    at_end = ends[ends[:, 0] == 2.0][:, 1]
    assert (at_end.min(), at_end.max()) == pytest.approx((0.852925, 0.902660), abs=1e-6)


def test_the_epochs_axis_serves_the_end_of_training():
    (axes,) = epochs_figure(puzzle(), [ARGMAX, CELLS]).axes
    assert axes.get_ylim() == pytest.approx((0.7, 1.0))
    assert [0.9, 0.9] in [list(line.get_ydata()) for line in axes.lines]
    assert (
        axes.get_xlabel() == "epochs; validation split, mean and 95 % band over n = 3 seeds alone"
    )


def test_a_baseline_off_the_axis_is_in_the_legend_and_not_drawn():
    figure = puzzle_figure(puzzle(), [ARGMAX])
    assert ticks(figure.axes[0]) == []
    assert rows(figure.axes[0]) == [f"{ARGMAX}\nbaseline 0.100"]
    assert BASELINE_OFF_AXIS in legend(figure)
    assert BASELINE_OFF_AXIS not in legend(puzzle_figure(recalling(), ["macro_recall_score"]))
    assert legend(epochs_figure(puzzle(), [ARGMAX]))[-2:] == [f"{ARGMAX}, baseline 0.100", BASELINE]


def recalling():
    """Recall and F1 of one arm: always saying yes recalls all."""
    baselines = {"macro_recall_score": 1.0, "macro_f1_score": 0.15}
    history = [dict.fromkeys(baselines, value) for value in (0.1, 0.4, 0.5)]
    return {"a": [run(seed, history, baselines=baselines) for seed in range(2)]}


def test_every_baseline_is_a_line_and_its_metric_is_named():
    figure = epochs_figure(recalling(), ["macro_recall_score", "macro_f1_score"])
    lines = [list(line.get_ydata()) for line in figure.axes[0].lines]
    assert [line for line in lines if len(line) == 2] == [[1.0, 1.0], [0.15, 0.15]]
    assert legend(figure)[1:] == [
        "macro_recall_score, baseline 1.000, perfect for a constant prediction",
        "macro_f1_score, baseline 0.150",
        BASELINE,
    ]


@pytest.mark.parametrize(
    ("arms", "metrics", "words"),
    [
        (puzzle(), [ARGMAX, CELLS], "accuracy"),
        (recalling(), ["macro_recall_score", "macro_f1_score"], "score"),
        (recalling(), ["macro_f1_score"], "macro_f1_score"),
    ],
)
def test_the_axis_is_named_after_the_metrics_on_it(arms, metrics, words):
    assert epochs_figure(arms, metrics).axes[0].get_ylabel() == words


def test_a_metric_without_baseline_says_so():
    runs = [run(0, [{ARGMAX: 0.5}], baselines={ARGMAX: float("nan")})]
    (axes,) = puzzle_figure({"a": runs}, [ARGMAX]).axes
    assert rows(axes) == [f"{ARGMAX}\nbaseline none"]
    assert legend(epochs_figure({"a": runs}, [ARGMAX])) == ["a", f"{ARGMAX}, baseline none"]


@pytest.mark.parametrize("arms", [2, 3, 7])
@pytest.mark.parametrize("name", ["mmm", "m" * 30, "m" * 200, "softmax_cce, epochs=5.0, " * 8])
def test_the_legend_stays_on_the_paper(arms, name):
    many = {f"{number}{name}": puzzle()["cce"] for number in range(arms)}
    for figure in (puzzle_figure(many, [ARGMAX]), epochs_figure(many, [ARGMAX, CELLS])):
        figure.draw_without_rendering()
        box = figure.legends[0].get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.width
        assert [words.replace("\n", "").replace(" ", "") for words in legend(figure)[:arms]] == [
            arm.replace(" ", "") for arm in many
        ]


def test_a_long_name_is_folded_after_its_separators_and_takes_no_room_from_the_axes():
    many = {f"{number}, {'epochs=5.0, ' * 16}": puzzle()["cce"] for number in range(7)}
    figure, plain = (epochs_figure(arms, [ARGMAX]) for arms in (many, {"cce": puzzle()["cce"]}))
    assert all(line.endswith("=5.0,") for line in legend(figure)[0].splitlines())
    heights = []
    for drawn in (figure, plain):
        drawn.draw_without_rendering()
        heights.append(drawn.axes[0].get_window_extent().height)
    assert heights[0] > 0.8 * heights[1]


def test_one_seed_claims_neither_interval_nor_band():
    one = {"cce": puzzle()["cce"][:1]}
    assert puzzle_figure(one, [ARGMAX]).axes[0].get_xlabel() == "test split, one seed, no interval"
    label = epochs_figure(one, [ARGMAX]).axes[0].get_xlabel()
    assert label == "epochs; validation split, one seed, no band"
    both = {"cce": puzzle()["cce"], "bce": puzzle()["bce"][:1]}
    label = puzzle_figure(both, [ARGMAX]).axes[0].get_xlabel()
    assert label.endswith(
        "mean and 95 % interval over n = 1 to 3 seeds alone, no interval at one seed"
    )


def stopping(steps):
    """An arm of two seeds whose first walks so far and whose second walks three history."""
    history = [{ARGMAX: 0.1}, {ARGMAX: 0.7}, {ARGMAX: 0.8}]
    return [run(0, history[:steps]), run(1, history)]


def test_a_curve_that_ends_with_its_first_stopper_says_so():
    arms = {"cut": stopping(2), "whole": stopping(3)}
    figure = epochs_figure(arms, [ARGMAX])
    bars = [line for line in figure.axes[0].lines if line.get_marker() == "|"]
    assert [(*line.get_xdata(), *line.get_ydata()) for line in bars] == [(1.0, 0.7)]
    assert bars[0].get_color() == marks_of(arms)["cut"].colour
    assert CUT_LABEL in legend(figure)
    whole = legend(epochs_figure({"whole": stopping(3)}, [ARGMAX]))
    assert whole == ["whole", f"{ARGMAX}, baseline 0.100", BASELINE]


def test_a_curve_that_goes_on_after_the_kept_validation_step_says_so():
    first = stopping(3)[0]
    start, best, after = first.history
    kept = replace(
        first, history=[start, replace(best, test=after.test), replace(after, test=None)]
    )
    assert KEPT_LABEL in legend(epochs_figure({"a": [kept]}, [ARGMAX]))


@pytest.mark.parametrize("draw", [puzzle_figure, epochs_figure])
@pytest.mark.parametrize(
    ("metrics", "arms", "words"),
    [
        (["nll_loss"], 1, "show losses, errors and factors in a table"),
        ([ARGMAX], len(COLOURS) + 1, "draw two figures"),
        (["acuracy_score"], 1, "did you mean"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, metrics, arms, words):
    many = {f"arm {number}": puzzle()["cce"] for number in range(arms)}
    with pytest.raises(UserError, match=words):
        draw(many, metrics)


@pytest.mark.parametrize("draw", [puzzle_figure, epochs_figure])
def test_a_factor_that_is_best_in_the_middle_is_not_drawn_as_better_when_higher(draw):
    name = "fitted_temperature"
    arms = {"cce": [run(0, [{name: 0.9}], baselines={name: math.nan})]}
    with pytest.raises(
        UserError, match="got fitted_temperature: only metrics with higher = better"
    ):
        draw(arms, [name])


def test_more_metrics_than_dashes_are_refused():
    with pytest.raises(UserError, match="got 5 metrics: it has 4 line styles"):
        epochs_figure(puzzle(), [ARGMAX] * (len(DASHES) + 1))


def test_the_same_figure_gives_the_same_files(tmp_path):
    first = save(puzzle_figure(puzzle(), [ARGMAX]), tmp_path / "a" / "puzzle")
    second = save(puzzle_figure(puzzle(), [ARGMAX]), tmp_path / "b" / "puzzle")
    assert [path.name for path in first] == ["puzzle.png", "puzzle.svg"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_a_figure_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(UserError, match="puzzle cannot be written"):
        save(puzzle_figure(puzzle(), [ARGMAX]), tmp_path / "taken" / "puzzle")


def test_reports_start_without_torch_and_without_pyplot():
    code = (
        "import sys, lossheads.analysis.tables, lossheads.analysis.figures,"
        " lossheads.analysis.overview, lossheads.cli.board;"
        " print({'torch', 'matplotlib.pyplot'} & set(sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "set()"
