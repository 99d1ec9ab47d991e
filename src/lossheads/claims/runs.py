"""The runs of one claim: asked for once each, read by arm and seed."""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Literal

from lossheads.claims.claim import Arm, Claim
from lossheads.claims.overrides import Value, as_arguments
from lossheads.claims.statistics import t_interval
from lossheads.claims.verdict import ArmReport, Cell
from lossheads.errors import UserError, near_matches
from lossheads.results import Result, run_key

Config = dict[str, Any]
Compose = Callable[[list[str]], Config]
Execute = Callable[[list[Config]], list[Result]]
# Raises UserError when the configuration's outcome has no such ruler.
AllowRuler = Callable[[Config, str], object]

# Read from `Result.first_step` instead of the test split, e.g. first_step/gradient_norm.
_FIRST_STEP = "first_step/"
# Measured beside the rulers of the outcome, e.g. outliers/digits/max_logit_auroc_score or
# tuned/macro_f1_score: whether a run has them is known when it is read.
_BESIDE = (_FIRST_STEP, "outliers/", "tuned/")

# A seed that no configuration holds by chance.
_STAND_IN = 1_987_654_321


class Runs:
    """Configurations and results of a claim's arms, grid values and seeds."""

    def __init__(self, claim: Claim, compose: Compose, execute: Execute) -> None:
        self.claim, self.compose, self.execute = claim, compose, execute
        self.seeds: tuple[int, ...] = ()
        self.grid: tuple[Value, ...] = claim.grid[1] if claim.grid else (None,)
        self._configs: dict[tuple[str, Value, int], Config] = {}
        self._composed_words: dict[tuple[str, ...], Config] = {}
        self._results: dict[str, Result] = {}

    def config(self, arm: Arm, rate: Value, seed: int) -> Config:
        """The resolved configuration of one run.

        Composing costs tenths of a second, and seeds of an arm differ in nothing but the seed: an
        arm is composed once with a stand-in and filled in, if that gives what composing gives.
        """
        place = (arm.name, rate, seed)
        if place not in self._configs:
            form = self._composed(arm, rate, _STAND_IN)
            known = self._composed(arm, rate, 0)
            fits = _filled(form, 0) == known
            self._configs[place] = _filled(form, seed) if fits else self._composed(arm, rate, seed)
        return self._configs[place]

    def _composed(self, arm: Arm, rate: Value, seed: int) -> Config:
        overrides = dict(arm.overrides)
        if self.claim.grid:
            overrides[self.claim.grid[0]] = rate
        words = [*as_arguments(overrides), f"seed={seed}"]
        if tuple(words) not in self._composed_words:
            try:
                self._composed_words[tuple(words)] = self.compose(words)
            except UserError as error:
                raise UserError(f"claim {self.claim.slug}, arm {arm.name}: {error}") from error
        return self._composed_words[tuple(words)]

    def refuse_equal_arms(self) -> None:
        """Refuse two arms whose resolved configurations are the same."""
        seen: dict[str, str] = {}
        for arm in self.claim.arms.values():
            key = run_key(self.config(arm, self.grid[0], 0))
            if key in seen:
                raise UserError(
                    f"claim {self.claim.slug}: arms {seen[key]} and {arm.name} differ in nothing "
                    f"once resolved; give them different overrides"
                )
            seen[key] = arm.name

    def refuse_rulers(self, allow_ruler: AllowRuler) -> None:
        """Refuse rulers that an arm's outcome does not have; a shown one may miss some arms."""
        asked = {
            (f"{prediction.place}.ruler", arm, ruler)
            for prediction in self.claim.predictions
            for arm, ruler in zip(prediction.arms, prediction.rulers, strict=True)
        }
        if self.claim.choose_by:
            place = f"claim {self.claim.slug}, choose_by"
            asked |= {(place, arm, self.claim.choose_by) for arm in self.claim.arms}
        for place, arm, ruler in sorted(asked):
            if error := self._refusal(allow_ruler, arm, ruler):
                raise UserError(f"{place}: {error}") from error
        for ruler in self.claim.show:
            errors = [self._refusal(allow_ruler, arm, ruler) for arm in self.claim.arms]
            if all(errors):
                raise UserError(f"claim {self.claim.slug}, show: {errors[0]}") from errors[0]

    def _refusal(self, allow_ruler: AllowRuler, arm: str, ruler: str) -> UserError | None:
        if ruler.startswith(_BESIDE):
            return None
        try:
            allow_ruler(self.config(self.claim.arms[arm], self.grid[0], 0), ruler)
        except UserError as error:
            return error
        return None

    def train(self, n: int) -> None:
        """Ask for every run of the first `n` seeds not asked for yet, all in one call."""
        self.seeds = tuple(range(n))
        configs = [
            self.config(arm, rate, seed)
            for seed in self.seeds
            for arm in self.claim.arms.values()
            for rate in self.grid
        ]
        wanted = {run_key(config): config for config in configs}
        missing = {key: config for key, config in wanted.items() if key not in self._results}
        results = self.execute(list(missing.values())) if missing else []
        for key, result in zip(missing, results, strict=True):
            # Results out of order would swap arms or seeds without a sound.
            if _asked(result.config) != _asked(missing[key]):
                raise RuntimeError(f"asked for run {key}, was given {result.name} ({result.key})")
            self._results[key] = result

    def result(self, arm: str, seed: int) -> Result:
        """The arm's run at this seed; under tuned_rate the one its validation split chose."""
        return self._results[run_key(self.config(self.claim.arms[arm], self.rate(arm, seed), seed))]

    def rate(self, arm: str, seed: int) -> Value:
        """The grid value the arm chose at this seed, by its validation split.

        Each seed tunes for itself: a seed is then one whole repetition of "tune, then judge",
        the interval includes the luck of tuning, and later seeds never change earlier ones.
        Failed and undefined runs lose; among equals the first of the grid is taken.
        """
        if len(self.grid) == 1:
            return self.grid[0]
        ruler, arm_data = self.claim.choose_by, self.claim.arms[arm]
        sign = -1.0 if ruler.endswith(("_loss", "_error")) else 1.0

        def merit(rate: Value) -> float:
            run = self._results[run_key(self.config(arm_data, rate, seed))]
            score = sign * read(run, ruler, "val")
            return -math.inf if math.isnan(score) else score

        return max(self.grid, key=merit)

    def measured(self) -> dict[tuple[str, str], dict[int, float]]:
        """Arm and ruler -> seed -> number on the test split, for the rulers predictions read."""
        asked = {
            side
            for prediction in self.claim.predictions
            for side in zip(prediction.arms, prediction.rulers, strict=True)
        }
        return {(arm, ruler): self._by_seed(arm, ruler) for arm, ruler in sorted(asked)}

    def cells(self) -> tuple[Cell, ...]:
        """The table: every arm under every ruler of the claim that its outcome has."""
        if not self.seeds:
            return ()
        cells = []
        for arm in self.claim.arms:
            for ruler in self.claim.rulers:
                runs = [self.result(arm, seed) for seed in self.seeds]
                if not any(_has(run, ruler) for run in runs):
                    continue
                floors = [run.test.floors.get(ruler, math.nan) for run in runs if _ended(run)]
                interval = t_interval(list(self._by_seed(arm, ruler).values()))
                cells.append(Cell(arm, ruler, interval, math.fsum(floors) / len(floors)))
        return tuple(cells)

    def reports(self) -> tuple[ArmReport, ...]:
        """First-step gradients, chosen rates and curves of every arm."""
        if not self.seeds:
            return ()
        found = []
        first: dict[str, float] = {}
        for arm in self.claim.arms.values():
            runs = [self.result(arm.name, seed) for seed in self.seeds]
            norms = [run.first_step.get("gradient_norm", math.nan) for run in runs]
            norm = math.fsum(norms) / len(norms)
            base = first.setdefault(arm.case, norm)
            chosen = Counter(_shown(self.rate(arm.name, seed)) for seed in self.seeds)
            curves = {ruler: _curve(runs, ruler) for ruler in self.claim.rulers}
            found.append(
                ArmReport(
                    name=arm.name,
                    gradient_norm=norm,
                    gradient_ratio=norm / base if base else math.nan,
                    chosen=dict(chosen) if self.claim.grid else {},
                    curves={ruler: curve for ruler, curve in curves.items() if curve},
                )
            )
        return tuple(found)

    def failed(self) -> tuple[str, ...]:
        """Runs the verdict would rest on, or any that broke, in words."""
        said = [run for run in self._results.values() if run.status in ("failed", "interrupted")]
        used = [self.result(arm, seed) for arm in self.claim.arms for seed in self.seeds]
        said += [run for run in used if run.status == "diverged"]
        unique = {run.key: f"{run.name} {run.status}" for run in said}
        return tuple(unique.values())

    def notes(self) -> tuple[str, ...]:
        """What a reader of the numbers should know about how they came to be."""
        notes = []
        for arm in self.claim.arms if self.claim.grid and self.seeds else ():
            chosen = [self.rate(arm, seed) for seed in self.seeds]
            ends = sum(rate in (self.grid[0], self.grid[-1]) for rate in chosen)
            if ends:
                notes.append(
                    f"{arm} chose an end of the grid in {ends} of {len(chosen)} seeds: its best "
                    f"rate may lie outside"
                )
        diverged = sum(run.status == "diverged" for run in self._results.values())
        if diverged:
            notes.append(f"{diverged} of {len(self._results)} runs diverged")
        said = {note for run in self._results.values() for note in run.notes}
        return (*notes, *sorted(said))

    def environment(self) -> Mapping[str, Any]:
        """Where the first run was made; empty when nothing was trained."""
        return next((run.environment for run in self._results.values()), {})

    def _by_seed(self, arm: str, ruler: str) -> dict[int, float]:
        return {seed: read(self.result(arm, seed), ruler, "test") for seed in self.seeds}


