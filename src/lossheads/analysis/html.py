"""One file that holds a whole page: template in, text out, nothing loaded from elsewhere.

Whatever a page shows is escaped (claims are written by strangers), pictures are embedded, and a
content security policy in the page forbids the browser to fetch anything.
"""

import base64
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from lossheads.analysis import palette
from lossheads.analysis.page_tables import PageTable, markdown_code, markdown_table, markdown_text
from lossheads.errors import UserError, refuse_missing_folder
from lossheads.whole_files import whole_file

# Orders to terminals, and signs that turn the direction of what follows: names may hold them.
_UNPRINTABLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)

# A sign beside each verdict and conclusion, so that they differ in a grey print as well.
SIGNS = {
    "reproduced": "●",
    "metric_artefact": "◆",
    "mixed": "◐",
    "refuted": "✕",
    "undecided": "○",
    "unreadable": "!",
    "holds": "✓",
    "fails": "✕",
}
MEANINGS = {
    "reproduced": "it holds as tested",
    "metric_artefact": "the numbers come of the metric, not of the loss",
    "mixed": "one part holds, another fails",
    "refuted": "it does not hold as tested",
    "undecided": "the intervals leave it open",
}


@dataclass(frozen=True)
class Picture:
    """A figure inside the page."""

    source: str
    alt: str
    width: int = 0
    height: int = 0


def picture(content: bytes, alt: str) -> Picture:
    """PNG bytes as a data address, with the size that its header gives.

    A page that knows the size keeps its room free: links land where they point, whatever has
    been loaded by then. A file without a whole header has the size 0.
    """
    sizes = [int.from_bytes(content[at : at + 4], "big") for at in (16, 20)]
    known = content[12:16] == b"IHDR" and len(content) >= 24 and all(0 < n < 2**16 for n in sizes)
    source = f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"
    return Picture(source, alt, *(sizes if known else (0, 0)))


@dataclass(frozen=True)
class Script:
    """A script inside the page, and the digest by which the page's policy allows it alone."""

    text: Markup
    digest: str


def script(*names: str) -> Script:
    """Files beside the templates, as one."""
    folder = Path(__file__).parent / "templates"
    text = "".join((folder / name).read_text(encoding="utf-8") for name in names)
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return Script(Markup(text), f"sha256-{base64.b64encode(digest).decode('ascii')}")


def render(template: str, **parts: Any) -> str:
    """The page; every value is escaped, as HTML or as Markdown. A missing name is an error."""
    is_html = template.endswith(".html")
    environment = Environment(
        loader=PackageLoader("lossheads.analysis"),
        autoescape=is_html,
        finalize=None if is_html else _in_markdown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "breakable": breakable,
        "humanize": humanize,
        "address": lambda url: Markup(quote(url, safe=":/?#@!$&'()*+,;=%")),
        "code": lambda text: Markup(markdown_code(text)),
        "fenced": _fenced,
        "markdown": _table,
    }
    words = {"signs": SIGNS, "meanings": MEANINGS}
    environment.globals |= words | {"script": script, "arm_style": Markup(palette.style())}
    text = environment.get_template(template).render(**parts)
    return _UNPRINTABLE.sub(" ", text) if is_html else text


def _in_markdown(value: object) -> str:
    """What a filter wrote as Markdown stays; all else is text."""
    return value if isinstance(value, Markup) else markdown_text(str(value))


def _table(table: PageTable) -> Markup:
    return Markup(markdown_table(table))


def _fenced(text: str) -> Markup:
    fence = "```"
    while fence in text:
        fence += "`"
    return Markup(f"{fence}\n{text}\n{fence}")


def breakable(text: str) -> Markup:
    """A long name that may be broken after _ and / where a column is narrow."""
    return Markup(str(escape(text)).replace("_", "_<wbr>").replace("/", "/<wbr>"))


def humanize(name: str) -> str:
    """A verdict as people read it: metric_artefact -> metric artefact."""
    return name.replace("_", " ")


def write_text(path: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(text.encode("utf-8"))


def write_html(path: Path, text: str) -> Path:
    """Write the page, whole or not at all.

    Raises:
        UserError: When it cannot be written there.
    """
    refuse_missing_folder(path, "the report")
    if path.exists() and not path.is_file():  # a rename would take a device away, too
        raise UserError(f"the report cannot be written at {path}, which is not a file: name a file")
    try:
        write_text(path, text)
    except OSError as error:
        raise UserError(
            f"the report cannot be written at {path}: {error.strerror}; name another file"
        ) from error
    return path
