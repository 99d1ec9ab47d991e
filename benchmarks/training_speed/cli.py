"""The same training by several libraries and loops: seconds per member-epoch, and MFU.

    python -m benchmarks.training_speed              compare: a table, a JSON file, a figure
    python -m benchmarks.training_speed profile      where the time of a cohort step goes
    python -m benchmarks.training_speed end-to-end   `lossheads --help`, and a whole claim

Start it in the root of a clone. Needs the `bench` extra; a peer that is not installed is skipped by
name. docs/benchmark.md describes what is compared and how to read it. Use an idle machine.
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

from benchmarks.training_speed import end_to_end, report
from benchmarks.training_speed.peers import PEERS
from benchmarks.training_speed.process import PeerFailed
from benchmarks.training_speed.session import Plan, Session
from benchmarks.training_speed.setting import EPOCH, MODELS, SIDE, Setting, save_rows
from benchmarks.training_speed.summary import available_threads, conditions, summarize
from lossheads.errors import UserError, near_matches

OUTPUT_DIR = Path(__file__).resolve().parents[2] / "outputs"
DEFAULTS: dict[str, dict[str, Any]] = {
    "compare": {
        "models": list(MODELS),
        "batch": [128, 512],
        "members": [1, 5, 20, 100],
        "rounds": 5,
        "steps": 400,
    },
    "profile": {"models": ["mlp-128"], "batch": [128], "members": [20], "rounds": 1, "steps": 200},
    "end-to-end": {"models": [], "batch": [], "members": [], "rounds": 10, "steps": 0},
}
QUICK = ["seeds=5"]  # of the claim; its own 25 take ten minutes
TINY = {"models": ["mlp-128"], "batch": [32], "members": [1, 2], "rounds": 1, "steps": 2}
SYNTHETIC_ROWS = 2048


def main(argv: Sequence[str]) -> int:
    """Run one command line; returns the exit status."""
    args = _parser().parse_args(argv)
    modes = {"compare": _compare, "profile": _profile, "end-to-end": _end_to_end}
    try:
        _complete(args)
        with tempfile.TemporaryDirectory() as folder:
            return modes[args.mode](args, Path(folder))
    except (UserError, PeerFailed) as error:
        print(f"training_speed: {error}", file=sys.stderr)
        return 2 if isinstance(error, UserError) else 1
    except KeyboardInterrupt:
        print("training_speed: interrupted, nothing is written", file=sys.stderr)
        return 130


def _compare(args: argparse.Namespace, folder: Path) -> int:
    about = conditions(args.threads) | _terms(args)
    settings = _settings(args, _rows(args, folder))
    plan = Plan(args.rounds, args.steps, args.seconds)
    measured = []
    with Session(args.threads, plan, _print_progress, args.device, args.precision) as session:
        peers = session.present(args.peers)
        for setting in settings:
            measured.append(session.compare(setting, peers, args.members))
    gemm_rates = {name: median(each) for name, each in session.gemm_rates.items()}
    about["gflops"] = {name: rate / 1e9 for name, rate in gemm_rates.items()}
    about["gflops_rounds"] = {k: [r / 1e9 for r in each] for k, each in session.gemm_rates.items()}
    about["import_seconds"] = session.import_seconds
    summaries = [row for rows in measured for row in summarize(rows, gemm_rates)]
    skipped = session.skipped
    notes = [
        *report.legend(peers),
        *report.skipped_lines(skipped),
        report.conditions_line(about),
    ]
    console = Console(width=None if sys.stdout.isatty() else 165)
    console.print(*report.rich_tables(summaries), sep="\n")
    console.print("\n".join(notes), markup=False, highlight=False, soft_wrap=True)
    content = {"rows": [*map(asdict, summaries)], "skipped": [*map(asdict, skipped)]}
    _write_json(args.json, {"conditions": about, **content})
    if args.markdown:
        args.markdown.write_text(report.markdown(summaries, notes))
    report.draw(
        summaries, args.members, max(gemm_rates.values()), f"{args.threads} thread(s)", args.figure
    )
    return 0


def _profile(args: argparse.Namespace, folder: Path) -> int:
    from benchmarks.training_speed.profiling import profile_step  # brings torch

    settings = _settings(args, _rows(args, folder))
    reports = [
        profile_step(each, members, args.steps) for each in settings for members in args.members
    ]
    Console().print(*map(report.profile_table, reports), sep="\n")
    _write_json(args.json, {"conditions": conditions(args.threads), "profiles": reports})
    return 0


def _end_to_end(args: argparse.Namespace, folder: Path) -> int:
    from lossheads.datasets.garments import read_garments  # brings torch

    read_garments(args.data_dir, folder / "cache")  # what is timed below fetches nothing
    measured = {
        "help": end_to_end.help_seconds(args.rounds),
        "claim": {"name": end_to_end.CLAIM, **end_to_end.claim(end_to_end.CLAIM, folder, QUICK)},
    }
    print(json.dumps(measured, indent=2))
    _write_json(args.json, {"conditions": conditions(args.threads), "end_to_end": measured})
    return 0


def _settings(args: argparse.Namespace, rows_at: Path) -> list[Setting]:
    return [
        Setting(
            *(model, batch, args.order, args.threads, str(rows_at)),
            *(args.device, args.precision, args.graph),
        )
        for model in args.models
        for batch in args.batch
    ]


def _rows(args: argparse.Namespace, folder: Path) -> Path:
    """Write the training split, or random rows of its shape, where every peer can read it."""
    path = folder / "rows.npz"
    if args.synthetic:
        draw = np.random.default_rng(0)
        images = draw.integers(0, 256, (SYNTHETIC_ROWS, SIDE, SIDE), dtype=np.uint8)
        save_rows(path, images, draw.integers(0, 10, SYNTHETIC_ROWS))
        return path
    from lossheads.datasets.garments import read_garments  # brings torch

    train = read_garments(args.data_dir, OUTPUT_DIR / "cache")["train"]
    save_rows(path, train.images, train.classes)
    return path


def _terms(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments that numbers depend on."""
    return {
        "data": "synthetic" if args.synthetic else "Fashion-MNIST, training split",
        "images_per_epoch": EPOCH,
        "order": args.order,
        "device": args.device,
        "precision": args.precision,
        "graph": args.graph,
        "rounds": args.rounds,
        "most_steps_per_round": args.steps,
        "most_seconds_per_round": args.seconds,
    }


