"""Runs and claims from Python: the same engine, folders and sentences as the command line."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from lossheads.claims.judge import Verdict
from lossheads.errors import UserError
from lossheads.records import Result
from lossheads.runs.config import compose
from lossheads.runs.execute import execute
from lossheads.runs.messages import message_and_status


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
                f"train got {overrides!r}: it takes a list of settings, ['dataset=digits', 'seed=1']"
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
    """Train what a claim still needs and judge it; as `lossheads claim run`.

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
    from lossheads.runs.claims import judge_claim

    with one_sentence():
        return judge_claim(
            str(claim),
            seeds=seeds,
            overrides=overrides,
            config_dirs=[Path(folder) for folder in config_dirs],
            trust=trust,
        )
