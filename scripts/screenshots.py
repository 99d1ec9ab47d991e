"""README's pictures of the dashboard, taken in a real browser.

    python scripts/screenshots.py [FOLDER] [--outputs OUTPUTS --sweep NAME]

Trains the small sweep of README, unless OUTPUTS names finished runs, opens every page of its board
and saves what a window of 1280 × 720 pixels shows, as FOLDER/board-<page>.png; the puzzle's page is
FOLDER/overview.png. Takes about a minute on two quiet cores, two beside other work. Needs Chromium
with its driver, and selenium: `pip install lossheads[browser]`.
"""

import argparse
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from browsing import Browser, browser, missing

SWEEP = ["train", "-m", "dataset=digits", "head=softmax_cce,sigmoid_bce", "seed=range(5)"]
SWEEP += ["optimizer.lr=0.003", "training.epochs=40"]
# What must be on the page before it is worth a picture: a selector, and how often.
DRAWN = {
    "puzzle": ("scalar-card tb-data-table-content-row", 1),
    "bands": ("svg path.line", 4),
    "classes": ("svg path.line", 8),
    "confusions": ("img", 1),
    "pr": ("svg path.line", 2),
    "hparams": ("vaadin-grid-cell-content", 20),
}
FILES = {"puzzle": "overview.png"}
LOSSHEADS = [sys.executable, "-P", "-m", "lossheads"]


@contextmanager
def board(outputs: Path, sweep: str | None) -> Iterator[dict[str, str]]:
    """Page -> address, while the board runs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    call = [*LOSSHEADS, "board", str(outputs), "--port", port]
    call += ["--sweep", sweep] if sweep else []
    with subprocess.Popen(call, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            pages: dict[str, str] = {}
            for line in running.stdout:
                if found := re.search(r"http://\S+/([^/\s]+)$", line):
                    if found[1] in pages:
                        break
                    pages[found[1]] = found[0]
                if set(DRAWN) <= set(pages) or (found and found[1] == "hparams"):
                    break
            yield pages
        finally:
            running.kill()


def take(window: Browser, address: str, page: str, path: Path) -> None:
    """Save the page as it looks once everything is drawn."""
    selector, least = DRAWN[page]
    window.open(address)
    window.wait(lambda: len(window.texts(selector)) >= least, f"{least} × {selector}")
    window.rest()
    window.save(path)
    with Image.open(path) as picture:  # few colours: a third of the size
        small = picture.convert("RGB").quantize(256)
    small.save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("docs"))
    parser.add_argument("--outputs", type=Path, help="finished runs; default: trains README's")
    parser.add_argument("--sweep", help="which overview of them; default: the latest")
    given = parser.parse_args()
    if reason := missing():
        sys.exit(f"screenshots.py: {reason}")
    with tempfile.TemporaryDirectory() as temporary:
        outputs = given.outputs or Path(temporary) / "outputs"
        if given.outputs is None:
            subprocess.run([*LOSSHEADS, *SWEEP, f"output_dir={outputs}"], check=True)
        with board(outputs, given.sweep) as pages, browser() as window:
            for page, address in pages.items():
                if page in DRAWN:
                    path = given.folder / FILES.get(page, f"board-{page}.png")
                    take(window, address, page, path)
                    print(path, flush=True)


if __name__ == "__main__":
    main()
