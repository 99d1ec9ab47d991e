import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lossheads.analysis import PUZZLE_TAG
from lossheads.analysis.overview import overview_lines, write_overview
from lossheads.errors import UserError

from .making import ARGMAX, CELLS, puzzle, run


def points(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    assert events.Tags()["scalars"] == [PUZZLE_TAG]
    return [
        (event.step, pytest.approx(event.value, abs=1e-6)) for event in events.Scalars(PUZZLE_TAG)
    ]


def test_one_run_per_arm_and_metric_named_by_a_numbered_sentence(tmp_path):
    folders = write_overview(tmp_path, "toy", puzzle(), [ARGMAX, CELLS])
    assert [folder.name for folder in folders] == [
        f"0 best constant prediction, by {CELLS}",
        f"1 cce, by {ARGMAX}",
        f"2 the same cce, by {CELLS}",
        f"3 bce, by {ARGMAX}",
        f"4 the same bce, by {CELLS}",
    ]
    assert all(folder.parent == tmp_path / "_overview" / "toy" for folder in folders)
    # From the first validation step after the start, which would stretch the axis.
    assert points(folders[0]) == [(100, 0.9), (200, 0.9)]
    assert points(folders[1]) == [(100, 0.7), (200, 0.88)]
    assert points(folders[2]) == [(100, 0.94), (200, 0.976)]


def test_numbers_are_padded_so_that_ten_sorts_after_nine():
    arms = {f"arm {letter}": puzzle()["cce"] for letter in "abcdef"}
    names = list(overview_lines(arms, [ARGMAX, CELLS]))
    assert names == sorted(names)
    assert names[0].startswith("00 ")
    assert names[12].startswith("12 ")


def test_an_overview_written_again_leaves_no_old_line(tmp_path):
    write_overview(tmp_path, "toy", puzzle(), [ARGMAX, CELLS])
    folders = write_overview(tmp_path, "toy", {"cce": puzzle()["cce"]}, [ARGMAX])
    assert sorted((tmp_path / "_overview" / "toy").iterdir()) == sorted(folders)
    assert [len(list(folder.iterdir())) for folder in folders] == [1, 1]


def test_overviews_of_other_names_stay(tmp_path):
    write_overview(tmp_path, "one", puzzle(), [ARGMAX])
    write_overview(tmp_path, "two", puzzle(), [ARGMAX])
    assert len(list((tmp_path / "_overview").iterdir())) == 2


def test_an_arms_name_cannot_leave_its_folder(tmp_path):
    folders = write_overview(tmp_path, "toy", {"lr=1/2: a": puzzle()["cce"]}, [ARGMAX])
    assert folders[-1].name == f"1 lr=1-2- a, by {ARGMAX}"


def test_an_arm_without_laps_has_no_line():
    arms = {"cce": puzzle()["cce"], "lost": [run(0, [], status="failed")]}
    assert len(overview_lines(arms, [ARGMAX])) == 2


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", ".hidden", "/tmp"])
def test_a_name_that_is_no_folder_name_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="plain folder name"):
        write_overview(tmp_path, name, puzzle(), [ARGMAX])
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "_overview").write_text("a file, not a folder")
    with pytest.raises(UserError, match="the overview cannot be written"):
        write_overview(tmp_path, "toy", puzzle(), [ARGMAX])
