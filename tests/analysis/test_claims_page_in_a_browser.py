"""The page over claims in a real browser: links land where they point, the filter filters."""

import pytest

from lossheads.claims.render.html import write_claims_page

from .pages import REFERENCE, VERDICTS

browsing = pytest.importorskip("browsing", reason="scripts/browsing.py is not on the path")
pytestmark = pytest.mark.slow  # a browser takes seconds to start
SLUGS = [data["slug"] for data in VERDICTS]


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    if reason := browsing.missing():
        pytest.skip(reason)
    page = write_claims_page(REFERENCE, tmp_path_factory.mktemp("page") / "report.html")
    with browsing.browser(1280, 800) as opened:
        opened.open(page.as_uri())
        yield opened


def top_of(window, slug):
    return window.script(
        f"return document.getElementById('claim-{slug}').getBoundingClientRect().top"
    )


def test_every_link_lands_on_its_claim(window):
    for slug in SLUGS[:: max(1, len(SLUGS) // 6)]:
        window.script(f"document.querySelector('nav a[href=\"#claim-{slug}\"]').click()")
        window.wait(lambda slug=slug: abs(top_of(window, slug)) < 60, f"the claim {slug}")


def test_the_filter_leaves_what_was_asked_for(window):
    window.script(
        "const form = document.getElementById('filter');"
        "form.elements.words.value = 'Fashion-MNIST';"
        "form.elements.verdict.value = 'metric_artefact';"
        "form.dispatchEvent(new Event('input', {bubbles: true}));"
    )
    kept = window.script(
        "return [...document.querySelectorAll('section.claim:not([hidden])')].map(s => s.id)"
    )
    assert "claim-bce-97-vs-cce-90" in kept
    assert len(kept) < len(SLUGS)
    window.script("document.getElementById('filter').reset()")
    window.wait(
        lambda: not window.script("return document.querySelector('section.claim[hidden]')"),
        "all claims again",
    )


@pytest.mark.parametrize("width", [375, 1280])
def test_nothing_is_wider_than_the_window(window, width):
    window.resize(width, 800)
    assert window.script("return document.documentElement.scrollWidth") <= width
    assert window.errors() == []
