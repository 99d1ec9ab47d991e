"""MNIST, KMNIST, CIFAR-10 and CIFAR-100 from tiny archives of the published formats."""

import gzip
import hashlib
import io
import os
import pickle
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from lossheads.datasets import CIFAR10, CIFAR100, KMNIST, MNIST
from lossheads.datasets.cifar import decode_batches
from lossheads.datasets.fetching import FetchFailed
from lossheads.datasets.published import PublishedImages
from lossheads.errors import UserError
from lossheads.outcomes import OneOf

from .checking import same, share_an_example, splits
from .conftest import idx

TRAIN, VAL, TEST = 200, 100, 100  # each split has all hundred classes
DIGITS, COLOURS = [MNIST, KMNIST], [CIFAR10, CIFAR100]
each = pytest.mark.parametrize("kind", DIGITS + COLOURS, ids=lambda kind: kind.__name__)


class Python2Pickler(pickle._Pickler):
    """Writes text as Python 2 did, the way the published batches are written."""

    dispatch: ClassVar[dict[Any, Any]] = dict(pickle._Pickler.dispatch)

    def save_text(self, value: Any) -> None:
        raw = value.encode("latin1") if isinstance(value, str) else value
        self.write(pickle.BINSTRING + len(raw).to_bytes(4, "little") + raw)
        self.memoize(value)

    dispatch[bytes] = dispatch[str] = save_text


def batch(images: np.ndarray, classes: np.ndarray, key: str) -> bytes:
    target = io.BytesIO()
    content = {"batch_label": "one", key: classes.tolist(), "data": images, "filenames": ["a.png"]}
    Python2Pickler(target, protocol=2).dump(content)
    return target.getvalue().replace(b"numpy._core.", b"numpy.core.")


@dataclass
class Stand:
    """Tiny files in place of the published ones, and what they hold."""

    kind: type[PublishedImages]
    files: dict[str, bytes]
    images: np.ndarray
    classes: np.ndarray
    archive: bytes

    def put(self, root: Path) -> Path:
        """Torchvision's layout below `root`; returns the folder of the files."""
        folder = root / self.kind.published.layout
        folder.mkdir(parents=True)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        return folder

    def refuse(self, folder: Path | None, cache: Path) -> str:
        with pytest.raises(UserError) as refused:
            self.kind(2).load(folder, cache)
        return str(refused.value)


def stand_in(kind: type[PublishedImages], monkeypatch: pytest.MonkeyPatch) -> Stand:
    published, rng = kind.published, np.random.default_rng(3)
    n, count = TRAIN + VAL + TEST, len(kind.names)
    images = rng.integers(0, 256, (n, *published.shape), dtype=np.uint8)
    classes = (np.arange(n) % count).astype(np.uint8)
    names = list(published.files)
    if kind in DIGITS:
        parts = [
            *(images[: TRAIN + VAL], classes[: TRAIN + VAL]),
            *(images[TRAIN + VAL :], classes[TRAIN + VAL :]),
        ]
        contents = [gzip.compress(idx(part)) for part in parts]
    else:
        key = "fine_labels" if kind is CIFAR100 else "labels"
        rows = [*np.array_split(np.arange(TRAIN + VAL), len(names) - 1), range(TRAIN + VAL, n)]
        flat = images.reshape(n, -1)
        contents = [batch(flat[list(each)], classes[list(each)], key) for each in rows]
    files = dict(zip(names, contents, strict=True))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{published.layout}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    archive = packed.getvalue()
    tiny = replace(
        published,
        files={name: hashlib.md5(content).hexdigest() for name, content in files.items()},
        train=TRAIN,
        val=VAL,
        fetches={},
        archive=(published.archive[0], hashlib.md5(archive).hexdigest())
        if published.archive
        else None,
    )
    monkeypatch.setattr(kind, "published", tiny)
    return Stand(kind, files, images, classes, archive)


@pytest.fixture
def stand(kind: type[PublishedImages], monkeypatch: pytest.MonkeyPatch) -> Stand:
    return stand_in(kind, monkeypatch)


@each
def test_splits_are_the_published_rows_in_order(stand, tmp_path):
    stand.put(tmp_path / "cache")
    source = stand.kind(len(stand.kind.names))
    dataset = source.load(None, tmp_path / "cache")
    assert source.outcome == dataset.outcome == OneOf(len(stand.kind.names))
    assert dataset.class_names == stand.kind.names
    assert [len(split) for split in splits(dataset)] == [TRAIN, VAL, TEST]
    assert not share_an_example(dataset)
    expected = torch.from_numpy(stand.images).reshape(len(stand.images), -1).float() / 255
    found = torch.cat([split.inputs for split in splits(dataset)])
    assert found.shape[1:] == ((1, 28, 28) if stand.kind in DIGITS else (3, 32, 32))
    assert torch.equal(found.flatten(1), expected)
    labels = torch.cat([split.labels for split in splits(dataset)])
    assert labels.tolist() == stand.classes.tolist()
    assert all(md5 in dataset.provenance.checksum for md5 in stand.kind.published.files.values())


