import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from urllib.parse import parse_qs, urlsplit

import pytest

from lossheads.analysis.overview import write_overview
from lossheads.cli.board import HOST, board, deep_link, free_port, overviews
from lossheads.cli.board import command as board_command
from lossheads.errors import UserError

from .making import ARGMAX, CELLS, puzzle


def asked(link):
    return {name: values[0] for name, values in parse_qs(urlsplit(link).query).items()}


def test_a_link_opens_the_overview_alone_and_unsmoothed():
    link = deep_link(6006, "bce-97")
    words = asked(link)
    assert link.startswith("http://127.0.0.1:6006/?smoothing=0&")
    assert urlsplit(link).fragment == "timeseries"
    assert words["smoothing"] == "0"
    assert re.search(words["runFilter"], "_overview/bce-97/1 cce, by accuracy_score")
    assert not re.search(words["runFilter"], "_overview/bce-97-vs-cce-90/1 cce")
    assert not re.search(words["runFilter"], "runs/toy-softmax_cce-s0-0123456789")
    assert re.search(words["tagFilter"], "puzzle/score")
    assert json.loads(words["pinnedCards"]) == [{"plugin": "scalars", "tag": "puzzle/score"}]


def test_a_name_with_regex_letters_finds_itself_alone():
    words = asked(deep_link(1, "a+b(1)"))
    assert re.search(words["runFilter"], "_overview/a+b(1)/0 nothing")
    assert not re.search(words["runFilter"], "_overview/aab1/0 nothing")


def test_all_runs_take_their_colour_from_data_set_and_head():
    link = deep_link(6007)
    words = asked(link)
    assert "runFilter" not in words
    assert words["smoothing"] == "0"
    kind, _, pattern = words["runColorGroup"].partition(":")
    assert kind == "regex"
    names = [f"runs/toy-{head}-s{s}-0123456789" for head in ("a_cce", "b_bce") for s in (0, 12)]
    groups = [re.search(pattern, name).group(1) for name in names]
    assert groups == ["toy-a_cce", "toy-a_cce", "toy-b_bce", "toy-b_bce"]


def test_a_taken_port_is_passed_over():
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        first = taken.getsockname()[1]
        assert free_port(first) > first


def test_a_free_port_is_taken():
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    assert free_port(port) == port


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_what_is_no_port_is_refused(port):
    with pytest.raises(UserError, match="between 1 and 65535"):
        free_port(port)


def test_a_missing_folder_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="found no folder"):
        board(tmp_path / "outputs", 6006, None)


def test_a_folder_without_events_is_one_sentence(tmp_path):
    (tmp_path / "runs").mkdir()
    with pytest.raises(UserError, match="no TensorBoard events"):
        board(tmp_path, 6006, None)


def test_an_unknown_overview_names_the_nearest(tmp_path):
    write_overview(tmp_path, "bce-97-vs-cce-90", puzzle(), [ARGMAX])
    assert overviews(tmp_path) == ["bce-97-vs-cce-90"]
    with pytest.raises(UserError, match="did you mean bce-97-vs-cce-90"):
        board(tmp_path, 6006, "bce-97-vs-cce-91")


@pytest.mark.parametrize("words", [["--port", "many"], ["--colour"], ["a", "b"]])
def test_a_wrong_call_is_one_sentence(words):
    with pytest.raises(UserError, match="see lossheads board --help"):
        board_command(words)


def test_the_board_serves_the_overview_until_interrupted(tmp_path):
    write_overview(tmp_path, "toy", puzzle(), [ARGMAX, CELLS])
    # A shell may have started us deaf to Ctrl-C, and children inherit that.
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from lossheads.cli.board import command; sys.exit(command(sys.argv[1:]))"
    )
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = str(probe.getsockname()[1])
    call = [sys.executable, "-c", code, str(tmp_path), "--port", port]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(call, **streams, text=True) as served:
        try:
            lines = [served.stdout.readline() for _ in range(3)]
            address = re.search(r"http://127\.0\.0\.1:\d+/", lines[0]).group()
            runs = wait_for_runs(f"{address}data/runs")
            answers = {host: status_as(f"{address}data/runs", host) for host in HOSTS}
            served.send_signal(signal.SIGINT)
            assert served.wait(timeout=10) == 0
            assert served.stderr.read() == ""  # no notes of TensorBoard's own
        finally:
            served.kill()
    assert lines[1].startswith(f"  toy: {address}?smoothing=0")
    assert lines[2].startswith(f"  all runs: {address}?smoothing=0")
    assert f"_overview/toy/1 cce, by {ARGMAX}" in runs
    assert len(runs) == 5
    assert answers == HOSTS


# What a request may call this machine. A page elsewhere can let its own name point here.
HOSTS = {"127.0.0.1:6006": 200, "localhost": 200, "LOCALHOST:1": 200, "[::1]:6006": 200}
HOSTS |= dict.fromkeys(["evil.example", "evil.example:6006", "127.0.0.1.evil.example", ""], 403)
HOSTS |= dict.fromkeys(["localhost.evil.example", "evil.example@localhost", "0.0.0.0"], 403)


def status_as(address, host):
    request = urllib.request.Request(address, headers={"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as refused:
        return refused.code


def wait_for_runs(address, seconds=15.0):
    """TensorBoard answers before it has read anything: ask until there are runs."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with urllib.request.urlopen(address, timeout=5) as answer:
            if runs := json.load(answer):
                return runs
        time.sleep(0.2)
    return []
