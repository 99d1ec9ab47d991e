"""Where Fashion-MNIST comes from, what is believed, and what is left behind when it is not."""

import errno
import gzip
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from lossheads.datasets import cache as array_cache
from lossheads.datasets import garments
from lossheads.datasets.fetching import FetchFailed
from lossheads.datasets.garments import TORCHVISION, read_garments
from lossheads.errors import UserError

from .conftest import TEST_FILE, TRAIN_FILE, VAL


def images_in(content: bytes) -> np.ndarray:
    return np.frombuffer(content, dtype=np.uint8, offset=16).reshape(-1, 28, 28)


def leftovers(cache: Path) -> list[str]:
    """What lies in the cache folder beside the lock and torchvision's layout."""
    ours = {".fashion_mnist.lock", "FashionMNIST"}
    return sorted(path.name for path in cache.iterdir() if path.name not in ours)


def test_splits_are_the_files_rows_in_order(files, place, tmp_path):
    parts = read_garments(place(tmp_path / "mine"), tmp_path / "cache")
    assert {part: len(rows.images) for part, rows in parts.items()} == {
        "train": TRAIN_FILE - VAL,
        "val": VAL,
        "test": TEST_FILE,
    }
    train_file = np.concatenate([parts["train"].images, parts["val"].images])
    assert np.array_equal(train_file, images_in(files["train-images-idx3-ubyte"]))
    assert np.array_equal(parts["test"].images, images_in(files["t10k-images-idx3-ubyte"]))
    labels = np.frombuffer(files["t10k-labels-idx1-ubyte"], dtype=np.uint8, offset=8)
    assert np.array_equal(parts["test"].classes, labels)


@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize("below", ["", str(TORCHVISION)])
def test_data_dir_may_hold_either_layout_plain_or_gzipped(place, tmp_path, below, gzipped):
    place(tmp_path / "mine" / below, gzipped)
    parts = read_garments(tmp_path / "mine", tmp_path / "cache")
    assert len(parts["test"].images) == TEST_FILE


@pytest.mark.parametrize("where", ["torchvision", "debian", "fetched"])
def test_without_data_dir_every_known_place_serves(place, monkeypatch, tmp_path, where):
    cache = tmp_path / "cache"
    if where == "torchvision":
        place(cache / TORCHVISION, gzipped=True)
    elif where == "debian":
        place(garments.DEBIAN, gzipped=True)
    else:
        monkeypatch.setattr(garments, "FETCHES", {"a": lambda folder: place(folder / "got")})
    parts = read_garments(None, cache)
    assert len(parts["train"].images) == TRAIN_FILE - VAL
    copies = [name for name in leftovers(cache) if name.startswith("fashion_mnist-")]
    assert leftovers(cache) == copies
    assert len(copies) == 1


def damage(folder: Path) -> None:
    path = folder / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"?")


def test_places_are_asked_in_the_documented_order(place, monkeypatch, tmp_path):
    cache, asked = tmp_path / "cache", []

    def fetch(name):
        def failing(folder):
            asked.append(name)
            raise FetchFailed("no way")

        return failing

    monkeypatch.setattr(garments, "FETCHES", {name: fetch(name) for name in ("first", "second")})
    with pytest.raises(UserError):
        read_garments(None, cache)
    assert asked == ["first", "second"]
    # Each place is damaged, then a better one is filled: the better one must be read first.
    damage(place(garments.DEBIAN))
    with pytest.raises(UserError, match="debian/t10k-images"):
        read_garments(None, cache)
    damage(place(cache / TORCHVISION))
    with pytest.raises(UserError, match="FashionMNIST/raw/t10k-images"):
        read_garments(None, cache)
    read_garments(place(tmp_path / "mine"), cache)
    assert asked == ["first", "second"]


def test_torchvision_is_asked_before_apt():
    assert list(garments.FETCHES) == ["torchvision", "apt-get"]


def truncate(content: bytes) -> bytes:
    return content[: len(content) // 2]


def alter(content: bytes) -> bytes:
    return content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]


@pytest.mark.parametrize("spoil", [truncate, alter, lambda _: b""], ids=["cut", "altered", "empty"])
@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize("name", list(garments.FILES))
def test_damaged_file_is_refused_by_name(place, tmp_path, name, gzipped, spoil):
    path = place(tmp_path / "cache" / TORCHVISION, gzipped) / (name + ".gz" * gzipped)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(UserError, match=f"{name}.*delete .*{name}.* get it again"):
        read_garments(None, tmp_path / "cache")
    assert leftovers(tmp_path / "cache") == []


def test_swapped_files_are_refused(place, tmp_path):
    folder = place(tmp_path / "mine")
    (folder / "train-labels-idx1-ubyte").replace(folder / "aside")
    (folder / "t10k-labels-idx1-ubyte").replace(folder / "train-labels-idx1-ubyte")
    (folder / "aside").replace(folder / "t10k-labels-idx1-ubyte")
    with pytest.raises(UserError, match=r"train-labels-idx1-ubyte holds 108 bytes with md5"):
        read_garments(folder, tmp_path / "cache")


