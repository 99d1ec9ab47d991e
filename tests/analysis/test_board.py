import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from lossheads.analysis.overview import write_overview
from lossheads.cli import board_server
from lossheads.cli.board import board, links
from lossheads.cli.board import command as board_command
from lossheads.cli.board_pages import (
    PAGES,
    address_of,
    all_runs_address,
    all_runs_of,
    opening_page,
    sweeps_of,
)
from lossheads.cli.board_server import HOST, Board, free_port
from lossheads.errors import UserError

from .making import ARGMAX, CELLS, puzzle


def asked(link):
    return {name: values[0] for name, values in parse_qs(urlsplit(link).query).items()}


def page(slug):
    (found,) = (one for one in PAGES if one.slug == slug)
    return found


def address(slug="puzzle"):
    return address_of(page(slug))


@pytest.mark.parametrize("slug", [one.slug for one in PAGES])
def test_every_page_is_opened_unsmoothed(slug):
    link = address(slug)
    assert asked(link)["smoothing"] == "0"
    view, *rest = urlsplit(link).fragment.split("&")
    assert view in ("timeseries", "custom_scalars", "images", "pr_curves", "hparams")
    # Custom Scalars has a smoothing of its own, behind the #.
    assert rest == (["_smoothingWeight=0"] if view == "custom_scalars" else [])


def test_no_room_is_kept_for_pinned_charts():
    assert re.search(asked(address())["tagFilter"], "same predictions")


def test_each_arm_has_one_colour_and_the_baseline_its_own(tmp_path):
    arms = {f"arm, lr={number}": puzzle()["cce"] for number in range(4)}
    write_overview(tmp_path, "toy", arms, [ARGMAX, CELLS])
    kind, _, pattern = asked(address())["runColorGroup"].partition(":")
    assert kind == "regex"
    names = [path.name for path in (tmp_path / "_overview/toy/puzzle").iterdir()]
    groups = [re.search(pattern, name).group(1) for name in names]
    assert len(names) == 9
    assert sorted(set(groups)) == sorted([*arms, "baseline of cells"])
    assert groups.count("baseline of cells") == 1


def test_all_runs_take_their_colour_from_data_set_and_head():
    words = asked(all_runs_address())
    assert words["smoothing"] == "0"
    kind, _, pattern = words["runColorGroup"].partition(":")
    assert kind == "regex"
    names = [f"toy-{head}-s{s}-0123456789" for head in ("a_cce", "b_bce") for s in (0, 12)]
    groups = [re.search(pattern, name).group(1) for name in names]
    assert groups == ["toy-a_cce", "toy-a_cce", "toy-b_bce", "toy-b_bce"]


def test_links_are_short_and_named(tmp_path):
    write_overview(tmp_path, "toy", puzzle(), [ARGMAX, CELLS])
    lines = links(sweeps_of(tmp_path), None, "http://127.0.0.1:6006/")
    shown = dict(re.split(r"  +", line.strip()) for line in lines[1:])
    assert lines[0].strip() == "toy"
    assert shown["Puzzle"] == "http://127.0.0.1:6006/toy/puzzle"
    assert list(shown) == ["Puzzle", "Bands", "Confusions", "HParams"]  # no events: no classes
    assert all(len(line) < 80 for line in lines)


def test_many_sweeps_are_counted_beyond_the_latest(tmp_path):
    for number in range(5):
        write_overview(tmp_path, f"toy-{number}", puzzle(), [ARGMAX])
    lines = links(sweeps_of(tmp_path), tmp_path, "http://127.0.0.1:1/")
    assert sum(line.startswith("  toy-") for line in lines) == 3
    assert "2 more" in lines[-2]
    assert "all runs" in lines[-1]


def test_names_that_no_address_can_hold_get_one_each(tmp_path):
    for name in ("a b", "a-b", "a<b>", "runs"):
        write_overview(tmp_path, name, puzzle(), [ARGMAX])
    slugs = {sweep.name: sweep.slug for sweep in sweeps_of(tmp_path)}
    assert len(set(slugs.values())) == 4
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", slug) for slug in slugs.values())
    assert slugs["runs"] != "runs"


