"""The runs of one claim: configured, asked for once each, found again by arm and seed."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from lossheads.claims.overrides import Value, as_arguments
from lossheads.claims.schema import DATA_SEED, Arm, Claim
from lossheads.errors import UserError, near_matches
from lossheads.records import Result, run_key

Config = dict[str, Any]
Compose = Callable[[list[str]], Config]
Execute = Callable[[list[Config]], list[Result]]

# Read from `Result.first_step` instead of the test split, e.g. first_step/gradient_norm.
FIRST_STEP = "first_step/"

# A seed that no configuration holds by chance.
_STAND_IN = 1_987_654_321


class ArmRuns:
    """Configurations and results of a claim's arms, grid values and seeds."""

    def __init__(self, claim: Claim, compose: Compose, execute: Execute) -> None:
        self.claim, self.compose, self.execute = claim, compose, execute
        self.seeds: tuple[int, ...] = ()
        self.grid: tuple[Value, ...] = claim.grid[1] if claim.grid else (None,)
        self.rates: dict[str, float] = {}
        self._composed: dict[tuple[str, ...], Config] = {}
        self._results: dict[str, Result] = {}

    def config(self, arm: Arm, rate: Value, seed: int) -> Config:
        """The resolved configuration of one run.

        Composing costs tenths of a second, and seeds of an arm differ in nothing but the seed: an
        arm is composed once with a stand-in and filled in, if that gives what composing gives.
        """
        form = self._compose(arm, rate, _STAND_IN)
        if _filled(form, 0) == self._compose(arm, rate, 0):
            filled: Config = _filled(form, seed)
            return filled
        return self._compose(arm, rate, seed)

    def refuse_fixed_data(self) -> None:
        """Refuse to redraw data that are not drawn: such a dataset has no seed of its own."""
        for arm in self.claim.arms.values():
            if not arm.redrawn:
                continue
            words = (*as_arguments(arm.overrides), "seed=0")
            if "seed" not in self._composed_from(arm, words)["dataset"]:
                raise UserError(
                    f"claim {self.claim.slug}, data: the dataset of arm {arm.name} draws nothing "
                    f"(it has no seed), so no seed can draw its own; name only the cases that "
                    f"draw, data: {{per_seed: [CASE, …]}}, or leave data out"
                )

    def refuse_equal_arms(self) -> None:
        """Refuse two arms whose resolved configurations are the same."""
        seen: dict[str, str] = {}
        for arm in self.claim.arms.values():
            key = run_key(self.config(arm, self.grid[0], 0))
            if key in seen:
                raise UserError(
                    f"{arm.place}: arms {seen[key]} and {arm.name} differ in nothing once "
                    f"resolved; give them different overrides"
                )
            seen[key] = arm.name

    def match_first_steps(self) -> None:
        """Scale each arm's learning rate so that its first step is as long as the first arm's.

        The first arm of each case keeps its rate; another gets it times the ratio of gradient
        norms on the logits, measured at seed 0 before any step. Six digits, so that the last bit
        of a norm does not make another run.

        Raises:
            UserError: If a gradient is zero: no rate makes that step longer.
        """
        arms = list(self.claim.arms.values())
        probes = [self._still(self.config(arm, self.grid[0], 0)) for arm in arms]
        norms = [result.first_step["gradient_norm"] for result in self._ask(probes)]
        first: dict[str, tuple[float, float]] = {}
        for arm, probe, norm in zip(arms, probes, norms, strict=True):
            own = float(probe["optimizer"]["lr"])
            rate, base = first.setdefault(arm.case, (own, norm))
            if not norm > 0:
                raise UserError(
                    f"claim {self.claim.slug}: arm {arm.name} starts with a gradient of {norm}: "
                    f"no learning rate matches its first step; leave match_first_step out"
                )
            self.rates[arm.name] = float(f"{rate * base / norm:.6g}")

    def train(self, n: int) -> None:
        """Ask for every run of the first `n` seeds not asked for yet, all in one call."""
        self.seeds = tuple(range(n))
        self._ask(
            self.config(arm, rate, seed)
            for seed in self.seeds
            for arm in self.claim.arms.values()
            for rate in self.grid
        )

    def all(self) -> list[Result]:
        """Every result so far, chosen or not, in the order asked for."""
        return list(self._results.values())

    def of(self, arm: str) -> list[Result]:
        """The arm's run at each seed; under tuned_rate the ones the validation split chose."""
        return [self.result(arm, seed) for seed in self.seeds]

    def result(self, arm: str, seed: int) -> Result:
        """The arm's run at this seed; under tuned_rate the one its validation split chose."""
        return self._at(arm, self.rate(arm, seed), seed)

    def rate(self, arm: str, seed: int) -> Value:
        """The grid value the arm chose at this seed, by its validation split.

        Each seed tunes for itself: a seed is then one whole repetition of "tune, then judge",
        the interval includes the luck of tuning, and later seeds never change earlier ones.
        Failed and undefined runs lose; among equals the first of the grid is taken.
        """
        if len(self.grid) == 1:
            return self.grid[0]
        metric = self.claim.choose_by

        def merit(rate: Value) -> float:
            run = self._at(arm, rate, seed)
            value = read(run, metric, "val")
            if math.isnan(value):
                return -math.inf
            higher_is_better = run.info(metric).higher_is_better
            if higher_is_better is None:
                raise UserError(
                    f"claim {self.claim.slug}, choose_by: neither direction of {metric} is better; "
                    f"choose by another metric"
                )
            return value if higher_is_better else -value

        return max(self.grid, key=merit)

    def numbers(self, arm: str, metric: str) -> dict[int, float]:
        """Seed -> the arm's number under a metric, on the test split."""
        return {seed: read(self.result(arm, seed), metric, "test") for seed in self.seeds}

    def measured(self) -> dict[tuple[str, str], dict[int, float]]:
        """Arm and metric -> seed -> number on the test split, for the metrics hypotheses read."""
        found = {}
        for hypothesis in self.claim.hypotheses:
            for side in zip(hypothesis.arms, hypothesis.metrics, strict=True):
                try:
                    found[side] = self.numbers(*side)
                except UserError as error:
                    raise UserError(f"{hypothesis.place}.metric: {error}") from error
        return found

    def _at(self, arm: str, rate: Value, seed: int) -> Result:
        return self._results[run_key(self.config(self.claim.arms[arm], rate, seed))]

    def _compose(self, arm: Arm, rate: Value, seed: int) -> Config:
        overrides = dict(arm.overrides)
        if self.claim.grid:
            overrides[self.claim.grid[0]] = rate
        if arm.name in self.rates:
            overrides["optimizer.lr"] = self.rates[arm.name]
        if arm.redrawn:
            overrides[DATA_SEED] = seed
        return self._composed_from(arm, (*as_arguments(overrides), f"seed={seed}"))

    def _composed_from(self, arm: Arm, words: tuple[str, ...]) -> Config:
        if words not in self._composed:
            try:
                self._composed[words] = self.compose(list(words))
            except Exception as error:
                # What is wrong is said by whoever knows the configuration, the place by us.
                error.add_note(self._culprit(arm, words))
                raise
        return self._composed[words]

    def _culprit(self, arm: Arm, words: tuple[str, ...]) -> str:
        """The place of the one override without which the arm composes; else the arm's."""
        for word in words:
            try:
                self.compose([other for other in words if other != word])
            except Exception:
                continue
            return arm.places.get(word.split("=")[0], arm.place)
        return arm.place

    def _still(self, config: Config) -> Config:
        """The same run without a single step: it measures the start and nothing else."""
        return config | {"training": config["training"] | {"steps": 0}}

    def _ask(self, configs: Iterable[Config]) -> list[Result]:
        wanted = {run_key(config): config for config in configs}
        missing = {key: config for key, config in wanted.items() if key not in self._results}
        results = self.execute(list(missing.values())) if missing else []
        for key, result in zip(missing, results, strict=True):
            # Results out of order would swap arms or seeds without a sound.
            if _asked(result.config) != _asked(missing[key]):
                raise RuntimeError(f"asked for run {key}, was given {result.name} ({result.key})")
            self._results[key] = result
        return [self._results[key] for key in wanted]


def read(run: Result, metric: str, split: Literal["val", "test"]) -> float:
    """One number of a run; NaN when it did not finish or the metric is undefined.

    Raises:
        UserError: If the run was measured without this metric.
    """
    if run.status != "finished":
        return math.nan
    known = first_step(run) if metric.startswith(FIRST_STEP) else getattr(run, split).metrics
    if metric not in known:
        raise UserError(f"run {run.name} has no metric {metric!r}; {near_matches(metric, known)}")
    return float(known[metric])


def first_step(run: Result) -> dict[str, float]:
    """What a run recorded before its first step, under the names claims use."""
    return {f"{FIRST_STEP}{name}": value for name, value in run.first_step.items()}


def _filled(form: Any, seed: int) -> Any:
    if isinstance(form, Mapping):
        return {key: _filled(value, seed) for key, value in form.items()}
    if isinstance(form, list):
        return [_filled(value, seed) for value in form]
    return seed if form == _STAND_IN else form


def _asked(config: Mapping[str, Any]) -> str:
    # The engine resolves device=auto, so a result may name another device than was asked for.
    return run_key(
        {name: value for name, value in config.items() if name not in ("device", "content")}
    )
