"""One server for many TensorBoards: each page of the board has its own log directory.

A page's TensorBoard starts when it is first asked for.
"""

import io
import re
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

from tensorboard import program
from werkzeug.serving import make_server

from lossheads.analysis import OVERVIEW_PICTURE
from lossheads.cli.board_pages import (
    PICTURE,
    Sweep,
    address_of,
    all_runs_address,
    first_page,
    opening_page,
    picture_page,
)
from lossheads.errors import UserError

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]  # of WSGI

HOST = "127.0.0.1"
PORTS_TRIED = 100
FONTS = "/font-roboto/"
OWN = "view"  # the part of an address behind which a page's TensorBoard answers


def serve(sweeps: Sequence[Sweep], all_runs: Path | None, port: int) -> None:
    """Answer on 127.0.0.1, in threads of their own, until the program ends."""
    app = local_only(Board(sweeps, all_runs))
    server = make_server(HOST, port, app, threaded=True, request_handler=_quiet())
    threading.Thread(target=server.serve_forever, name="board", daemon=True).start()


class Board:
    """Sends every request to its page: a WSGI application."""

    def __init__(self, sweeps: Sequence[Sweep], all_runs: Path | None) -> None:
        self._first = first_page(sweeps, all_runs)
        self._opening: dict[str, str] = {}
        self._folders: dict[str, Path] = {}
        self._pictures: dict[str, Path] = {}
        self._apps: dict[str, Application] = {}
        self._lock = threading.Lock()
        for sweep in sweeps:
            for page in sweep.pages:
                folder = sweep.folder / page.folder
                prefix = f"/{sweep.slug}/{OWN}/{page.folder}"
                self._folders[prefix] = folder
                target = f"{prefix}/{address_of(page)}"
                shown = page.view == PICTURE and sweep.picture is not None
                self._opening[f"/{sweep.slug}/{page.slug}"] = (
                    picture_page(sweep) if shown else opening_page(target)
                )
            if sweep.picture is not None:
                self._pictures[f"/{sweep.slug}/{OVERVIEW_PICTURE}"] = sweep.picture
        if all_runs is not None:
            self._folders[f"/runs/{OWN}"] = all_runs
            self._opening["/runs"] = opening_page(f"/runs/{OWN}/{all_runs_address()}")

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        path = str(environ.get("PATH_INFO", ""))
        if path in ("", "/"):
            return _page(start_response, self._first)
        if path.rstrip("/") in self._opening:
            return _page(start_response, self._opening[path.rstrip("/")])
        if path in self._pictures:
            return _answer(start_response, "image/png", self._pictures[path].read_bytes())
        if path.startswith(FONTS) and self._apps:  # asked for at the root, whatever the prefix
            prefix, app = next(iter(self._apps.items()))
            return app(environ | {"PATH_INFO": f"{prefix}{path}"}, start_response)
        for prefix in self._folders:
            if path == prefix or path.startswith(f"{prefix}/"):
                return self._app(prefix)(environ, start_response)
        return _page(start_response, self._first, "404 Not Found")

    def _app(self, prefix: str) -> Application:
        with self._lock:
            if prefix not in self._apps:
                self._apps[prefix] = tensorboard_app(self._folders[prefix], prefix)
            return self._apps[prefix]


def tensorboard_app(folder: Path, prefix: str) -> Application:
    """TensorBoard for a log directory, answering below `prefix`."""
    made: list[Application] = []

    class Kept(program.TensorBoardServer):  # type: ignore[misc]  # tensorboard has no types
        """Takes the application that TensorBoard made; the board answers for it."""

        def __init__(self, app: Application, flags: Any) -> None:
            made.append(app)

        def serve_forever(self) -> None: ...

        def get_url(self) -> str:
            return prefix

    server = program.TensorBoard(server_class=Kept)
    server.configure(logdir=str(folder), path_prefix=prefix)
    # It prints which reader of event files it uses, and no flag silences that.
    with redirect_stderr(io.StringIO()):
        server.launch()
    return made[0]


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


def _page(start_response: Callable[..., Any], text: str, status: str = "200 OK") -> Iterable[bytes]:
    return _answer(start_response, "text/html; charset=utf-8", text.encode(), status)


def _answer(
    start_response: Callable[..., Any], kind: str, content: bytes, status: str = "200 OK"
) -> Iterable[bytes]:
    start_response(status, [("Content-Type", kind), ("Cache-Control", "no-store")])
    return [content]


def _quiet() -> Any:
    """A request handler that keeps no log: a page asks a hundred times."""
    from werkzeug.serving import WSGIRequestHandler

    class Quiet(WSGIRequestHandler):
        def log(self, type: str, message: str, *args: object) -> None: ...

    return Quiet
