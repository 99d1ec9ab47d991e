"""The command line: lossheads train | claim | report | board | heads | metrics.

Nothing heavy is imported before a command needs it. Mistakes end in one sentence and exit status
2; `--debug` brings the traceback back.
"""

import io
import os
import signal
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from types import FrameType
from typing import NoReturn

from lossheads import __version__
from lossheads.cli.arguments import COMMANDS
from lossheads.errors import UserError, near_matches

HELP = """\
lossheads compares loss heads honestly: one backbone, every metric, paired seeds, a verdict.

  lossheads train [KEY=VALUE ...]       train one run; -m sweeps (train may be left out)
  lossheads claim list                  the claims, and where they were made
  lossheads claim run NAME|FILE|all     train what is missing, print the verdict
  lossheads heads [NAME ...]            what each head does, with a tiny worked example
  lossheads metrics [NAME ...]           what each metric counts, and which outcomes it serves
  lossheads board [OUTPUTS]             TensorBoard on 127.0.0.1
  lossheads report [OUTPUTS]            a table of all finished runs; --html FILE: a page
  lossheads report --claims [FOLDER]    one HTML page over all verdicts

Every command explains itself: lossheads COMMAND --help. --debug shows tracebacks.
Exit status: 0 done, 1 a run failed or diverged, 2 a mistake in the call, 3 a verdict changed.
"""

Command = Callable[[list[str]], int]


def main() -> None:
    """Entry point of the console script and of `python -m lossheads`."""
    words = sys.argv[1:]
    if "--debug" in words:
        words.remove("--debug")
        os.environ["HYDRA_FULL_ERROR"] = "1"
        sys.exit(run(words))
    if os.environ.get("HYDRA_FULL_ERROR") == "1":
        sys.exit(run(words))
    sys.exit(_guarded(words))


def run(words: list[str]) -> int:
    """Carry out one command; returns the exit status, lets exceptions through."""
    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write(HELP)
        return 0
    if "--version" in words:
        sys.stdout.write(f"lossheads {__version__}\n")
        return 0
    if words[0] in COMMANDS:
        return _command(words[0])(words[1:])
    if words[0].startswith(("-", "+", "~")) or "=" in words[0]:
        return _command("train")(words)
    raise UserError(
        f"lossheads has no command {words[0]!r}; {near_matches(words[0], COMMANDS)} "
        f"(see lossheads --help)"
    )


def _command(name: str) -> Command:
    """Each command imports what it needs when it is called: `--help` costs no torch."""
    command: Command = import_module(f"lossheads.cli.{name}").command
    return command


def _guarded(words: list[str]) -> int:
    # Hydra prints its own wrapped report unless told not to; ours is one sentence.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.stdout = sys.stdout or io.StringIO()  # `>&-` leaves none
    threading.excepthook = _ignore_disk_errors_in_threads
    signal.signal(signal.SIGTERM, _end)
    try:
        return run(words)
    except KeyboardInterrupt as stopped:
        sentence = "interrupted; finished runs are kept, the same call starts the others again"
        return _say(sentence, 143 if isinstance(stopped, _Ended) else 130)
    except SystemExit as ended:
        # rich ends the program with status 1 when the reader of its output has left.
        if isinstance(ended.__context__, BrokenPipeError):
            return 0
        raise
    except BrokenPipeError:
        # The reader of our output left (`| head`): not an error, and nothing more to say to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        from lossheads.cli.errors import message_and_status

        sentence, status = message_and_status(error)
        return _say(sentence, status)


class _Ended(KeyboardInterrupt):
    """SIGTERM, as batch systems send it: folders and workers are left as after Ctrl-C."""


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise _Ended


def _ignore_disk_errors_in_threads(failed: threading.ExceptHookArgs) -> None:
    # TensorBoard writes in a thread of its own; the loop meets the same error and says it once.
    if not isinstance(failed.exc_value, OSError):
        threading.__excepthook__(failed)


def _say(sentence: str, status: int) -> int:
    sys.stderr.write(f"lossheads: {sentence}\n")
    return status
