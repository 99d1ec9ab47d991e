import io
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageColor

from lossheads.loggers.pictures import (
    BLUE,
    INK,
    MARK,
    PALE,
    SCALE,
    accuracies_figure,
    compressed,
    confusion_figure,
    fitted,
    turned,
    width,
)

FOUND = ("TP", "FN", "FP", "TN")


def like(picture: Image.Image, colour: str) -> NDArray[np.bool_]:
    """(height, width): the pixels of just this colour."""
    return (np.asarray(picture) == ImageColor.getrgb(colour)).all(axis=2)


def bars(picture: Image.Image) -> list[tuple[int, int, int]]:
    """Top, left and width of each bar, from the top."""
    blue = like(picture, BLUE)
    lines = np.flatnonzero(blue.any(axis=1))
    tops = [y for y in lines if y - 1 not in lines]
    ends = [np.flatnonzero(blue[y])[[0, -1]] for y in tops]
    return [(int(y), int(a), int(b - a + 1)) for y, (a, b) in zip(tops, ends, strict=True)]


def marks(picture: Image.Image) -> list[int]:
    """The middle columns of upright black marks, from the left."""
    columns = np.flatnonzero(like(picture, INK).sum(axis=0) >= MARK)
    return [int(x) for x in columns if x - 1 in columns and x + 1 in columns]


