"""Both pages in a real browser: keyboard, what a screen reader is told, contrast, print.

With LOSSHEADS_SCREENSHOTS=<folder> the pictures of the windows are kept there.
"""

import os
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from lossheads.analysis.kept import KeptTest
from lossheads.analysis.runs_page import runs_page
from lossheads.claims.render.html import write_claims_page

from .pages import REFERENCE
from .test_runs_page import TUNED, kept_for, many_heads, sweep, trained

browsing = pytest.importorskip("browsing", reason="scripts/browsing.py is not on the path")
pytestmark = pytest.mark.slow  # a browser takes seconds to start
THEMES = ("light", "dark")
PAGES = ("runs", "heads", "claims")


@pytest.fixture(scope="module")
def window():
    if reason := browsing.missing():
        pytest.skip(reason)
    with browsing.browser(1280, 800) as opened:
        yield opened


@pytest.fixture(scope="module")
def addresses(tmp_path_factory):
    """A page over runs with every part, one over more heads than lines, and one over claims."""
    if reason := browsing.missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("pages")
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8, 1).repeat(3, axis=2)

    def kept(runs) -> KeptTest:
        return kept_for(runs, image=lambda digest, row: pixels)

    (folder / "runs.html").write_text(runs_page(trained(TUNED), kept=kept), encoding="utf-8")
    (folder / "heads.html").write_text(runs_page(sweep(many_heads(12))), encoding="utf-8")
    write_claims_page(REFERENCE, folder / "claims.html")
    return {name: (folder / f"{name}.html").as_uri() for name in PAGES}


def opened(window, addresses, name, theme="light", width=1280):
    window.theme(theme)
    window.resize(width, 800)
    window.open(addresses[name])
    if folder := os.environ.get("LOSSHEADS_SCREENSHOTS"):
        window.save(Path(folder) / f"page-{name}-{theme}-{width}.png")
    return window


FOCUSED = """
const at = document.activeElement;
const style = getComputedStyle(at), box = at.getBoundingClientRect();
return [at.tagName, at.textContent.trim().slice(0, 40), at.className,
        style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
        box.width > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0,
        box.top + scrollY, at.tabIndex];
"""


@pytest.mark.parametrize("name", ["runs", "claims"])
def test_the_keyboard_reaches_everything_in_its_order_and_the_focus_is_seen(
    window, addresses, name
):
    opened(window, addresses, name)
    window.press("Tab")
    tag, text, kind, _, is_seen, *_ = window.script(FOCUSED)
    assert (tag, kind) == ("A", "skip")
    assert "content" in text
    assert is_seen
    window.press("Enter")
    assert window.script("return location.hash") == "#content"
    window.open(addresses[name])
    stops = []
    for _ in range(40):
        window.press("Tab")
        stops.append(window.script(FOCUSED))
        if stops[-1][0] == "BODY":  # the end of the page
            stops.pop()
            break
    assert len(stops) >= 10
    assert all(has_outline and is_seen for *_, has_outline, is_seen, _, _ in stops)
    assert all(tab_index <= 0 for *_, tab_index in stops)  # the order of the page, no other
    tops = [top for tag, *_, top, _ in stops if tag == "SUMMARY"]
    assert tops == sorted(tops)


def test_a_table_is_sorted_by_the_keyboard_and_says_so(window, addresses):
    opened(window, addresses, "runs")
    head = "document.querySelector('table.sortable thead th:nth-child(2)')"
    assert window.script(f"return {head}.querySelector('button').tagName") == "BUTTON"
    window.script(f"{head}.querySelector('button').focus()")
    orders = []
    for _ in range(2):
        window.press("Enter")
        column = window.script(
            "return [...document.querySelector('table.sortable').tBodies[0].rows]"
            ".map(row => Number(row.cells[1].dataset.key))"
        )
        orders.append((window.script(f"return {head}.getAttribute('aria-sort')"), column))
    assert [order for order, _ in orders] == ["ascending", "descending"]
    assert orders[0][1] == sorted(orders[0][1])
    assert orders[1][1] == sorted(orders[1][1], reverse=True)
    assert window.script("return document.querySelectorAll('th[aria-sort]').length") == 1


@pytest.mark.parametrize("name", PAGES)
def test_a_screen_reader_is_told_what_every_picture_shows(window, addresses, name):
    opened(window, addresses, name)
    mute = window.script(
        """
        return [...document.querySelectorAll('svg, img')].filter(one => {
          if (one.closest('[aria-hidden="true"]') || one.parentElement.closest('svg')) return false;
          if (one.tagName === 'IMG') return !one.alt;
          return one.getAttribute('role') !== 'img' || !one.getAttribute('aria-label');
        }).map(one => one.outerHTML.slice(0, 200));
        """
    )
    assert mute == []
    unnamed = window.script(
        """
        return [...document.querySelectorAll('button, a[href], summary, input, select, [tabindex]')]
          .filter(one => !(one.getAttribute('aria-label') || one.textContent.trim() ||
                           one.labels && one.labels.length || one.title))
          .map(one => one.outerHTML.slice(0, 200));
        """
    )
    assert unnamed == []
    levels = window.script(
        "return [...document.querySelectorAll('h1, h2, h3, h4')].map(one => Number(one.tagName[1]))"
    )
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    landmarks = "return ['nav', 'main'].map(one => document.querySelectorAll(one).length)"
    assert window.script(landmarks) == [1, 1]
    assert window.script("return document.documentElement.lang") == "en"
    doubles = window.script(
        "const ids = [...document.querySelectorAll('[id]')].map(one => one.id);"
        "return ids.filter((id, at) => ids.indexOf(id) !== at)"
    )
    assert doubles == []


