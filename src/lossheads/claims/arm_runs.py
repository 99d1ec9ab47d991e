"""The runs of one claim: configured, asked for once each, found again by arm and seed."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from lossheads.analysis.estimates import Influence
from lossheads.claims.schema import DATA_SEED, Arm, Claim, Value, as_arguments
from lossheads.errors import UserError, near_matches
from lossheads.records import Result, run_key

Config = dict[str, Any]
Compose = Callable[[list[str]], Config]
Execute = Callable[[list[Config]], list[Result]]
# What each test example moves each of these metrics of a finished run, by metric; those are left
# out of which that is not known, and all where the run kept no predictions.
Influences = Callable[[Config, Result, tuple[str, ...]], Mapping[str, Influence]]

# Read from `Result.first_step` instead of the test split, e.g. first_step/gradient_norm.
FIRST_STEP = "first_step/"


class ArmRuns:
    """Configurations and results of a claim's arms, grid values and seeds."""

    def __init__(
        self,
        claim: Claim,
        compose: Compose,
        execute: Execute,
        influences: Influences | None = None,
    ) -> None:
        self.claim, self.compose, self.execute = claim, compose, execute
        self._influences_of_run = influences
        self._influences: dict[str, Mapping[str, Influence]] = {}
        self.seeds: tuple[int, ...] = ()
        self.grid: tuple[Value, ...] = claim.grid[1] if claim.grid else (None,)
        self.learning_rates: dict[str, float] = {}
        self._composed: dict[tuple[str, ...], Config] = {}
        self._results: dict[str, Result] = {}

    def config(self, arm: Arm, value: Value, seed: int) -> Config:
        """The resolved configuration of one run."""
        overrides = dict(arm.overrides)
        if self.claim.grid:
            overrides[self.claim.grid[0]] = value
        if arm.name in self.learning_rates:
            overrides["optimizer.lr"] = self.learning_rates[arm.name]
        if arm.redrawn:
            overrides[DATA_SEED] = seed
        config = self._composed_from(arm, (*as_arguments(overrides), f"seed={seed}"))
        # Where seeds share a test set, what its examples move is asked, and told by predictions.
        return config if arm.redrawn else _recording_predictions(config, True)

    def refuse_fixed_data(self) -> None:
        """Refuse to redraw data that are not drawn: such a dataset has no seed of its own."""
        for arm in self.claim.arms.values():
            if not arm.redrawn:
                continue
            arguments = (*as_arguments(arm.overrides), "seed=0")
            if "seed" not in self._composed_from(arm, arguments)["dataset"]:
                raise UserError(
                    f"claim {self.claim.slug}, data: the dataset of arm {arm.name} is not random "
                    f"(it has no seed), so it cannot be redrawn per seed; name only the cases with "
                    f"random data, data: {{per_seed: [CASE, …]}}, or leave data out"
                )

    def refuse_equal_arms(self) -> None:
        """Refuse two arms whose resolved configurations are the same."""
        seen: dict[str, str] = {}
        for arm in self.claim.arms.values():
            key = run_key(self.config(arm, self.grid[0], 0))
            if key in seen:
                raise UserError(
                    f"{arm.location}: arms {seen[key]} and {arm.name} are identical once "
                    f"composed; give them different overrides"
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
        probes = [self._without_steps(self.config(arm, self.grid[0], 0)) for arm in arms]
        norms = [result.first_step["gradient_norm"] for result in self._run_missing(probes)]
        first: dict[str, tuple[float, float]] = {}
        for arm, probe, norm in zip(arms, probes, norms, strict=True):
            own = float(probe["optimizer"]["lr"])
            rate, base = first.setdefault(arm.case, (own, norm))
            if not norm > 0:
                raise UserError(
                    f"claim {self.claim.slug}: arm {arm.name} starts with a gradient of {norm}: "
                    f"no learning rate matches its first step; leave match_first_step out"
                )
            self.learning_rates[arm.name] = float(f"{rate * base / norm:.6g}")

    def train(self, n: int) -> None:
        """Ask for every run of the first `n` seeds not asked for yet, all in one call."""
        self.seeds = tuple(range(n))
        self._run_missing(
            self.config(arm, value, seed)
            for seed in self.seeds
            for arm in self.claim.arms.values()
            for value in self.grid
        )

    def all(self) -> list[Result]:
        """Every result so far, chosen or not, in the order asked for."""
        return list(self._results.values())

    def of(self, arm: str) -> list[Result]:
        """The arm's run at each seed; under tuned_rate the ones the validation split chose."""
        return [self.result(arm, seed) for seed in self.seeds]

    def result(self, arm: str, seed: int) -> Result:
        """The arm's run at this seed; under tuned_rate the one its validation split chose."""
        return self._at(arm, self.chosen_value(arm, seed), seed)

    def chosen_value(self, arm: str, seed: int) -> Value:
        """The grid value the arm chose at this seed, by its validation split.

        Each seed tunes for itself: a seed is then one whole repetition of "tune, then judge",
        the interval includes the randomness of tuning, and later seeds never change earlier ones.
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

    def influences(self, arm: str, seed: int) -> Mapping[str, Influence]:
        """What each test example moves the claim's metrics of the arm's run at this seed."""
        run = self.result(arm, seed)
        if self._influences_of_run is None or run.status != "finished":
            return {}
        if run.key not in self._influences:
            config = self.config(self.claim.arms[arm], self.chosen_value(arm, seed), seed)
            found = self._influences_of_run(config, run, self.claim.metrics)
            self._influences[run.key] = found
        return self._influences[run.key]

    def measured(self) -> dict[tuple[str, str], dict[int, float]]:
        """Arm and metric -> seed -> number on the test split, for the metrics hypotheses read."""
        found = {}
        for hypothesis in self.claim.hypotheses:
            for side in zip(hypothesis.arms, hypothesis.metrics, strict=True):
                try:
                    found[side] = self.numbers(*side)
                except UserError as error:
                    raise UserError(f"{hypothesis.location}.metric: {error}") from error
        return found

    def _at(self, arm: str, value: Value, seed: int) -> Result:
        return self._results[run_key(self.config(self.claim.arms[arm], value, seed))]

    def _composed_from(self, arm: Arm, arguments: tuple[str, ...]) -> Config:
        if arguments not in self._composed:
            try:
                self._composed[arguments] = self.compose(list(arguments))
            except Exception as error:
                # The engine's message names the problem; this adds the location in the file.
                error.add_note(self._location_of_error(arm, arguments))
                raise
        return self._composed[arguments]

    def _location_of_error(self, arm: Arm, arguments: tuple[str, ...]) -> str:
        """The location of the one override without which the arm composes; else the arm's."""
        for argument in arguments:
            try:
                self.compose([other for other in arguments if other != argument])
            except Exception:
                continue
            return arm.locations.get(argument.split("=")[0], arm.location)
        return arm.location

    def _without_steps(self, config: Config) -> Config:
        """The same run without a single step: it measures the start and nothing else."""
        probe = config | {"training": config["training"] | {"steps": 0}}
        return _recording_predictions(probe, False)

    def _run_missing(self, configs: Iterable[Config]) -> list[Result]:
        wanted = {run_key(config): config for config in configs}
        missing = {key: config for key, config in wanted.items() if key not in self._results}
        results = self.execute(list(missing.values())) if missing else []
        for key, result in zip(missing, results, strict=True):
            # Results out of order would swap arms or seeds without a sound.
            if _requested_key(result.config) != _requested_key(missing[key]):
                raise RuntimeError(f"asked for run {key}, got {result.name} ({result.key})")
            self._results[key] = result
        return [self._results[key] for key in wanted]


def _recording_predictions(config: Config, wanted: bool) -> Config:
    return config | {"recording": {**config.get("recording", {}), "predictions": wanted}}


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


def _requested_key(config: Mapping[str, Any]) -> str:
    # The engine resolves device=auto, so a result may name another device than was asked for.
    return run_key(
        {name: value for name, value in config.items() if name not in ("device", "content")}
    )
