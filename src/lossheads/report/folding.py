"""Names in the columns of a terminal: folded after their separators, never in mid-word if it fits.

Rich folds a word that is wider than its column wherever the column ends, and `softmax_cce` is one
word to it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.measure import Measurement
from rich.text import Text

# After a space, ·, _, / or a hyphen inside a name; not inside "n = 5", nor in 1e-3.
_SEAMS = re.compile(r"(?<=[ ·_/])(?<!= )(?! |=)|(?<=\w-)(?<!\d[eE]-)(?=\w)")


@dataclass(frozen=True)
class Name:
    """A name that rich folds at its separators."""

    words: str

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        widest = max(map(cell_len, pieces(self.words)), default=0)
        lines = max(map(cell_len, self.words.splitlines()), default=0)
        return Measurement(widest, lines).with_maximum(options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        yield Text(folded(self.words, options.max_width))


def pieces(words: str) -> list[str]:
    """What no fold goes through, each with the separator that ends it."""
    return [piece.rstrip() for piece in _SEAMS.split(words)]


def folded(words: str, width: int) -> str:
    """Lines of at most `width` cells where the pieces allow it, each as full as they do."""
    return "\n".join(_filled(line, width) for line in words.split("\n"))


def _filled(line: str, width: int) -> str:
    lines = [""]
    for piece in _SEAMS.split(line):
        if lines[-1] and cell_len(lines[-1] + piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return "\n".join(full.rstrip() for full in lines)
