"""TensorBoard for a folder of runs: a short link for every page of every overview."""

import threading
from pathlib import Path

from lossheads.analysis import OVERVIEWS
from lossheads.cli.arguments import Parser
from lossheads.cli.board_pages import (
    PAGES,
    Page,
    Sweep,
    all_runs_of,
    refuse_endless,
    sweeps_of,
)
from lossheads.errors import UserError, near_matches, printable

PORT = 6006
RUNS_SELECTED = 500  # Time Series selects none where there are more
LINKS_IN_FULL = 3  # sweeps whose links are printed; the others stand on the board's first page


def board(outputs: Path, port: int, sweep: str | None) -> int:
    """Print the links, and serve `outputs` on 127.0.0.1 until interrupted.

    Args:
        outputs: A folder with event files anywhere below it.
        port: The first port to try; the next free one is taken.
        sweep: Print and serve the pages of this sweep or claim alone; None means all, and the runs
            one by one.

    Returns:
        The exit status, 0.

    Raises:
        UserError: If there are no events, or no such sweep.
    """
    sweeps, all_runs = _served(outputs, sweep)
    from lossheads.cli.board_server import HOST, free_port, serve

    port = free_port(port)
    serve(sweeps, all_runs, port)
    address = f"http://{HOST}:{port}/"
    print(printable(f"TensorBoard for {outputs} runs on {address} until Ctrl-C"))
    for line in links(sweeps, all_runs, address):
        print(printable(line), flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print()
    return 0


def links(sweeps: list[Sweep], all_runs: Path | None, address: str) -> list[str]:
    """What is printed of the pages: a line each, those of the latest sweeps in full."""
    width = max(len(page.label) for page in PAGES)
    lines = []
    for sweep in sweeps[:LINKS_IN_FULL]:
        lines.append(f"  {sweep.name}")
        lines += [f"    {page.label:{width}}  {address}{path(sweep, page)}" for page in sweep.pages]
    if others := len(sweeps) - LINKS_IN_FULL:
        lines += [f"  {others} more on {address}"] if others > 0 else []
    if all_runs is not None:
        lines.append(f"  {'all runs':{width + 2}}  {address}runs{_caution(all_runs)}")
    return lines


def _caution(runs: Path) -> str:
    """That TensorBoard shows none of very many runs before they are chosen."""
    n = sum(1 for entry in runs.iterdir() if entry.is_dir())
    return f"  ({n} runs: choose some there)" if n > RUNS_SELECTED else ""


def path(sweep: Sweep, page: Page) -> str:
    """Where a page is found on the board."""
    return f"{sweep.slug}/{page.slug}"


def _served(outputs: Path, name: str | None) -> tuple[list[Sweep], Path | None]:
    if not outputs.is_dir():
        raise UserError(f"board found no folder {outputs}: train something first, or name another")
    refuse_endless(outputs)
    sweeps, all_runs = sweeps_of(outputs), all_runs_of(outputs)
    if name is not None:
        known = {sweep.name: sweep for sweep in sweeps}
        if name not in known:
            hint = near_matches(name, known) if known else "there is none yet"
            raise UserError(f"board found no sweep {name!r} in {outputs / OVERVIEWS}: {hint}")
        return [known[name]], None
    if not sweeps and all_runs is None:
        raise UserError(
            f"board found no TensorBoard events below {outputs}: train something first "
            "(lossheads train), or name another folder"
        )
    return sweeps, all_runs


def command(words: list[str], trust: tuple[str, ...] = ()) -> int:
    """`lossheads board [OUTPUTS] [--sweep NAME] [--port PORT]`."""
    parser = Parser(
        prog="lossheads board",
        description="TensorBoard on 127.0.0.1 for a folder of runs, with a link for every page: "
        f"{', '.join(page.label for page in PAGES)}.",
    )
    parser.add_argument(
        "outputs", nargs="?", default="outputs", type=Path, help="default: %(default)s"
    )
    parser.add_argument("--sweep", metavar="NAME", help="the pages of this sweep or claim alone")
    parser.add_argument(
        "--port", type=int, default=PORT, help="first port to try; default: %(default)s"
    )
    given = parser.parse_args(words)
    return board(given.outputs, given.port, given.sweep)
