"""HTML taken apart again, as far as tests ask about it."""

import json
from html.parser import HTMLParser
from pathlib import Path

from lossheads.claims.render.html import claims_page
from lossheads.claims.verdict_file import read_verdicts

REFERENCE = Path(__file__).parents[2] / "outputs" / "reference"
VERDICTS = [json.loads(path.read_text()) for path in sorted(REFERENCE.glob("*/verdict.json"))]

VOID = {"meta", "img", "br", "wbr", "link", "input", "hr"}


class Page(HTMLParser):
    """Every tag with its attributes, and the text below each id and in all."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.below, self._open = [], "", {}, []
        self.feed(text)
        self.close()
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append((tag, dict(attrs).get("id")))

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        opened, _ = self._open.pop()
        assert opened == tag, f"</{tag}> closes <{opened}>"

    def handle_data(self, data):
        self.text += data
        for _, name in self._open:
            if name:
                self.below[name] = self.below.get(name, "") + data

    def all(self, *names):
        return [attributes for tag, attributes in self.tags if tag in names]

    @property
    def ids(self):
        return [attributes["id"] for _, attributes in self.tags if "id" in attributes]


def words(text):
    """The text with every run of white space as one blank."""
    return " ".join(text.split())


def section(page, slug):
    """The words of one claim's section."""
    return words(page.below[f"claim-{slug}"])


def folder_with(tmp_path, data, slug="some-claim", pictures=()):
    folder = tmp_path / slug
    folder.mkdir(parents=True)
    # Text is written as it is; data are a verdict of the version that is read.
    text = data if isinstance(data, str) else json.dumps({"schema_version": 1} | data)
    (folder / "verdict.json").write_text(text, encoding="utf-8")
    for name, content in dict(pictures).items():
        (folder / name).write_bytes(content)
    return tmp_path


def shown(folder):
    return Page(claims_page(read_verdicts(folder)))