# Letters on what lies behind them: colours are composed from the body upwards, as drawn.
CONTRAST = """
const canvas = document.createElement('canvas');
canvas.width = canvas.height = 1;
const pen = canvas.getContext('2d', {willReadFrequently: true});
const rgba = colour => {
  pen.clearRect(0, 0, 1, 1);
  pen.fillStyle = colour;
  pen.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
};
const over = ([r, g, b, a], under) => [r, g, b].map((c, i) => c * a + under[i] * (1 - a));
const behind = one => one ? over(rgba(getComputedStyle(one).backgroundColor),
                                 behind(one.parentElement)) : [255, 255, 255];
const light = colour => colour.map(c => c / 255)
  .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
  .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const found = new Map();
for (const one of document.querySelectorAll('details')) one.open = true;
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const one = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || one.closest('script, style, .skip')) continue;
  if (!one.getClientRects().length) continue;
  const style = getComputedStyle(one);
  const colour = one.closest('svg') ? style.fill : style.color;
  const paper = behind(one.closest('svg') ? one.closest('svg').parentElement : one);
  const key = colour + paper + one.tagName + one.className;
  if (found.has(key)) continue;
  const [dark, bright] = [light(over(rgba(colour), paper)), light(paper)].sort((a, b) => a - b);
  found.set(key, [(bright + 0.05) / (dark + 0.05), one.outerHTML.slice(0, 120)]);
}
return [...found.values()].sort((a, b) => a[0] - b[0]);
"""


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", PAGES)
def test_letters_have_a_contrast_of_four_and_a_half(window, addresses, name, theme):
    opened(window, addresses, name, theme)
    found = window.script(CONTRAST)
    assert len(found) > 8
    assert [(ratio, what) for ratio, what in found if ratio < 4.5] == []


@pytest.mark.parametrize("width", [375, 1280])
@pytest.mark.parametrize("name", PAGES)
def test_what_is_wider_than_the_window_scrolls_in_its_own_box_and_says_so(
    window, addresses, name, width
):
    opened(window, addresses, name, "dark", width)
    window.script("for (const one of document.querySelectorAll('details')) one.open = true")
    assert window.script("return document.documentElement.scrollWidth") <= width
    cut = """
    return [...document.querySelectorAll('.scroll')].filter(one => one.clientWidth).map(one => [
      one.scrollWidth > one.clientWidth + 1, one.classList.contains('cut'), one.tabIndex,
      getComputedStyle(one.querySelector('caption'), '::after').content]);
    """
    window.wait(lambda: all(a == b for a, b, *_ in window.script(cut)), "which tables are cut")
    for is_cut, _, tab_index, said in window.script(cut):
        assert tab_index == 0  # the keyboard scrolls it
        assert ("sideways" in said) == is_cut
    if width == 375:
        assert any(is_cut for is_cut, *_ in window.script(cut))
    assert window.errors() == []


def test_a_link_into_a_folded_part_opens_it(window, addresses):
    opened(window, addresses, "runs")
    assert not window.script("return document.getElementById('data-1-1-training').open")
    window.script("location.hash = '#data-1-1-training'")
    window.wait(
        lambda: window.script("return document.getElementById('data-1-1-training').open"),
        "the training curves",
    )


@pytest.mark.parametrize("name", ["runs", "heads"])
def test_print_holds_everything_and_cuts_nothing(window, addresses, name):
    opened(window, addresses, name)
    pdf = window.pdf()
    assert pdf.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) >= 2
    window.media("print")
    try:
        window.resize(720, 1000)  # what A4 has between its margins, in CSS pixels
        cut = window.script(
            """
            const wide = document.documentElement.clientWidth;
            return [...document.querySelectorAll('main table, main svg, main img, main figure')]
              .filter(one => !one.parentElement.closest('svg'))
              .filter(one => one.getBoundingClientRect().right > wide + 1)
              .map(one => one.outerHTML.slice(0, 160));
            """
        )
        closed = window.script(
            "return [...document.querySelectorAll('details *')].filter(one =>"
            " one.tagName === 'TABLE' && !one.getClientRects().length).length"
        )
        hidden = window.script(
            "return ['nav', '.skip'].map(one =>"
            " getComputedStyle(document.querySelector(one)).display)"
        )
    finally:
        window.media("")
    assert cut == []
    assert closed == 0
    assert hidden == ["none", "none"]