class Tags(HTMLParser):
    """The tags and the shown text of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def served(board, path, **environ):
    """Status, headers and body of a request to the WSGI application."""
    begun = []
    body = b"".join(board({"PATH_INFO": path, **environ}, lambda *start: begun.append(start)))
    return begun[0][0], dict(begun[0][1]), body.decode("utf-8", "replace")


def test_the_first_page_shows_every_sweep_and_runs_nothing_of_its_name(tmp_path):
    name = "<script>alert(1)<-script>"
    write_overview(tmp_path, name, puzzle(), [ARGMAX, CELLS])
    status, headers, body = served(Board(sweeps_of(tmp_path), tmp_path), "/")
    assert status == "200 OK"
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    shown = Tags(body)
    assert "script" not in [tag for tag, _ in shown.tags]
    assert name in shown.text
    assert ("a", {"href": "/runs"}) in shown.tags


def test_a_link_goes_to_its_page_of_tensorboard_and_closes_the_settings(tmp_path):
    write_overview(tmp_path, "toy", puzzle(), [ARGMAX, CELLS])
    _, _, body = served(Board(sweeps_of(tmp_path), None), "/toy/puzzle")
    (link,) = (attrs["href"] for tag, attrs in Tags(body).tags if tag == "a")
    assert link.startswith("/toy/view/puzzle/?")
    assert "timeSeriesSettingsPaneOpened: false" in body


def test_a_target_cannot_leave_its_link():
    shown = Tags(opening_page('/x/?a="><script>alert(1)</script>'))
    assert [tag for tag, _ in shown.tags].count("script") == 1


def test_a_page_of_tensorboard_is_started_when_it_is_first_asked_for(tmp_path, monkeypatch):
    write_overview(tmp_path, "toy", puzzle(), [ARGMAX, CELLS])
    started = []

    def start(folder, prefix):
        started.append((folder, prefix))
        return lambda environ, start_response: [environ["PATH_INFO"].encode()]

    monkeypatch.setattr(board_server, "tensorboard_app", start)
    board = Board(sweeps_of(tmp_path), None)
    assert started == []
    for _ in range(2):
        answer = board({"PATH_INFO": "/toy/view/puzzle/data/runs"}, None)
        assert list(answer) == [b"/toy/view/puzzle/data/runs"]
    assert started == [(tmp_path / "_overview/toy/puzzle", "/toy/view/puzzle")]
    # Its letters are asked for at the root.
    assert list(board({"PATH_INFO": "/font-roboto/a.woff2"}, None)) == [
        b"/toy/view/puzzle/font-roboto/a.woff2"
    ]


@pytest.mark.parametrize("path", ["/nothing", "/toy/nothing", "/toy/view/../../etc", "/runs"])
def test_what_is_not_there_is_not_found(tmp_path, path):
    write_overview(tmp_path, "toy", puzzle(), [ARGMAX, CELLS])
    status, _, body = served(Board(sweeps_of(tmp_path), None), path)
    assert status.startswith("404")
    assert "toy" in body


def test_a_folder_without_overviews_has_its_runs(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "events.out.tfevents.1.theirs").touch()
    assert sweeps_of(tmp_path) == []
    assert all_runs_of(tmp_path) == tmp_path


@pytest.mark.parametrize("linked", ["_overview", "_overview/toy"])
def test_a_link_to_another_folder_is_no_sweep(tmp_path, linked):
    elsewhere, outputs = tmp_path / "elsewhere", tmp_path / "outputs"
    write_overview(elsewhere, "toy", puzzle(), [ARGMAX, CELLS])
    place = outputs / linked
    place.parent.mkdir(parents=True)
    place.symlink_to(elsewhere / linked)
    assert sweeps_of(outputs) == []


@pytest.mark.parametrize("place", ["bands", "bands/one"])
def test_a_link_within_an_overview_shows_nothing(tmp_path, place):
    outputs, elsewhere = tmp_path / "outputs", tmp_path / "elsewhere"
    for folder in (outputs, elsewhere):
        write_overview(folder, "toy", puzzle(), [ARGMAX, CELLS])
    linked = outputs / "_overview/toy" / place
    shutil.rmtree(linked.parent if "/" in place else linked)
    linked.parent.mkdir(exist_ok=True)
    linked.symlink_to(elsewhere / "_overview/toy/bands")
    slugs = {page.slug for page in sweeps_of(outputs)[0].pages}
    assert "puzzle" in slugs
    assert "bands" not in slugs


def test_a_picture_that_was_deleted_is_not_linked(tmp_path):
    write_overview(tmp_path, "toy", puzzle(), [ARGMAX, CELLS])
    (tmp_path / "_overview/toy/overview.png").unlink()
    board = Board(sweeps_of(tmp_path), None)
    assert "img" not in [tag for tag, _ in Tags(served(board, "/")[2]).tags]
    assert "/toy/view/confusions/" in served(board, "/toy/confusions")[2]


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


def test_an_unknown_sweep_names_the_nearest(tmp_path):
    write_overview(tmp_path, "bce-97-vs-cce-90", puzzle(), [ARGMAX])
    with pytest.raises(UserError, match="did you mean bce-97-vs-cce-90"):
        board(tmp_path, 6006, "bce-97-vs-cce-91")


def test_a_port_that_is_none_is_refused_before_anything_is_served(tmp_path):
    write_overview(tmp_path, "toy", puzzle(), [ARGMAX])
    with pytest.raises(UserError, match="between 1 and 65535"):
        board(tmp_path, 0, None)


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
    with subprocess.Popen(call, **streams, text=True) as running:
        try:
            lines = [running.stdout.readline() for _ in range(6)]
            address = re.search(r"http://127\.0\.0\.1:\d+/", lines[0]).group()
            data = f"{address}toy/view/puzzle/data/runs"
            runs = wait_for_runs(data)
            answers = {host: status_as(data, host) for host in HOSTS}
            running.send_signal(signal.SIGINT)
            assert running.wait(timeout=10) == 0
            assert running.stderr.read() == ""  # no notes of TensorBoard's own
        finally:
            running.kill()
    assert lines[2].split() == ["Puzzle", f"{address}toy/puzzle"]
    assert sorted(runs) == [
        "baseline of cells",
        "bce · argmax",
        "bce · cells",
        "cce · argmax",
        "cce · cells",
    ]
    assert answers == HOSTS


# What a request may call this machine. A page elsewhere can let its own name point here.
HOSTS = {"127.0.0.1:6006": 200, "localhost": 200, "LOCALHOST:1": 200, "[::1]:6006": 200}
HOSTS |= dict.fromkeys(["evil.example", "evil.example:6006", "127.0.0.1.evil.example", ""], 403)
HOSTS |= dict.fromkeys(["localhost.evil.example", "evil.example@localhost", "0.0.0.0"], 403)


def status_as(address, host):
    request = urllib.request.Request(address, headers={"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status
    except urllib.error.HTTPError as refused:
        return refused.code


def wait_for_runs(address, seconds=60.0):
    """TensorBoard answers before it has read anything: ask until there are runs."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with urllib.request.urlopen(address, timeout=60) as answer:
            if runs := json.load(answer):
                return runs
        time.sleep(0.2)
    return []


