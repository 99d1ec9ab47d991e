"""The same training done several ways, side by side: seconds per member-epoch, and the floor.

    python benchmarks/benchmark.py              compare: a table, a JSON file, a figure
    python benchmarks/benchmark.py profile      where the time of a cohort step goes
    python benchmarks/benchmark.py facts        start-up, and what the puzzle costs

Needs the `bench` extra; a peer that is not installed is skipped by name. docs/benchmark.md tells
what is compared and how to read it. Leave the machine alone meanwhile.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console

from bench import showing, whole
from bench.peers import PEERS
from bench.process import PeerFailed
from bench.session import Plan, Session
from bench.setting import EPOCH, MODELS, SIDE, Setting, save_rows
from bench.summary import available_threads, conditions, summarize
from lossheads.errors import UserError, near_matches

OUTPUTS = Path(__file__).resolve().parents[1] / "outputs"
DEFAULTS: dict[str, dict[str, Any]] = {
    "compare": {
        "models": list(MODELS),
        "batch": [128, 512],
        "members": [1, 5, 20, 100],
        "rounds": 5,
        "steps": 400,
    },
    "profile": {"models": ["mlp-128"], "batch": [128], "members": [20], "rounds": 1, "steps": 200},
    "facts": {"models": [], "batch": [], "members": [], "rounds": 10, "steps": 0},
}
TINY = {"models": ["mlp-128"], "batch": [32], "members": [1, 2], "rounds": 1, "steps": 2}
SYNTHETIC_ROWS = 2048


def main(words: Sequence[str]) -> int:
    """Carry out one call; returns the exit status."""
    asked = _parser().parse_args(words)
    modes = {"compare": _compare, "profile": _profile, "facts": _facts}
    try:
        _complete(asked)
        with tempfile.TemporaryDirectory() as folder:
            return modes[asked.mode](asked, Path(folder))
    except (UserError, PeerFailed) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2 if isinstance(error, UserError) else 1
    except KeyboardInterrupt:
        print("benchmark: interrupted, nothing is written", file=sys.stderr)
        return 130


def _compare(asked: argparse.Namespace, folder: Path) -> int:
    about = conditions(asked.threads) | _terms(asked)
    settings = _settings(asked, _rows(asked, folder))
    plan = Plan(asked.rounds, asked.steps, asked.seconds)
    measured = []
    with Session(asked.threads, plan, _tell) as session:
        peers = session.present(asked.peers)
        for setting in settings:
            measured.append(session.compare(setting, peers, asked.members))
    rates = {name: median(each) for name, each in session.gemm_rates.items()}
    about["gflops"] = {name: rate / 1e9 for name, rate in rates.items()}
    about["gflops_rounds"] = {k: [r / 1e9 for r in each] for k, each in session.gemm_rates.items()}
    about["import_seconds"] = session.import_seconds
    summaries = [row for rows in measured for row in summarize(rows, rates)]
    skipped = session.skipped
    notes = [
        *showing.legend(peers),
        *showing.skipped_lines(skipped),
        showing.conditions_line(about),
    ]
    console = Console(width=None if sys.stdout.isatty() else 165)
    console.print(*showing.rich_tables(summaries), sep="\n")
    console.print("\n".join(notes), markup=False, highlight=False, soft_wrap=True)
    content = {"rows": [*map(asdict, summaries)], "skipped": [*map(asdict, skipped)]}
    _write_json(asked.json, {"conditions": about, **content})
    if asked.markdown:
        asked.markdown.write_text(showing.markdown(summaries, notes))
    showing.draw(
        summaries, asked.members, max(rates.values()), f"{asked.threads} thread(s)", asked.figure
    )
    return 0


def _profile(asked: argparse.Namespace, folder: Path) -> int:
    from bench.profiling import profile_step  # brings torch

    settings = _settings(asked, _rows(asked, folder))
    reports = [
        profile_step(each, members, asked.steps) for each in settings for members in asked.members
    ]
    Console().print(*map(showing.profile_table, reports), sep="\n")
    _write_json(asked.json, {"conditions": conditions(asked.threads), "profiles": reports})
    return 0


def _facts(asked: argparse.Namespace, folder: Path) -> int:
    from lossheads.datasets.garments import read_garments  # brings torch

    read_garments(asked.data_dir, folder / "cache")  # what is timed below fetches nothing
    facts = {"help": whole.help_seconds(asked.rounds), "puzzle": whole.claim(whole.PUZZLE, folder)}
    print(json.dumps(facts, indent=2))
    _write_json(asked.json, {"conditions": conditions(asked.threads), "facts": facts})
    return 0


def _settings(asked: argparse.Namespace, rows_at: Path) -> list[Setting]:
    return [
        Setting(model, batch, asked.order, asked.threads, str(rows_at))
        for model in asked.models
        for batch in asked.batch
    ]


def _rows(asked: argparse.Namespace, folder: Path) -> Path:
    """Write the training split, or made-up rows of its shape, where every peer can read it."""
    path = folder / "rows.npz"
    if asked.synthetic:
        draw = np.random.default_rng(0)
        images = draw.integers(0, 256, (SYNTHETIC_ROWS, SIDE, SIDE), dtype=np.uint8)
        save_rows(path, images, draw.integers(0, 10, SYNTHETIC_ROWS))
        return path
    from lossheads.datasets.garments import read_garments  # brings torch

    train = read_garments(asked.data_dir, OUTPUTS / "cache")["train"]
    save_rows(path, train.images, train.classes)
    return path


def _terms(asked: argparse.Namespace) -> dict[str, Any]:
    """What was asked for, as far as numbers depend on it."""
    return {
        "data": "synthetic" if asked.synthetic else "Fashion-MNIST, training split",
        "images_per_epoch": EPOCH,
        "order": asked.order,
        "rounds": asked.rounds,
        "most_steps_per_round": asked.steps,
        "most_seconds_per_round": asked.seconds,
    }


def _complete(asked: argparse.Namespace) -> None:
    """Fill in what depends on other options; refuse now what would fail after an hour."""
    asked.synthetic = asked.synthetic or asked.tiny
    for name, value in (TINY if asked.tiny else DEFAULTS[asked.mode]).items():
        if getattr(asked, name) is None:
            setattr(asked, name, value)
    most = available_threads()
    if asked.threads is None:
        asked.threads = most
    if asked.threads > most:
        raise UserError(f"--threads {asked.threads}: only {most} cores are at hand; ask for fewer")
    asked.json = asked.json or OUTPUTS / "benchmark" / f"{asked.mode}.json"
    written = [asked.json]
    if asked.mode == "compare":
        asked.figure = asked.figure or OUTPUTS / "benchmark" / "cost"
        written += [asked.figure, *filter(None, [asked.markdown])]
    for path in written:
        _make_room(path)


def _make_room(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}): choose another") from error
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"{path} cannot be written: choose a folder you may write to")


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")
    print(f"written: {path}", file=sys.stderr)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    about, _, calls = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=about,
        epilog=calls,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("mode", nargs="?", choices=list(DEFAULTS), default="compare")
    add("--models", type=_names(MODELS), metavar="A,B", help=f"of {', '.join(MODELS)}")
    add("--peers", type=_names(PEERS), metavar="A,B", default=list(PEERS), help="ways of training")
    add("--batch", type=_counts, metavar="N,N", help="images per step")
    add("--members", type=_counts, metavar="K,K", help="members, for those who train several")
    add("--order", choices=["own", "shared"], default="own", help="batches: one order each, or one")
    add("--rounds", type=_count, help="measurements per row")
    add("--steps", type=_count, help="most steps per measurement")
    add("--seconds", type=float, default=2.0, help="about the most per measurement")
    add("--threads", type=_count, help="for every way alike; default: all cores")
    add("--data-dir", type=Path, help="folder with Fashion-MNIST's four files")
    add("--synthetic", action="store_true", help="made-up images instead of Fashion-MNIST")
    add("--tiny", action="store_true", help="seconds instead of an hour; proves nothing")
    add("--json", type=Path, help="default: outputs/benchmark/MODE.json")
    add("--figure", type=Path, help="without suffix; default: outputs/benchmark/cost")
    add("--markdown", type=Path, help="write the tables as Markdown, too")
    return parser


def _names(known: Iterable[str]) -> Callable[[str], list[str]]:
    def read(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(
                    f"{name!r} is unknown; {near_matches(name, known)}"
                )
        return names

    return read


def _counts(text: str) -> list[int]:
    return [_count(word) for word in text.split(",")]


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: it is a whole number of at least 1")
    return int(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
