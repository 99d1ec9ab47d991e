"""The command line: lossheads train, claim, evaluate, compare, check, decode, report ….

Nothing heavy is imported before a command needs it. Errors of the user end in one message and exit
status 2; `--debug` shows the traceback.
"""

import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from importlib import import_module
from types import FrameType

from lossheads import __version__
from lossheads.cli.arguments import COMMANDS, take_trust
from lossheads.errors import UserError, causes, near_matches, printable
from lossheads.loggers.waiting import waiting_line

HELP = """\
lossheads compares loss heads: one backbone, every metric, paired seeds, a verdict.

  lossheads train [KEY=VALUE ...]       train one run; -m sweeps (train may be left out)
  lossheads claim list                  list the claims and their sources
  lossheads claim run NAME|FILE|all     train what is missing, print the verdict
  lossheads claim new FILE.yaml         write a claim file to start from
  lossheads status [OUTPUTS]            follow a sweep on a cluster, then its tables
  lossheads evaluate FILE               your own predictions: every metric, what others print
  lossheads compare A B                 two models on the same examples: which is better?
  lossheads check MODULE:FUNCTION       what is wrong with a model's last layer, loss and metric
  lossheads decode KEY=VALUE ...        what a printed accuracy or loss says
  lossheads explain head=NAME ...       from logits to loss, gradient, decision, in numbers
  lossheads heads [NAME ...]            what each head does, with a tiny worked example
  lossheads metrics [NAME ...]          what each metric measures, and for which outcomes
  lossheads board [OUTPUTS]             TensorBoard on 127.0.0.1
  lossheads report [OUTPUTS]            a table of all finished runs; --html FILE: a page
  lossheads report --claims [FOLDER]    one HTML page over all verdicts

Help on a command: lossheads COMMAND --help. --debug shows tracebacks.
--trust NAME[,NAME] lets YAML of your own name classes of these packages, in every command.
Exit status: 0 done; 1 a run failed or diverged, or check found something; 2 an error in the call;
3 a verdict changed.
"""

Command = Callable[[list[str], Sequence[str]], int]


def main() -> None:
    """Entry point of the console script and of `python -m lossheads`."""
    arguments = sys.argv[1:]
    if "--debug" in arguments:
        arguments.remove("--debug")
        os.environ["HYDRA_FULL_ERROR"] = "1"
        sys.exit(run(arguments))
    if os.environ.get("HYDRA_FULL_ERROR") == "1":
        sys.exit(run(arguments))
    status = _guarded(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):  # all is done: end at once, no traceback
        signal.signal(number, signal.SIG_DFL)
    sys.exit(status)


def run(arguments: list[str]) -> int:
    """Run one command; returns the exit status, does not catch exceptions."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        sys.stdout.write(HELP)
        return 0
    if "--version" in arguments:
        sys.stdout.write(f"lossheads {__version__}\n")
        return 0
    arguments, trust = take_trust(arguments)
    if arguments and arguments[0] in COMMANDS:
        return _carry_out(arguments[0], arguments[1:], trust)
    if not arguments or arguments[0].startswith(("-", "+", "~")) or "=" in arguments[0]:
        return _carry_out("train", arguments, trust)
    raise UserError(
        f"lossheads has no command {arguments[0]!r}; {near_matches(arguments[0], COMMANDS)} "
        f"(see lossheads --help)"
    )


def _carry_out(name: str, words: list[str], trust: Sequence[str]) -> int:
    """Each command imports what it needs when it is called: `--help` costs no torch."""
    silent = not {"--quiet", "--json"}.isdisjoint(words)
    with nullcontext() if silent else waiting_line(" ".join(["lossheads", name, *words])):
        command: Command = import_module(f"lossheads.cli.{name}").command
        return command(words, trust)


def _guarded(arguments: list[str]) -> int:
    # Otherwise Hydra prints its own report of several lines.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.stdout = sys.stdout or io.StringIO()  # `>&-` leaves none, `2>&-` none for errors
    sys.stderr = sys.stderr or io.StringIO()
    for stream in (sys.stdout, sys.stderr):  # of another encoding than UTF-8: ★ is \u2605 there
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    threading.excepthook = _ignore_disk_errors_in_threads
    signal.signal(signal.SIGTERM, _on_sigterm)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored
        signal.signal(signal.SIGINT, _on_sigint)
    try:
        return run(arguments)
    except KeyboardInterrupt as stopped:
        status = 143 if isinstance(stopped, _Terminated) else 130
        return _print_error(_interrupted(arguments), status)
    except SystemExit as ended:
        # rich exits with status 1 when the reader of its output has left.
        if isinstance(ended.__context__, BrokenPipeError):
            return 0
        raise
    except BrokenPipeError:
        # The reader of our output left (`| head`): not an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        # A library that was interrupted at a bad moment may fail with an error of its own.
        if _Terminated.came:
            return _print_error(_interrupted(arguments), 143)
        if _came_of_an_interruption(error):
            return _print_error(_interrupted(arguments), 130)
        if isinstance(error, UserError) and not getattr(error, "__notes__", ()):
            return _print_error(" ".join(str(error).split()), 2)
        from lossheads.runs.messages import message_and_status

        message, status = message_and_status(error)
        return _print_error(message, status)


def _interrupted(arguments: Sequence[str]) -> str:
    trains = next((word for word in arguments if word in COMMANDS), "train") in ("train", "claim")
    kept = "; finished runs are kept; run the same command again for the others" if trains else ""
    return f"interrupted{kept}"


class _Terminated(KeyboardInterrupt):
    """SIGTERM, as batch systems send it: handled like Ctrl-C."""

    came = False


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    if not _sent_again(number):
        _Terminated.came = True
        raise _Terminated


def _on_sigint(number: int, frame: FrameType | None) -> None:
    if not _sent_again(number):
        raise KeyboardInterrupt


_postponed: set[int] = set()


def _sent_again(number: int) -> bool:
    """Whether torch is being imported, which aborts the process on an error of Python's: later."""
    spec = getattr(sys.modules.get("torch"), "__spec__", None)
    if not getattr(spec, "_initializing", False):
        return False
    if number not in _postponed:
        _postponed.add(number)
        timer = threading.Timer(0.05, _send, (number,))
        timer.daemon = True
        timer.start()
    return True


def _send(number: int) -> None:
    _postponed.discard(number)
    os.kill(os.getpid(), number)


def _came_of_an_interruption(error: BaseException) -> bool:
    return any(isinstance(cause, KeyboardInterrupt) for cause in causes(error))


def _ignore_disk_errors_in_threads(failed: threading.ExceptHookArgs) -> None:
    # TensorBoard writes in its own thread; the training loop meets the same error and reports it.
    if not isinstance(failed.exc_value, OSError):
        threading.__excepthook__(failed)


def _print_error(message: str, status: int) -> int:
    sys.stderr.write(f"lossheads: {printable(message)}\n")
    return status