def test_a_link_in_the_place_of_the_picture_is_not_served(tmp_path):
    write_overview(tmp_path, "toy", puzzle(), [ARGMAX, CELLS])
    (tmp_path / "private.png").write_bytes(b"a picture of the user's")
    picture = tmp_path / "_overview/toy/overview.png"
    picture.unlink()
    picture.symlink_to(tmp_path / "private.png")
    assert served(Board(sweeps_of(tmp_path), None), "/toy/overview.png")[0].startswith("404")


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
@pytest.mark.parametrize("place", ["_overview/toy/classes", "runs/one"])
def test_events_that_are_no_files_are_refused_by_name(tmp_path, place, make):
    write_overview(tmp_path, "toy", puzzle(), [ARGMAX, CELLS])
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    make(tmp_path / place / "events.out.tfevents.1.theirs")
    with pytest.raises(UserError, match=rf"{place}/events.out.tfevents.1.theirs.*no file"):
        board(tmp_path, 6006, None)


def test_a_file_of_holes_is_not_read_whole(tmp_path):
    write_overview(tmp_path, "toy", puzzle(), [ARGMAX, CELLS])
    path = tmp_path / "_overview/toy/classes/events.out.tfevents.1.theirs"
    path.parent.mkdir(exist_ok=True)
    path.touch()
    os.truncate(path, 1 << 40)
    assert "puzzle" in [one.slug for one in sweeps_of(tmp_path)[0].pages]
