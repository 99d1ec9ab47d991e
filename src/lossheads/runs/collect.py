"""The results of runs, as commands, launchers and claims ask for them: trained, if missing."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lossheads.errors import UserError
from lossheads.records import Result, read_result
from lossheads.runs.executors.settings import placed, refuse_several
from lossheads.runs.folder import RunFolder, missing_files, run_paths


def collect(configs: Sequence[Mapping[str, Any]], quiet: bool = False) -> list[Result]:
    """The results of `configs`, in order; runs without a result are trained first.

    A run that is finished was valid when it began, and its key says that nothing has changed since:
    its parts are not built once more, and without others torch, seconds to import, is not needed.

    Args:
        quiet: Report no progress, errors alone.

    Raises:
        UserError: See `execute`.
    """
    refuse_several(configs)
    known = _finished(configs)
    rest = [config for config, result in zip(configs, known, strict=True) if result is None]
    if not rest:
        return [result for result in known if result is not None]
    from lossheads.loggers.progress import Reporter
    from lossheads.runs.execute import execute

    trained = iter(execute(rest, Reporter(quiet=quiet), known))
    return [result or next(trained) for result in known]


def _finished(configs: Iterable[Mapping[str, Any]]) -> list[Result | None]:
    runs = [placed(config) for config in configs]
    return [_result(run, path) for run, path in zip(runs, run_paths(runs), strict=True)]


def _result(config: Mapping[str, Any], folder: Path) -> Result | None:
    """The result, unless the engine has something to do or to say about this run.

    The user's own files and code are part of a key and are not looked at here: such a run has
    another key, under which nothing is found.
    """
    if config["force"]:
        return None
    RunFolder(folder).recover()
    try:
        result = read_result(folder)
    except UserError:
        return None
    return None if missing_files(config, folder) else result