def test_archives_with_another_compression_are_the_same_data(files, place, tmp_path):
    folder = place(tmp_path / "mine", gzipped=True)
    for name, content in files.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content, compresslevel=1, mtime=7))
    assert len(read_garments(folder, tmp_path / "cache")["val"].images) == VAL


def test_named_folder_without_the_files_is_refused_even_where_others_have_them(cache, tmp_path):
    with pytest.raises(UserError, match=r"misses train-images-idx3-ubyte, .* in data_dir="):
        read_garments(tmp_path / "nothing", cache)


def test_no_source_names_three_remedies_and_what_was_tried(files, monkeypatch, tmp_path):
    def fetch(folder):
        (folder / "half").write_text("written")
        raise FetchFailed("the network is down")

    monkeypatch.setattr(garments, "FETCHES", {"torchvision": fetch})
    with pytest.raises(UserError) as refused:
        read_garments(None, tmp_path / "cache")
    text = str(refused.value)
    assert "torchvision: the network is down" in text
    assert "data_dir=" in text
    assert "apt-get install dataset-fashion-mnist" in text
    assert "connect to a network" in text
    assert "\n" not in text
    assert leftovers(tmp_path / "cache") == []


def test_incomplete_folder_is_passed_over_and_reported(place, tmp_path):
    folder = place(tmp_path / "cache" / TORCHVISION)
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(UserError, match="FashionMNIST/raw misses t10k-labels-idx1-ubyte"):
        read_garments(None, tmp_path / "cache")


def test_damaged_download_is_not_believed_and_the_next_way_is_tried(place, monkeypatch, tmp_path):
    def broken(folder):
        damage(place(folder))
        return folder

    monkeypatch.setattr(garments, "FETCHES", {"a": broken, "b": place})
    assert len(read_garments(None, tmp_path / "cache")["test"].images) == TEST_FILE


def test_second_load_needs_no_files(cache):
    first = read_garments(None, cache)
    for path in (cache / TORCHVISION).iterdir():
        path.unlink()
    second = read_garments(None, cache)
    for part in first:
        assert np.array_equal(first[part].images, second[part].images)
        assert np.array_equal(first[part].classes, second[part].classes)


@pytest.mark.parametrize("spoil", [truncate, alter, lambda _: b""], ids=["cut", "altered", "empty"])
def test_damaged_copy_is_made_again(cache, spoil):
    fresh = read_garments(None, cache)
    (copy,) = cache.glob("*.npy")
    good = copy.read_bytes()
    copy.write_bytes(spoil(good))
    again = read_garments(None, cache)
    assert np.array_equal(fresh["train"].images, again["train"].images)
    assert copy.read_bytes() == good


def test_copy_whose_name_does_not_fit_its_content_is_removed(cache):
    read_garments(None, cache)
    (copy,) = cache.glob("*.npy")
    copy.rename(cache / "fashion_mnist-00000000.npy")
    read_garments(None, cache)
    assert leftovers(cache) == [copy.name]


def test_damaged_copy_is_not_served_when_the_files_are_gone(cache):
    read_garments(None, cache)
    (copy,) = cache.glob("*.npy")
    copy.write_bytes(alter(copy.read_bytes()))
    for path in (cache / TORCHVISION).iterdir():
        path.unlink()
    with pytest.raises(UserError, match="found its files neither"):
        read_garments(None, cache)


@pytest.mark.parametrize("blow", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
def test_interrupted_or_full_disk_leaves_no_copy(cache, monkeypatch, blow):
    def save(file, array):
        file.write(b"half")
        raise blow

    with monkeypatch.context() as patch:
        patch.setattr(array_cache.np, "save", save)
        with pytest.raises((KeyboardInterrupt, UserError)):
            read_garments(None, cache)
    assert leftovers(cache) == []
    assert len(read_garments(None, cache)["test"].images) == TEST_FILE


def test_half_written_copy_of_a_killed_process_is_replaced(cache):
    (cache / ".fashion_mnist.part").write_bytes(b"half")
    read_garments(None, cache)
    assert [name.split("-")[0] for name in leftovers(cache)] == ["fashion_mnist"]


def test_cache_that_cannot_be_a_folder_is_refused(files, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(UserError, match=r"cannot write its decoded copy to .*cache"):
        read_garments(None, tmp_path / "cache")


def test_two_at_once_decode_once(cache, monkeypatch):
    decoded, results = [], []
    decode = garments.decode_idx

    def slowly(contents):
        decoded.append(contents)
        time.sleep(0.3)
        return decode(contents)

    monkeypatch.setattr(garments, "decode_idx", slowly)
    threads = [
        threading.Thread(target=lambda: results.append(read_garments(None, cache)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    assert len(decoded) == 1


def test_waiting_for_another_process_ends(cache, monkeypatch):
    monkeypatch.setattr(array_cache, "LOCK_SECONDS", 0.1)
    with (
        array_cache.FileLock(cache / ".fashion_mnist.lock"),
        pytest.raises(UserError, match=r"waited .* another process is preparing"),
    ):
        read_garments(None, cache)
