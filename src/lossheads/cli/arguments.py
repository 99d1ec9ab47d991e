"""What the commands share: their names, and a parser whose errors are one sentence."""

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from lossheads.errors import UserError

# Each is a module of this package with a function `command`.
COMMANDS = (
    *("train", "claim", "status", "evaluate", "compare", "check", "decode"),
    *("explain", "heads", "metrics", "board", "report"),
)


@dataclass(frozen=True)
class View:
    """How much of its results a command prints.

    Attributes:
        all: Every metric.
        quiet: Nothing but errors and the last line.
        json: Nothing but one JSON document on stdout, and errors.
    """

    all: bool = False
    quiet: bool = False
    json: bool = False

    @property
    def silent(self) -> bool:
        """Whether progress is not shown."""
        return self.quiet or self.json


USUAL_VIEW = View()
VIEW_HELP = {
    "all": "every metric of every arm, as tables",
    "quiet": "nothing but errors and the last line",
    "json": "nothing but one JSON document on standard output, and errors",
}


def take_view(arguments: Sequence[str], who: str) -> tuple[list[str], View]:
    """The arguments without `--all`, `--quiet` and `--json`, and what these ask for.

    Raises:
        UserError: If more than one is given.
    """
    flags = {f"--{name}" for name in VIEW_HELP}
    given = dict.fromkeys(word for word in arguments if word in flags)
    if len(given) > 1:
        raise UserError(f"{who} got {' and '.join(given)}: choose one")
    rest = [word for word in arguments if word not in flags]
    return rest, View(**{word.removeprefix("--"): True for word in given})


class _Once(argparse.Action):
    """Store a value that is given once, and not empty: an empty one is an unset shell variable."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        if option_string and isinstance(parser, Parser):
            if values == "" and self.nargs is None:
                parser.error(f"{option_string} got nothing: give a value, or leave it out")
            if self.dest in parser.taken:
                parser.error(f"{option_string} is given twice: give it once")
            parser.taken.add(self.dest)
        setattr(namespace, self.dest, values)


class Parser(argparse.ArgumentParser):
    """Raises `UserError` instead of printing its usage and ending the process."""

    def __init__(self, *words: Any, **named: Any) -> None:
        super().__init__(*words, **named)
        self.taken = set[str]()  # options that were given
        for name in (None, "store"):
            self.register("action", name, _Once)

    def add_view(self) -> None:
        """The flags of a `View`, which `take_view` has taken: for the help."""
        for name, text in VIEW_HELP.items():
            self.add_argument(f"--{name}", action="store_true", help=text)

    def add_data(self) -> None:
        """Folders in which files are read that runs name: they may be a stranger's."""
        self.add_argument(
            "--data",
            action="append",
            default=[],
            metavar="FOLDER",
            help="read data files that runs name there, too; by default in the current folder",
        )

    def error(self, message: str) -> NoReturn:
        command = self.prog.removeprefix("lossheads ")
        raise UserError(f"{command}: {message}; see {self.prog} --help")


def data_folders(given: argparse.Namespace) -> list[Path]:
    """What `--data` names.

    Raises:
        UserError: If one is no folder.
    """
    for folder in given.data:
        if not Path(folder).is_dir():
            raise UserError(f"--data must name a folder that holds data of runs, got {folder}")
    return [Path(folder) for folder in given.data]


def take_trust(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The arguments without `--trust NAME[,NAME]`, which every command takes, and the names.

    Raises:
        UserError: If the flag has no name, or one that no package can have.
    """
    rest, names = [], []
    words = iter(arguments)
    for word in words:
        flag, equals, value = word.partition("=")
        if flag != "--trust":
            rest.append(word)
            continue
        given = value if equals else next(words, "")
        packages = [name.strip() for name in given.split(",") if name.strip()]
        if not packages or not all(re.fullmatch(r"[A-Za-z_]\w*(\.\w+)*", p) for p in packages):
            raise UserError(
                f"--trust must name packages whose classes your YAML may use, as in "
                f"--trust my_heads,my_data, got {given!r}"
            )
        names += packages
    return rest, names
