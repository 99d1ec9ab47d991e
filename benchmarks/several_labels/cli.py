"""Heads for several labels, compared on data: train what is missing, fill the tables in docs/.

    python -m benchmarks.several_labels                        all tables, 20 seeds
    python -m benchmarks.several_labels --only grouped,steps   some of them
    python -m benchmarks.several_labels --seeds 2 training.steps=20 --docs FOLDER

Start it in the root of a clone. KEY=VALUE is an override for every run, as for `lossheads train`.
Runs are ordinary run folders: finished ones are read, not trained again. About twelve minutes on
two idle cores.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from hydra.errors import HydraException

from benchmarks.several_labels.pages import fill
from benchmarks.several_labels.running import train
from benchmarks.several_labels.sections import SECTIONS
from lossheads.errors import UserError, near_matches
from lossheads.runs.device import cores
from lossheads.runs.messages import message_and_status

DOCS = Path(__file__).resolve().parents[2] / "docs"
SEEDS = 20


def main(argv: Sequence[str]) -> int:
    """Run one command line; returns the exit status."""
    args = _parser().parse_intermixed_args(argv)
    try:
        _check(args)
        settings = [f"output_dir={args.output_dir}", *args.settings]
        trainer = partial(
            train, seeds=args.seeds, jobs=args.jobs, settings=settings, report=_print_progress
        )
        seeds = [] if args.seeds == SEEDS else [f"--seeds {args.seeds}"]
        call = " ".join(["python -m benchmarks.several_labels", *seeds, *args.settings])
        for name in args.only.split(","):
            section = SECTIONS[name]
            fill(args.docs / section.page, section.make(trainer, call))
            print(f"{name}: {args.docs / section.page}")
    except (UserError, HydraException) as error:
        print(f"several_labels: {message_and_status(error)[0]}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("several_labels: interrupted; finished runs are kept", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(SECTIONS), help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="repetitions of every arm")
    parser.add_argument("--jobs", type=int, default=cores(), help="processes, one thread each")
    parser.add_argument("--output-dir", type=Path, default=Path("outputs"), help="where runs go")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where the pages are")
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="for every run")
    return parser


def _check(args: argparse.Namespace) -> None:
    for name in ("seeds", "jobs"):
        value = getattr(args, name)
        if value < 1:
            raise UserError(f"--{name} must be at least 1, got {value}")
    for name in args.only.split(","):
        if name not in SECTIONS:
            raise UserError(f"--only got {name}: {near_matches(name, SECTIONS)}")
        page = args.docs / SECTIONS[name].page
        if not page.is_file():
            raise UserError(f"page {page} not found: choose the folder of the pages with --docs")
    for setting in args.settings:
        if "=" not in setting:
            raise UserError(f"an override must be KEY=VALUE, got {setting!r}")


def _print_progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
