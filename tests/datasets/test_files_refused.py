"""The user's own files: what is refused, by name and row."""

import io
from dataclasses import replace
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from lossheads.errors import UserError

from .own_files import SOURCE, npz, pictures, table


def objects(folder):
    return npz(folder, labels=np.array([{"a": 1}] * 60, dtype=object))


def nan(folder):
    inputs = np.zeros((60, 4))
    inputs[17, 2], inputs[40, 0] = np.nan, np.inf
    return npz(folder, inputs=inputs)


def switch(folder):
    labels = np.zeros((60, 2), dtype=int)
    labels[0], labels[9, 1] = 1, 2
    return npz(folder, "any_of", labels=labels)


def negative(folder):
    return npz(folder, labels=np.where(np.arange(60) == 5, -1, np.arange(60) % 3))


def beyond(folder):
    return npz(folder, class_names=np.array(["a", "b"]))


def rare(folder):
    # One example of class 2, which seed 0 deals to another split: checked by the refusal itself.
    rows = np.random.default_rng(0).permutation(60)
    labels = np.arange(60) % 2
    labels[rows[0]] = 2
    return npz(folder, labels=labels)


def few(folder):
    labels = np.arange(4) % 2
    return replace(npz(folder, inputs=np.zeros((4, 4)), labels=labels), val_share=0.1)


PETS = ["cat", "dog"]

REFUSED_ARRAYS = [
    (objects, r"mine.npz cannot be read as an .npz of plain arrays \(it holds Python objects"),
    (lambda f: npz(f, labels=np.zeros(0, int), inputs=np.zeros((0, 4))), "mine.npz holds no rows"),
    (lambda f: npz(f, labels=np.arange(60) % 3 - 1), "label -1: .*; count classes from 0"),
    (
        lambda f: npz(f, labels=None),
        "mine.npz must have the arrays inputs and labels; labels is missing",
    ),
    (
        lambda f: npz(f, inputs=None),
        "mine.npz must have the arrays inputs and labels; inputs is missing",
    ),
    (nan, r"mine.npz, row 17 has inputs that are not finite, as have 1 other rows"),
    (negative, r"mine.npz, row 5 has label -1: labels must be in 0 … 2"),
    (beyond, r"mine.npz, row 2 has label 2: labels must be in 0 … 1, one per class \(a, b\)"),
    (switch, r"mine.npz, row 9 has labels \[0, 2\]: any_of needs 0 or 1"),
    (lambda f: npz(f, labels=np.zeros(60)), r"float64: .* convert them with labels\.astype\(int\)"),
    (lambda f: npz(f, labels=np.array([b"a", b"b"] * 30)), r"or labels\.astype\(str\)"),
    (lambda f: npz(f, labels=np.arange(60) % 2 == 0), r"type bool: one_of needs integers"),
    (lambda f: npz(f, labels=np.ones((60, 2), bool)), r"0 and 1 of .* use dataset\.kind=any_of"),
    (lambda f: npz(f, labels=np.ones((60, 2), int)), r"0 and 1 of .* use dataset\.kind=any_of"),
    (lambda f: npz(f, labels=np.eye(3)[np.arange(60) % 3]), r"one-hot .* labels\.argmax\(axis=1\)"),
    (
        lambda f: npz(f, "each_one_of", labels=np.ones((60, 2), bool)),
        r"each_one_of needs class numbers; .* use dataset\.kind=any_of",
    ),
    (lambda f: npz(f, "any_of", labels=np.arange(60) % 3), r"row 2 .* use dataset\.kind=one_of"),
    (
        lambda f: npz(f, labels=np.array(["cat", "dgo", "dog"] * 20), class_names=np.array(PETS)),
        r"mine.npz, row 1 has the unknown class 'dgo'; did you mean dog",
    ),
    (lambda f: npz(f, labels=np.zeros(0, "U3")), "mine.npz holds no rows"),
    (few, r"has 4 examples, .*val_share=0.1 give 1 to test, 0 to validation and 3 to training"),
    (lambda f: npz(f, labels=np.zeros((60, 1, 1), dtype=int)), r"labels of shape \(60, 1, 1\)"),
    (lambda f: npz(f, labels=np.arange(60) % 3 * 2), "has no example of 1, 3"),
    (lambda f: npz(f, labels=np.full(60, 10**12)), "holds the label 1000000000000 among 60"),
    (lambda f: npz(f, inputs=np.zeros((59, 4))), r"inputs of shape \(59, 4\) for 60 labels"),
    (lambda f: npz(f, inputs=np.zeros((60, 8, 8, 3))), r"look like channels last"),
    (lambda f: npz(f, inputs=np.zeros((60, 0))), r"inputs must not be empty, got shape \(60, 0\)"),
    (lambda f: npz(f, inputs=np.full((60, 4), 1e100)), "inputs that are not finite"),
    (lambda f: npz(f, labels=np.zeros(60, dtype=int)), r"has one class only \(0\)"),
    (lambda f: npz(f, inputs=np.zeros((60, 4, 4))), r"images \(N, channels, H, W\)"),
    (lambda f: npz(f, inputs=np.zeros((60, 4), dtype=int)), "inputs must be floats.* got int64"),
    (lambda f: npz(f, class_names=np.array(["a", "a", "b"])), "names must differ, got a, a, b"),
    (lambda f: npz(f, "any_of", class_names=np.array(["a"])), "names 1 classes"),
    (rare, "so few examples of 2 that none is among the 30"),
]


