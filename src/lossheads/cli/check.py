"""lossheads check: a linter for loss heads, on one batch of a live model."""

import contextlib
import json
import re
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from lossheads.cli.arguments import Parser
from lossheads.errors import UserError, near_matches


def command(words: list[str], trust: Sequence[str] = ()) -> int:
    """`lossheads check MODULE:FUNCTION`; returns 1 where something was found, else 0."""
    parser = Parser(
        prog="lossheads check",
        description="What one batch shows to be wrong with last layer, loss, targets and metric. "
        "FUNCTION takes nothing and returns (model, inputs, labels, loss) or (model, inputs, "
        "labels, loss, metric), or a dictionary of these names. Exit status: 0 nothing found, "
        "1 findings, 2 an error.",
    )
    parser.add_argument(
        "target",
        metavar="MODULE:FUNCTION",
        help="a function of a module in this folder; the module must be named by --trust too, "
        "because its code is run",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    given = parser.parse_args(words)
    where = _trusted(given.target, trust)
    # What the module prints is no part of the report.
    with contextlib.redirect_stdout(sys.stderr):
        make = _function(where)
        from lossheads.api.check import check, unpacked

        report = check(**unpacked(_called(make, where), where))
    text = json.dumps(report.to_dict(), indent=2) if given.json else str(report)
    sys.stdout.write(text + "\n")
    return 1 if report.findings else 0


def _trusted(target: str, trust: Sequence[str]) -> str:
    """The target, once its form and its package are admitted; nothing of it was run before."""
    file = ".py" in target
    if file or not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", target):
        remedy = " (without .py)" if file else ""
        raise UserError(
            f"check got {target!r}: it must be MODULE:FUNCTION{remedy}, as in my_module:make"
        )
    module = target.partition(":")[0]
    if not any(f"{module}.".startswith(f"{package}.") for package in trust):
        raise UserError(
            f"check would run the code of {module}: if you trust it, add "
            f"--trust {module.split('.')[0]}"
        )
    return target


def _function(where: str) -> Callable[[], Any]:
    module_name, _, name = where.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise UserError(
                f"check finds no module {module_name}: run it in the folder that holds "
                f"{module_name.replace('.', '/')}.py, or install it"
            ) from error
        raise _failed("importing " + module_name, error) from error
    except (Exception, SystemExit) as error:
        raise _failed("importing " + module_name, error) from error
    function = getattr(module, name, None)
    if not callable(function):
        known = [each for each, value in vars(module).items() if callable(value)]
        raise UserError(
            f"check finds no function {name!r} in {module_name}; {near_matches(name, known)}"
        )
    chosen: Callable[[], Any] = function
    return chosen


def _called(make: Callable[[], Any], where: str) -> Any:
    try:
        return make()
    except (Exception, SystemExit) as error:
        raise _failed(f"{where}()", error) from error


def _failed(what: str, error: BaseException) -> UserError:
    reason = " ".join(str(error).split())
    return UserError(
        f"check: {what} failed: {type(error).__name__}{': ' * bool(reason)}{reason[:300]}; "
        f"--debug shows the traceback"
    )
