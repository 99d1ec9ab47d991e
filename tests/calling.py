"""Programs of the project, called as processes that need not import torch: `lossheads`, `python`.

Importing torch and its company takes seconds, most calls of a test take tenths of one. A server
imports them once and forks for every call; the copy goes on as a new Python would, with its own
folder, environment, streams, modules and signal handlers, and ends without a trace. Several may
run at once, and be sent signals (`Call`). What a copy cannot have of its own are settings that are
read when Python or torch start, such as `OMP_NUM_THREADS`: it has those of the first call. Tests of
what an import costs and of a shell start a process instead.
"""

import atexit
import gc
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
import weakref
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from tempfile import TemporaryDirectory
from typing import Any

# Loaded once, beside the project itself: what it imports when a command is at work.
LOADED = ["torch._dynamo", "torch.utils.tensorboard", "hydra", "pandas", "sklearn.datasets"]
LOADED += ["matplotlib.backends.backend_agg", "jinja2.filters", "filelock", "PIL.PngImagePlugin"]
# OpenBLAS and Arrow start threads when they are loaded, and a copy has none but the one that forks.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}


def lossheads(
    *words: str, cwd: Path, env: dict[str, str] | None = None, seconds: int = 120
) -> subprocess.CompletedProcess[str]:
    """`lossheads WORDS` in folder `cwd`: see `python`."""
    return python("lossheads", *words, cwd=cwd, env=env, seconds=seconds)


def python(
    program: str, *words: str, cwd: Path, env: dict[str, str] | None = None, seconds: int = 120
) -> subprocess.CompletedProcess[str]:
    """`python -m PROGRAM WORDS`, or `python PROGRAM WORDS` where it ends with .py.

    Args:
        program: A module, or the path of a script.
        words: What a shell would give after the program's name.
        cwd: Where it is called.
        env: Added to the environment of the tests.
        seconds: A call that takes longer is killed by SIGALRM: exit status -14.

    Returns:
        Exit status (minus the signal's number if one ended it), standard output and error.
    """
    with Call(program, *words, cwd=cwd, env=env, seconds=seconds) as call:
        return call.result()


class Call:
    """A program at work, as `python` calls it: it can be sent signals, and others run beside it.

    Use as a context manager: what still runs at its end is killed.

    Args:
        prepare: File, function and arguments: called in the copy before the program, to spoil it.
    """

    def __init__(
        self,
        program: str,
        *words: str,
        cwd: Path,
        env: dict[str, str] | None = None,
        seconds: int = 120,
        prepare: tuple[str, str, dict[str, Any]] | None = None,
    ) -> None:
        self._folder, self._argv = TemporaryDirectory(), [program, *words]
        self._streams = [Path(self._folder.name) / name for name in ("stdout", "stderr")]
        request = {
            "argv": self._argv,
            "cwd": str(cwd),
            "env": {**os.environ, **(env or {})},
            "streams": [str(path) for path in self._streams],
            "seconds": seconds,
            "prepare": prepare,
        }
        self._server = _server()
        self.pid = self._server.start(request)

    def __enter__(self) -> "Call":
        return self

    def __exit__(self, *_: object) -> None:
        self.send(signal.SIGKILL, group=True)
        self._server.status(self.pid)
        self._folder.cleanup()

    def ended(self, seconds: float = 0) -> bool:
        """Whether the program ends within so many seconds."""
        return self._server.has_ended(self.pid, seconds)

    def send(self, number: int, group: bool = False) -> None:
        """Send a signal to the program, or to all processes it has started."""
        with suppress(ProcessLookupError):
            if group:
                os.killpg(self.pid, number)
            elif not self.ended():
                os.kill(self.pid, number)

    def processes(self) -> dict[int, str]:
        """Number -> words of it and all it has started; the dead and unburied do not count."""
        listed = ["ps", "-wweo", "pid=,pgid=,stat=,args="]
        text = subprocess.run(listed, capture_output=True, text=True, check=True).stdout
        rows = [line.split(None, 3) for line in text.splitlines()]
        mine = [row for row in rows if row[1] == str(self.pid) and row[2][0] != "Z"]
        return {int(row[0]): row[3] for row in mine}

    def left_behind(self, seconds: float = 10) -> dict[int, str]:
        """`processes` after a while: one that ends takes its memory down first."""
        deadline = time.monotonic() + seconds
        while (found := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.2)
        return found

    def result(self) -> subprocess.CompletedProcess[str]:
        """Wait for its end."""
        status = self._server.status(self.pid)
        out, err = (
            path.read_text(encoding="utf-8") if path.exists() else "" for path in self._streams
        )
        return subprocess.CompletedProcess(self._argv, status, out, err)