@pytest.mark.parametrize(("make", "rule"), REFUSED_ARRAYS)
def test_wrong_arrays_are_refused_by_name_and_row(tmp_path, make, rule):
    with pytest.raises(UserError, match=rule):
        make(tmp_path).load(None, tmp_path)


def saved_array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"", b"text", b"PK\x03\x04 cut", saved_array()],
    ids=["empty", "text", "cut", "array"],
)
def test_files_that_are_no_archives_are_refused(tmp_path, content):
    (tmp_path / "mine.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"mine.npz cannot be read as an .npz") as caught:
        replace(SOURCE, path=str(tmp_path / "mine.npz")).load(None, tmp_path)
    assert "pickle" not in str(caught.value)


def test_a_member_that_is_no_array_is_refused(tmp_path):
    source = npz(tmp_path, inputs=None)
    with ZipFile(str(source.path), "a") as archive:
        archive.writestr("inputs.npy", b"text")
    with pytest.raises(UserError, match="inputs is no array"):
        source.load(None, tmp_path)


def odd_size(folder, names):
    Image.new("L", (6, 6)).save(folder / names[4])


def no_image(folder, names):
    (folder / names[4]).write_text("text")


def gone(folder, names):
    (folder / names[4]).unlink()


def deep(folder, names):
    Image.fromarray(np.full((5, 6), 40_000, dtype=np.uint16)).save(folder / names[4])


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        (odd_size, r"labels.csv, line 6 is 6 x 6 pixels, the first image 5 x 6"),
        (no_image, r"labels.csv, line 6: the image .*04.png cannot be read"),
        (gone, r"labels.csv, line 6: the image .*04.png cannot be read"),
        (deep, r"labels.csv, line 6: the image .*04.png has more than 8 bits"),
    ],
)
def test_wrong_images_are_refused_by_name_and_line(tmp_path, spoil, rule):
    names = pictures(tmp_path)
    spoil(tmp_path, names)
    rows = [[name, k % 2] for k, name in enumerate(names)]
    with pytest.raises(UserError, match=rule):
        table(tmp_path, ["file", "label"], rows, "one_of").load(None, tmp_path)


