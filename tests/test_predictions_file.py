"""The file of predictions comes back as written, and refuses whatever else lies under its name."""

import io
from pathlib import Path

import numpy as np
import pytest

from lossheads.errors import UserError
from lossheads.predictions_file import (
    NAME,
    SavedPredictions,
    bytes_needed,
    read_predictions,
    write_predictions,
)

DRAW = np.random.default_rng(0)
LOGITS = DRAW.normal(size=(40, 3)).astype("float32")
SAVED = SavedPredictions(LOGITS, DRAW.integers(0, 3, 40), np.arange(40), "0123456789")


def test_predictions_come_back_as_written(tmp_path):
    write_predictions(tmp_path, SAVED)
    found = read_predictions(tmp_path)
    for name in ("logits", "labels", "example_ids"):
        written, read = getattr(SAVED, name), getattr(found, name)
        assert (written.dtype, written.tobytes()) == (read.dtype, read.tobytes())
    assert found.examples_digest == "0123456789"
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    headers = (tmp_path / NAME).stat().st_size - bytes_needed(40, 3, 8)
    assert 0 < headers < 2_000


def test_the_file_is_plain_numpy_without_pickle(tmp_path):
    write_predictions(tmp_path, SAVED)
    with np.load(tmp_path / NAME, allow_pickle=False) as file:
        assert sorted(file.files) == ["example_ids", "examples_digest", "labels", "logits"]


def archive(**changes):
    """The bytes of an archive with arrays changed, or left out where they are None."""
    arrays = {
        "logits": LOGITS,
        "labels": SAVED.labels,
        "example_ids": SAVED.example_ids,
        "examples_digest": np.array("0123456789"),
        **changes,
    }
    content = io.BytesIO()
    np.savez(content, **{name: array for name, array in arrays.items() if array is not None})
    return content.getvalue()


def single(array):
    content = io.BytesIO()
    np.save(content, array, allow_pickle=True)
    return content.getvalue()


def flipped(at):
    whole = bytearray(archive())
    whole[at] ^= 0xFF
    return bytes(whole)


GARBLED = {
    "empty": b"",
    "text": b"hello",
    "torn": archive()[:300],
    "without its end": archive()[:-10],
    "a flipped bit": flipped(250),
    "a flipped header": flipped(60),
    "one array": single(LOGITS),
    "a pickle": single(np.array([{"a": 1}], dtype=object)),
    "objects": archive(labels=np.array([None] * 40, dtype=object)),
    "no logits": archive(logits=None),
    "no labels": archive(labels=None),
    "no digest": archive(examples_digest=None),
    "another array": archive(more=np.zeros(3)),
    "float64": archive(logits=LOGITS.astype("float64")),
    "flat": archive(logits=LOGITS.ravel()),
    "no rows": archive(logits=LOGITS[:0], labels=SAVED.labels[:0], example_ids=np.arange(0)),
    "fewer labels": archive(labels=SAVED.labels[:-1]),
    "labels of text": archive(labels=np.array(["a"] * 40)),
    "fewer ids": archive(example_ids=np.arange(39)),
    "ids of floats": archive(example_ids=np.arange(40.0)),
    "two digests": archive(examples_digest=np.array(["a", "b"])),
    "a number for a digest": archive(examples_digest=np.array(3)),
}


@pytest.mark.parametrize("name", GARBLED)
def test_a_garbled_file_is_refused_in_one_sentence(tmp_path, name):
    (tmp_path / NAME).write_bytes(GARBLED[name])
    with pytest.raises(UserError, match=r"is damaged: .*force=true") as refused:
        read_predictions(tmp_path)
    assert str(refused.value).startswith(str(tmp_path / NAME))
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_or_no_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"does not exist: .*recording\.predictions=true"):
        read_predictions(tmp_path)
    (tmp_path / NAME).mkdir()
    with pytest.raises(UserError, match="cannot be read: is a directory"):
        read_predictions(tmp_path)
