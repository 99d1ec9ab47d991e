import numpy as np
import pytest
import torch

from lossheads.recording_tensorboard.pictures import accuracies_figure, counts_figure, draw


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_bars_are_as_long_as_the_accuracies_and_marked_at_their_floors():
    figure = accuracies_figure(["one", "two"], [0.6, 0.97], [0.1, 0.9], "a title")
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [0.6, 0.97]
    (marks,) = axes.collections
    assert [segment[0][0] for segment in marks.get_segments()] == [0.1, 0.9]
    assert texts(axes)[:4] == ["one", "0.600", "two", "0.970"]
    assert [text.get_position()[1] for text in axes.texts[:4]] == [0, 0, 1, 1]
    assert "a title" in texts(figure)


def test_the_map_shows_shares_of_rows_and_numbers_counts():
    counts = torch.tensor([[3, 1], [0, 0]])
    (axes,) = counts_figure(counts, ["a", "b"], ["a", "b"], "t").axes
    (image,) = axes.images
    np.testing.assert_allclose(image.get_array(), [[0.75, 0.25], [0, 0]])
    assert texts(axes) == ["3", "1", "a", "b", "a", "b"]  # cells, columns, rows; 0 is left out


@pytest.mark.parametrize(("classes", "numbers", "names"), [(12, 144, 12), (13, 0, 13), (41, 0, 0)])
def test_numbers_and_names_are_left_out_where_they_would_not_fit(classes, numbers, names):
    labels = [f"class {k}" for k in range(classes)]
    counts = torch.ones(classes, classes, dtype=torch.int64)
    (axes,) = counts_figure(counts, labels, labels, "t").axes
    assert texts(axes).count("1") == numbers
    assert len([text for text in texts(axes) if text in labels]) == 2 * names


def test_a_drawn_picture_knows_its_size():
    png = draw(accuracies_figure(["one"], [0.5], [0.1], "t"))
    assert png.data.startswith(b"\x89PNG")
    assert (png.width, png.height) == tuple(np.frombuffer(png.data[16:24], dtype=">u4"))
