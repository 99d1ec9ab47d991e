"""lossheads train: Hydra composes one run, or with -m a sweep, and the engine trains it."""

import io
import os
import re
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr
from pathlib import Path
from typing import NoReturn

from lossheads.cli.arguments import COMMANDS, take_view
from lossheads.errors import UserError


def command(words: list[str], trust: Sequence[str] = ()) -> int:
    """Carry out `lossheads train`: one run, or with -m a sweep; returns the exit status."""
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import DictConfig

    from lossheads.runs.config import HYDRA_VERSION, config_folder, granted_by, resolve

    words, view = take_view(words, "train")
    granted = [*trust, *granted_by(words)]
    here = os.getpid()
    failures: list[Exception] = []

    def task(config: DictConfig) -> None:
        from lossheads.cli.console import print_results
        from lossheads.runs.collect import collect

        try:
            run = resolve(config, dict(HydraConfig.get().runtime.choices), granted)
            results = collect([run], quiet=view.silent)
            print_results(results, Path(run["output_dir"]), view=view)
        except Exception as error:
            if os.getpid() != here:  # another launcher's worker: its error must travel
                raise
            failures.append(error)  # let the other jobs of a sweep go on

    task.granted = granted  # type: ignore[attr-defined]  # the launcher of a sweep reads it
    task.view = view  # type: ignore[attr-defined]
    asked = _ready_hydra(words, granted)
    train = hydra.main(str(config_folder()), "config", version_base=HYDRA_VERSION)(task)
    with without_empty_sweep(words), _unknown_package_refused(asked):
        train()
        if failures:
            raise failures[0]
    return 0


def _ready_hydra(words: list[str], granted: Sequence[str]) -> Namespace:
    """Check the arguments, and put them where Hydra reads them; returns its flags."""
    from lossheads.runs.config import (
        argument_parser,
        cache_group_listing,
        check_overrides,
        compose,
    )
    from lossheads.runs.config_files import guard_hydra

    guard_hydra()
    cache_group_listing()
    refuse_claim(words)
    refuse_two_lengths(words)
    tidy_completion(COMMANDS)
    flags, settings = split_arguments(words)
    if {"-sc", "--shell-completion"}.isdisjoint(flags):  # whose settings are no overrides
        check_overrides(settings, sweep=not {"-m", "--multirun"}.isdisjoint(flags))
    asked = argument_parser().parse_args(flags)
    if asked.info:  # Hydra prints half of it before it composes
        compose(settings, [Path(asked.config_dir)] if asked.config_dir else [], granted)
    sys.argv = [sys.argv[0], *flags, *settings]
    return asked


@contextmanager
def _unknown_package_refused(asked: Namespace) -> Iterator[None]:
    """Hydra prints that `--package` names nothing, and ends the process with status 1."""
    said = io.StringIO()
    try:
        with redirect_stderr(said) if asked.cfg else nullcontext():
            yield
    except SystemExit as ended:
        if ended.code == 1 and asked.package:
            raise UserError(
                f"train: --package {asked.package} is no section of the configuration; "
                f"--cfg {asked.cfg} without it shows all"
            ) from None
        raise


@contextmanager
def without_empty_sweep(words: Sequence[str]) -> Iterator[None]:
    """Remove what Hydra's sweeper writes before it launches jobs, if it launched none."""
    named = [word.removeprefix("output_dir=") for word in words if word.startswith("output_dir=")]
    # Several values are refused, but only after Hydra wrote to the default.
    places = [Path(name) / "sweeps" for name in ("outputs", *(named[-1:] or [""])[0].split(","))]
    before = _entries(places)
    try:
        yield
    except BaseException:
        for folder in _entries(places) - before:
            if os.listdir(folder) == ["multirun.yaml"]:
                (folder / "multirun.yaml").unlink()
                _remove_empty(folder)
        raise


def _entries(folders: Iterable[Path]) -> set[Path]:
    return {entry for folder in folders if folder.is_dir() for entry in folder.iterdir()}


def _remove_empty(folder: Path) -> None:
    """Remove `folder`, then its two parents, as far as they are empty."""
    for path in (folder, folder.parent, folder.parent.parent):
        if any(path.iterdir()):
            return
        path.rmdir()


def split_arguments(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Hydra's flags and the settings: Hydra needs its flags first, people write them anywhere.

    Raises:
        UserError: For an unknown flag, or one without its value.
    """
    from lossheads.runs.config import argument_parser, refuse_flags

    parser = argument_parser()
    parser.error = _refuse_flag  # type: ignore[method-assign]
    given = parser.parse_intermixed_args(list(words))
    refuse_flags(given, parser)
    settings = list(given.overrides)
    flags = list(words)
    for setting in settings:
        flags.remove(setting)
    return flags, settings


def _refuse_flag(message: str) -> NoReturn:
    raise UserError(f"train: {message}; see lossheads train --help")


def refuse_claim(words: Iterable[str]) -> None:
    """Refuse to select a claim for a run: a claim trains its own runs.

    Raises:
        UserError: If one of the settings selects a claim.
    """
    for word in words:
        if re.match(r"[+~]*claim[=.@]|~claim$", word):
            named = re.fullmatch(r"\W*\w+=([\w-]+)", word)
            name = named[1] if named else "NAME"
            raise UserError(
                f"train got {word}: a claim trains its own runs and cannot be selected for one "
                f"run; use lossheads claim run {name}"
            )


def refuse_two_lengths(words: Iterable[str]) -> None:
    """Refuse both steps and epochs on the command line; in files, steps override epochs silently.

    Raises:
        UserError: If the settings give both, neither of them null.
    """
    pairs = [word.lstrip("+").partition("=") for word in words]
    given = {key: value for key, _, value in pairs}  # the last one counts
    steps, epochs = given.get("training.steps"), given.get("training.epochs")
    if epochs and steps not in (None, "null"):
        raise UserError(
            f"train got training.steps={steps} and training.epochs={epochs}: steps override "
            "epochs; omit one of the two"
        )


def tidy_completion(commands: Iterable[str]) -> None:
    """Remove our command's name from the line that Hydra completes: it expects overrides only."""
    line = os.environ.get("COMP_LINE")
    if line is not None:
        names = "|".join(commands)
        os.environ["COMP_LINE"] = re.sub(rf"^(\S+)\s+(?:{names})(?=\s)", r"\1", line)
