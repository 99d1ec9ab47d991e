"""The words of `lossheads claim`, apart from what carries them out: help comes without torch."""

import argparse

from lossheads.arguments import Parser

# Settings that change where or on what a claim runs, or how often, but not what it asks.
ALLOWED = ("seeds", "device", "device.threads", "outputs", "data_dir", "force")


def claim_parser() -> argparse.ArgumentParser:
    """Flags and positionals of `lossheads claim list | run`."""
    parser = Parser(prog="lossheads claim", description="Claims, and verdicts on them.")
    parser.set_defaults(claims=None)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="list|run")
    listed = verbs.add_parser("list", help="the claims, and where they were made")
    run = verbs.add_parser("run", help="train what is missing, print the verdict")
    run.add_argument("name", help="a claim's name, a claim file (.yaml), or all")
    run.add_argument("settings", nargs="*", help=f"{', '.join(ALLOWED)}, as KEY=VALUE")
    run.add_argument(
        "--reference",
        default="outputs/reference",
        help="folder of committed verdicts to compare with; default: %(default)s",
    )
    run.add_argument(
        "--save-reference",
        action="store_true",
        dest="save",
        help="make this verdict the committed one",
    )
    for verb in (listed, run):
        verb.add_argument("--claims", metavar="FOLDER", help="claim files of your own")
    return parser
