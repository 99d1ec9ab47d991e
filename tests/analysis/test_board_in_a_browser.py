"""Every link of the board, opened in a real browser: what a reader sees, not what was written.

With LOSSHEADS_SCREENSHOTS=<folder> the pictures of the windows are kept there.
"""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import browsing
from lossheads.analysis import event_files
from lossheads.analysis.event_files import CONFUSION_COUNTS, write_events
from lossheads.analysis.overview import puzzle_tag, write_overview

from .making import ARGMAX, CELLS, puzzle
from .test_overview import sweep_of_rates, with_classes

pytestmark = pytest.mark.slow  # a browser takes seconds to start, a page to load

HEADS = {"cce": "softmax_cce", "bce": "softmax_bce"}
LINES = ["baseline of cells", "bce · argmax", "bce · cells", "cce · argmax", "cce · cells"]
ERRORS = ".error-content, .collapsible-list-title iron-icon, .no-data-warning"


def write_runs(outputs):
    """The event files of the runs, as far as an overview reads them."""
    counts = np.array([[40, 30, 10], [60, 5, 0], [0, 55, 60], [0, 10, 30]], dtype=float)
    for head in HEADS.values():
        for seed in range(3):
            values = [(200, event_files.counts(CONFUSION_COUNTS, np.eye(10, dtype=np.int64)))]
            for k in range(10):
                curve = event_files.pr_curve(f"pr/class {k}", np.vstack([counts, counts[:2]]))
                values.append((200, curve))
            write_events(outputs / "runs" / f"toy-{head}-s{seed}", values)


@pytest.fixture(scope="module")
def window():
    if reason := browsing.missing():
        pytest.skip(reason)
    with browsing.browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Of a board with a sweep of two heads and one of more than 40 runs."""
    if reason := browsing.missing():
        pytest.skip(reason)
    outputs = tmp_path_factory.mktemp("outputs")
    write_runs(outputs)
    write_overview(outputs, "many", sweep_of_rates([10.0**-n for n in range(11)]), [ARGMAX])
    write_overview(outputs, "toy", with_classes(puzzle()), [ARGMAX, CELLS])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    call = [sys.executable, "-m", "lossheads", "board", str(outputs), "--port", port]
    with subprocess.Popen(call, stdout=subprocess.PIPE, text=True) as running:
        try:
            yield re.search(r"http://127\.0\.0\.1:\d+", running.stdout.readline()).group()
        finally:
            running.kill()


def keep(window, name):
    if folder := os.environ.get("LOSSHEADS_SCREENSHOTS"):
        window.save(Path(folder) / f"{name}.png")


def drawn(window, selector):
    """The outlines of what is drawn; an empty one is nothing."""
    return [outline for outline in window.attributes(selector, "d") if outline]


def run_colours(window):
    """What TensorBoard's list of runs says their colours are."""
    styles = window.attributes("runs-data-table button", "style")
    found = (re.search(r"rgb\((\d+), (\d+), (\d+)\)", style) for style in styles)
    return [tuple(map(int, match.groups())) for match in found if match]


def lines(window):
    return drawn(window, "svg path.line")


def in_sight(boxes, window):
    """How many of the boxes lie whole within the window."""
    width, height = window.script("return [innerWidth, innerHeight]")
    return sum(x >= 0 and y >= 0 and x + w <= width and y + h <= height for x, y, w, h in boxes)


def test_the_puzzle_stands_in_one_wide_chart_with_its_finding_above(window, address):
    window.open(f"{address}/toy/puzzle")
    rows = "scalar-card tb-data-table-content-row"
    window.wait(lambda: len(window.texts(rows)) == 5, "five rows of values")
    keep(window, "puzzle")
    ((x, y, w, h),) = window.shown("scalar-card line-chart")
    assert w >= 735
    assert in_sight([(x, y, w, h)], window) == 1
    told = puzzle_tag(with_classes(puzzle()), [ARGMAX, CELLS])
    assert told in window.texts("scalar-card .heading")[0]
    # Values at the last step: 1 - 0.2 * (1 - 0.88) cells right of those that argmax calls 0.88.
    values = dict(
        re.fullmatch(r"(.+?) ([\d.]+) 200 .*", row).groups() for row in window.texts(rows)
    )
    shown = {"baseline of cells": 0.9, "bce · argmax": 0.88, "bce · cells": 0.976}
    shown |= {"cce · argmax": 0.88, "cce · cells": 0.976}
    assert {name: float(value) for name, value in values.items()} == pytest.approx(shown)
    # A colour for each arm and the baseline, as many in the list. Lines are drawn on a canvas: both
    # arms' lie on each other, so that one of their colours is seen, and the baseline's.
    colours = set(run_colours(window))
    assert len(colours) == 3
    chart = "scalar-card line-chart"
    window.wait(lambda: len(window.colours(chart) & colours) >= 2, "lines in two colours")
    assert window.errors() == []


