"""The user's own files: what is read, and how it is dealt out."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from lossheads.outcomes import AnyOf, EachOneOf, OneOf

from .checking import same, share_an_example, splits
from .own_files import SOURCE, npz, pictures, table


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [("one_of", OneOf(3)), ("any_of", AnyOf(2)), ("each_one_of", EachOneOf(2, 3))],
)
def test_npz_serves_every_outcome(tmp_path, kind, outcome):
    source = npz(tmp_path, kind)
    dataset = source.load(None, tmp_path)
    assert source.outcome == dataset.outcome == outcome
    assert [len(split) for split in splits(dataset)] == [30, 12, 18]
    assert not share_an_example(dataset)
    assert dataset.train.inputs.dtype == torch.float32


def test_rows_of_an_npz_keep_their_labels(tmp_path):
    source = npz(tmp_path)
    arrays = np.load(tmp_path / "mine.npz")
    whole = {
        row.astype(np.float32).tobytes(): label
        for row, label in zip(arrays["inputs"], arrays["labels"], strict=True)
    }
    seen = 0
    for split in splits(source.load(None, tmp_path)):
        for row, label in zip(split.inputs.numpy(), split.labels.tolist(), strict=True):
            assert whole[row.tobytes()] == label
            seen += 1
    assert seen == 60


def test_bytes_are_pixels_and_names_come_from_the_file(tmp_path):
    images = np.full((60, 1, 3, 3), 51, dtype=np.uint8)
    dataset = npz(tmp_path, inputs=images, class_names=np.array(["a", "b", "c"])).load(
        None, tmp_path
    )
    assert dataset.class_names == ("a", "b", "c")
    assert torch.equal(dataset.val.inputs, torch.full((12, 1, 3, 3), 0.2))


@pytest.mark.parametrize("kind", ["one_of", "any_of"])
def test_names_given_go_before_those_of_the_file(tmp_path, kind):
    names = ["u", "v", 7][: 3 if kind == "one_of" else 2]
    source = npz(tmp_path, kind, class_names=np.array(["a", "b", "c"][: len(names)]))
    dataset = replace(source, class_names=names).load(None, tmp_path)
    assert dataset.class_names == tuple(map(str, names))


def test_words_are_classes(tmp_path):
    words = np.array(["owl", "bat", "cat"])[np.arange(60) % 3]
    found = npz(tmp_path, labels=words).load(None, tmp_path)
    numbers = npz(tmp_path, labels=np.array([2, 0, 1])[np.arange(60) % 3]).load(None, tmp_path)
    assert found.class_names == ("bat", "cat", "owl")
    assert torch.equal(found.train.labels, numbers.train.labels)
    given = npz(tmp_path, labels=words, class_names=np.array(["owl", "cat", "bat"]))
    assert given.load(None, tmp_path).class_names == ("owl", "cat", "bat")
    sets = npz(tmp_path, "each_one_of", labels=np.stack([words, words[::-1]], axis=1))
    assert sets.outcome == EachOneOf(2, 3)
    assert sets.load(None, tmp_path).train.labels.shape == (30, 2)


def test_seed_deals_the_examples(tmp_path):
    source = npz(tmp_path)
    one, other = source.load(None, tmp_path), replace(source, seed=1).load(None, tmp_path)
    assert same(one, source.load(None, tmp_path))
    assert not torch.equal(one.test.inputs, other.test.inputs)


def test_folders_are_classes(tmp_path):
    for name, count in (("cat", 10), ("dog", 20)):
        (tmp_path / name).mkdir()
        for k in range(count):
            Image.new("L", (6, 5), 10 * k + (name == "dog")).save(tmp_path / name / f"{k}.png")
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / ".thumbnails").mkdir()
    source = replace(SOURCE, path=str(tmp_path))
    dataset = source.load(None, tmp_path)
    assert source.outcome == dataset.outcome == OneOf(2)
    assert dataset.class_names == ("cat", "dog")
    assert dataset.input_shape == (1, 5, 6)
    assert sum(len(split) for split in splits(dataset)) == 30
    for split in splits(dataset):
        values = (split.inputs[:, 0, 0, 0] * 255).round().long()
        assert torch.equal(values % 10, split.labels)


def test_table_of_one_class_per_image(tmp_path):
    names = pictures(tmp_path / "images")
    rows = [[f"images/{name}", "odd" if k % 2 else "even"] for k, name in enumerate(names)]
    dataset = table(tmp_path, ["file", "label"], rows, "one_of").load(None, tmp_path)
    assert dataset.class_names == ("even", "odd")
    for split in splits(dataset):
        k = (split.inputs[:, 0, 0, 0] * 255 / 8).round().long()
        assert torch.equal(k % 2, split.labels)


def test_table_of_several_labels_per_image(tmp_path):
    names = pictures(tmp_path)
    rows = [[name, k % 2, int(k % 3 == 0)] for k, name in enumerate(names)]
    dataset = table(tmp_path, ["file", "odd", "third"], rows, "any_of").load(None, tmp_path)
    assert dataset.outcome == AnyOf(2)
    assert dataset.class_names == ("odd", "third")
    k = (dataset.test.inputs[:, 0, 0, 0] * 255 / 8).round().long()
    assert torch.equal(torch.stack([k % 2 == 1, k % 3 == 0], dim=1), dataset.test.labels)


def test_table_of_sets_with_the_order_of_classes_given(tmp_path):
    names = pictures(tmp_path)
    words = ["low", "high"]
    rows = [[name, words[k % 2], words[k // 2 % 2]] for k, name in enumerate(names)]
    source = table(tmp_path, ["file", "left", "right"], rows, "each_one_of")
    dataset = replace(source, class_names=words).load(None, tmp_path)
    assert dataset.outcome == EachOneOf(2, 2)
    k = (dataset.test.inputs[:, 0, 0, 0] * 255 / 8).round().long()
    assert torch.equal(torch.stack([k % 2, k // 2 % 2], dim=1), dataset.test.labels)


def test_images_can_be_coloured_and_resized(tmp_path):
    rows = [[name, k % 2] for k, name in enumerate(pictures(tmp_path))]
    source = table(tmp_path, ["file", "label"], rows, "one_of")
    dataset = replace(source, channels=3, resize=[4, 7]).load(None, tmp_path)
    assert dataset.input_shape == (3, 4, 7)


def test_files_beside_a_table_are_no_part_of_its_fingerprint(tmp_path):
    """What a run writes below the folder must not make the next call another run."""
    names = pictures(tmp_path)
    rows = [[name, "odd" if k % 2 else "even"] for k, name in enumerate(names)]
    source = table(tmp_path, ["file", "label"], rows, "one_of")
    before = source.fingerprint()
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "metrics.png").write_bytes(b"a picture of ours")
    assert source.fingerprint() == before
    Image.new("L", (6, 5), 1).save(tmp_path / names[0])
    assert source.fingerprint() != before