@each
def test_the_folder_may_be_named_or_contain_the_layout(stand, tmp_path):
    folder = stand.put(tmp_path / "mine")
    one = stand.kind(2).load(folder, tmp_path / "cache")
    assert same(one, stand.kind(2).load(tmp_path / "mine", tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()
    assert one.train.labels.unique().tolist() == [0, 1]


@pytest.mark.parametrize("kind", COLOURS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("named", [True, False])
def test_the_archive_serves_without_being_unpacked(stand, tmp_path, named):
    stand.put(tmp_path / "mine")
    expected = stand.kind(2).load(tmp_path / "mine", tmp_path / "cache")
    packed = tmp_path / "packed"
    packed.mkdir()
    (packed / stand.kind.published.archive[0]).write_bytes(stand.archive)
    assert same(expected, stand.kind(2).load(packed if named else None, packed))
    assert not (packed / stand.kind.published.layout).exists()


@each
def test_a_download_serves_and_is_kept_as_one_decoded_copy(stand, monkeypatch, tmp_path):
    def fetch(folder):
        return stand.put(folder)

    tiny = replace(stand.kind.published, fetches={"torchvision": fetch})
    monkeypatch.setattr(stand.kind, "published", tiny)
    one = stand.kind(2).load(None, tmp_path)
    kept = sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".lock")
    assert [name.split("-")[0] for name in kept] == [tiny.name]
    monkeypatch.setattr(stand.kind, "published", replace(tiny, fetches={}))
    assert same(one, stand.kind(2).load(None, tmp_path))


@each
def test_without_files_and_network_one_sentence_names_the_remedies(stand, monkeypatch, tmp_path):
    def fetch(folder):
        raise FetchFailed("no route to host")

    tiny = replace(stand.kind.published, fetches={"torchvision": fetch})
    monkeypatch.setattr(stand.kind, "published", tiny)
    text = stand.refuse(None, tmp_path)
    assert text.startswith(tiny.name)
    for words in ("torchvision: no route to host", "data_dir=", "network", str(tiny.layout)):
        assert words in text
    assert "\n" not in text
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


@each
def test_an_altered_file_is_refused_by_name(stand, tmp_path):
    folder = stand.put(tmp_path / "mine")
    for name, content in stand.files.items():
        (folder / name).write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
        text = stand.refuse(folder, tmp_path)
        assert str(folder / name) in text
        assert "get it again" in text
        (folder / name).write_bytes(content)
    stand.kind(2).load(folder, tmp_path)


@each
def test_a_missing_file_is_named(stand, tmp_path):
    folder = stand.put(tmp_path / "mine")
    name = list(stand.files)[-1]
    (folder / name).unlink()
    text = stand.refuse(folder, tmp_path)
    assert name in text
    assert f"data_dir={folder}" in text


class Evil:
    def __init__(self, witness: Path) -> None:
        self._witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._witness),)


@pytest.mark.parametrize("kind", COLOURS, ids=lambda kind: kind.__name__)
def test_a_strangers_pickle_runs_nothing(stand, tmp_path):
    witness, folder = tmp_path / "witness", stand.put(tmp_path / "mine")
    evil = pickle.dumps({"data": Evil(witness), "labels": [0]}, protocol=2)
    name = next(iter(stand.files))
    (folder / name).write_bytes(evil)
    assert name in stand.refuse(folder, tmp_path / "cache")
    # The second lock: even with the right checksum.
    with pytest.raises(UserError, match="mkdir"):
        decode_batches([evil])
    assert not witness.exists()
    pickle.loads(evil)  # else the test would prove nothing
    assert witness.exists()


@pytest.mark.parametrize("kind", COLOURS, ids=lambda kind: kind.__name__)
def test_an_altered_archive_is_not_unpacked(stand, tmp_path):
    path = tmp_path / stand.kind.published.archive[0]
    path.write_bytes(stand.archive[:-1] + b"?")
    text = stand.refuse(tmp_path, tmp_path / "cache")
    assert str(path) in text
    assert "md5" in text


@each
def test_numbers_of_classes_out_of_range_are_refused(kind):
    most = len(kind.names)
    for classes in (1, most + 1, "two"):
        with pytest.raises(UserError, match=f"{kind.published.name}.*from 2 to {most}"):
            kind(classes)


@each
def test_checksums_and_layout_are_torchvisions(kind):
    """An independent source: torchvision's own tables."""
    theirs = getattr(pytest.importorskip("torchvision.datasets"), kind.__name__)
    ours = kind.published
    if kind in DIGITS:
        assert dict(theirs.resources) == ours.files
        assert ours.layout == Path(theirs.__name__, "raw")
    else:
        assert dict(theirs.train_list + theirs.test_list) == ours.files
        assert ours.archive == (theirs.filename, theirs.tgz_md5)
        assert ours.layout == Path(theirs.base_folder)
    if kind is KMNIST:
        assert tuple(theirs.classes) == kind.names
    assert ours.train + ours.val == (60_000 if kind in DIGITS else 50_000)


def test_the_hundred_classes_are_in_alphabetical_order():
    assert len(CIFAR100.names) == 100
    assert list(CIFAR100.names) == sorted(set(CIFAR100.names))


@each
@pytest.mark.slow
def test_torchvision_reads_the_same_from_the_same_files(stand, tmp_path, monkeypatch):
    """An independent reader of the stand-ins: that they have the published format."""
    theirs = getattr(pytest.importorskip("torchvision.datasets"), stand.kind.__name__)
    stand.put(tmp_path)
    if stand.kind in DIGITS:
        for name, content in stand.files.items():
            plain = tmp_path / stand.kind.published.layout / name.removesuffix(".gz")
            plain.write_bytes(gzip.decompress(content))
    else:
        monkeypatch.setattr(theirs, "_check_integrity", lambda self: True)
        monkeypatch.setattr(theirs, "_load_meta", lambda self: None)
    ours = stand.kind(len(stand.kind.names)).load(tmp_path, tmp_path / "cache")
    test = theirs(tmp_path, train=False)
    pixels = torch.as_tensor(np.asarray(test.data))
    pixels = pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
    assert torch.equal(ours.test.inputs, pixels.float() / 255)
    assert ours.test.labels.tolist() == [int(label) for label in test.targets]
