"""Runs and claims from Python: the same engine, folders and sentences as the command line."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from lossheads.analysis.statistics import MAX_SEEDS
from lossheads.claims import runner
from lossheads.claims.judge import Verdict
from lossheads.claims.reading import find_claim
from lossheads.claims.schema import Claim
from lossheads.errors import UserError
from lossheads.evaluation.of_runs import influences
from lossheads.records import MetricInfo, Result
from lossheads.runs.build import build_head, build_metrics, build_parts
from lossheads.runs.collect import collect
from lossheads.runs.composer import own_composer
from lossheads.runs.config import claim_folder
from lossheads.runs.executors.settings import placed
from lossheads.runs.folder import run_paths
from lossheads.runs.messages import message_and_status
from lossheads.runs.validate import check_numbers


@contextmanager
def one_sentence() -> Iterator[None]:
    """Mistakes in configurations are `UserError`, in the command line's words."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        sentence, status = message_and_status(error)
        if status != 2:
            raise
        raise UserError(sentence) from error


def train(
    overrides: Sequence[str],
    *,
    config_dirs: Sequence[str | Path] = (),
    trust: Sequence[str] = (),
) -> Result:
    """Train one run, or take its result if it is finished; as `lossheads train`.

    Args:
        overrides: As on the command line: `["dataset=digits", "head=sigmoid_bce"]`.
        config_dirs: Folders with YAML of your own (`head/my_head.yaml`).
        trust: Packages whose classes that YAML may name.

    Raises:
        UserError: What the configuration asks cannot be done, in one sentence.
    """
    (result,) = train_all([overrides], config_dirs=config_dirs, trust=trust)
    return result


def train_all(
    runs: Sequence[Sequence[str]],
    *,
    config_dirs: Sequence[str | Path] = (),
    trust: Sequence[str] = (),
) -> list[Result]:
    """Several runs at once, side by side as cohorts where they fit; as `lossheads train -m`.

    Raises:
        UserError: As `train`.
    """
    for overrides in runs:
        if not _are_words(overrides):
            raise UserError(
                f"train got {overrides!r}: it takes a list of settings, "
                f"['dataset=digits', 'seed=1']"
            )
    folders = own_folders("train", config_dirs, trust)
    with one_sentence():
        compose = own_composer(folders, trust)
        return collect([compose(overrides) for overrides in runs])


def run_claim(
    claim: str | Path,
    *,
    seeds: int | Literal["auto"] | None = None,
    overrides: Sequence[str] = (),
    config_dirs: Sequence[str | Path] = (),
    trust: Sequence[str] = (),
) -> Verdict:
    """Train what a claim still needs and judge it; as `lossheads claim run`, files apart.

    Args:
        claim: Name of a shipped claim, or the path of a claim file (.yaml).
        seeds: None takes the claim's own number.
        overrides: Settings that do not change what the claim asks: `["device=cpu"]`,
            `["output_dir=somewhere"]`.
        config_dirs: Folders with YAML of your own, for heads, models, datasets of a claim's arms.
        trust: Packages whose classes that YAML may name. A claim file grants none.

    Raises:
        UserError: In one sentence, before anything is trained where that can be told.
    """
    folders = own_folders("run_claim", config_dirs, trust)
    if not (seeds is None or seeds == "auto" or type(seeds) is int):
        raise UserError(f"run_claim: seeds must be a number or 'auto', got {seeds!r}")
    if not _are_words(overrides):
        raise UserError(f"run_claim got {overrides!r}: overrides are a list, ['device=cpu']")
    for word in overrides:
        key = word.partition("=")[0]
        if not (key in CLAIM_SETTINGS or key.lstrip("+").startswith("executor.")):
            raise UserError(
                f"run_claim got {word!r}: a claim's settings are fixed; only "
                f"{', '.join(CLAIM_SETTINGS)} can be set"
            )
    with one_sentence():
        found = find_claim(str(claim), claim_folder())
        return judge_claim(found, seeds, overrides, folders, trust)


# Settings that change where, on which device or how often a claim runs, but not what it tests.
CLAIM_SETTINGS = ("device", "device.threads", "executor", "output_dir", "data_dir", "force")


def _are_words(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(word, str) for word in value)


def own_folders(who: str, config_dirs: object, trust: object) -> list[Path]:
    """Folders of the user's YAML, which must be there.

    Raises:
        UserError: If they are no list of folders, or trust is no list of names.
    """
    if not _are_words(trust):
        raise UserError(f"{who}: trust must be a list of packages, ['my_heads'], got {trust!r}")
    if isinstance(config_dirs, str) or not isinstance(config_dirs, Iterable):
        raise UserError(
            f"{who}: config_dirs must be a list of folders, ['my_configs'], got {config_dirs!r}"
        )
    given = list(config_dirs)
    for folder in given:
        if not isinstance(folder, str | Path) or not Path(folder).is_dir():
            raise UserError(
                f"{who} finds no folder {folder!r} of your own YAML: name one that is there"
            )
    return [Path(folder) for folder in given]


def judge_claim(
    claim: Claim,
    seeds: int | Literal["auto"] | None,
    overrides: Sequence[str],
    config_dirs: Sequence[Path] = (),
    trust: Sequence[str] = (),
    quiet: bool = False,
) -> Verdict:
    """The runner of claims on this project's engine."""
    if isinstance(seeds, int) and seeds > MAX_SEEDS:
        raise UserError(f"claim {claim.slug}: seeds must be at most {MAX_SEEDS:,}, got {seeds}")
    flags = [word for folder in config_dirs for word in ("--config-dir", str(folder))]
    flags += ["--trust", ",".join(trust)] if trust else []
    compose = own_composer(config_dirs, trust)
    return runner.run_claim(
        replace(claim, cli_flags=tuple(flags)),
        compose=lambda words: compose([*words, *overrides]),
        execute=partial(_collected, quiet=quiet),
        seeds=seeds,
        allow_metric=_metric_info,
        allow_arm=_check_arm,
        influences=influences,
    )


def _collected(configs: list[dict[str, Any]], quiet: bool) -> list[Result]:
    """The runs' results. A finished one that kept no predictions is left as it is."""
    paths = run_paths([placed(config) for config in configs])
    return collect([*map(_asked_again, configs, paths)], quiet=quiet)


def _asked_again(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    if config["force"] or not (folder / "result.json").is_file():
        return config
    return config | {"recording": config["recording"] | {"predictions": False}}


def _metric_info(config: Mapping[str, Any], name: str) -> MetricInfo:
    return build_metrics(config).find(name, build_head(config).outcome).info


def _check_arm(config: Mapping[str, Any]) -> None:
    """Refuse what the engine would refuse, before it is asked for many runs at once."""
    check_numbers(config)
    build_parts(config)