@pytest.mark.parametrize(
    ("header", "change", "kind", "rule"),
    [
        (["file", "a", "b"], {}, "one_of", "has 2 label columns: dataset.kind=one_of needs one"),
        (["file", "a", "b"], {3: ["03.png", 1, 2]}, "any_of", "line 5 holds '2': any_of needs"),
        (["file", "a", "b"], {3: ["03.png", 1]}, "any_of", "line 5 must have 3 cells .* got 2"),
        (["file", "a", "b"], {3: ["02.png", 0, 0]}, "any_of", "line 5 repeats the image 02.png"),
        (["file", "a", "a"], {}, "any_of", "class names must differ, got a, a"),
        (["file"], {}, "one_of", "header of at least 2 columns"),
    ],
)
def test_wrong_tables_are_refused_by_line(tmp_path, header, change, kind, rule):
    names = pictures(tmp_path)
    rows = [[name, k % 2, k // 2 % 2] for k, name in enumerate(names)]
    for row, cells in change.items():
        rows[row] = cells
    with pytest.raises(UserError, match=rule):
        table(tmp_path, header, rows, kind).load(None, tmp_path)


def test_a_table_without_rows_is_said_to_have_none(tmp_path):
    with pytest.raises(UserError, match=r"labels.csv holds no rows"):
        table(tmp_path, ["file", "side"], [], "one_of").load(None, tmp_path)


def test_of_many_classes_without_an_image_five_are_named(tmp_path):
    pictures(tmp_path / "side")
    for number in range(40):
        (tmp_path / f"other_{number:02}").mkdir()
    named = ", ".join(f"other_{number:02}" for number in range(5))
    with pytest.raises(UserError, match=f"has no example of {named} and 35 more: ") as caught:
        replace(SOURCE, path=str(tmp_path)).load(None, tmp_path)
    assert "other_05" not in str(caught.value)


def test_unknown_class_in_a_table_is_refused_with_near_matches(tmp_path):
    rows = [[name, "left" if k else "lefd"] for k, name in enumerate(pictures(tmp_path))]
    source = replace(
        table(tmp_path, ["file", "side"], rows, "one_of"), class_names=["left", "right"]
    )
    with pytest.raises(UserError, match=r"line 2 has the unknown class 'lefd'; did you mean left"):
        source.load(None, tmp_path)


def test_class_without_an_image_is_refused(tmp_path):
    rows = [[name, "left"] for name in pictures(tmp_path)]
    source = replace(
        table(tmp_path, ["file", "side"], rows, "one_of"), class_names=["left", "right"]
    )
    with pytest.raises(UserError, match="has no example of right"):
        source.load(None, tmp_path)


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"kind": "any"}, "kind=any: did you mean any_of"),
        ({"channels": 2}, "channels must be .* got 2"),
        ({"channels": "3"}, "channels must be 1 or 3, got '3'"),
        ({"val_share": 0}, "val_share must be .* got 0"),
        ({"val_share": 0.6, "test_share": 0.5}, r"val_share \+ test_share must be .* got 1.1"),
        ({"resize": 28}, r"resize must be \[height,width\], got 28"),
        ({"resize": [28, 0]}, "width must be .* got 0"),
        ({"resize": 3.5}, r"resize must be \[height,width\], got 3.5"),
        ({"resize": [100000, 28]}, "height must be an integer from 1 to 4096, got 100000"),
        ({"class_names": "ab"}, "class_names must be a list of names, got ab"),
        ({"class_names": 3}, "class_names must be a list of names, got 3"),
    ],
)
def test_wrong_settings_are_refused(settings, rule):
    with pytest.raises(UserError, match=rule):
        replace(SOURCE, **settings)


@pytest.mark.parametrize("path", [None, "nowhere.npz", "mine.txt"])
def test_path_that_leads_nowhere_is_refused(tmp_path, path):
    (tmp_path / "mine.txt").write_text("text")
    source = replace(SOURCE, path=path and str(tmp_path / path))
    with pytest.raises(UserError, match=r"an \.npz, a \.csv .* dataset\.path="):
        source.load(None, tmp_path)


def test_folder_of_several_labels_is_refused(tmp_path):
    with pytest.raises(
        UserError,
        match=r"kind must be one_of for the folder .* got any_of.* use dataset.kind=one_of",
    ):
        replace(SOURCE, path=str(tmp_path), kind="any_of").load(None, tmp_path)


def test_empty_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"has labels of shape \(0,\)"):
        replace(SOURCE, path=str(tmp_path)).load(None, tmp_path)
