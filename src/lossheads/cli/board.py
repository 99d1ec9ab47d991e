"""TensorBoard for a folder of runs, with links to its overviews."""

import io
import json
import re
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from tensorboard import program

from lossheads.analysis import OVERVIEWS, PUZZLE_TAG
from lossheads.cli.arguments import Parser
from lossheads.errors import UserError, near_matches

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]  # of WSGI

HOST = "127.0.0.1"
PORT = 6006
PORTS_TRIED = 100
RUNS_BY_HEAD = r"regex:([^/]+)-s\d+-[0-9a-f]+$"  # colour by dataset and head, not by seed


def board(outputs: Path, port: int, overview: str | None) -> int:
    """Print the links, and serve `outputs` on 127.0.0.1 until interrupted.

    Args:
        outputs: A folder with event files anywhere below it.
        port: The first port to try; the next free one is taken.
        overview: Print the link to this overview alone; None prints one for each, and one for
            all runs.

    Returns:
        The exit status, 0.

    Raises:
        UserError: If there are no events, or no such overview.
    """
    links = _links(outputs, overview)
    port = free_port(port)
    server = program.TensorBoard(server_class=_guarded_server)
    server.configure(logdir=str(outputs), host=HOST, port=port)
    # It prints which reader of event files it uses, and no flag silences that.
    with redirect_stderr(io.StringIO()):
        server.launch()
    print(f"TensorBoard for {outputs} runs on http://{HOST}:{port}/ until Ctrl-C")
    for name in links:
        print(f"  {name or 'all runs'}: {deep_link(port, name)}", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print()
    return 0


def local_only(app: Application) -> Application:
    """`app` for requests that name this machine in their Host header.

    A web page elsewhere could let its own name point to 127.0.0.1 and read the board through the
    reader's browser (DNS rebinding); its requests carry that name.
    """

    def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        name = re.fullmatch(r"(.*?)(:\d+)?", str(environ.get("HTTP_HOST", "")))
        if name and name[1].lower() in (HOST, "localhost", "[::1]"):
            return app(environ, start_response)
        start_response("403 Forbidden", [("Content-Type", "text/plain; charset=utf-8")])
        return [f"lossheads board answers as {HOST} or localhost alone\n".encode()]

    return guarded


def _guarded_server(app: Application, flags: Any) -> program.TensorBoardServer:
    return program.create_port_scanning_werkzeug_server(local_only(app), flags)


def deep_link(port: int, overview: str | None = None) -> str:
    """The address of a page: an overview, or all runs coloured by data set and head.

    Smoothing is 0: TensorBoard's default of 0.6 draws values that were not measured. The page keeps
    the rest (pinned chart, filters) in its address, so the link can be passed on.
    """
    query = {"smoothing": "0"}
    if overview is None:
        query["runColorGroup"] = RUNS_BY_HEAD
    else:
        query["runFilter"] = f"^{OVERVIEWS}/{re.escape(overview)}/".replace("\\-", "-")
        query["tagFilter"] = f"^{PUZZLE_TAG}$"
        query["pinnedCards"] = json.dumps([{"plugin": "scalars", "tag": PUZZLE_TAG}])
    return f"http://{HOST}:{port}/?{urlencode(query, quote_via=quote)}#timeseries"


def free_port(first: int) -> int:
    """`first`, or the next free port on 127.0.0.1.

    Raises:
        UserError: If the number is not a port, or a hundred in a row are taken.
    """
    if not 1 <= first <= 65535:
        raise UserError(f"board: port must be between 1 and 65535, got {first}")
    last = min(first + PORTS_TRIED, 65536)
    for port in range(first, last):
        with socket.socket() as probe:
            # As the server does: a port that was released a moment ago is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise UserError(f"board found ports {first} … {last - 1} taken: choose another one with --port")


def overviews(outputs: Path) -> list[str]:
    """Names of the overviews below `outputs`, sorted."""
    folder = outputs / OVERVIEWS
    return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []


def command(words: list[str], trust: Sequence[str] = ()) -> int:
    """`lossheads board [OUTPUTS] [--port PORT] [--overview NAME]`."""
    parser = Parser(
        prog="lossheads board", description="TensorBoard on 127.0.0.1 for a folder of runs."
    )
    parser.add_argument(
        "outputs", nargs="?", default="outputs", type=Path, help="default: %(default)s"
    )
    parser.add_argument(
        "--port", type=int, default=PORT, help="first port to try; default: %(default)s"
    )
    parser.add_argument("--overview", metavar="NAME", help="print the link to this overview alone")
    given = parser.parse_args(words)
    return board(given.outputs, given.port, given.overview)


def _links(outputs: Path, overview: str | None) -> list[str | None]:
    if not outputs.is_dir():
        raise UserError(f"board found no folder {outputs}: train something first, or name another")
    if next(outputs.rglob("events.out.tfevents.*"), None) is None:
        raise UserError(
            f"board found no TensorBoard events below {outputs}: train something first "
            "(lossheads train), or name another folder"
        )
    known = overviews(outputs)
    if overview is None:
        return [*known, None]
    if overview not in known:
        hint = near_matches(overview, known) if known else "there is none yet"
        raise UserError(f"board found no overview {overview!r} in {outputs}: {hint}")
    return [overview]
