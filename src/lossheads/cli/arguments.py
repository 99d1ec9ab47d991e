"""What the commands share: their names, and a parser whose errors are one sentence."""

import argparse
from typing import NoReturn

from lossheads.errors import UserError

# Each is a module of this package with a function `command`.
COMMANDS = ("train", "claim", "heads", "metrics", "board", "report")


class Parser(argparse.ArgumentParser):
    """Raises `UserError` instead of printing its usage and ending the process."""

    def error(self, message: str) -> NoReturn:
        command = self.prog.removeprefix("lossheads ")
        raise UserError(f"{command}: {message}; see {self.prog} --help")
