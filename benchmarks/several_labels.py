"""Evidence for several labels: train what is missing, fill the tables of two pages in docs/.

    python benchmarks/several_labels.py                        all tables, 10 seeds
    python benchmarks/several_labels.py --only grouped,steps   some of them
    python benchmarks/several_labels.py --seeds 2 training.steps=20 --docs FOLDER

Words with = go to every run, as on the command line of `lossheads train`. Runs are ordinary run
folders: what is finished there is read, not trained again. About six minutes on two quiet cores.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from hydra.errors import HydraException

from lossheads.cli.errors import message_and_status
from lossheads.errors import UserError, near_matches
from lossheads.runs.device import cores
from several.pages import fill
from several.running import train
from several.sections import SECTIONS

DOCS = Path(__file__).resolve().parents[1] / "docs"


def main(words: Sequence[str]) -> int:
    """Carry out one call; returns the exit status."""
    asked = _parser().parse_intermixed_args(words)
    try:
        _check(asked)
        settings = [f"output_dir={asked.outputs}", *asked.settings]
        trainer = partial(
            train, seeds=asked.seeds, jobs=asked.jobs, settings=settings, say=_say_on_stderr
        )
        call = " ".join(["python benchmarks/several_labels.py", *asked.settings])
        for name in asked.only.split(","):
            section = SECTIONS[name]
            fill(asked.docs / section.page, section.make(trainer, call))
            print(f"{name}: {asked.docs / section.page}")
    except (UserError, HydraException) as error:
        print(f"several_labels: {message_and_status(error)[0]}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("several_labels: stopped; finished runs are kept", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(SECTIONS), help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=10, help="repetitions of every arm")
    parser.add_argument("--jobs", type=int, default=cores(), help="processes, one thread each")
    parser.add_argument("--outputs", type=Path, default=Path("outputs"), help="where runs go")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where the pages are")
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="for every run")
    return parser


def _check(asked: argparse.Namespace) -> None:
    for name in ("seeds", "jobs"):
        value = getattr(asked, name)
        if value < 1:
            raise UserError(f"several_labels got --{name} {value}: it is at least 1")
    for name in asked.only.split(","):
        if name not in SECTIONS:
            raise UserError(f"several_labels got --only {name}: {near_matches(name, SECTIONS)}")
        page = asked.docs / SECTIONS[name].page
        if not page.is_file():
            raise UserError(f"several_labels found no page {page}: it fills marked parts of it")
    for word in asked.settings:
        if "=" not in word:
            raise UserError(f"several_labels got {word!r}: a setting is KEY=VALUE")


def _say_on_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