def read(run: Result, ruler: str, split: Literal["val", "test"]) -> float:
    """One number of a run; NaN when it did not finish or the ruler is undefined.

    Raises:
        UserError: If the run was measured without this ruler.
    """
    if not _ended(run):
        return math.nan
    known = (
        _rulers(run)
        if ruler.startswith(_FIRST_STEP)
        else (run.test.rulers if split == "test" else run.val.rulers)
    )
    if ruler not in known:
        raise UserError(f"run {run.name} has no ruler {ruler!r}; {near_matches(ruler, known)}")
    return known[ruler]


def _filled(form: Any, seed: int) -> Any:
    if isinstance(form, Mapping):
        return {key: _filled(value, seed) for key, value in form.items()}
    if isinstance(form, list):
        return [_filled(value, seed) for value in form]
    return seed if form == _STAND_IN else form


def _asked(config: Mapping[str, Any]) -> str:
    # The engine resolves device=auto, so a result may name another device than was asked for.
    return run_key({name: value for name, value in config.items() if name != "device"})


def _rulers(run: Result) -> dict[str, float]:
    return {f"{_FIRST_STEP}{name}": value for name, value in run.first_step.items()}


def _has(run: Result, ruler: str) -> bool:
    return _ended(run) and (ruler in run.test.rulers or ruler in _rulers(run))


def _ended(run: Result) -> bool:
    return run.status == "finished"


def _curve(runs: list[Result], ruler: str) -> list[tuple[float, float]]:
    """Mean over runs of a ruler on the validation split, by epoch; laps all runs share."""
    ended = [run for run in runs if _ended(run)]
    laps = zip(*(run.laps for run in ended), strict=False)
    return [
        (same[0].epoch, math.fsum(lap.val.rulers[ruler] for lap in same) / len(same))
        for same in laps
        if all(ruler in lap.val.rulers for lap in same)
    ]


def _shown(value: Value) -> str:
    return str(value)
