"""lossheads decode: which quantity a printed accuracy was, and what prints exactly this loss."""

import json
import sys
from collections.abc import Sequence

from lossheads.cli.arguments import Parser
from lossheads.decoding.decode import decode_facts
from lossheads.decoding.facts import KEYS, read_facts, read_words

_EPILOG = f"""\
keys: {", ".join(KEYS)}
A loss may be given twice, once as a number and once by name.

  lossheads decode accuracy=0.9728 classes=10 framework=keras-2.2 loss=binary_crossentropy
  lossheads decode loss=1.4612 classes=10
  lossheads decode accuracy=0.9 loss=0.3251 loss=binary_crossentropy classes=10
"""


def command(words: list[str], trust: Sequence[str] = ()) -> int:
    """Carry out `lossheads decode KEY=VALUE … [--json]`; returns the exit status."""
    parser = _parser()
    asked = parser.parse_args(words)
    found = decode_facts(read_facts(read_words(asked.facts)))
    text = json.dumps(found.to_dict(), indent=1) if asked.json else str(found)
    sys.stdout.write(text + "\n")
    return 0


def _parser() -> Parser:
    import argparse

    parser = Parser(
        prog="lossheads decode",
        description="Which quantity a printed accuracy was, with its baseline and what is feasible "
        "behind it; and what would print exactly this loss.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("facts", nargs="*", metavar="KEY=VALUE", help="a number and what is known")
    parser.add_argument("--json", action="store_true", help="everything as JSON")
    return parser