def refusal(*words: str, cwd: Path) -> str:
    """What the command line says to `words`, once it is known to refuse them as every mistake.

    That is: one sentence, status 2, nothing printed beside it and nothing written in `cwd`.
    """
    before = _written(cwd)
    done = lossheads(*words, cwd=cwd)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("lossheads: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stdout == ""
    assert _written(cwd) == before
    return done.stderr


def _written(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if "__pycache__" not in path.parts)


class _Server:
    """This file as a process of its own: see `_serve`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env={**os.environ, **ONE_THREAD},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for pytest; the server goes when its input ends
        )
        atexit.register(self._process.communicate)
        self._started: list[int] = []
        self._ended: dict[int, int] = {}
        self._text = b""

    def start(self, request: dict[str, Any]) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        while not self._started:
            self._read(None)
        return self._started.pop()

    def has_ended(self, pid: int, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while pid not in self._ended and self._read(max(0.0, until - time.monotonic())):
            pass
        return pid in self._ended

    def status(self, pid: int) -> int:
        while pid not in self._ended:
            self._read(None)
        return self._ended[pid]

    def _read(self, seconds: float | None) -> bool:
        """Take in what the server says; whether it said something in time."""
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            return False
        got = os.read(self._process.stdout.fileno(), 65536)
        assert got, "the server of calls has ended"
        *lines, self._text = (self._text + got).split(b"\n")
        for line in lines:
            pid, _, status = line.partition(b" ")
            if status:
                self._ended[int(pid)] = int(status)
            else:
                self._started.append(int(pid))
        return True


@cache
def _server() -> _Server:
    return _Server()


def project() -> list[str]:
    """Every module of the package, itself first: loading torch reads what it asks of OpenMP.

    Modules for other libraries' loops are left out: no command loads them, nor those libraries.
    """
    package = import_module("lossheads")
    found = [module.name for module in walk_packages(package.__path__, "lossheads.")]
    kept = [name for name in found if not name.startswith("lossheads.integrations.")]
    return ["lossheads", *(name for name in kept if not name.endswith("__main__"))]


def _serve() -> None:
    """Fork for every request; returns in the forked copies only.

    Answers with the copy's number, and later with its number and exit status.
    """
    for name in [*project(), *LOADED]:
        import_module(name)
    config = import_module("lossheads.runs.config")
    config.parse_override("a.b=[1,'${c.d}',{e:2.5}]")  # Hydra's parser learns a grammar as it reads
    # What libraries would take down at the end, a tenth of a second a call, the copies leave alone.
    for finalizer in list(weakref.finalize._registry):  # type: ignore[attr-defined]
        finalizer.atexit = False
    gc.freeze()  # nothing of this is looked through, and so copied, in every call
    if Path("/proc/self/task").exists():
        assert len(os.listdir("/proc/self/task")) == 1, "a thread would be missing in the copies"
    text, running = b"", 0
    while True:
        if select.select([0], [], [], 0.01 if running else None)[0]:
            got = os.read(0, 1 << 20)
            if not got:
                os._exit(0)
            *requests, text = (text + got).split(b"\n")
            for request in requests:
                copy = os.fork()
                if not copy:
                    _become(**json.loads(request))
                    return
                running += 1
                print(copy, flush=True)
        while running:
            copy, status = os.waitpid(-1, os.WNOHANG)
            if not copy:
                break
            running -= 1
            print(copy, os.waitstatus_to_exitcode(status), flush=True)


def _become(
    argv: list[str],
    cwd: str,
    env: dict[str, str],
    streams: list[str],
    seconds: int,
    prepare: tuple[str, str, dict[str, Any]] | None,
) -> None:
    """Take on what a new process would have been given."""
    os.setsid()
    # Under nohup and in the background of a script Ctrl-C is ignored, also by what is started.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, path in enumerate([os.devnull, *streams]):
        opened = os.open(path, os.O_RDWR | os.O_CREAT)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = argv
    sys.path[0] = str(Path(argv[0]).parent) if argv[0].endswith(".py") else cwd
    signal.alarm(seconds)
    if prepare is not None:
        file, function, arguments = prepare
        runpy.run_path(file)[function](**arguments)


def _run() -> int:
    """Run the program in this process: the exit status that Python would end with."""
    try:
        if sys.argv[0].endswith(".py"):
            runpy.run_path(sys.argv[0], run_name="__main__")
        else:
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        print(ended.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    _serve()
    status = _run()
    # What Python does at its end, but for taking torch apart piece by piece: half a second a call.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
