"""Runs and claims from Python: the same engine, folders and sentences as the command line."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from lossheads.claims import runner
from lossheads.claims.judge import Verdict
from lossheads.claims.reading import find_claim
from lossheads.claims.schema import Claim
from lossheads.errors import UserError
from lossheads.records import Result
from lossheads.runs.build import build_head, build_metrics, build_parts
from lossheads.runs.config import claim_folder, compose
from lossheads.runs.execute import execute
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
        if isinstance(overrides, str) or not all(isinstance(word, str) for word in overrides):
            raise UserError(
                f"train got {overrides!r}: it takes a list of settings, "
                f"['dataset=digits', 'seed=1']"
            )
    folders = [Path(folder) for folder in config_dirs]
    with one_sentence():
        configs = [compose([*overrides], folders, trust=trust) for overrides in runs]
        return execute(configs)


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
    with one_sentence():
        return judge_claim(
            find_claim(str(claim), claim_folder()),
            seeds,
            overrides,
            [Path(folder) for folder in config_dirs],
            trust,
        )


def judge_claim(
    claim: Claim,
    seeds: int | Literal["auto"] | None,
    overrides: Sequence[str],
    config_dirs: Sequence[Path] = (),
    trust: Sequence[str] = (),
) -> Verdict:
    """The runner of claims on this project's engine."""
    flags = [word for folder in config_dirs for word in ("--config-dir", str(folder))]
    flags += ["--trust", ",".join(trust)] if trust else []
    return runner.run_claim(
        replace(claim, cli_flags=tuple(flags)),
        compose=lambda words: compose([*words, *overrides], config_dirs, trust),
        execute=execute,
        seeds=seeds,
        allow_metric=_direction,
        allow_arm=_check_arm,
    )


def _direction(config: Mapping[str, Any], name: str) -> bool | None:
    return build_metrics(config).find(name, build_head(config).outcome).higher_is_better


def _check_arm(config: Mapping[str, Any]) -> None:
    """Refuse what the engine would refuse, before it is asked for many runs at once."""
    check_numbers(config)
    build_parts(config)