def test_the_legend_is_whole_with_a_colour_an_arm_and_the_settings_are_closed(window, address):
    window.open(f"{address}/toy/puzzle")
    rows = "runs-data-table tb-data-table-content-row"
    window.wait(lambda: window.texts(rows) == LINES, "five names of lines")
    assert in_sight(window.shown(rows), window) == 5
    assert window.shown("metrics-main-view")
    assert window.shown("metrics-dashboard-settings") == []
    assert window.shown("metrics-pinned-view") == []
    colours = run_colours(window)
    assert len(colours) == 5
    assert colours[1] == colours[2] != colours[3] == colours[4]  # one of each arm
    assert len(set(colours)) == 3
    assert "smoothing=0" in window.address


def test_bands_show_every_head_and_the_baseline(window, address):
    window.open(f"{address}/toy/bands")
    window.wait(lambda: len(lines(window)) >= 9, "a line of each run in each chart")
    keep(window, "bands")
    cards = window.shown("tf-custom-scalar-margin-chart-card")
    assert len(cards) == 3  # argmax, cells, nll_loss
    assert in_sight(cards[:2], window) == 2
    assert window.script(TITLES) == [
        f"{ARGMAX} (argmax), 3 seeds",
        f"{CELLS} (cells), 3 seeds",
        "nll_loss, 3 seeds",
    ]
    matches = set(window.texts(".match-list-entry"))
    for metric in (ARGMAX, CELLS, "nll_loss"):
        for run in ("cce", "bce", "baseline"):
            assert any(f"{metric} ({run})" in entry for entry in matches)
    assert len(drawn(window, "svg path.area")) >= 9
    assert window.shown(ERRORS) == []
    assert "_smoothingWeight=0" in window.address
    assert window.errors() == []


def test_classes_stand_in_their_order_with_both_heads(window, address):
    window.open(f"{address}/toy/classes")
    cards = "tf-custom-scalar-margin-chart-card"
    window.wait(lambda: len(window.shown(cards)) == 30, "ten charts in each of three sections")
    window.wait(lambda: len(lines(window)) >= 20, "the lines of both heads")
    keep(window, "classes")
    titles = window.script(TITLES)
    assert titles[:10] == [f"class {k} · recall" for k in range(10)]
    assert window.texts(".item-label-container") == ["cce", "bce"]
    assert window.shown(ERRORS) == []


# The titles of the charts by their place on the page.
TITLES = (
    browsing._DEEP[:-2].rstrip().replace("arguments[0]", "'tf-custom-scalar-margin-chart-card'")
    + """
.map(card => [card.getBoundingClientRect(), card.title || card.getAttribute('title')])
.sort(([a], [b]) => a.top - b.top || a.left - b.left).map(([box, title]) => title);
"""
)


def test_the_picture_of_all_heads_is_as_wide_as_the_page(window, address):
    window.open(f"{address}/toy/confusions")
    ((x, _, w, _),) = window.wait(lambda: window.shown("img"), "a picture")
    keep(window, "confusions")
    assert w > 900
    assert x + w <= 1280
    assert window.script("return document.querySelector('img').naturalWidth") > 900
    assert window.errors() == []


def test_precision_and_recall_of_both_heads_are_drawn(window, address):
    window.open(f"{address}/toy/pr")
    window.wait(lambda: len(window.shown("tf-pr-curve-card")) == 10, "ten charts")
    said = window.wait(
        lambda: [text for text in window.texts("div") if text.startswith(("cce is", "bce is"))],
        "where the runs are",
    )
    keep(window, "pr")
    assert all("step 0" in text for text in said)
    assert len(lines(window)) >= 2
    assert window.errors() == []


def test_hparams_shows_what_varies_and_more_than_forty_runs(window, address):
    window.open(f"{address}/many/hparams")
    cell = "vaadin-grid-cell-content"
    window.wait(lambda: "cce, lr=1.0 s0" in window.texts(cell), "a run")
    keep(window, "hparams")
    shown = window.texts(cell)
    heads = ["Trial ID", "Show Metrics", "head", "lr", "seed", f"test/{ARGMAX}"]
    assert [text for text in shown if text in heads] == heads
    assert window.errors() == []


def test_a_sweep_of_more_than_forty_runs_does_not_open_empty(window, address):
    window.open(f"{address}/many/puzzle")
    rows = "scalar-card tb-data-table-content-row"
    window.wait(lambda: len(window.texts(rows)) == 3, "the best arm of each head, and the baseline")
    keep(window, "many")
    names = [
        text.split(" ·")[0] for text in window.texts("runs-data-table tb-data-table-content-row")
    ]
    assert [name.split(",")[0] for name in names] == ["baseline of argmax", "bce", "cce"]


def test_a_telephone_shows_the_chart_beside_nothing(window, address):
    window.resize(375, 720)
    try:
        window.open(f"{address}/toy/puzzle")
        ((x, _, w, _),) = window.wait(lambda: window.shown("scalar-card line-chart"), "the chart")
        keep(window, "puzzle-375")
        assert x < 70
        assert w > 250
    finally:
        window.resize(1280, 720)


def test_the_first_page_leads_to_every_page(window, address):
    window.open(f"{address}/")
    keep(window, "first")
    links = window.attributes("a", "href")
    assert {"/toy/puzzle", "/toy/bands", "/toy/classes", "/many/hparams", "/runs"} <= set(links)
    assert window.errors() == []
