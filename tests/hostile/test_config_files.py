"""A stranger's YAML, given with --config-dir, runs nothing, reads nothing, writes nothing."""

from pathlib import Path

import pytest

from .attacks import ALLOWED, REFUSED
from .making import attack


@pytest.mark.parametrize("name", REFUSED)
def test_an_attack_is_refused(name: str, tmp_path: Path) -> None:
    files, words, named = REFUSED[name]
    attack(tmp_path, files, words.split()).assert_refused(named)


@pytest.mark.parametrize("name", ALLOWED)
def test_an_honest_file_runs(name: str, tmp_path: Path) -> None:
    files, words, _ = ALLOWED[name]
    done = attack(tmp_path, files, words.split())
    assert done.status == 0, done.stderr
    done.assert_harmless()
    assert done.written
