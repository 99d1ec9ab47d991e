"""A terminal that shows what others wrote, as it is written."""

from typing import Any

from rich.console import Console
from rich.text import Text

from lossheads.errors import printable


class PlainConsole(Console):
    """A rich console for text of strangers: class names, notes, paths, titles of data.

    Square brackets are no markup and colons no emoji; signs that would move the cursor or give the
    terminal orders are spaces. Styles are said apart from the text.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Rich reads every plain string here, those in tables, titles and captions included."""
        return super().render_str(printable(text), **options)


def wide_console(stderr: bool = False) -> PlainConsole:
    """Stdout or stderr; 120 columns when it is a pipe, which has no width of its own."""
    console = PlainConsole(stderr=stderr)
    return console if console.is_terminal else PlainConsole(stderr=stderr, width=120)
