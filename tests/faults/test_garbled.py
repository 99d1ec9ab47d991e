"""Files of a run folder that are damaged in any way: a sentence, never a traceback or a guess."""

import json
import random
from pathlib import Path

import pytest

from .comparing import contents, left_over
from .scenarios import RUN, done, known
from .test_kills import fresh

FILES = ["result.json", "status.json", "config.yaml", "environment.json", "metrics.jsonl"]
FILES += ["predictions.npz", "weights.pt", "events.out*", ".lock"]


def truncated(path: Path, draw: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: draw.randrange(1 + len(content) // 2)])


def empty(path: Path, _: random.Random) -> None:
    path.write_bytes(b"")


def noise(path: Path, draw: random.Random) -> None:
    path.write_bytes(draw.randbytes(2000))


def one_byte(path: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes() or b"x")
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(bytes(content))


def other_type(path: Path, draw: random.Random) -> None:
    path.write_text(draw.choice(["[]", "null", "3", '"finished"', "{}", '{"status": ["x"]}']))


def other_version(path: Path, _: random.Random) -> None:
    try:
        data = json.loads(path.read_text())
    except ValueError:
        data = {}
    path.write_text(json.dumps({**data, "schema_version": 99}))


def folder(path: Path, _: random.Random) -> None:
    path.unlink()
    path.mkdir()


def absent(path: Path, _: random.Random) -> None:
    path.unlink()


@pytest.mark.parametrize(
    "spoil", [truncated, empty, noise, one_byte, other_type, other_version, folder, absent]
)
@pytest.mark.parametrize("name", FILES)
def test_a_garbled_file(
    name: str, spoil: object, tries: int, draw: random.Random, tmp_path: Path
) -> None:
    for _ in range(min(tries, 3)):
        at = fresh("force", tmp_path)
        (path,) = at.glob(f"outputs/runs/*/{name}")
        assert callable(spoil)
        spoil(path, draw)
        for words in (["report", "--csv"], RUN, [*RUN, "force=true"]):
            ended = done(words, at)
            assert "Traceback" not in ended.stderr, (words, ended.stderr)
            assert ended.returncode in (0, 2), (words, ended.stderr)
            if name != "result.json" and words is RUN:
                assert ended.returncode == 0, ended.stderr
        if spoil is not folder:  # a folder is nobody's to delete but the user's
            assert ended.returncode == 0, ended.stderr
            assert contents(at / "outputs") == known("force").end
            assert left_over(at) == []