def frame(picture: Image.Image) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the map: what its pale frame encloses."""
    pale = like(picture, PALE)
    down, across = (np.flatnonzero(pale.sum(axis=axis) > 100) for axis in (1, 0))
    return int(across[0]) + 1, int(down[0]) + 1, int(across[-1]), int(down[-1])


def cells(picture: Image.Image, rows: int, columns: int) -> list[list[NDArray[np.int64]]]:
    """The pixels of each cell."""
    left, top, right, bottom = frame(picture)
    inner = np.asarray(picture).astype(np.int64)[top:bottom, left:right]
    return [np.split(band, columns, axis=1) for band in np.split(inner, rows)]


def changed(one: Image.Image, other: Image.Image) -> tuple[int, int, int, int]:
    """The box of all pixels in which two pictures of one size differ."""
    assert one.size == other.size
    box = ImageChops.difference(one, other).getbbox()
    assert box is not None
    return box


def diagonal(classes: int) -> torch.Tensor:
    return 9 * torch.eye(classes, dtype=torch.int64) + 1


def names(classes: int) -> list[str]:
    return [f"class {k}" for k in range(classes)]


def test_bars_are_as_long_as_the_accuracies_from_the_top():
    found = bars(accuracies_figure(["a", "b", "c"], [0.6, 0.97, 1.0], [0.1, 0.1, 0.1], "t"))
    assert [long for _, _, long in found] == [0.6 * SCALE, 0.97 * SCALE, SCALE]
    assert len({left for _, left, _ in found}) == 1


def test_a_mark_stands_at_each_baseline():
    picture = accuracies_figure(["a", "b"], [0.6, 0.97], [0.1, 0.9], "t")
    left = bars(picture)[0][1]
    assert [x - left for x in marks(picture)] == [0.1 * SCALE, 0.9 * SCALE]


def test_a_baseline_that_is_not_finite_has_no_mark():
    assert marks(accuracies_figure(["a"], [0.6], [math.nan], "t")) == []


def test_a_name_stands_left_of_its_bar_and_the_value_right_of_it():
    one = accuracies_figure(["a", "b"], [0.5, 0.600], [0.1, 0.1], "t")
    named = accuracies_figure(["a", "d"], [0.5, 0.600], [0.1, 0.1], "t")
    valued = accuracies_figure(["a", "b"], [0.5, 0.601], [0.1, 0.1], "t")
    top, left, long = bars(one)[1]
    for box in (changed(one, named), changed(one, valued)):
        assert top - 5 < box[1] < box[3] < top + 22
    assert changed(one, named)[2] < left
    assert changed(one, valued)[0] > left + long


def row_of_one(value: float, baseline: float) -> tuple[NDArray[np.bool_], int, int, int]:
    """White pixels of a lone bar's row; left and right end of the bar; the baseline's mark."""
    picture = accuracies_figure(["a"], [value], [baseline], "t")
    (top, left, long), (mark,) = bars(picture)[0], marks(picture)
    return like(picture, "white")[top - 3 : top + 20], left, left + long, mark


@pytest.mark.parametrize("baseline", [0.51, 0.55, 0.6])
def test_a_value_stands_in_its_bar_where_the_baselines_mark_would_be(baseline):
    white, left, end, mark = row_of_one(0.5, baseline)
    assert white[:, end : mark - 1].all()
    assert white[:, mark + 2 : mark + 60].all()
    assert white[6:14, end - 40 : end - 6].any()
    assert not white[6:14, left : end - 60].any()


@pytest.mark.parametrize(("value", "baseline"), [(0.04, 0.1), (0.5, 0.495), (0.5, 0.5)])
def test_a_value_without_room_in_its_bar_stands_beyond_the_mark(value, baseline):
    white, _, end, mark = row_of_one(value, baseline)
    assert white[:, max(end, mark + 2) : mark + 6].all()
    assert not white[:, mark + 6 : mark + 45].all()
    if mark < end:
        return
    assert white[:, end : mark - 1].all()


def test_a_value_far_from_the_baseline_stands_right_of_its_bar():
    white, _, end, mark = row_of_one(0.5, 0.7)
    assert not white[:, end + 4 : end + 40].all()
    assert white[:, mark - 8 : mark - 1].all()


def test_cells_are_the_darker_the_larger_their_share_of_the_row():
    counts = torch.tensor([[0, 1, 2, 3, 4], [0, 10, 20, 30, 40]])
    first, second = cells(confusion_figure(counts, ["a", "b"], names(5), "t"), 2, 5)
    ground = [cell[2, 2] for cell in first]  # numbers stand in the middle
    assert all(np.diff([pixel.sum() for pixel in ground]) < 0)
    np.testing.assert_array_equal(ground, [cell[2, 2] for cell in second])


def test_a_share_of_one_is_dark_blue_and_an_empty_row_as_pale_as_zero():
    counts = torch.tensor([[7, 0], [0, 0]])
    (one, nought), empty = cells(confusion_figure(counts, ["a", "b"], ["a", "b"], "t"), 2, 2)
    np.testing.assert_array_equal(one[2, 2], ImageColor.getrgb("#08306b"))  # the ends of Blues
    for cell in (nought, *empty):
        assert (cell == ImageColor.getrgb("#f7fbff")).all()  # no number either


def test_numbers_are_white_on_dark_cells_and_black_on_light_ones():
    counts = torch.tensor([[3, 1], [1, 1]])
    (dark, light), _ = cells(confusion_figure(counts, ["a", "b"], ["a", "b"], "t"), 2, 2)
    assert dark.max() == 255
    assert (dark.min(axis=(0, 1)) == dark[2, 2]).all()
    assert light.min() < 80
    assert (light.max(axis=(0, 1)) == light[2, 2]).all()


@pytest.mark.parametrize(
    ("classes", "numbered", "named"),
    [(12, True, True), (13, False, True), (40, False, True), (41, False, False)],
)
def test_numbers_and_names_are_left_out_where_they_would_not_fit(classes, numbered, named):
    one = confusion_figure(diagonal(classes), names(classes), names(classes), "t")
    plain = [(cell == cell[2, 2]).all() for row in cells(one, classes, classes) for cell in row]
    assert not any(plain) if numbered else all(plain)
    other = confusion_figure(diagonal(classes), names(classes)[::-1], names(classes)[::-1], "t")
    assert (one == other) is not named


def test_a_large_count_has_room_in_its_cell():
    picture = confusion_figure(10**9 * diagonal(12), names(12), names(12), "t")
    for cell in (cell for row in cells(picture, 12, 12) for cell in row):
        assert (cell[:, [0, -1]] == cell[2, 2]).all()


def test_a_row_is_named_at_its_left_and_a_column_below_it():
    one = confusion_figure(diagonal(3), ["a", "b", "c"], ["a", "b", "c"], "t")
    row = changed(one, confusion_figure(diagonal(3), ["d", "b", "c"], ["a", "b", "c"], "t"))
    column = changed(one, confusion_figure(diagonal(3), ["a", "b", "c"], ["d", "b", "c"], "t"))
    left, top, right, bottom = frame(one)
    assert row[2] < left
    assert (row[1] + row[3]) / 2 == pytest.approx(top + (bottom - top) / 6, abs=3)
    assert bottom < column[1] < bottom + 12
    assert (column[0] + column[2]) / 2 == pytest.approx(left + (right - left) / 6, abs=6)


def test_turned_names_rise_to_the_right():
    ink = np.asarray(turned("mmmmmmmm", 10, 45))
    corner = len(ink) // 3
    assert ink[:corner, -corner:].any()
    assert ink[-corner:, :corner].any()
    assert not ink[:corner, :corner].any()
    assert not ink[-corner:, -corner:].any()


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        (["x" * 300, "a garment for the upper body with long sleeves, of wool, for men"] * 2,) * 2,
        (["Frühstücksbrötchen", "Ёлка", "雪", "שלום", "سلام", "two\nlines", ""],) * 2,
        (["cat", "dog"],) * 2,
        (["W" * 300] * 40,) * 2,
        (names(20), FOUND),
        (names(100), FOUND),
        (names(100), ["x" * 300] * 4),
    ],
)
def test_all_words_stay_inside_a_picture_of_decent_size(rows, columns):
    counts = torch.ones(len(rows), len(columns), dtype=torch.int64)
    accuracies = accuracies_figure(rows, [1.0] * len(rows), [1.0] * len(rows), "t")
    for picture in (confusion_figure(counts, rows, columns, "m" * 50), accuracies):
        inner = picture.crop((3, 3, picture.width - 3, picture.height - 3))
        around = Image.new("RGB", picture.size, "white")
        around.paste(inner, (3, 3))
        assert around == picture
        assert picture.width < 1000


def test_a_thousand_classes_get_no_larger_picture_than_ten():
    picture = confusion_figure(diagonal(1000), names(1000), names(1000), "t")
    ten = confusion_figure(diagonal(10), names(10), names(10), "t")
    assert picture.width <= ten.width
    assert picture.height <= ten.height
    left, top, right, _ = frame(picture)
    assert picture.getpixel((left, top)) != picture.getpixel((right - 1, top))


def test_names_are_cut_to_their_room_by_an_ellipsis():
    name = "a garment for the upper body"
    assert fitted(name, 10, 1000) == name
    cut = fitted(name, 10, 100)
    assert cut.endswith("…")
    assert name.startswith(cut[:-1])
    assert 85 < width(cut, 10) <= 100  # no letter of this font is wider than 15 pixels
    assert fitted("two\n lines", 10, 1000) == "two lines"


def test_a_drawn_picture_knows_its_size():
    picture = accuracies_figure(["one"], [0.5], [0.1], "t")
    png = compressed(picture)
    assert (png.width, png.height) == tuple(np.frombuffer(png.data[16:24], dtype=">u4"))
    assert Image.open(io.BytesIO(png.data)).tobytes() == picture.tobytes()
