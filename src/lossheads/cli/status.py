"""lossheads status: the sweeps that were handed to a cluster, and the tables of the latest."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lossheads.cli.arguments import Parser, View, take_view
from lossheads.errors import UserError, near_matches

if TYPE_CHECKING:
    from lossheads.records import Result
    from lossheads.runs.executors.sweep import Sweep


def command(words: list[str], trust: Sequence[str] = ()) -> int:
    """`lossheads status [OUTPUTS] [--sweep NAME] [--now]`; returns the exit status."""
    words, view = take_view(words, "status")
    given = _parser().parse_args(words)

    from lossheads.analysis.terminal import wide_console
    from lossheads.runs.executors.sweep import sweeps

    found = {sweep.name: sweep for sweep in sweeps(Path(given.outputs))}
    if not found:
        raise UserError(
            f"status finds no sweep in {given.outputs}/jobs: start one with executor=slurm or "
            f"executor=ray, or name another folder"
        )
    name = given.sweep or list(found)[-1]
    if name not in found:
        raise UserError(f"status finds no sweep {name!r}: {near_matches(name, found)}")
    for earlier in found.values() if given.sweep is None and not view.silent else ():
        if earlier.name != name:
            runs = sum(map(len, earlier.record.jobs))
            missing = sum(len(earlier.missing(at)) for at in range(len(earlier.record.jobs)))
            wide_console().print(f"{earlier.name}: {runs - missing} of {runs} runs finished")
    _show(found[name], given, view, trust)
    return 0


def _show(sweep: "Sweep", given: Namespace, view: View, trust: Sequence[str]) -> None:
    """Follow a sweep to its end, then print what its own call would have printed."""
    from lossheads.analysis.overview import sweep_overviews
    from lossheads.analysis.terminal import wide_console
    from lossheads.cli.console import print_results
    from lossheads.cli.sweep_page import write_sweep_page
    from lossheads.loggers.progress import Reporter
    from lossheads.runs.executors.base import STATES, engine_of
    from lossheads.runs.executors.follow import Follower, follow

    engine = engine_of({"kind": sweep.record.executor})
    follower = Follower(sweep, engine)
    follower.look()
    called = f"{sweep.name}, {sweep.record.submitted}: {sweep.record.command}"
    if not view.silent:
        wide_console().print(called, soft_wrap=True)
    if given.now:
        follower.look(patience=1)
        counts = [list(follower.states.values()).count(state) for state in STATES]
        jobs = ", ".join(f"{n} {state}" for n, state in zip(counts, STATES, strict=True))
        wide_console().print(f"jobs: {jobs}; {follower.finished_runs} of {follower.runs} runs")
        return
    with Reporter(quiet=view.silent) as reporter:
        follow([follower], reporter)
    failures = follower.failures()
    results = _results(sweep)
    outputs = Path(given.outputs)
    if results:
        try:
            sweep_overviews(results, outputs)
            write_sweep_page(results, outputs, trust)
        finally:  # results are printed even if the disk is full by now
            print_results(results, outputs, view=view)
    if failures:
        raise failures[0]


def _results(sweep: "Sweep") -> "list[Result]":
    """Of all runs that were asked for, each once, as far as they are finished."""
    from lossheads.records import read_result

    asked = dict.fromkeys(sweep.record.asked)
    found = (read_result(sweep.runs / name) for name in asked)
    return [result for result in found if result is not None]


def _parser() -> Parser:
    """Flags and positionals of `lossheads status`."""
    parser = Parser(
        prog="lossheads status",
        description="Find the sweeps again that were handed to a cluster, follow the latest to "
        "its end and print its tables.",
    )
    parser.add_argument(
        "outputs", nargs="?", default="outputs", help="folder that holds jobs/ and runs/"
    )
    parser.add_argument("--sweep", metavar="NAME", help="another one than the latest")
    parser.add_argument("--now", action="store_true", help="say how far it is, do not wait")
    parser.add_view()
    return parser
