"""On a terminal something is seen at once, and nothing of it is left when a command is done."""

import os
import pty
import select
import subprocess
import sys
import termios
import time
import unicodedata

import pytest


def on_a_terminal(words, cwd, columns=80, **env):
    """What a command writes to a terminal: (seconds since its start, text) pairs."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (30, columns))
    os.set_blocking(ours, False)
    env = {**os.environ, "COLUMNS": str(columns), **env}
    begun = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "lossheads", *words],
        stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd, env=env,
    ) as process:  # fmt: skip
        os.close(theirs)
        seen = []
        while select.select([ours], [], [], 60)[0]:
            try:
                text = os.read(ours, 65536).decode()
            except OSError:  # the other end is closed
                break
            seen.append((time.monotonic() - begun, text))
    os.close(ours)
    return process.returncode, seen


def lines_left(text):
    """What stands on the screen, line by line: what came after a line was cleared."""
    return [line.rpartition("\x1b[K")[2].rpartition("\r")[2] for line in text.split("\r\n")]


def test_the_arguments_are_shown_first_and_nothing_of_them_is_left(tmp_path):
    status, seen = on_a_terminal(["heads", "softmax_cce"], tmp_path)
    text = "".join(part for _, part in seen)
    assert status == 0
    assert "lossheads heads softmax_cce" in seen[0][1]
    assert text.count("\x1b[Klossheads heads") >= 2  # it moves
    assert not any("lossheads heads" in line for line in lines_left(text))
    assert any("softmax_cce" in line for line in lines_left(text))


def test_an_error_stands_alone_on_its_line(tmp_path):
    status, seen = on_a_terminal(["train", "head=nonsense"], tmp_path, columns=40)
    left = [line for line in lines_left("".join(part for _, part in seen)) if line.strip()]
    assert status == 2
    assert len(left) == 1
    assert left[0].startswith("lossheads: head has no 'nonsense'")


@pytest.mark.parametrize("columns", [40, 8, 3])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize(
    "word", ["head=nonsense", "head=日本語日本語日本語日本語", "head=a\nb\x1b[5A"]
)
def test_what_is_shown_fits_into_one_line(word, encoding, columns, tmp_path):
    _, seen = on_a_terminal(["train", word], tmp_path, columns, PYTHONIOENCODING=encoding)
    shown = "".join(part for _, part in seen).split("\r\x1b[K")[1:-1]
    assert shown
    for line in shown:
        assert line.isprintable()
        wide = sum(unicodedata.east_asian_width(sign) in "WF" for sign in line)
        assert len(line) + wide < columns


def test_a_terminal_that_moves_no_cursor_gets_none_of_it(tmp_path):
    _, seen = on_a_terminal(["train", "head=nonsense"], tmp_path, TERM="dumb")
    assert seen[0][1].startswith("lossheads: head has no")


@pytest.mark.parametrize("words", [["heads", "softmax_cce"]])
def test_a_pipe_gets_none_of_it(words, tmp_path):
    done = subprocess.run(
        [sys.executable, "-P", "-m", "lossheads", *words], capture_output=True, cwd=tmp_path
    )
    assert done.stderr == b""


def test_an_error_that_nobody_reads_has_its_status(tmp_path):
    call = f"{sys.executable} -P -m lossheads train head=nonsense 2>&-"
    assert subprocess.run(["sh", "-c", call], cwd=tmp_path).returncode == 2