def _complete(args: argparse.Namespace) -> None:
    """Fill in defaults that depend on other options; refuse what would fail later."""
    args.synthetic = args.synthetic or args.tiny
    for name, value in (TINY if args.tiny else DEFAULTS[args.mode]).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    most = available_threads()
    if args.threads is None:
        args.threads = most
    if args.threads > most:
        raise UserError(
            f"--threads must be at most {most}, the cores available, got {args.threads}"
        )
    _check_device(args)
    args.json = args.json or OUTPUT_DIR / "benchmarks" / "training_speed" / f"{args.mode}.json"
    written = [args.json]
    if args.mode == "compare":
        args.figure = args.figure or OUTPUT_DIR / "benchmarks" / "training_speed" / "cost"
        written += [args.figure, *filter(None, [args.markdown])]
    for path in written:
        _check_writable(path)


def _check_device(args: argparse.Namespace) -> None:
    if args.device == "cpu":
        if args.precision == "tf32" or args.graph:
            option = "--graph" if args.graph else "--precision tf32"
            raise UserError(f"{option} needs a CUDA card: add --device cuda, or leave it out")
        return
    if args.mode != "compare":
        raise UserError(f"{args.mode} measures on the CPU alone: leave out --device cuda")
    from lossheads.runs.device import resolve_kind  # brings torch

    resolve_kind(args.device)


def _check_writable(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}): choose another path"
        ) from error
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"{path} cannot be written: choose a folder you may write to")


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")
    print(f"written: {path}", file=sys.stderr)


def _print_progress(text: str) -> None:
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
    add("--models", type=_names(MODELS), metavar="A,B", help=f"from {', '.join(MODELS)}")
    add("--peers", type=_names(PEERS), metavar="A,B", default=list(PEERS), help="ways of training")
    add("--batch", type=_counts, metavar="N,N", help="images per step")
    add(
        "--members",
        type=_counts,
        metavar="K,K",
        help="members, for peers that train several as one program",
    )
    add(
        "--order",
        choices=["own", "shared"],
        default="own",
        help="batch order: one per member, or one for all",
    )
    add("--rounds", type=_count, help="measurements per row")
    add("--steps", type=_count, help="at most so many steps per measurement")
    add("--seconds", type=float, default=2.0, help="at most about so long per measurement")
    add("--threads", type=_count, help="of every peer; default: all cores")
    add("--device", choices=["cpu", "cuda"], default="cpu", help="cuda: never yet tried")
    add(
        "--precision",
        choices=["float32", "tf32", "bfloat16"],
        default="float32",
        help="of products",
    )
    add("--graph", action="store_true", help="replay this project's step as a CUDA graph")
    add("--data-dir", type=Path, help="folder with Fashion-MNIST's four files")
    add("--synthetic", action="store_true", help="random images instead of Fashion-MNIST")
    add(
        "--tiny",
        action="store_true",
        help="sizes for tests: seconds instead of an hour, numbers without meaning",
    )
    add("--json", type=Path, help="default: outputs/benchmarks/training_speed/MODE.json")
    add(
        "--figure",
        type=Path,
        help="without suffix; default: outputs/benchmarks/training_speed/cost",
    )
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
    return [_count(part) for part in text.split(",")]


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return int(text)
