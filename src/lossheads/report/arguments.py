"""The words of `lossheads report`, apart from what carries them out: help comes without pandas."""

from lossheads.arguments import Parser


def report_parser() -> Parser:
    """Flags and positionals of `lossheads report`."""
    parser = Parser(
        prog="lossheads report", description="Tables of all finished runs: arm × ruler over seeds."
    )
    parser.add_argument("outputs", nargs="?", default="outputs", help="folder that holds runs/")
    parser.add_argument("--csv", action="store_true", help="the long form, every digit kept")
    parser.add_argument(
        "--claims",
        nargs="?",
        const="",
        metavar="FOLDER",
        help="one HTML page over the verdicts in FOLDER (by default OUTPUTS/claims)",
    )
    parser.add_argument(
        "--html",
        metavar="FILE",
        help="write one HTML page there: of the runs, or with --claims of the verdicts "
        "(by default FOLDER/report.html)",
    )
    return parser
