"""Command-line words: argparse whose mistakes are one sentence, like everybody else's here."""

import argparse
from typing import NoReturn

from lossheads.errors import UserError


class Parser(argparse.ArgumentParser):
    """Raises `UserError` instead of printing its usage and ending the process."""

    def error(self, message: str) -> NoReturn:
        who = self.prog.removeprefix("lossheads ")
        raise UserError(f"{who}: {message}; see {self.prog} --help")
