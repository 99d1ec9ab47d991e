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


CHECK = {
    "conclusion": "fails",
    "reading": None,
    "says": "",
    "compute": "sigmoid",
    "of": [0],
    "relation": "equals",
    "stated": 1.0,
    "tolerance": 0.0,
    "computed": 0.5,
}
SMALL = {
    "schema_version": 1,
    "slug": "some-claim",
    "verdict": "refuted",
    "why": "c fails",
    **dict.fromkeys(("says", "statement", "explanation", "would_change"), ""),
    "source": {"document": "", "framework": ""},
    "protocol": None,
    "protocol_says": "",
    "alpha": 0.05,
    "further_seeds": None,
    **{key: {} for key in ("hypotheses", "models", "arms", "environment")},
    **dict.fromkeys(("redrawn", "seeds", "looks", "table", "failed", "notes", "commands"), ()),
    "environments": (),
    "seconds": 1.0,
}
ARM = {"overrides": {}, "gradient_norm": None, "gradient_ratio": None, "chosen": {}, "curves": {}}


def small(data):
    """The smallest whole verdict with `data` in it; its rule gives the verdict of `data`."""
    checks = {} if data.get("hypotheses") else {"c": CHECK}
    if checks and data.get("verdict") == "reproduced":
        checks = {"c": CHECK | {"conclusion": "holds"}}
    rule = {"reproduced": list(data.get("hypotheses") or checks)}
    return SMALL | {"checks": checks, "rule": rule} | data


def folder_with(tmp_path, data, slug="some-claim", pictures=()):
    folder = tmp_path / slug
    folder.mkdir(parents=True)
    # Text is written as it is; data are completed to a whole verdict.
    text = data if isinstance(data, str) else json.dumps(small(data))
    (folder / "verdict.json").write_text(text, encoding="utf-8")
    for name, content in dict(pictures).items():
        (folder / name).write_bytes(content)
    return tmp_path


def shown(folder):
    return Page(claims_page(read_verdicts(folder)))
