"""Decoded images of the user's own: kept while nothing changed, never mistaken for others."""

import os
from dataclasses import replace

import pytest
from PIL import Image

from lossheads.datasets import images
from lossheads.errors import UserError

from .checking import same
from .own_files import SOURCE, pictures, table


def folder(tmp_path):
    for name in ("cat", "dog"):
        pictures(tmp_path / "mine" / name)
    return replace(SOURCE, path=str(tmp_path / "mine"))


def copies(cache):
    return sorted(path.name for path in cache.iterdir() if not path.name.startswith("."))


@pytest.fixture
def decoded(monkeypatch):
    """Names of the images that are decoded from here on."""
    seen = []
    decode = images._image
    monkeypatch.setattr(
        images, "_image", lambda file, *words: seen.append(file.name) or decode(file, *words)
    )
    return seen


def test_images_are_decoded_once(tmp_path, decoded):
    source, cache = folder(tmp_path), tmp_path / "cache"
    first = source.load(None, cache)
    assert len(decoded) == 60
    again = source.load(None, cache)
    assert len(decoded) == 60
    assert same(first, again)


def test_another_split_is_dealt_from_the_same_copy(tmp_path, decoded):
    source, cache = folder(tmp_path), tmp_path / "cache"
    first, other = source.load(None, cache), replace(source, seed=1).load(None, cache)
    assert len(decoded) == 60
    assert not same(first, other)
    assert first.provenance.checksum == other.provenance.checksum


def test_images_of_a_table_are_kept_as_well(tmp_path, decoded):
    rows = [[name, "ab"[k % 2]] for k, name in enumerate(pictures(tmp_path))]
    source = table(tmp_path, ["image", "class"], rows, "one_of")
    first, again = (source.load(None, tmp_path / "cache") for _ in range(2))
    assert len(decoded) == 30
    assert same(first, again)


def test_a_changed_image_is_read_and_its_old_copy_goes(tmp_path, decoded):
    source, cache = folder(tmp_path), tmp_path / "cache"
    before = source.load(None, cache)
    (old,) = copies(cache)
    changed = tmp_path / "mine" / "cat" / "00.png"
    facts = changed.stat()
    Image.new("L", (6, 5), 255).save(changed)
    os.utime(changed, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    after = source.load(None, cache)
    assert len(decoded) == 120
    assert after.provenance.checksum != before.provenance.checksum
    (new,) = copies(cache)
    assert new != old


@pytest.mark.parametrize("setting", [{"channels": 3}, {"resize": [3, 3]}])
def test_other_settings_take_no_copy_made_under_these(tmp_path, setting):
    source, cache = folder(tmp_path), tmp_path / "cache"
    source.load(None, cache)
    other = replace(source, **setting)
    assert same(other.load(None, cache), other.load(None, tmp_path / "elsewhere"))
    assert len(copies(cache)) == 1


def test_two_folders_keep_a_copy_each(tmp_path, decoded):
    cache = tmp_path / "cache"
    sources = [folder(tmp_path / name) for name in ("a", "b")]
    for source in (*sources, *sources):
        source.load(None, cache)
    assert len(decoded) == 120
    assert len(copies(cache)) == 2


def test_a_torn_copy_is_made_again(tmp_path, decoded):
    source, cache = folder(tmp_path), tmp_path / "cache"
    first = source.load(None, cache)
    (name,) = copies(cache)
    whole = (cache / name).read_bytes()
    (cache / name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert same(first, source.load(None, cache))
    assert len(decoded) == 120
    assert (cache / name).read_bytes() == whole


def test_a_cache_that_cannot_be_written_stops_nothing(tmp_path, decoded):
    source = folder(tmp_path)
    (tmp_path / "cache").write_text("in the way")
    for _ in range(2):
        assert len(source.load(None, tmp_path / "cache").train) == 30
    assert len(decoded) == 120


def test_an_image_that_is_refused_leaves_nothing_in_the_cache(tmp_path):
    source = folder(tmp_path)
    (tmp_path / "mine" / "cat" / "07.png").write_text("no image")
    with pytest.raises(UserError, match=r"07\.png cannot be read"):
        source.load(None, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
