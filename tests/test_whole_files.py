"""Files written aside: whole or absent, by several writers, after a kill."""

import threading
from pathlib import Path

import pytest

from lossheads.whole_files import whole_file


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b"old")
    with whole_file(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["x.json"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b"old")

    def write() -> None:
        with whole_file(path) as file:
            file.write(b"half of the n")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["x.json"]


def test_what_a_killed_writer_left_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / ".x.json.part").write_bytes(b"half of a much longer text")
    with whole_file(tmp_path / "x.json") as file:
        file.write(b"new")
    assert (tmp_path / "x.json").read_bytes() == b"new"
    assert names(tmp_path) == ["x.json"]


def test_writers_of_one_file_take_turns(tmp_path: Path) -> None:
    path, wrong = tmp_path / "x.json", []

    def write(letter: bytes) -> None:
        for _ in range(100):
            with whole_file(path, durable=False) as file:
                for _ in range(20):
                    file.write(letter * 500)
            if len(set(path.read_bytes())) != 1 or path.stat().st_size != 10_000:
                wrong.append(letter)

    writers = [threading.Thread(target=write, args=(bytes([n]),)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert wrong == []
    assert names(tmp_path) == ["x.json"]
