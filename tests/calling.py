"""Programs of the project, called as processes that need not import torch: `lossheads`, `python`.

Importing torch and its company takes seconds, most calls of a test take tenths of one. A server
imports them once and forks for every call; the copy goes on as a new Python would, with its own
folder, environment, streams, modules and signal handlers, and ends without a trace. What
it cannot have of its own are settings that are read when Python or torch start, such as
`OMP_NUM_THREADS`: it has those of the first call. Tests of signals, of what an import costs and of
a shell start a process instead.
"""

import atexit
import gc
import json
import os
import runpy
import signal
import subprocess
import sys
import threading
import traceback
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from tempfile import TemporaryDirectory

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
    with TemporaryDirectory() as folder:
        streams = [Path(folder) / name for name in ("stdout", "stderr")]
        request = {
            "argv": [program, *words],
            "cwd": str(cwd),
            "env": {**os.environ, **(env or {})},
            "streams": [str(path) for path in streams],
            "seconds": seconds,
        }
        server = _server()
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        status = int(server.stdout.readline())
        out, err = (path.read_text(encoding="utf-8") for path in streams)
    return subprocess.CompletedProcess([program, *words], status, out, err)


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


@cache
def _server() -> subprocess.Popen[str]:
    server = subprocess.Popen(
        [sys.executable, __file__],
        env={**os.environ, **ONE_THREAD},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for pytest; the server goes when its input ends
    )
    atexit.register(server.communicate)
    return server


def project() -> list[str]:
    """Every module of the package, itself first: loading torch reads what it asks of OpenMP.

    Modules for other libraries' loops are left out: no command loads them, nor those libraries.
    """
    package = import_module("lossheads")
    found = [module.name for module in walk_packages(package.__path__, "lossheads.")]
    kept = [name for name in found if not name.startswith("lossheads.integrations.")]
    return ["lossheads", *(name for name in kept if not name.endswith("__main__"))]


def _serve() -> None:
    """Fork for every request and answer with the exit status; returns in the forked copies only."""
    for name in [*project(), *LOADED]:
        import_module(name)
    gc.freeze()  # nothing of this is looked through, and so copied, in every call
    if Path("/proc/self/task").exists():
        assert len(os.listdir("/proc/self/task")) == 1, "a thread would be missing in the copies"
    for line in iter(sys.stdin.readline, ""):
        copy = os.fork()
        if not copy:
            _become(**json.loads(line))
            return
        _, status = os.waitpid(copy, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    os._exit(0)


def _become(
    argv: list[str], cwd: str, env: dict[str, str], streams: list[str], seconds: int
) -> None:
    """Take on what a new process would have been given."""
    os.setsid()
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
