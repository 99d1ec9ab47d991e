"""Command-line words: argparse whose mistakes are one sentence, like everybody else's here."""

import argparse
from typing import NoReturn

from lossheads.errors import UserError


class Parser(argparse.ArgumentParser):
    """Raises `UserError` instead of printing its usage and ending the process."""

    def error(self, message: str) -> NoReturn:
        who = self.prog.removeprefix("lossheads ")
        raise UserError(f"{who}: {message}; see {self.prog} --help")


def heads_parser() -> Parser:
    """The words of `lossheads heads`; here, because its own room imports torch."""
    parser = Parser(
        prog="lossheads heads", description="What each head does, with a tiny worked example."
    )
    parser.add_argument("names", nargs="*", help="only these; default: all")
    return parser


def rulers_parser() -> Parser:
    """The words of `lossheads rulers`; here for the same reason."""
    parser = Parser(
        prog="lossheads rulers",
        description="What each ruler counts, its perfect value, and which outcomes it serves.",
    )
    parser.add_argument("names", nargs="*", help="only these; default: all")
    parser.add_argument(
        "--outcome",
        metavar="KIND",
        help="only what serves OneOf (or one_of), AnyOf (any_of) or EachOneOf (each_one_of) labels",
    )
    return parser
