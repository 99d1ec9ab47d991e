"""The command line: lossheads train | claim | report | board | heads | rulers.

Nothing heavy is imported before a command needs it. Mistakes end in one sentence and exit status
2; `--debug` brings the traceback back.
"""

import io
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn

from lossheads import __version__
from lossheads.errors import TRUST_GIVEN, UserError, near_matches

HELP = """\
lossheads compares loss heads honestly: one trunk, every ruler, paired seeds, a verdict.

  lossheads train [KEY=VALUE ...]       train one run; -m sweeps (train may be left out)
  lossheads claim list                  the claims, and where they were made
  lossheads claim run NAME|FILE|all     train what is missing, print the verdict
  lossheads heads [NAME ...]            what each head does, with a tiny worked example
  lossheads rulers [NAME ...]           what each ruler counts, and which outcomes it serves
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
    commands = _commands()
    if words[0] in commands:
        return commands[words[0]](words[1:])
    if words[0].startswith(("-", "+", "~")) or "=" in words[0]:
        return _train(words)
    raise UserError(
        f"lossheads has no command {words[0]!r}; {near_matches(words[0], commands)} "
        f"(see lossheads --help)"
    )


def _commands() -> dict[str, Command]:
    return {
        "train": _train,
        "claim": _claim,
        "heads": _heads,
        "rulers": _rulers,
        "board": _board,
        "report": _report,
    }


def _guarded(words: list[str]) -> int:
    # Hydra prints its own wrapped report unless told not to; ours is one sentence.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.stdout = sys.stdout or io.StringIO()  # `>&-` leaves none
    threading.excepthook = _quiet_about_the_disk
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
        from lossheads.refusals import sentence_of

        sentence, status = sentence_of(error)
        return _say(sentence, status)


class _Ended(KeyboardInterrupt):
    """SIGTERM, as batch systems send it: folders and workers are left as after Ctrl-C."""


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise _Ended


def _quiet_about_the_disk(failed: threading.ExceptHookArgs) -> None:
    # TensorBoard writes in a thread of its own; the loop meets the same error and says it once.
    if not isinstance(failed.exc_value, OSError):
        threading.__excepthook__(failed)


def _say(sentence: str, status: int) -> int:
    sys.stderr.write(f"lossheads: {sentence}\n")
    return status


def _train(words: list[str]) -> int:
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import DictConfig

    from lossheads.configuration import HYDRA_VERSION, config_folder, plain
    from lossheads.refusals import without_empty_sweep

    here = os.getpid()
    failures: list[Exception] = []

    def task(config: DictConfig) -> None:
        from lossheads.experiment import execute
        from lossheads.report.announcing import announce

        try:
            run = plain(config, dict(HydraConfig.get().runtime.choices))
            announce(execute([run]), Path(run["outputs"]))
        except Exception as error:
            if os.getpid() != here:  # another launcher's worker: its error must travel
                raise
            failures.append(error)  # let the other jobs of a sweep go on

    _ready_hydra(words)
    train = hydra.main(str(config_folder()), "config", version_base=HYDRA_VERSION)(task)
    with without_empty_sweep(words):
        train()
        if failures:
            raise failures[0]
    return 0


def _ready_hydra(words: list[str]) -> None:
    """Refuse what no run can mean, and leave the words where Hydra reads them."""
    from lossheads import schema
    from lossheads.configuration import list_choices, refuse_foreign_code
    from lossheads.refusals import flags_first, refuse_claim, refuse_two_lengths, tidy_completion

    granted = [re.match(r"\+*trust=\[?([\w.,]*)", word) for word in words]
    os.environ[TRUST_GIVEN] = ",".join(found[1] for found in granted if found)
    schema.register()
    refuse_foreign_code()
    list_choices()
    refuse_claim(words)
    refuse_two_lengths(words)
    tidy_completion(_commands())
    sys.argv = [sys.argv[0], *flags_first(words)]


def _claim(words: list[str]) -> int:
    from lossheads.claims.arguments import claim_parser

    if _ask_for_help(words):
        claim_parser().parse_args(words)
    from lossheads.claims.command import claim_command

    return claim_command(words)


def _heads(words: list[str]) -> int:
    from lossheads.arguments import heads_parser

    if _ask_for_help(words):
        heads_parser().parse_args(words)
    from lossheads.heads.command import heads_command

    return heads_command(words)


def _rulers(words: list[str]) -> int:
    from lossheads.arguments import rulers_parser

    if _ask_for_help(words):
        rulers_parser().parse_args(words)
    from lossheads.rulers.command import rulers_command

    return rulers_command(words)


def _ask_for_help(words: list[str]) -> bool:
    """Then the parser prints it and ends the program, before anything heavy is imported."""
    return "-h" in words or "--help" in words


def _board(words: list[str]) -> int:
    from lossheads.board import board_command

    return board_command(words)


def _report(words: list[str]) -> int:
    from lossheads.report.arguments import report_parser

    if _ask_for_help(words):
        report_parser().parse_args(words)
    from lossheads.report.command import report_command

    return report_command(words)
