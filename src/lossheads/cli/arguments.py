"""What the commands share: their names, and a parser whose errors are one sentence."""

import argparse
import re
from collections.abc import Sequence
from typing import NoReturn

from lossheads.errors import UserError

# Each is a module of this package with a function `command`.
COMMANDS = (
    *("train", "claim", "status", "evaluate", "compare", "check", "decode"),
    *("heads", "metrics", "board", "report"),
)


class Parser(argparse.ArgumentParser):
    """Raises `UserError` instead of printing its usage and ending the process."""

    def error(self, message: str) -> NoReturn:
        command = self.prog.removeprefix("lossheads ")
        raise UserError(f"{command}: {message}; see {self.prog} --help")


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
